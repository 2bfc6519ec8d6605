package main

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// A warned is a pipeline whose misunderstood inputs are warned of.
type warned struct {
	t   *testing.T
	p   *pipeline.Pipeline
	m   misunderstood
	out lockedBuffer
}

func newWarned(t *testing.T, args ...string) *warned {
	t.Helper()
	testenv.SetEnv(t)
	cfg := mustLoad(t, args...)
	p, err := pipeline.New(pipeline.Config{LogFormat: cfg.LogFormat, Tags: cfg.Tags, MaxSeries: 1000,
		Limits: rsynclog.DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	w := &warned{t: t, p: p}
	w.m = misunderstood{list: p.Misunderstood, cfg: cfg, log: slog.New(slog.NewTextHandler(&w.out, nil)),
		none: map[string]bool{}}
	return w
}

// receive delivers n messages to an input.
func (w *warned) receive(n int, input, name, message string) {
	w.t.Helper()
	d, err := syslog.NewDialect("auto", false)
	src := receiver.Source{Input: input, Name: name, Wrapped: w.m.cfg.SyslogLogLines, Dialect: d}
	if input == "file" {
		src.Scope = 2
		src.Dialect, err = syslog.ParseLineFormat(w.m.cfg.LineFormat)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	for range n {
		w.p.Deliver(&src, &receiver.Slab{Messages: [][]byte{[]byte(message)}})
	}
}

// Each trouble names the input, what most messages suffer from, one of them, and the setting that helps.
func TestWhyNothingCounts(t *testing.T) {
	const stamp = "<30>Nov 23 18:40:52 h "
	for _, c := range []struct {
		name, input, message string
		args, want           []string
	}{
		{"a file of another form", "file", "a\x1b[31m\xfe \"quoted\" " + strings.Repeat("x", 200), nil, []string{
			"level=WARN", "none of an input's messages is understood", "input=x ", "received=119", "reason=no_header",
			`example="a\x1b[31m\xfe \"quoted\" ` + strings.Repeat("x", 80-17) + `…"`, "set LINE_FORMAT to a regular"}},
		{"a line format that doesn't match", "file", "nonsense", []string{`--line-format=(?P<description>\d+)`},
			[]string{"LINE_FORMAT doesn't match"}},
		{"no header", "udp", "nonsense", nil, []string{"reason=no_header", "RFC 3164 or RFC 5424", "SYSLOG_FORMAT"}},
		{"another dialect", "udp", "nonsense", []string{"--syslog-format=rfc5424"}, []string{"set SYSLOG_FORMAT=auto"}},
		{"another tag", "udp", stamp + "mirror[7]: rsync on pool/a from a (192.0.2.1)", nil,
			[]string{"reason=other_tag", "add the tag: TAGS=rsyncd*,mirror"}},
		{"no tag", "udp", stamp + ": rsync on pool/a from a (192.0.2.1)", nil,
			[]string{"have the sender keep the program's name"}},
		{"a container", "udp", stamp + "8f3e1a[7]: 2026/11/23 18:40:52 [9] rsync on pool/a from a (192.0.2.1)", nil,
			[]string{`\"8f3e1a\": set SYSLOG_LOG_LINES=yes and TAGS=rsyncd*,8f3e1a`}},
		{"a log file by imfile", "udp", stamp + "rsyncd[7]: 2026/11/23 18:40:52 [9] rsync on pool/a from a (192.0.2.1)", nil,
			[]string{"reason=unrecognised", "set SYSLOG_LOG_LINES=yes: "}},
		{"no log lines", "udp", stamp + "rsyncd[7]: rsync on pool/a from a (192.0.2.1)", []string{"--syslog-log-lines=yes"},
			[]string{"reason=no_header", "set SYSLOG_LOG_LINES=no: "}},
		{"another log format, by imfile", "udp", stamp + "rsyncd[7]: 2026/11/23 18:40:52 [9] send a [192.0.2.1] m () pool/a 1", nil,
			[]string{"set SYSLOG_LOG_LINES=yes: "}},
		{"another log format", "udp", stamp + "rsyncd[7]: send a [192.0.2.1] m pool/a 1 2", nil, []string{
			"transfer lines don't fit LOG_FORMAT", `example="send a [192.0.2.1] m pool/a 1 2"`, "set LOG_FORMAT to the"}},
		{"another log format that is known", "udp", stamp + "rsyncd[7]: >f+++++++++ pool/a", nil,
			[]string{`LOG_FORMAT=\"%i %n%L\" fits the example`}},
		{"nothing known", "udp", stamp + "rsyncd[7]: hello", nil, []string{"reason=unrecognised",
			"TAGS=rsyncd* should match"}},
		{"only others", "udp", stamp + "sshd[7]: hello", nil, []string{"level=INFO", "nothing of an rsync daemon",
			`first message came from \"sshd\"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWarned(t, c.args...)
			w.receive(99, c.input, "x", c.message)
			if strings.HasPrefix(c.name, "another log format") {
				w = newWarned(t, c.args...)
				w.receive(99, c.input, "x", stamp+"rsyncd[7]: building file list")
			}
			if w.m.warn(); w.out.String() != "" {
				t.Fatalf("too early: %s", w.out.String())
			}
			w.receive(20, c.input, "x", c.message)
			w.m.warn()
			w.m.warn()
			got := w.out.String()
			if strings.Count(got, "\n") != 1 {
				t.Fatalf("not one line: %s", got)
			}
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %s in %s", want, got)
				}
			}
		})
	}
}

// A pattern that names a thousand files makes one warning where they fail together, and few where they fail one by one.
func TestManyInputsMakeFewWarnings(t *testing.T) {
	w := newWarned(t)
	for i := range 50 {
		w.receive(100, "file", fmt.Sprint("together", i), "nonsense")
	}
	w.m.warn()
	if got := w.out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "input=together0 ") ||
		!strings.Contains(got, "inputs_alike=49") {
		t.Errorf("%s", got)
	}
	w = newWarned(t)
	for i := range 50 {
		w.receive(100, "file", fmt.Sprint("alone", i), "nonsense")
		w.m.warn()
	}
	if got := w.out.String(); strings.Count(got, "\n") != maxMisunderstood+1 || !strings.Contains(got,
		"no further warnings") {
		t.Errorf("%s", got)
	}
	w = newWarned(t)
	for i := range 50 {
		w.receive(100, "file", fmt.Sprint("others", i), "Nov 23 18:40:52 h sshd[7]: hello")
		w.m.warn()
	}
	w.receive(100, "file", "bad", "nonsense")
	w.m.warn()
	if got := w.out.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "input=bad ") {
		t.Errorf("%s", got)
	}
}

// An example names clients, which ANONYMISE doesn't show.
func TestNoExampleWithAnonymise(t *testing.T) {
	for _, anonymise := range []string{"off", "on"} {
		w := newWarned(t, "--anonymise="+anonymise)
		w.receive(200, "udp", "x", "nonsense of 192.0.2.1")
		w.m.warn()
		if log := w.out.String(); strings.Contains(log, "192.0.2.1") != (anonymise == "off") || !strings.Contains(log, "reason=no_header") {
			t.Errorf("ANONYMISE=%s: %s", anonymise, log)
		}
	}
}
