// Package who shows who is connected: the sessions of one or several running exporters, as a table,
// a line, JSON, or on a terminal that is refreshed. Names and paths are anybody's text. Whatever is
// not printable is escaped before it is shown.
package who

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf16"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/status/api"
	"rsyncd_exporter/status/ask"
)

// An Answer is what an exporter said of its sessions.
type Answer struct {
	Where, URL string // the exporter: for people, and for programs
	api.Sessions
	At  time.Time // when it answered
	Err error     // it didn't; a sentence that names it
}

// Ask asks all exporters at once and returns an answer of each, in their order.
func Ask(ctx context.Context, exporters []*ask.Client) []Answer {
	answers := make([]Answer, len(exporters))
	var all sync.WaitGroup
	for i, e := range exporters {
		all.Go(func() {
			a := Answer{Where: e.Where(), URL: e.URL()}
			a.Err = e.Get(ctx, "/api/v1/sessions", &a.Sessions)
			if a.Err == nil && a.States == nil && a.Sessions.Sessions == nil {
				a.Err = fmt.Errorf("%s: the answer says nothing about sessions: is an exporter there?", a.Where)
			}
			a.At = time.Now()
			answers[i] = a
		})
	}
	all.Wait()
	return answers
}

// A Filter lets some sessions pass. What is empty lets all pass.
type Filter struct{ module, direction, client string }

// NewFilter returns a filter by module, by direction (send or receive), and by client: an address, a
// network such as 192.0.2.0/24, or the beginning of an address or name.
func NewFilter(module, direction, client string) (Filter, error) {
	if direction != "" && direction != "send" && direction != "receive" {
		return Filter{}, fmt.Errorf("--direction=%q: it is send (the daemon sends, a pull) or receive (a push)",
			direction)
	}
	return Filter{module, direction, strings.ToLower(client)}, nil
}

func (f *Filter) passes(module, direction string, c *api.Client) bool {
	return (f.module == "" || module == f.module) && (f.direction == "" || direction == f.direction) &&
		(f.client == "" || f.passesClient(c))
}

func (f *Filter) passesClient(c *api.Client) bool {
	if wanted := network(f.client); wanted.IsValid() {
		n := network(c.Address)
		return n.IsValid() && wanted.Bits() <= n.Bits() && wanted.Contains(n.Addr())
	}
	return strings.HasPrefix(strings.ToLower(c.Name), f.client) || strings.HasPrefix(c.Address, f.client)
}

// network reads an address or a network, as which ANONYMISE shows an address. It is invalid if the
// text is neither.
func network(s string) netip.Prefix {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p
	}
	a, _ := netip.ParseAddr(s)
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen())
}

// A visit is a session and the exporter that told of it.
type visit struct {
	URL string `json:"url,omitempty"` // of a fleet
	api.Session
	where string // the same for people
}

// A past is a session that has ended.
type past struct {
	URL string `json:"url,omitempty"`
	api.Ended
	where string
}

// A Scene is the sessions of all exporters that answered. Its JSON is that of api.Sessions, with a
// key url in each session of a fleet.
type Scene struct {
	Sessions []visit        `json:"sessions"` // the longest connected first
	Total    int            `json:"total"`
	States   map[string]int `json:"states"`
	Ended    []past         `json:"ended"` // the last one first

	asked []string // where
	errs  []error
}

// NewScene puts answers together.
func NewScene(answers []Answer, f Filter) *Scene {
	s := &Scene{Sessions: []visit{}, Ended: []past{}, States: map[string]int{}}
	for _, state := range states() {
		s.States[state] = 0
	}
	for i := range answers {
		a := &answers[i]
		s.asked = append(s.asked, a.Where)
		if a.Err != nil {
			s.errs = append(s.errs, a.Err)
		}
		url, where := "", ""
		if len(answers) > 1 {
			url, where = a.URL, a.Where
		}
		for _, v := range a.Sessions.Sessions {
			if f.passes(v.Module, v.Direction, &v.Client) {
				s.Sessions = append(s.Sessions, visit{url, v, where})
				s.States[v.State]++
			}
		}
		for _, e := range a.Sessions.Ended {
			if f.passes(e.Module, e.Direction, &e.Client) {
				s.Ended = append(s.Ended, past{url, e, where})
			}
		}
	}
	slices.SortStableFunc(s.Sessions, func(a, b visit) int { return a.Started.Compare(b.Started) })
	slices.SortStableFunc(s.Ended, func(a, b past) int { return b.Time.Compare(a.Time) })
	s.Total = len(s.Sessions)
	return s
}

// states returns the states of a session, in the order in which they are counted.
func states() []string { return []string{"running", "failing", "connected", "settling"} }

// Err returns what kept exporters from answering, joined; nil if all did.
func (s *Scene) Err() error { return errors.Join(s.errs...) }

// Answered reports whether any exporter did.
func (s *Scene) Answered() bool { return len(s.errs) < len(s.asked) }

// JSON writes a Scene for programs. It may end up on a terminal, so that in its strings everything
// is escaped that isn't printable.
func (s *Scene) JSON(w io.Writer) error {
	plain, err := json.Marshal(s)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, r := range string(plain) {
		switch high, low := utf16.EncodeRune(r); {
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case high == unicode.ReplacementChar:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		}
	}
	b.WriteByte('\n')
	_, err = w.Write(b.Bytes())
	return err
}

// Line writes a Scene in one line, as a prompt or a status bar shows it.
func (s *Scene) Line(w io.Writer) error {
	line := s.summary(s.Sessions) + s.missing()
	if !s.Answered() { // nobody knows whether there are sessions
		line = strings.TrimPrefix(s.missing(), "; ")
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

// summary counts sessions by state, and what they have moved at least.
func (s *Scene) summary(sessions []visit) string {
	if len(sessions) == 0 {
		return "no sessions"
	}
	t := sum(sessions)
	var parts []string
	for _, state := range append(states(), t.others()...) {
		if n := t.states[state]; n > 0 {
			parts = append(parts, text.Thousands(uint64(n))+" "+text.OneLine(state))
		}
	}
	return fmt.Sprintf("%s: %s; at least %s in %s", text.Plural(uint64(len(sessions)), "session", "sessions"),
		strings.Join(parts, ", "), text.Bytes(float64(t.bytes)), text.Plural(t.files, "file", "files"))
}

// missing says how many exporters didn't answer.
func (s *Scene) missing() string {
	switch {
	case len(s.errs) == 0:
		return ""
	case len(s.asked) == 1:
		return "; the exporter gives no answer"
	}
	return fmt.Sprintf("; %d of %d exporters give no answer", len(s.errs), len(s.asked))
}

// A tally adds up sessions.
type tally struct {
	states       map[string]int
	files, bytes uint64
	oldest       time.Time
	silent       float64 // the least
}

func sum(sessions []visit) tally {
	t := tally{states: map[string]int{}}
	for i := range sessions {
		t.add(&sessions[i])
	}
	return t
}

func (t *tally) add(v *visit) {
	if len(t.states) == 0 || v.Started.Before(t.oldest) {
		t.oldest = v.Started
	}
	if len(t.states) == 0 || v.Silent < t.silent {
		t.silent = v.Silent
	}
	t.states[v.State]++
	t.files, t.bytes = plus(t.files, v.Files), plus(t.bytes, v.FileBytes)
}

// plus adds and stays at the largest number rather than begin anew.
func plus(a, b uint64) uint64 {
	if a+b < a {
		return ^uint64(0)
	}
	return a + b
}

// others returns the states that this version doesn't know.
func (t *tally) others() (names []string) {
	for name := range t.states {
		if !slices.Contains(states(), name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
