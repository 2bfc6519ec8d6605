package who

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	tea "charm.land/bubbletea/v2"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/status/api"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// A screenful is a top without a terminal.
type screenful struct {
	t *testing.T
	m top
}

// begin shows sessions on a screen of 80x24.
func begin(t *testing.T, sessions ...api.Session) *screenful {
	s := &screenful{t: t, m: newTop(Filter{}, time.Hour, false, nil)}
	s.update(tea.WindowSizeMsg{Width: 80, Height: 24})
	s.answer(good(sessions...))
	return s
}

func good(sessions ...api.Session) Answer {
	return Answer{Where: "a:1", At: noon, Sessions: api.Sessions{Sessions: sessions, Ended: []api.Ended{{
		Time: noon, Started: noon.Add(-time.Minute), PID: 1, Module: "m1", Outcome: "aborted", ExitCodes: []int{12, 30}, Sent: 1 << 20,
	}}}}
}

// some returns sessions of the pids 1, 2, ...: the earlier ones are longer there and have moved less.
func some(n int) (all []api.Session) {
	for i := range n {
		pid := i + 1
		all = append(all, api.Session{PID: int32(pid), State: "running", Module: fmt.Sprint("m", pid%3), User: "u",
			Client:  api.Client{Name: fmt.Sprintf("c%d.example", pid), Address: fmt.Sprintf("2001:db8:0:%d::%d", pid%2, pid)},
			Started: noon.Add(time.Duration(pid-61) * time.Second), Age: float64(61 - pid), Silent: 1, Files: uint64(pid), FileBytes: uint64(pid) << 20,
			LastPath: fmt.Sprint("dir/", pid)})
	}
	all[0].Started = noon.Add(-time.Minute)
	return all
}

func (s *screenful) update(msg tea.Msg) tea.Cmd {
	m, cmd := s.m.Update(msg)
	s.m = m.(top)
	return cmd
}

func (s *screenful) answer(answers ...Answer) { s.update(answered{s.m.round, answers}) }

// press presses keys: single characters, or by name.
func (s *screenful) press(keys ...string) (last tea.Cmd) {
	codes := map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "down": tea.KeyDown, "up": tea.KeyUp, "end": tea.KeyEnd,
		"home": tea.KeyHome, "pgdown": tea.KeyPgDown, "backspace": tea.KeyBackspace}
	for _, k := range keys {
		if code, ok := codes[k]; ok {
			last = s.update(tea.KeyPressMsg{Code: code})
			continue
		}
		for _, r := range k {
			last = s.update(tea.KeyPressMsg{Code: r, Text: string(r)})
		}
	}
	return last
}

func (s *screenful) lines() []string {
	s.t.Helper()
	lines := strings.Split(s.m.View().Content, "\n")
	if len(lines) != s.m.height {
		s.t.Errorf("%d lines on a screen of %d", len(lines), s.m.height)
	}
	for _, l := range lines {
		if text.Width(l) > s.m.width {
			s.t.Errorf("%d columns on a screen of %d: %q", text.Width(l), s.m.width, l)
		}
		for _, r := range l {
			if !unicode.IsPrint(r) {
				s.t.Fatalf("%q in %q", r, l)
			}
		}
	}
	return lines
}

func (s *screenful) sees(want ...string) {
	s.t.Helper()
	shown := strings.Join(s.lines(), "\n")
	for _, w := range want {
		if !strings.Contains(shown, w) {
			s.t.Errorf("%q isn't shown:\n%s", w, shown)
		}
	}
}

// selected returns the selected line.
func (s *screenful) selected() string {
	for _, l := range s.lines() {
		if strings.HasPrefix(l, mark) {
			return l
		}
	}
	return ""
}

func (s *screenful) selects(want string) {
	s.t.Helper()
	if got := s.selected(); !strings.Contains(got, want) {
		s.t.Errorf("selected is %q, want %q:\n%s", got, want, strings.Join(s.lines(), "\n"))
	}
}

// By hand: 1 + ... + 30 is 465.
func TestTopSorts(t *testing.T) {
	s := begin(t, some(30)...)
	s.sees("30 sessions at a:1: 30 running", "at least 465 MiB in 465 files", "as of 12:00:00; by age", "c1.example", "q quit", "? help",
		"2001:db8:0:1::1  u  dir/1")
	s.selects("c1.example")
	s.press("b")
	s.selects("c30.example")
	s.sees("by bytes")
	s.press("b")
	s.selects("c1.example")
	s.sees("by bytes, reversed")
	s.press("f")
	s.selects("c30.example")
	s.press("m")
	s.selects("c3.example") // m0, the longest connected first
	s.press("c")
	s.selects("c1.example")
	s.press("s")
	s.sees("by silence")
}

func TestTopKeepsTheSelection(t *testing.T) {
	s := begin(t, some(60)...)
	s.press("down", "down", "down", "up")
	s.selects("c3.example")
	s.press("b")
	s.selects("c3.example") // which is near the end now
	s.press("end")
	s.selects("c1.example")
	s.press("home", "pgdown")
	s.selects("c48.example") // 12 of 24 lines
	s.answer(good(some(40)...))
	s.selects("c40.example") // the first, as it is gone
	s.answer(good())
	s.sees("no sessions at a:1")
	s.press("down", "enter", "end")
	s.answer(good(some(1)...))
	s.selects("c1.example")
}

func TestTopFilters(t *testing.T) {
	s := begin(t, some(30)...)
	s.press("/", "C2", "q", "backspace")
	s.sees("sessions with: C2_")
	s.selects("c2.example") // while it is typed
	s.press("enter")
	s.sees(`with "C2"; 11 shown`) // c2, c20 ... c29
	s.press("/", "zz", "enter")
	s.sees("no session is like that; esc shows all")
	s.press("esc")
	s.selects("c1.example")
	s.update(tea.PasteMsg{Content: "zz"}) // nobody types
	s.press("/", "dir/")
	s.update(tea.PasteMsg{Content: "30\nq"})
	s.press("enter")
	s.selects("c30.example")
	s.press("/", "x", "esc")
	s.selects("c1.example")
}

func TestTopGroups(t *testing.T) {
	s := begin(t, append(some(30), api.Session{PID: 99, State: "failing", Client: api.Client{Address: "192.0.2.77"}, Started: noon},
		api.Session{PID: 98, State: "connected", Client: api.Client{Address: "198.51.0.0/16"}, Started: noon})...)
	s.press("g")
	s.sees("grouped by module", "GROUP", "m0", "m1", "m2", "(none)")
	s.press("c")
	s.selects("(none)         2")
	s.press("g")
	s.press("down", "down")
	s.sees("grouped by client", "\nc1.example [2001:db8:0:1::1]\n")
	s.press("g")
	// by hand: 15 of 30 are even, and 2 + 4 + ... + 30 is 240
	s.sees("grouped by network", "192.0.2.0/24", "198.51.0.0/16", "2001:db8::/64", "2001:db8:0:1::/64", "≥240 MiB")
	s.press("b", "enter")
	s.sees("only 2001:db8::/64; 15 shown")
	s.selects("c30.example")
	s.press("esc")
	s.selects("2001:db8::/64")
	s.press("g")
	s.selects("c30.example")
}

func TestTopTellsAllOfASession(t *testing.T) {
	all := some(2)
	all[0].Client.Place, all[0].Request, all[0].LastPath = "DE", "m1/dists", strings.Repeat("long/", 60)
	s := begin(t, all...)
	s.press("enter")
	s.sees("client      c1.example", "address     2001:db8:0:1::1", "place       DE", "request     m1/dists", "bytes       at least 1,048,576 (1.00 MiB)",
		"process     1", "since       11:59:00", "last path   long/", "q, esc back")
	if n := strings.Count(strings.ReplaceAll(strings.Join(s.lines(), ""), " ", ""), "long/"); n < 55 {
		t.Errorf("the path shows %d of 60 parts", n)
	}
	s.answer(good(all[1]))
	s.sees("It has ended.", "outcome     aborted", "exit codes  12, 30", "sent        1.00 MiB")
	s.press("esc", "down", "enter")
	s.answer(good())
	s.sees("It has ended, and nothing more is known of it.")
}

func TestTopTellsOfSilentUploads(t *testing.T) {
	silent := some(1)
	silent[0].Direction, silent[0].Silent = "receive", 3600
	s := begin(t, silent...)
	s.press("enter")
	s.sees("An upload that has logged nothing for 15 minutes may be over")
}

func TestTopShowsEndedSessionsAndHelp(t *testing.T) {
	s := begin(t, some(3)...)
	s.press("e")
	s.sees("OUTCOME", "12:00:00  aborted  12, 30  -       m1", "1.00 MiB")
	s.press("q", "?")
	s.sees("ctrl-z        suspend")
	s.press("end", "down", "up", "?")
	s.selects("c1.example")
	s.answer(Answer{Where: "a:1", At: noon})
	s.press("e")
	s.sees("no session has ended lately")
}

func TestTopPauses(t *testing.T) {
	s := begin(t, some(1)...)
	if cmd := s.update(due{s.m.round}); cmd == nil || !s.m.asking {
		t.Error("no question when it is due")
	}
	s.press("p")
	s.sees("PAUSED")
	s.answer(good(some(2)...))
	s.sees("1 session at")
	if cmd := s.update(due{s.m.round}); cmd != nil {
		t.Error("a question while it is paused")
	}
	before := s.m.round
	if cmd := s.press("p"); cmd == nil {
		t.Error("no question after the pause")
	}
	s.update(answered{before, []Answer{good()}})
	s.sees("1 session at") // the answer to a question from before
	if cmd := s.update(due{before}); cmd != nil {
		t.Error("two questions at once")
	}
	s.answer(good(some(2)...))
	s.sees("2 sessions at")
}

// An exporter that doesn't answer doesn't stop it.
func TestTopGoesOnWithoutAnswers(t *testing.T) {
	down := func() Answer {
		return Answer{Where: "b:2", At: noon.Add(time.Minute), Err: errors.New("b:2: not \x1breached" + strings.Repeat(" because", 20))}
	}
	s := &screenful{t: t, m: newTop(Filter{}, time.Hour, false, nil)}
	s.sees("asking")
	s.answer(down())
	s.sees("nothing has been answered yet", `b:2: not \x1breached`)
	if shown := strings.Join(s.lines(), "\n"); strings.Contains(shown, "no sessions") {
		t.Errorf("nobody knows whether there are sessions:\n%s", shown)
	}
	s.answer(good(some(3)...))
	s.answer(down())
	s.sees("3 sessions", "as of 12:00:00 only: b:2")
	s.answer(down())
	s.sees("3 sessions", "as of 12:00:00 only: b:2")
	s.answer(good(some(2)...))
	if shown := strings.Join(s.lines(), "\n"); strings.Contains(shown, "only") || !strings.Contains(shown, "2 sessions") {
		t.Error(shown)
	}
	s = &screenful{t: t, m: newTop(Filter{}, time.Hour, false, nil)}
	s.answer(good(some(3)...), down(), down(), down(), down())
	s.sees("3 sessions at 5 exporters", "… and other exporters")
}

// A narrow terminal shows fewer columns rather than all of them too narrow to be read, and nothing of the help is cut.
func TestTopOnANarrowTerminal(t *testing.T) {
	s := begin(t, some(3)...)
	s.update(tea.WindowSizeMsg{Width: 40, Height: 40})
	s.press("b")
	s.sees("  STATE    CLIENT      MODULE      BYTES", "> running  c3.example  m0      ≥3.00 MiB", "q quit  g group  / filter  ? help")
	s.press("?")
	help := strings.Join(strings.Fields(strings.Join(s.lines(), " ")), " ")
	for _, want := range []string{
		"a file is in the log when it is through.", "sort by age, bytes, client, files, module, silence; again: the other way round",
		"group by module, client, network (/24 of IPv4, /64 of IPv6), or not", "q, ctrl-c quit", "q, esc back",
	} {
		if !strings.Contains(help, want) {
			t.Errorf("%q isn't shown:\n%s", want, help)
		}
	}
	s.update(tea.WindowSizeMsg{Width: 20, Height: 5})
	s.sees("q back")
	s.press("?")
	s.sees("q quit  ? help")
}

func TestTopEnds(t *testing.T) {
	s := begin(t, some(1)...)
	for _, k := range []tea.KeyPressMsg{{Code: 'q', Text: "q"}, {Code: 'c', Mod: tea.ModCtrl}} {
		cmd := s.update(k)
		if cmd == nil {
			t.Fatalf("%s doesn't end it", k)
		}
		if _, ok := cmd().(tea.QuitMsg); !ok {
			t.Errorf("%s doesn't end it", k)
		}
	}
	if cmd := s.update(tea.KeyPressMsg{Code: 'z', Mod: tea.ModCtrl}); cmd == nil {
		t.Error("ctrl-z does nothing")
	}
	s.press("/")
	if cmd := s.press("q"); cmd != nil {
		t.Error("a q that is typed ends it")
	}
}

// Any keys and sizes, with names that anybody chose: the screen stays whole and clean.
func FuzzTop(f *testing.F) {
	f.Add("gg\rb\x1be?/x\r", "\x1b[31m\u202e", 80, 24)
	f.Add("ggg\r\r", "long/long/long/long/long/long/long/long/long/long", 40, 10)
	f.Fuzz(func(t *testing.T, keys, name string, width, height int) {
		if width < 40 || width > 300 || height < 10 || height > 100 || len(keys) > 50 {
			return
		}
		c := api.Client{Name: name, Address: name, Group: name, Place: name}
		a := good(append(some(3), api.Session{Client: c, Module: name, User: name, Direction: name, State: name, LastPath: name, Request: name, Host: name,
			Age: -1, Silent: 1e300, Files: 1 << 63, FileBytes: 1 << 63})...)
		a.Ended = append(a.Ended, api.Ended{Client: c, Module: name, User: name, Outcome: name, Reason: name, Files: map[string]uint64{name: 1}})
		s := &screenful{t: t, m: newTop(Filter{}, time.Hour, false, nil)}
		s.update(tea.WindowSizeMsg{Width: width, Height: height})
		b := a
		b.Where = name
		s.answer(a, b)
		for _, r := range keys {
			switch r {
			case '\r':
				s.press("enter")
			case '\x1b':
				s.press("esc")
			default:
				s.press(string(r))
			}
			s.lines()
		}
	})
}
