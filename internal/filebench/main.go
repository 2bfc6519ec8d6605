//go:build unix

// Filebench measures how fast a backlog is read: a big log file, made of lines that real daemons
// have written, goes through the followed file and the pipeline on one core, and through wc -l in
// the same run. Each reader is a process of its own; the file has been read before, so that no disk
// counts. See `make bench-file`.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"time"

	"rsyncd_exporter/internal/corpus"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

func main() {
	recorded := flag.String("corpus", "testdata/corpus/file", "`directory` of the recorded log files")
	size := flag.Int64("mebibytes", 256, "of the log file that is read; 5120 for the long run")
	rounds := flag.Int("rounds", 3, "rounds; the best of each reader counts")
	read := flag.String("read", "", "read this `file` and end; what each round does in a process of its own")
	inFull := flag.Bool("in-full", false, "read each line in full, though it is like one before")
	profile := flag.String("profile", "", "`file` for a CPU profile of the exporter's last round")
	flag.Parse()
	var err error
	if *read != "" {
		err = readFile(*read, *inFull, *profile)
	} else {
		err = bench(*recorded, *size<<20, *rounds, *profile)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "filebench: %v\n", err)
		os.Exit(1)
	}
}

// bench makes the file and has both read it.
func bench(recorded string, size int64, rounds int, profile string) error {
	dir, err := os.MkdirTemp("", "filebench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "rsyncd.log")
	lines, err := corpus.AppendLog(path, recorded, size)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fmt.Printf("%d lines, %d MiB, %.0f bytes a line\n", lines, size>>20, float64(size)/float64(lines))
	names := []string{"wc -l", "exporter", "in full"}
	best := map[string]usage{}
	for round := range rounds + 1 { // the first one brings the file into memory and is thrown away
		for name, cmd := range map[string]*exec.Cmd{
			"wc -l":    exec.Command("wc", "-l", path),
			"exporter": exec.Command(self, "-read", path, "-profile", profile),
			"in full":  exec.Command(self, "-read", path, "-in-full"),
		} {
			u, err := measure(cmd, lines)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if b, ok := best[name]; round > 0 && (!ok || u.wall < b.wall) {
				best[name] = u
			}
		}
	}
	fmt.Printf("%-10s %14s %14s %20s\n", "", "lines/s", "CPU ns/line", "lines/s of CPU time")
	for _, name := range names {
		u := best[name]
		fmt.Printf("%-10s %14.0f %14.0f %20.0f\n", name, float64(lines)/u.wall.Seconds(),
			float64(u.cpu.Nanoseconds())/float64(lines), float64(lines)/u.cpu.Seconds())
	}
	fmt.Printf("the exporter takes %.1f times as long as wc -l, and %.1f times its CPU time\n",
		best["exporter"].wall.Seconds()/best["wc -l"].wall.Seconds(),
		best["exporter"].cpu.Seconds()/best["wc -l"].cpu.Seconds())
	return nil
}

type usage struct{ wall, cpu time.Duration }

// measure runs a reader on one core and checks that it has found all lines.
func measure(cmd *exec.Cmd, lines int64) (usage, error) {
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	began := time.Now()
	out, err := cmd.Output()
	if err != nil {
		return usage{}, err
	}
	u := usage{time.Since(began), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	first, _, _ := bytes.Cut(out, []byte(" "))
	if n, err := strconv.ParseInt(string(bytes.TrimSpace(first)), 10, 64); err != nil || n != lines {
		return usage{}, fmt.Errorf("it says %q, where there are %d lines", out, lines)
	}
	return u, nil
}

// A counter counts the lines on their way to the pipeline.
type counter struct {
	receiver.Sink
	lines int64
}

func (c *counter) Deliver(src *receiver.Source, s *receiver.Slab) {
	c.lines += int64(len(s.Messages))
	for _, n := range s.Discarded {
		c.lines += int64(n)
	}
	c.Sink.Deliver(src, s)
}

// readFile follows the file until it is caught up with, and prints how many lines that were.
func readFile(path string, inFull bool, profile string) error {
	p, err := pipeline.New(pipeline.Config{
		LogFormat: rsynclog.DefaultLogFormat, Tags: []string{"rsyncd*"}, MaxSeries: 10_000,
		Limits: rsynclog.DefaultLimits(), Resumable: true, InFull: inFull,
	})
	if err != nil {
		return err
	}
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	sink := &counter{Sink: p}
	source := func(path string, scope uint32) receiver.Source {
		return receiver.Source{Input: "file", Name: "file " + path, Scope: scope, Dialect: syslog.Lines{}}
	}
	f, err := follow.NewSet(follow.SetOptions{Paths: []string{path}, FromBeginning: true, Source: source}, sink)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	<-f.CaughtUp()
	stop()
	err = <-done
	runtime.KeepAlive(p)
	fmt.Println(sink.lines)
	return err
}
