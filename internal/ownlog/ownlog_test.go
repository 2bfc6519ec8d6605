package ownlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"
)

func TestTenRecordsOfAMessageASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := New(&out, slog.LevelInfo)
		lines := func() []string {
			defer out.Reset()
			return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		}
		for i := range 25 {
			log.With("input", "udp").Warn("refused", "i", i)
		}
		log.Warn("something else")
		got := lines()
		if len(got) != 11 || !strings.HasSuffix(got[9], "msg=refused input=udp i=9") || !strings.HasSuffix(got[10], `msg="something else"`) {
			t.Errorf("in the first second:\n%s\nwant refused 0 to 9 and something else", strings.Join(got, "\n"))
		}
		time.Sleep(999 * time.Millisecond)
		log.WithGroup("g").Warn("refused", "i", 25)
		if got := lines(); got[0] != "" {
			t.Errorf("after 999 ms: %q, want nothing", got)
		}
		time.Sleep(time.Millisecond)
		log.Warn("refused", "i", 26)
		log.Warn("refused", "i", 27)
		// 25 + 1 were tried, 10 written: 16.
		if got := lines(); len(got) != 2 || !strings.HasSuffix(got[0], "msg=refused i=26 suppressed=16") || !strings.HasSuffix(got[1], "msg=refused i=27") {
			t.Errorf("after a second: %q, want the number suppressed, once", got)
		}
	})
}

// FAULTS R7: a hundred thousand errors of each of three kinds in ten seconds.
func TestFloodOfErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := New(&out, slog.LevelInfo)
		perSecond := map[string]int{}
		for range 10 {
			for i := range 10_000 {
				log.Error("HTTP connection failed", "err", i)
				log.Warn("scrape failed", "err", i)
				log.With("input", i).Error("stuck", "err", i)
			}
			for _, message := range []string{`msg="HTTP connection failed"`, `msg="scrape failed"`, "msg=stuck"} {
				perSecond[message] = max(perSecond[message], strings.Count(out.String(), message))
			}
			out.Reset()
			time.Sleep(time.Second)
		}
		for message, n := range perSecond {
			if n != 10 {
				t.Errorf("%s: %d records in a second, want 10", message, n)
			}
		}
	})
}

func TestMessagesToldApartAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		handler := New(&out, slog.LevelInfo).Handler().(*limitHandler)
		log := slog.New(handler)
		for i := range 5000 {
			log.Info(fmt.Sprint("message ", i))
		}
		// 1000 by themselves, 10 of the other 4000, which share one limit.
		if n := strings.Count(out.String(), "\n"); n != 1010 {
			t.Errorf("%d records, want 1010", n)
		}
		if n := len(handler.limits.windows); n != 1001 {
			t.Errorf("%d messages are remembered, want 1001", n)
		}
	})
}

func TestLevelIsKept(t *testing.T) {
	var out bytes.Buffer
	log := New(&out, slog.LevelWarn)
	log.Info("no")
	log.Error("yes")
	if got := out.String(); strings.Contains(got, "no") || !strings.Contains(got, "level=ERROR msg=yes\n") {
		t.Errorf("got %q", got)
	}
}

func TestForeignBytesCantForgeALine(t *testing.T) {
	var out bytes.Buffer
	log := New(&out, slog.LevelInfo)
	foreign := "a\nlevel=ERROR msg=forged\x1b[2J\xff\u202e x=y"
	log.Info("seen", "module", foreign, "err", fmt.Errorf("%s", foreign))
	ErrorLog(log, "HTTP connection failed").Printf("TLS handshake error from %s", foreign)
	got := out.String()
	if strings.Count(got, "\n") != 2 || strings.Contains(got, "\x1b") || strings.Contains(got, "\xff") || strings.Contains(got, "\u202e") {
		t.Errorf("got %q", got)
	}
	const quoted = `"a\nlevel=ERROR msg=forged\x1b[2J\xff\u202e x=y"`
	if !strings.Contains(got, "module="+quoted+" err="+quoted) {
		t.Errorf("got %s\nwant it to hold %s", got, quoted)
	}
	if !strings.Contains(got, `msg="HTTP connection failed" err="TLS handshake error from a\nlevel=`) {
		t.Errorf("got %s", got)
	}
}

// Handler conformance, with JSON in the place of text since slogtest reads maps.
func TestLimitHandlerIsAHandler(t *testing.T) {
	var out bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out.Reset()
		return &limitHandler{slog.NewJSONHandler(&out, nil), &logLimits{windows: map[string]*logWindow{}}}
	}, func(t *testing.T) map[string]any {
		var m map[string]any
		if err := json.Unmarshal(out.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		return m
	})
}

func BenchmarkSuppressedRecord(b *testing.B) {
	log := New(io.Discard, slog.LevelInfo)
	b.ReportAllocs()
	for b.Loop() {
		log.Warn("refused")
	}
}
