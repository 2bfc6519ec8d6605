//go:build linux

// Backlogbench measures whom a backlog holds up. While the exporter, a process of its own, reads a
// big log file, messages of real daemons come over its unix socket and UDP, each sent by a call
// that may block, as syslog(3)'s does, and /metrics is scraped; then the same for as long without a
// backlog. It fails where a message or a line is missing. See `make bench-backlog`.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"rsyncd_exporter/internal/corpus"
)

func main() {
	var b bench
	flag.StringVar(&b.exporter, "exporter", "bin/rsyncd_exporter", "the exporter's `binary`")
	flag.StringVar(&b.corpus, "corpus", "testdata/corpus", "`directory` of the recorded messages and log files")
	flag.Int64Var(&b.mebibytes, "mebibytes", 256, "of the log file that is caught up with; 5120 for the long run")
	flag.IntVar(&b.rate, "rate", 2000, "messages a second over the unix socket, and as many over UDP")
	flag.Parse()
	if err := b.run(); err != nil {
		fmt.Fprintf(os.Stderr, "backlogbench: %v\n", err)
		os.Exit(1)
	}
}

// A bench is what the flags say.
type bench struct {
	exporter  string
	corpus    string
	mebibytes int64
	rate      int

	messages [][]byte // that are sent
}

// run makes two backlogs of one file: what was logged while the exporter was down, and what is
// there at its first start.
func (b *bench) run() error {
	dir, err := os.MkdirTemp("", "backlog")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log := filepath.Join(dir, "rsyncd.log")
	if b.messages, err = b.recorded(); err != nil {
		return err
	}
	before, err := corpus.AppendLog(log, filepath.Join(b.corpus, "file"), 1<<20)
	if err != nil {
		return err
	}
	if err := b.readOnce(filepath.Join(dir, "state"), log, before); err != nil {
		return fmt.Errorf("the run before the backlog: %w", err)
	}
	grown, err := corpus.AppendLog(log, filepath.Join(b.corpus, "file"), b.mebibytes<<20)
	if err != nil {
		return err
	}
	fmt.Printf("%d lines, %d MiB; %d messages a second over the unix socket, and over UDP\n", grown, b.mebibytes,
		b.rate)
	return errors.Join(
		b.measure("restart after the log has grown", filepath.Join(dir, "state"), log, grown, before+grown),
		b.measure("first start with FILE_START=beginning", filepath.Join(dir, "new"), log, before+grown, before+grown))
}

// recorded returns the recorded messages of real daemons.
func (b *bench) recorded() (all [][]byte, err error) {
	pattern := filepath.Join(b.corpus, "syslog", "*.raw")
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("no recorded messages at %q: run this in the repository", pattern)
	}
	for _, name := range names {
		messages, err := corpus.Datagrams(name)
		if err != nil {
			return nil, err
		}
		all = append(all, messages...)
	}
	return all, nil
}

// readOnce has the exporter read the log, so that there is a state to restart from.
func (b *bench) readOnce(stateDir, log string, lines int64) error {
	p, err := b.start(stateDir, log)
	if err != nil {
		return err
	}
	defer p.stop()
	for {
		if a, err := p.scrape(); err != nil || a.series[fileReceived] >= float64(lines) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// measure starts the exporter on a backlog, prints what messages and scrapes waited for, and checks
// the counts.
func (b *bench) measure(title, stateDir, log string, backlog, all int64) error {
	p, err := b.start(stateDir, log)
	if err != nil {
		return err
	}
	defer p.stop()
	began := time.Now()
	busy, err := p.load(b.messages, b.rate, func(a answer) bool { return a.series[fileReceived] >= float64(all) })
	if err != nil {
		return fmt.Errorf("%s: %w", title, err)
	}
	took := time.Since(began)
	end := time.Now().Add(max(took, time.Second))
	idle, err := p.load(b.messages, b.rate, func(answer) bool { return time.Now().After(end) })
	if err != nil {
		return fmt.Errorf("%s, without a backlog: %w", title, err)
	}
	fmt.Printf("\n%s: caught up after %.1f s, %.2f million lines a second\n\n", title, took.Seconds(),
		float64(backlog)/took.Seconds()/1e6)
	fmt.Printf("| | backlog | number | median | 99 %% | slowest |\n|---|---|---|---|---|---|\n")
	printRows("send, unix socket", busy.unix, idle.unix)
	printRows("send, UDP", busy.udp, idle.udp)
	printRows("scrape", busy.scrapes, idle.scrapes)
	fmt.Printf("\nanswers to scrapes: %v with the backlog, %v without\n", busy.codes, idle.codes)
	if err := check(p, len(busy.unix)+len(idle.unix), len(busy.udp)+len(idle.udp), all); err != nil {
		return fmt.Errorf("%s: %w", title, err)
	}
	return nil
}

// printRows writes three lines of the table: with and without the backlog, and the ratio of both.
func printRows(what string, busy, idle durations) {
	fmt.Printf("| %s | with | %d | %v | %v | %v |\n", what, len(busy), busy.part(0.5), busy.part(0.99), busy.part(1))
	fmt.Printf("| | without | %d | %v | %v | %v |\n", len(idle), idle.part(0.5), idle.part(0.99), idle.part(1))
	ratio := func(part float64) float64 { return float64(busy.part(part)) / float64(idle.part(part)) }
	fmt.Printf("| | ratio | | %.2f | %.2f | %.2f |\n", ratio(0.5), ratio(0.99), ratio(1))
}

const (
	fileReceived = `rsyncd_exporter_received_total{input="file"}`
	unixReceived = `rsyncd_exporter_received_total{input="unixgram"}`
	unixOverflow = `rsyncd_exporter_discarded_total{input="unixgram",reason="overflow"}`
	udpReceived  = `rsyncd_exporter_received_total{input="udp"}`
	udpOverflow  = `rsyncd_exporter_discarded_total{input="udp",reason="overflow"}`
	udpDrops     = `rsyncd_exporter_socket_drops_total{input="udp"}`
)

// check compares the counters with what was sent and logged, as soon as all has come, and says what
// differs.
func check(p *process, unixSent, udpSent int, lines int64) error {
	var s map[string]float64
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		a, err := p.scrape()
		if err != nil {
			return err
		}
		s = a.series
		if s[unixReceived] >= float64(unixSent) && s[udpReceived]+s[udpDrops] >= float64(udpSent) {
			break
		}
	}
	fmt.Printf("unix socket: %d sent, %.0f received; UDP: %d sent, %.0f received, %.0f dropped by the kernel; "+
		"file: %d lines, %.0f received\n",
		unixSent, s[unixReceived], udpSent, s[udpReceived], s[udpDrops], lines, s[fileReceived])
	var wrong []error
	for _, c := range []struct {
		what string
		got  float64
		want int64
	}{
		{"messages received over the unix socket", s[unixReceived], int64(unixSent)},
		{"messages received over UDP or dropped by the kernel", s[udpReceived] + s[udpDrops], int64(udpSent)},
		{"messages thrown away because the books were busy", s[unixOverflow] + s[udpOverflow], 0},
		{"lines read from the file", s[fileReceived], lines},
	} {
		if c.got != float64(c.want) {
			wrong = append(wrong, fmt.Errorf("%.0f %s, want %d", c.got, c.what, c.want))
		}
	}
	return errors.Join(wrong...)
}
