package who

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/status/ask"
)

// TopOptions say what Top shows, and where.
type TopOptions struct {
	Exporters []*ask.Client
	Filter    Filter
	Every     time.Duration // between an answer and the next question
	In, Out   *os.File      // a terminal
	Color     bool
}

// Top shows sessions on a terminal and refreshes them until somebody presses q or ctx ends, which is
// no error. It leaves the terminal as it was.
func Top(ctx context.Context, o TopOptions) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m := newTop(o.Filter, o.Every, o.Color, func() []Answer { return Ask(ctx, o.Exporters) })
	p := tea.NewProgram(m, tea.WithInput(o.In), tea.WithOutput(screen{o.Out, cancel}), tea.WithoutSignalHandler())
	// Not WithContext, which kills it: it then gives the terminal back while it still reads from it.
	stop := context.AfterFunc(ctx, p.Quit)
	defer stop()
	_, err := p.Run()
	if gone := context.Cause(ctx); gone != nil && !errors.Is(gone, context.Canceled) {
		return fmt.Errorf("the terminal is gone: %w", gone)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// A screen is a terminal that ends a context when it can't be written to.
type screen struct {
	*os.File
	gone context.CancelCauseFunc
}

func (s screen) Write(b []byte) (int, error) {
	n, err := s.File.Write(b)
	if err != nil {
		s.gone(err)
	}
	return n, err
}

// top is what Top shows and what has been asked of it. A copy of it is its next state.
type top struct {
	ask    func() []Answer
	every  time.Duration
	filter Filter
	color  bool

	width, height int
	answers       []Answer // of an exporter that doesn't answer the last good one, with Err
	round         int      // of questions; what belongs to an earlier one comes too late
	asking        bool
	paused        bool

	order    order
	reversed bool
	group    grouping
	within   string // a group of which only the sessions are shown; "" is all
	text     string // which sessions have to contain
	typing   bool   // text
	page     page
	at       key // the session or group that is selected
	scroll   int // of pages that have no selection
}

// A page is what fills the screen.
type page int

const (
	pageSessions page = iota
	pageDetail
	pageEnded
	pageHelp
)

// A key tells sessions apart, or groups, over refreshes.
type key struct {
	where, host string
	pid         int32
	started     int64
	group       string
}

func keyOf(v *visit) key {
	return key{where: v.where, host: v.Host, pid: v.PID, started: v.Started.UnixNano()}
}

func newTop(f Filter, every time.Duration, color bool, ask func() []Answer) top {
	return top{ask: ask, every: every, filter: f, color: color, width: 80, height: 24, asking: true}
}

// The messages of the program.
type (
	answered struct {
		round   int
		answers []Answer
	}
	due struct{ round int }
)

// Init implements tea.Model.
func (m top) Init() tea.Cmd { return m.question() }

// question asks the exporters.
func (m top) question() tea.Cmd {
	ask, round := m.ask, m.round
	return func() tea.Msg { return answered{round, ask()} }
}

// Update implements tea.Model.
func (m top) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		return m.press(msg)
	case tea.PasteMsg:
		if m.typing { // elsewhere it would be keys that nobody has pressed
			m.typed(msg.Content)
		}
	case answered:
		if msg.round != m.round {
			break
		}
		m.asking = false
		if !m.paused {
			m.take(msg.answers)
		}
		return m, tea.Tick(m.every, func(time.Time) tea.Msg { return due{msg.round} })
	case due:
		if msg.round == m.round && !m.paused {
			m.asking = true
			return m, m.question()
		}
	}
	return m, nil
}

// take shows new answers. Of an exporter that gave none it keeps the last one.
func (m *top) take(answers []Answer) {
	for i := range answers {
		a := &answers[i]
		if a.Err != nil && len(m.answers) == len(answers) {
			old := m.answers[i]
			a.Sessions, a.At = old.Sessions, old.At
		} else if a.Err != nil {
			a.At = time.Time{}
		}
	}
	m.answers = answers
}

// scene puts together what has been answered, old answers too.
func (m *top) scene() *Scene {
	good := slices.Clone(m.answers)
	for i := range good {
		good[i].Err = nil
	}
	return NewScene(good, m.filter)
}

// now is when the newest answer came.
func (m *top) now() (t time.Time) {
	for _, a := range m.answers {
		if a.At.After(t) {
			t = a.At
		}
	}
	return t
}

// An order is what sessions are sorted by.
type order int

const (
	byAge order = iota
	byBytes
	bySilence
	byFiles
	byClient
	byModule
)

func (o order) String() string {
	return [...]string{"age", "bytes", "silence", "files", "client", "module"}[o]
}

func (o order) compare(a, b *visit) int {
	switch o {
	case byBytes:
		return cmp.Compare(b.FileBytes, a.FileBytes)
	case bySilence:
		return cmp.Compare(b.Silent, a.Silent)
	case byFiles:
		return cmp.Compare(b.Files, a.Files)
	case byClient:
		return cmp.Or(cmp.Compare(client(a), client(b)), cmp.Compare(a.Client.Address, b.Client.Address))
	case byModule:
		return cmp.Compare(a.Module, b.Module)
	}
	return a.Started.Compare(b.Started)
}

// sessions returns those that are shown, in order.
func (m *top) sessions(s *Scene) (shown []visit) {
	wanted := strings.ToLower(m.text)
	for i := range s.Sessions {
		v := &s.Sessions[i]
		if (wanted == "" || contains(v, wanted)) && (m.within == "" || m.group.of(v) == m.within) {
			shown = append(shown, *v)
		}
	}
	slices.SortStableFunc(shown, func(a, b visit) int {
		if m.reversed {
			return m.order.compare(&b, &a)
		}
		return m.order.compare(&a, &b)
	})
	return shown
}

// contains reports whether any text of a session contains one that is in lower case.
func contains(v *visit, wanted string) bool {
	for _, s := range []string{v.Client.Name, v.Client.Address, v.Client.Group, v.Client.Place, v.Module, v.User,
		v.Direction, v.State, v.Host, v.Request, v.LastPath, v.where} {
		if strings.Contains(strings.ToLower(s), wanted) {
			return true
		}
	}
	return false
}

// A grouping is what sessions are put together by.
type grouping int

const (
	ungrouped grouping = iota
	groupModule
	groupClient
	groupNetwork
	numGroupings
)

func (g grouping) String() string { return [...]string{"", "module", "client", "network"}[g] }

// of returns a session's group, which is printable and not empty.
func (g grouping) of(v *visit) string {
	const unknown = "(none)"
	switch g {
	case groupModule:
		return cmp.Or(text.OneLine(v.Module), unknown)
	case groupNetwork:
		n := network(v.Client.Address)
		bits := 24
		if n.Addr().Is6() {
			bits = 64
		}
		if n.IsValid() && n.Bits() > bits {
			n, _ = n.Addr().Prefix(bits)
		}
		if n.IsValid() {
			return n.String()
		}
	}
	if v.Client.Name != "" && v.Client.Address != "" {
		return client(v) + " [" + address(v) + "]"
	}
	return cmp.Or(client(v), unknown)
}

// A bundle is the sessions of a group.
type bundle struct {
	name string
	n    int
	tally
}

// bundles puts sessions together, in the order of their first ones, or of what they come to.
func (m *top) bundles(sessions []visit) []bundle {
	var all []bundle
	place := map[string]int{}
	for i := range sessions {
		name := m.group.of(&sessions[i])
		at, ok := place[name]
		if !ok {
			at = len(all)
			place[name] = at
			all = append(all, bundle{name: name, tally: tally{states: map[string]int{}}})
		}
		all[at].n++
		all[at].add(&sessions[i])
	}
	slices.SortStableFunc(all, func(a, b bundle) int {
		if m.reversed {
			a, b = b, a
		}
		switch m.order {
		case byBytes:
			return cmp.Compare(b.bytes, a.bytes)
		case byFiles:
			return cmp.Compare(b.files, a.files)
		case byClient, byModule:
			return cmp.Compare(a.name, b.name)
		case bySilence:
			return cmp.Compare(b.silent, a.silent)
		}
		return a.oldest.Compare(b.oldest)
	})
	return all
}
