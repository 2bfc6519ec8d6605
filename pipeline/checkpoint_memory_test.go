package pipeline_test

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/pipeline"
)

// What a Snapshot and a Checkpoint share with what is live would change under those who read them: a scrape, and the
// encoding of the state. The race detector sees it as well.
func TestACheckpointNeverChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	s := newScript(t, r)
	for range testenv.Tortured(10, 300) {
		c := s.config()
		p := newPipeline(t, c)
		deliver := func() {
			for range 40 {
				p.Deliver(s.slab())
			}
		}
		deliver()
		for range 3 { // what is restored takes over the memory of a Checkpoint, so it is live as well
			snap, st := p.Save(nil)
			before := asJSON(t, st)
			scrape := expose(t, snap, expfmt.NewFormat(expfmt.TypeProtoText))
			var encoding sync.WaitGroup
			encoding.Go(func() {
				if _, err := st.Encode(); err != nil {
					t.Error(err)
				}
			})
			deliver()
			p.EndAll(time.Minute)
			p.Save(nil)
			encoding.Wait()
			if after := asJSON(t, st); after != before {
				t.Fatalf("the Checkpoint has changed: %s", difference(after, before))
			}
			if now := expose(t, snap, expfmt.NewFormat(expfmt.TypeProtoText)); string(now) != string(scrape) {
				t.Fatalf("the Snapshot has changed: %s", difference(string(now), string(scrape)))
			}
			p = again(t, st, c)
		}
	}
}

func asJSON(t *testing.T, st *pipeline.Checkpoint) string {
	t.Helper()
	b, err := json.MarshalIndent(st, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// gob leaves out unexported fields, so none of them may matter to a restart.
func TestWhatIsNotSaved(t *testing.T) {
	var found []string
	seen := map[reflect.Type]bool{}
	var visit func(reflect.Type)
	visit = func(x reflect.Type) {
		if seen[x] || x.PkgPath() == "net/netip" {
			return
		}
		seen[x] = true
		switch x.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			visit(x.Elem())
		case reflect.Struct:
			for i := range x.NumField() {
				f := x.Field(i)
				if !f.IsExported() {
					found = append(found, x.Name()+"."+f.Name)
				}
				visit(f.Type)
			}
		}
	}
	visit(reflect.TypeFor[pipeline.Checkpoint]())
	slices.Sort(found)
	want := []string{
		"Checkpoint.counted",   // is in Followed
		"Entry.sum",            // an index, found anew
		"FlowRecord.active",    // gauges, which the sessions tell
		"HostRecord.showZeros", // the settings tell
		"ModuleRecord.oldest",
		"life.newest", // of the processes that connected since we listen
	}
	if !slices.Equal(found, want) {
		t.Errorf("these fields don't survive a restart: %v, want %v", found, want)
	}
}
