//go:build linux

// Reportbench measures how fast a report of an old log is made, and in how much memory: beside
// wc -l, which counts lines only, rsyncstats, and mtail with a program that counts about the same
// (rsyncd.mtail). The log is generated with its truth; whoever counts something else fails the
// benchmark. They take turns, each a process of its own on all processors, and the file has been
// read before, so that no disk counts. See `make bench-report`.
package main

import (
	"bytes"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"rsyncd_exporter/internal/corpus"
)

//go:embed rsyncd.mtail
var mtailProgram []byte

// mostMemory is what a report may take, whatever the log holds.
const mostMemory = 64 << 20

func main() {
	b := bench{}
	flag.StringVar(&b.exporter, "exporter", "bin/rsyncd_exporter", "the exporter's `binary`")
	flag.Int64Var(&b.shape.Lines, "lines", 2_000_000, "of the log")
	flag.IntVar(&b.rounds, "rounds", 3, "rounds; the best of each counts")
	flag.Uint64Var(&b.shape.Seed, "seed", 1, "of the log")
	flag.BoolVar(&b.alone, "alone", false, "without rsyncstats and mtail")
	big := flag.Bool("big", false, "a log of 2 GB with a million clients and paths, read once by the exporter alone")
	flag.Parse()
	b.shape.Clients, b.shape.Paths, b.shape.Files, b.shape.AtOnce = 20_000, 200_000, 50, 24
	b.shape.Start, b.shape.Step = time.Date(2025, 1, 6, 0, 0, 0, 0, time.Local), time.Second
	if *big {
		b.shape.Lines, b.shape.Bytes, b.shape.Distinct = 0, 2e9, true
		b.shape.Clients, b.shape.Paths, b.shape.Files = 1_000_000, 1_000_000, 12
		b.alone, b.rounds = true, 1
	}
	if err := b.run(); err != nil {
		fmt.Fprintf(os.Stderr, "reportbench: %v\n", err)
		os.Exit(1)
	}
}

// A bench is what the flags say.
type bench struct {
	exporter string
	shape    corpus.Shape
	rounds   int
	alone    bool
}

// A contestant is a program that reads the log. check says what is wrong with what it printed.
type contestant struct {
	name  string
	args  []string
	check func(*corpus.Truth, []byte) error
}

// A run is what one process took.
type run struct {
	wall, cpu time.Duration
	memory    int64 // bytes, at the most
}

// run makes the log and has all read it.
func (b *bench) run() error {
	dir, err := os.MkdirTemp("", "reportbench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log, program := filepath.Join(dir, "rsyncd.log"), filepath.Join(dir, "rsyncd.mtail")
	if err := os.WriteFile(program, mtailProgram, 0o644); err != nil {
		return err
	}
	truth, err := b.generate(log)
	if err != nil {
		return err
	}
	fmt.Printf("%d lines, %d MiB, %d sessions\n", truth.Lines, truth.Bytes>>20, truth.Connections)
	all := []contestant{
		{"wc -l", []string{"wc", "-l", log}, checkLines},
		{"report", []string{b.exporter, "report", "--json", log}, checkReport},
	}
	if !b.alone {
		all = append(all,
			contestant{"rsyncstats", []string{"rsyncstats", "-f", log}, checkStats},
			contestant{"mtail", []string{"mtail", "-one_shot", "-one_shot_format=prometheus", "-progs=" + program,
				"-logs=" + log}, checkMtail})
	}
	best := map[string]run{}
	for range b.rounds {
		for _, c := range all {
			r, out, err := measure(c.args)
			if err == nil {
				err = c.check(truth, out)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if old, ok := best[c.name]; !ok || r.wall < old.wall {
				r.memory = max(r.memory, old.memory)
				best[c.name] = r
			}
		}
	}
	return b.show(all, best, truth.Lines)
}

// generate writes the log, of which nothing waits to be written to the disk then.
func (b *bench) generate(path string) (*corpus.Truth, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	truth, err := corpus.Generate(f, b.shape)
	if err != nil {
		return nil, err
	}
	return truth, f.Sync()
}

// measure runs a program and returns what it printed.
//
// The kernel counts the memory of this process into that of its child, up to the moment at which
// the child is another program (exec_mmap). So this process stays small: it keeps no log.
func measure(args []string) (r run, out []byte, err error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	began := time.Now()
	out, err = cmd.Output()
	if err != nil {
		return r, nil, err
	}
	r = run{wall: time.Since(began), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.memory = int64(u.Maxrss) << 10
	}
	return r, out, nil
}

// show prints the table, and returns an error if the report took too much memory.
func (b *bench) show(all []contestant, best map[string]run, lines int64) error {
	report := best["report"]
	fmt.Printf("%-10s %12s %12s %12s %12s %10s\n",
		"", "lines/s", "report is", "CPU ns/line", "report takes", "peak MiB")
	for _, c := range all {
		r := best[c.name]
		fmt.Printf("%-10s %12.0f %11.1f× %12.0f %11.2f× %10.1f\n", c.name, float64(lines)/r.wall.Seconds(),
			r.wall.Seconds()/report.wall.Seconds(), float64(r.cpu.Nanoseconds())/float64(lines),
			report.cpu.Seconds()/r.cpu.Seconds(), float64(r.memory)/(1<<20))
	}
	if report.memory > mostMemory {
		return fmt.Errorf("the report took %.1f MiB, want at most %d", float64(report.memory)/(1<<20), mostMemory>>20)
	}
	return nil
}

func checkLines(t *corpus.Truth, out []byte) error {
	first, _, _ := bytes.Cut(out, []byte(" "))
	return equal("lines", string(first), uint64(t.Lines))
}

func checkReport(t *corpus.Truth, out []byte) error {
	wrong, err := t.Differences(out)
	for _, w := range wrong {
		err = errors.Join(err, errors.New(w))
	}
	return err
}

var filesTransmitted = regexp.MustCompile(`(?m)^Files Transmitted During Summary Period +(\d+)$`)

// checkStats looks at the number of files. rsyncstats sees those of IPv4 only, and none in modules
// with a space in their names.
func checkStats(t *corpus.Truth, out []byte) error {
	m := filesTransmitted.FindSubmatch(out)
	if m == nil {
		return fmt.Errorf("it says %.200q", out)
	}
	return equal("files of IPv4", string(m[1]), t.IPv4Transfers)
}

func checkMtail(t *corpus.Truth, out []byte) (err error) {
	want := map[string]uint64{"connections": t.Connections}
	for op, n := range t.Files {
		want[fmt.Sprintf("transfers{operation=%q}", op)] = n
	}
	for name, m := range t.Modules {
		want[fmt.Sprintf("executions{module=%q}", name)] = m.Executions
		want[fmt.Sprintf("sent{module=%q}", name)] = m.Sent
		want[fmt.Sprintf("received{module=%q}", name)] = m.Received
	}
	got := map[string]string{}
	for line := range bytes.Lines(bytes.ReplaceAll(out, []byte(`prog="rsyncd.mtail"`), nil)) {
		if at := bytes.LastIndexByte(line, ' '); at > 0 {
			name := bytes.ReplaceAll(bytes.TrimSuffix(line[:at], []byte("{}")), []byte(",}"), []byte("}"))
			got[string(name)] = string(bytes.TrimSpace(line[at:]))
		}
	}
	for name, n := range want {
		err = errors.Join(err, equal(name, got[name], n))
	}
	return err
}

// equal compares what a program printed with a count.
func equal(what, printed string, want uint64) error {
	if got, err := strconv.ParseFloat(printed, 64); err != nil || got != float64(want) {
		return fmt.Errorf("%s: %q, want %d", what, printed, want)
	}
	return nil
}
