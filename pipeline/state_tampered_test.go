package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/follow"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// A tamperer changes a decoded State as somebody who may write to STATE_DIR can: anything, under a right checksum.
type tamperer struct {
	r      *rand.Rand
	places []reflect.Value
}

// find lists all values in v that can be set.
func (t *tamperer) find(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				t.find(v.Field(i))
			}
		}
		return
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			t.find(v.Index(i))
		}
	case reflect.Map:
		return
	}
	t.places = append(t.places, v)
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// change sets one value to another that its type can have.
func (t *tamperer) change(v reflect.Value) {
	r := t.r
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(pick(r, 0, 1, -1, math.MinInt64, math.MaxInt64, 1<<62-1, -1<<60+1, 1<<53, v.Int()+1, v.Int()-1, v.Int()+int64(time.Hour),
			v.Int()-int64(100*365*24*time.Hour), r.Int64N(1<<20)))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(pick(r, 0, 1, math.MaxUint64, 1<<63, 1<<53+1, v.Uint()+1, v.Uint()-1, r.Uint64N(1<<20)))
	case reflect.Float64:
		v.SetFloat(pick(r, math.NaN(), math.Inf(1), math.Inf(-1), -1, math.MaxFloat64, 0))
	case reflect.String:
		v.SetString(pick(r, "", "_other", "\xff", "a\nb", "{\"}\\", strings.Repeat("x", 129), strings.Repeat("y", 5000), v.String()+"\x00", "vm"))
	case reflect.Slice:
		t.changeSlice(v)
	}
}

func (t *tamperer) changeSlice(v reflect.Value) {
	switch n := v.Len(); {
	case n == 0 || t.r.IntN(4) == 0:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	case t.r.IntN(2) == 0:
		v.Set(reflect.Append(v.Slice3(0, n, n), v.Index(t.r.IntN(n))))
	default:
		v.Set(v.Slice(0, t.r.IntN(n)))
	}
}

// tampered returns another state than the one encoded, as a number of changes has it.
func tampered(tb testing.TB, payload []byte, seed uint64) *State {
	tb.Helper()
	st, err := DecodeState(payload)
	if err != nil {
		tb.Fatal(err)
	}
	t := &tamperer{r: rand.New(rand.NewPCG(seed, 0))}
	for range 1 + t.r.IntN(3) {
		t.places = nil
		t.find(reflect.ValueOf(st).Elem())
		t.change(t.places[t.r.IntN(len(t.places))])
	}
	b, err := st.Encode()
	if err != nil {
		return nil // no file holds it
	}
	if st, err = DecodeState(b); err != nil {
		return nil
	}
	return st
}

// realState returns a state with something of everything.
func realState(tb testing.TB) []byte {
	tb.Helper()
	p := newPipeline(tb, Config{Modules: []string{"data"}})
	p.Local()
	udp := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}
	say := func(pid int, lines ...string) {
		for _, line := range lines {
			p.Deliver(udp, slabOf(fmt.Sprintf("<30>Jan  1 00:00:00 vm rsyncd[%d]: %s", pid, line)))
		}
	}
	say(505, "connect from localhost (127.0.0.1)", "rsync allowed access on module data from localhost (127.0.0.1)",
		"rsync to data/ from alice@localhost (127.0.0.1)", "recv localhost [127.0.0.1] data (alice) a/b 12",
		"rsync: [receiver] open \"/x\" (in data) failed: Permission denied (13)",
		"sent 10 bytes  received 20 bytes  total size 30",
		"rsync error: some files could not be transferred (code 23) at main.c(1) [generator=3.5.0]")
	say(506, "connect from localhost (127.0.0.1)", "rsync allowed access on module data from localhost (127.0.0.1)",
		"rsync on data/ from localhost (127.0.0.1)", "sent 10 bytes  received 20 bytes  total size 30")
	endAll(p, 3*time.Second)
	say(507, "connect from localhost (127.0.0.1)", "rsync allowed access on module data from localhost (127.0.0.1)",
		"rsync on data/ from localhost (127.0.0.1)")
	say(508, "rsyncd version 3.5.0 starting, listening on port 873", "whatever")
	_, st := p.Save()
	st.Followed = followedState()
	b, err := st.Encode()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// checkShown fails the test where a scrape isn't what a Prometheus takes, or has a number that can't be.
func checkShown(t *testing.T, exposition []byte) (counters map[string]float64) {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(exposition))
	if err != nil {
		t.Fatalf("a scrape that can't be read: %v", err)
	}
	counters = map[string]float64{}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			id := name
			for _, l := range m.GetLabel() {
				id += fmt.Sprintf(" %s=%q", l.GetName(), l.GetValue())
				if len(l.GetValue()) > 256 {
					t.Errorf("%.100s has a label of %d bytes, more than the shipped prometheus.yml takes", id, len(l.GetValue()))
				}
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum()
			if value < 0 || math.IsNaN(value) || math.IsInf(value, 0) {
				t.Errorf("%s is %v", id, value)
			}
			if f.GetType() == dto.MetricType_COUNTER {
				counters[id] = value
			}
		}
	}
	return counters
}

// tamper restores a changed state, and what it shows must be sound, stay so, and never fall.
func tamper(t *testing.T, payload []byte, seed uint64) (taken bool) {
	t.Helper()
	st := tampered(t, payload, seed)
	if st == nil {
		return false
	}
	p, err := New(Config{LogFormat: defaultFormat, Tags: []string{"*"}, MaxSeries: 1000, Limits: rsynclog.DefaultLimits(), State: st})
	if err != nil {
		return false
	}
	text := expfmt.NewFormat(expfmt.TypeTextPlain)
	before := checkShown(t, expose(t, p.Snapshot(), text))
	udp := &receiver.Source{Input: "udp", Name: "udp", Dialect: syslog.Auto{}}
	for _, line := range strings.Split(aPull, "\n") {
		p.Deliver(udp, slabOf(line))
	}
	for _, pid := range []int{505, 507} {
		p.Deliver(udp, slabOf(fmt.Sprintf("<30>Jan  1 00:00:00 vm rsyncd[%d]: sent 100 bytes  received 11 bytes  total size 3", pid)))
	}
	endAll(p, 3*time.Second)
	after := checkShown(t, expose(t, p.Snapshot(), text))
	for id, was := range before {
		if is, there := after[id]; !there && was > 0 || is < was {
			t.Errorf("%s was %v and is %v (there: %v)", id, was, is, there)
		}
	}
	exposition(t, p)
	if _, err := DecodeState(mustEncode(t, p)); err != nil {
		t.Errorf("what was restored can't be saved and read: %v", err)
	}
	return true
}

// Whatever somebody writes into the state under a right checksum, it is refused as a whole, or shows what can be.
func TestATamperedState(t *testing.T) {
	payload := realState(t)
	first, taken := testenv.Seed(t), 0
	for i := range uint64(testenv.Tortured(1500, 20000)) {
		if tamper(t, payload, first+i) {
			taken++
		}
		if t.Failed() {
			t.Fatalf("SEED=%d", first+i)
		}
	}
	if taken < 100 {
		t.Errorf("only %d states were taken: nothing was tried", taken)
	}
}

// FuzzTamperedState is TestATamperedState for seeds that a fuzzer chooses.
func FuzzTamperedState(f *testing.F) {
	payload := realState(f)
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { tamper(t, payload, seed) })
}

// Millions of things of which nothing is known, in as many bytes, are refused before they take hundreds of bytes each. A real state of
// any size is taken.
func TestAStateOfManyThingsIsRefused(t *testing.T) {
	const many = 1 << 18
	for name, fill := range map[string]func(*State){
		"sessions": func(st *State) { st.Sessions.Sessions = make([]rsynclog.SessionState, many) },
		"hosts":    func(st *State) { st.Sessions.Origins = make([]rsynclog.OriginState, many) },
		"talkers":  func(st *State) { st.Sessions.Origins[0].Talkers = make([]rsynclog.TalkerState, many) },
		"books":    func(st *State) { st.Books.Hosts = make([]metrics.HostState, many) },
		"modules":  func(st *State) { st.Books.Hosts[0].Modules = make([]metrics.ModuleState, many) },
		"flows":    func(st *State) { st.Books.Hosts[0].Modules[0].Flows = make([]metrics.FlowState, many) },
		"users":    func(st *State) { st.Books.Hosts[0].Modules[0].Flows[0].Users = make([]metrics.UserState, many) },
		"files":    func(st *State) { st.Followed.Files = make([]follow.SavedFile, many/8) },
	} {
		st, err := DecodeState(realState(t))
		if err != nil {
			t.Fatal(err)
		}
		fill(st)
		b, err := st.Encode()
		if err != nil {
			t.Fatal(err)
		}
		st = nil
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = DecodeState(b)
		runtime.ReadMemStats(&after)
		grown := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d bytes of payload, %d allocated, %v", name, len(b), grown, err)
		if !errors.Is(err, ErrState) || grown > uint64(100*len(b)) {
			t.Errorf("%s: %d bytes of payload, %d allocated, %v", name, len(b), grown, err)
		}
	}
	p := filled(t)
	began := time.Now()
	if _, err := DecodeState(mustEncode(t, p)); err != nil {
		t.Error(err)
	}
	t.Logf("a full state: %v", time.Since(began))
}
