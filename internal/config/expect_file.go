package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/rsynclog"
)

const receive = rsynclog.Receive

// defaultGrace is how long a backup of EXPECT_FILE is only late where the file doesn't say.
const defaultGrace = time.Hour

// A lined is an expectation and the line of EXPECT_FILE where it begins.
type lined struct {
	backups.Expectation
	line int
}

// parseExpectFile reads EXPECT_FILE. It returns everything that is wrong, each with its line.
func parseExpectFile(content []byte, now time.Time) (list []lined, problems []error) {
	dec := yaml.NewDecoder(bytes.NewReader(content))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, []error{errors.New("it is empty: write a list backups")}
	case err != nil:
		return nil, []error{errors.New(strings.TrimPrefix(err.Error(), "yaml: "))}
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, []error{errors.New("it has several documents: write one list backups")}
	}
	var r expectReader
	r.mapping(doc.Content[0], fields{"backups": func(n *yaml.Node) error {
		r.sequence(n, func(n *yaml.Node) error {
			e := lined{line: n.Line}
			before := len(r.problems)
			r.entry(n, &e.Expectation)
			if len(r.problems) == before {
				if err := e.Check(now); err != nil {
					return err
				}
				list = append(list, e)
			}
			return nil
		})
		return nil
	}})
	if len(list) == 0 && len(r.problems) == 0 {
		r.problems = []error{errors.New("it expects nothing: write a list backups")}
	}
	return list, r.problems
}

// An expectReader reads the nodes of EXPECT_FILE and collects what is wrong with them.
type expectReader struct{ problems []error }

// fields are what reads the values of a mapping's keys.
type fields map[string]func(*yaml.Node) error

func (r *expectReader) problem(n *yaml.Node, format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf("line %d: "+format, append([]any{n.Line}, args...)...))
}

// mapping reads a mapping. It reports keys that are unknown or repeated.
func (r *expectReader) mapping(n *yaml.Node, readers fields) {
	if n = resolved(n); n.Kind != yaml.MappingNode {
		r.problem(n, "no keys and values: write some of %s, each with a colon", keys(readers))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read := readers[key.Value]
		switch {
		case read == nil:
			r.problem(key, "%q is no key%s: the keys are %s", key.Value,
				text.DidYouMean(key.Value, slices.Sorted(maps.Keys(readers))), keys(readers))
		case seen[key.Value]:
			r.problem(key, "%s is there twice: leave one out", key.Value)
		default:
			if err := read(value); err != nil {
				r.problem(value, "%s: %w", key.Value, err)
			}
		}
		seen[key.Value] = true
	}
}

func keys(f fields) string { return strings.Join(slices.Sorted(maps.Keys(f)), ", ") }

// sequence reads the items of a list, or what is no list as its only item.
func (r *expectReader) sequence(n *yaml.Node, read func(*yaml.Node) error) {
	n = resolved(n)
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	for _, item := range items {
		if err := read(item); err != nil {
			r.problem(item, "%w", err)
		}
	}
}

// resolved returns what an alias stands for.
func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// scalar returns what reads one value by a function of its text.
func scalar[T any](field *T, parse func(string) (T, error)) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		if n = resolved(n); n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Value == "" {
			return errors.New("it takes one value")
		}
		value, err := parse(n.Value)
		if err == nil {
			*field = value
		}
		return err
	}
}

func sameText(s string) (string, error) { return s, nil }

// entry reads one expected backup.
func (r *expectReader) entry(n *yaml.Node, e *backups.Expectation) {
	e.Direction, e.Grace, e.Calendar.Zone = receive, defaultGrace, time.Local
	before := len(r.problems)
	var schedule, windows *yaml.Node // the zone may stand below them
	later := func(to **yaml.Node) func(*yaml.Node) error {
		return func(n *yaml.Node) error { *to = n; return nil }
	}
	r.mapping(n, fields{
		"name":      scalar(&e.Name, sameText),
		"module":    scalar(&e.Module, sameText),
		"user":      scalar(&e.User, sameText),
		"client":    scalar(&e.Client, parseClient),
		"host":      scalar(&e.Host, sameText),
		"direction": scalar(&e.Direction, parseDirection),
		"every":     scalar(&e.Every, backups.ParseAge),
		"schedule":  later(&schedule),
		"timezone":  scalar(&e.Calendar.Zone, parseZone),
		"grace":     scalar(&e.Grace, backups.ParseAge),
		"bytes":     scalar(&e.Bytes, parseLeastBytes),
		"files":     scalar(&e.Files, parseCount),
		"partial":   scalar(&e.Partial, parseBool),
		"paused":    scalar(&e.Paused, parseBool),
		"weekdays":  func(n *yaml.Node) error { return r.weekdays(n, &e.Calendar.Days) },
		"windows":   later(&windows),
	})
	if windows != nil {
		r.windows(windows, &e.Calendar)
	}
	if schedule != nil {
		read := scalar(&e.Schedule, func(s string) (*backups.Schedule, error) {
			return backups.ParseSchedule(s, e.Calendar.Zone)
		})
		if err := read(schedule); err != nil {
			r.problem(schedule, "schedule: %w", err)
		}
	}
	if len(r.problems) == before && (schedule == nil) == (e.Every == 0) {
		r.problem(n, "it takes one of every and schedule: when is it due?")
	}
	e.Identity.Client = e.Client.String()
	if e.Name == "" {
		e.Name = e.Module
		if e.User != "" {
			e.Name += "@" + e.User
		}
	}
}

func parseClient(s string) (c backups.Client, err error) {
	p, err := parsePrefix(s)
	switch {
	case err == nil && p != p.Masked():
		return c, fmt.Errorf("the address has bits outside of the prefix: write %v", p.Masked())
	case err == nil:
		return backups.Client{Network: p}, nil
	case isHostName(s):
		return backups.Client{Name: strings.TrimSuffix(s, ".")}, nil
	}
	return c, fmt.Errorf("%q is no address, prefix or host name", s)
}

func parseDirection(s string) (rsynclog.Direction, error) {
	for _, d := range []rsynclog.Direction{rsynclog.Receive, rsynclog.Send} {
		if s == d.String() {
			return d, nil
		}
	}
	return 0, fmt.Errorf("%q is neither receive, for what clients push, nor send, for what they pull", s)
}

func parseZone(s string) (*time.Location, error) {
	zone, err := time.LoadLocation(s)
	if err != nil {
		return nil, fmt.Errorf("%q is not a time zone that this machine knows: write UTC, or a name such as "+
			"Europe/Berlin", s)
	}
	return zone, nil
}

func parseLeastBytes(s string) (uint64, error) {
	n, err := parseByteSize(s)
	if err != nil {
		return 0, fmt.Errorf("%q: %w: write 10GiB, 512MiB or a number of bytes", s, err)
	}
	return uint64(n), nil
}

func parseCount(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is no number of files", s)
	}
	return n, nil
}

func parseBool(s string) (bool, error) {
	if s != "true" && s != "false" {
		return false, fmt.Errorf("%q is neither true nor false", s)
	}
	return s == "true", nil
}

// weekdays reads days and ranges of days, such as mon-fri.
func (r *expectReader) weekdays(n *yaml.Node, days *backups.Weekdays) error {
	r.sequence(n, func(n *yaml.Node) error {
		var some backups.Weekdays
		err := scalar(&some, parseWeekdays)(n)
		*days |= some
		return err
	})
	return nil
}

func parseWeekdays(s string) (days backups.Weekdays, err error) {
	first, last, ranged := strings.Cut(strings.ToLower(s), "-")
	if !ranged {
		last = first
	}
	day := func(name string) int {
		for d := range 7 {
			if full := strings.ToLower(time.Weekday(d).String()); name == full || name == full[:3] {
				return d
			}
		}
		return -1
	}
	from, to := day(first), day(last)
	if from < 0 || to < 0 {
		return 0, fmt.Errorf("%q is no day of the week: write mon, tue, wed, thu, fri, sat, sun, or mon-fri", s)
	}
	for ; from != to; from = (from + 1) % 7 {
		days = days.With(time.Weekday(from))
	}
	return days.With(time.Weekday(to)), nil
}

func (r *expectReader) windows(n *yaml.Node, c *backups.Calendar) {
	r.sequence(n, func(n *yaml.Node) error {
		var w backups.Window
		var from, to string
		before := len(r.problems)
		r.mapping(n, fields{
			"from": scalar(&from, sameText),
			"to":   scalar(&to, sameText),
			"days": func(n *yaml.Node) error { return r.weekdays(n, &w.Days) },
		})
		if len(r.problems) > before {
			return nil
		}
		if len(c.Windows) == maxWindows {
			return fmt.Errorf("more than %d windows", maxWindows)
		}
		err := setWindow(&w, from, to, c.Zone)
		c.Windows = append(c.Windows, w)
		return err
	})
}

// maxWindows is how many windows a backup can have: each is looked at on each day until it is due.
const maxWindows = 20

// setWindow reads two times of day, or two days with or without a time. A last day is in the window.
func setWindow(w *backups.Window, from, to string, zone *time.Location) error {
	begin, ok1 := parseClock(from)
	end, ok2 := parseClock(to)
	switch {
	case ok1 && ok2 && begin != end:
		w.From, w.To = begin, end
		return nil
	case ok1 && ok2:
		return fmt.Errorf("it begins and ends at %s: write 00:00 and 24:00 for whole days", from)
	case w.Days != 0:
		return errors.New("with days, from and to are times of day such as 02:00")
	}
	var err1, err2 error
	w.Begin, err1 = parseMoment(from, 0, zone)
	w.End, err2 = parseMoment(to, 1, zone)
	switch {
	case err1 != nil || err2 != nil:
		return fmt.Errorf("from %q to %q: write times of day such as 02:00, or days such as 2026-12-24 or "+
			"2026-12-24 18:00", from, to)
	case !w.Begin.Before(w.End):
		return fmt.Errorf("it ends at %q, before it begins", to)
	}
	return nil
}

// parseClock reads a time of day, as minutes since midnight.
func parseClock(s string) (minutes int, ok bool) {
	if s == "24:00" {
		return 24 * 60, true
	}
	t, err := time.Parse("15:04", s)
	return t.Hour()*60 + t.Minute(), err == nil
}

// parseMoment reads a day and a time of day. Without that it is the beginning of a day, so many days
// later.
func parseMoment(s string, daysLater int, zone *time.Location) (time.Time, error) {
	if t, err := time.ParseInLocation("2006-01-02 15:04", s, zone); err == nil {
		return t, nil
	}
	t, err := time.ParseInLocation("2006-01-02", s, zone)
	return t.AddDate(0, 0, daysLater), err
}
