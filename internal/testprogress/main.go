// Command testprogress reads what `go test -json` writes and shows it as it happens: packages that
// have passed, tests that fail, and, where nothing else happens for a while, which test is running.
// Without -json, go test shows a package only when all before it are done, which leaves minutes of
// silence. At the end it lists the tests that were skipped, with their reasons. It exits 1 if
// something failed.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// quiet is how long nothing may be shown.
const quiet = 20 * time.Second

func main() {
	p := newProgress(os.Stdout, time.Now())
	lines := make(chan []byte)
	failed := make(chan error, 1)
	go func() {
		defer close(lines)
		failed <- read(os.Stdin, lines)
	}()
	tick := time.NewTicker(time.Second)
	for open := true; open; {
		select {
		case line, more := <-lines:
			if open = more; more {
				p.line(line, time.Now())
			}
		case now := <-tick.C:
			p.tick(now)
		}
	}
	if err := <-failed; err != nil {
		fmt.Fprintf(os.Stderr, "testprogress: reading the events of go test: %v; run go test without -json\n", err)
		os.Exit(1)
	}
	if !p.end(time.Now()) {
		os.Exit(1)
	}
}

// read sends the lines of in, which belong to the receiver. A line may be long: it has a test's
// output.
func read(in io.Reader, lines chan<- []byte) error {
	r := bufio.NewReader(in)
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			lines <- line
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// An event is one line of go test -json; see `go doc test2json`, and `go help buildjson` for those
// of a build.
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64 // seconds
}

// A pkg is a package whose tests run.
type pkg struct {
	tests   int                         // that have ended
	cached  bool                        // its result is an earlier run's
	output  map[string]*strings.Builder // of each running test; "": outside of tests
	running map[string]time.Time        // since when
}

// A progress is what has been seen so far.
type progress struct {
	out          io.Writer
	began, shown time.Time // when it all began, and when something was shown last
	running      map[string]*pkg
	done, tests  int // packages and tests that have ended
	skipped      []string
	failed       []string
}

func newProgress(out io.Writer, now time.Time) *progress {
	return &progress{out: out, began: now, shown: now, running: map[string]*pkg{}}
}

// show prints a line.
func (p *progress) show(now time.Time, format string, args ...any) {
	p.shown = now
	fmt.Fprintf(p.out, format+"\n", args...)
}

// line takes one line of go test. One that isn't an event is shown as it is.
func (p *progress) line(line []byte, now time.Time) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		p.show(now, "%s", strings.TrimSuffix(string(line), "\n"))
		return
	}
	switch {
	case e.Action == "build-output":
		p.show(now, "%s", strings.TrimSuffix(e.Output, "\n"))
	case e.Action == "build-fail":
		p.failed = append(p.failed, e.ImportPath+" (doesn't build)")
	case e.Package == "":
	case e.Test == "":
		p.packageEvent(e, now)
	default:
		p.testEvent(e, now)
	}
}

// of returns the package's state.
func (p *progress) of(name string) *pkg {
	if p.running[name] == nil {
		p.running[name] = &pkg{output: map[string]*strings.Builder{}, running: map[string]time.Time{}}
	}
	return p.running[name]
}

// said returns and forgets what a test has said, "" for the package itself.
func (k *pkg) said(test string) string {
	defer delete(k.output, test)
	if k.output[test] == nil {
		return ""
	}
	return k.output[test].String()
}

// say keeps what a test says.
func (k *pkg) say(test, text string) {
	if k.output[test] == nil {
		k.output[test] = &strings.Builder{}
	}
	k.output[test].WriteString(text)
}

// packageEvent takes an event of a whole package.
func (p *progress) packageEvent(e event, now time.Time) {
	k := p.of(e.Package)
	switch e.Action {
	case "output":
		k.say("", e.Output)
		k.cached = k.cached || strings.HasSuffix(e.Output, "\t(cached)\n")
		return
	case "pass":
		took := fmt.Sprintf("%.0f s", e.Elapsed)
		if k.cached {
			took = "as before"
		}
		p.show(now, "ok    %-44s %4d tests %10s", e.Package, k.tests, took)
		p.done++
	case "fail":
		p.show(now, "%sFAIL  %s, %.0f s", k.rest(), e.Package, e.Elapsed)
		p.failed = append(p.failed, e.Package)
		p.done++
	case "skip": // no test files
	default:
		return
	}
	delete(p.running, e.Package)
}

// rest returns what is left to say when a package fails: what tests that haven't ended said, and
// what was said outside of tests.
func (k *pkg) rest() string {
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(k.output)) {
		if name != "" {
			all.WriteString(k.said(name))
		}
	}
	return all.String() + k.said("")
}

// testEvent takes an event of a test or subtest.
func (p *progress) testEvent(e event, now time.Time) {
	k := p.of(e.Package)
	switch e.Action {
	case "run", "cont":
		k.running[e.Test] = now
		return
	case "pause": // until the tests that aren't parallel have ended
		delete(k.running, e.Test)
		return
	case "output":
		k.say(e.Test, e.Output)
		return
	case "pass":
		k.said(e.Test)
	case "skip":
		p.skipped = append(p.skipped, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(k.said(e.Test))))
	case "fail":
		p.show(now, "%s", strings.TrimSuffix(k.said(e.Test), "\n"))
		p.failed = append(p.failed, e.Package+" "+e.Test)
	default:
		return
	}
	delete(k.running, e.Test)
	if !strings.Contains(e.Test, "/") {
		k.tests++
		p.tests++
	}
}

// reason is what a skipped test has said, in one line.
func reason(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	return cmp.Or(strings.Join(said, " "), "no reason given")
}

// tick shows what is running, if nothing has been shown for a while.
func (p *progress) tick(now time.Time) {
	if now.Sub(p.shown) < quiet {
		return
	}
	type run struct {
		name  string
		since time.Time
	}
	var runs []run
	for name, k := range p.running {
		for test, since := range k.running {
			if !strings.Contains(test, "/") {
				runs = append(runs, run{name + " " + test, since})
			}
		}
	}
	slices.SortFunc(runs, func(a, b run) int { return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.name, b.name)) })
	what := "building"
	if len(runs) > 0 {
		what = fmt.Sprintf("%s runs for %s", runs[0].name, now.Sub(runs[0].since).Round(time.Second))
	}
	p.show(now, "...   %s: %d packages done, %d tests; %s", now.Sub(p.began).Round(time.Second), p.done, p.tests, what)
}

// end shows the sum, and reports whether all is well. No test at all isn't.
func (p *progress) end(now time.Time) bool {
	for _, s := range p.skipped {
		p.show(now, "skip  %s", s)
	}
	took := now.Sub(p.began).Round(time.Second)
	p.show(now, "%d tests in %d packages, %s; %d skipped, %d failed", p.tests, p.done, took, len(p.skipped),
		len(p.failed))
	for _, f := range p.failed {
		p.show(now, "FAIL  %s", f)
	}
	return len(p.failed) == 0 && p.tests > 0
}
