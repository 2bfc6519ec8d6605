package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// A scraper is a Prometheus in small: it scrapes at times of its own, and what it has for a counter in the end is what increase() gives:
// the sum of all differences between two samples, where a lower value is taken for a restart at 0. A scrape that fails is none.
//
// It also asserts what no Prometheus can: that no counter ever falls, goes, or is first seen when it isn't 0 any more; but for those of a
// file that a pattern has found, which may have been rotated before that.
type scraper struct {
	url    string
	client *http.Client
	rand   *rand.Rand
	stop   chan struct{}
	done   chan struct{}
	// deleted is how many files may have been deleted while the program was down. Each is a gap, since nobody knows what was written to it
	// after it had been read for the last time.
	deleted int

	mu       sync.Mutex
	mayFall  string             // begins the names of counters that may fall; empty for none
	last     map[string]float64 // the last sample
	increase map[string]float64
	most     map[string]float64 // the highest value that was ever shown, be it in an answer that broke off
	scrapes  int
	missed   int
	broken   int // answers that broke off
	resets   int // samples in which a counter was lower than before
	problems []string
}

// startScraper makes a first scrape, before which nothing may have been logged, and then goes on until finish.
func startScraper(t *testing.T, url string, seed uint64) *scraper {
	t.Helper()
	s := &scraper{
		url: url + "/metrics", client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableCompression: true}},
		rand: rand.New(rand.NewPCG(seed, 2)), stop: make(chan struct{}), done: make(chan struct{}), most: map[string]float64{}, increase: map[string]float64{},
	}
	testenv.Until(t, time.Minute, "a first scrape", s.scrape)
	for series, v := range s.last {
		if strings.HasPrefix(series, "rsync_") && v != 0 {
			t.Fatalf("%s is %v before anything was logged", series, v)
		}
	}
	go func() {
		defer close(s.done)
		for {
			select {
			case <-s.stop:
				return
			case <-time.After(time.Duration(1+s.rand.IntN(60)) * time.Millisecond):
				s.scrape()
			}
		}
	}()
	t.Cleanup(s.end)
	return s
}

func (s *scraper) end() {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	<-s.done
}

// scrape scrapes once, and reports whether there was a complete answer.
func (s *scraper) scrape() bool {
	r, err := s.client.Get(s.url)
	if err != nil {
		s.miss()
		return false
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		io.Copy(io.Discard, r.Body)
		s.miss()
		return false
	}
	series, err := counters(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown(series)
	if err != nil {
		s.broken++
		return false
	}
	s.scrapes++
	s.sample(series)
	return true
}

func (s *scraper) miss() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missed++
}

// shown holds values against those that were ever shown. The caller holds mu.
func (s *scraper) shown(series map[string]float64) {
	fell := false
	for name, v := range series {
		if v < s.most[name] && (s.mayFall == "" || !strings.HasPrefix(name, s.mayFall)) {
			fell = true
			s.problem("%s fell from %v to %v", name, s.most[name], v)
		}
		s.most[name] = v
	}
	if fell {
		s.resets++
	}
}

// sample adds a complete sample. The caller holds mu.
func (s *scraper) sample(series map[string]float64) {
	for name, v := range series {
		before, known := s.last[name]
		switch {
		case !known && s.last != nil && v != 0 && !strings.Contains(name, "/"+guests+"/"):
			s.problem("%s is %v when it is seen first", name, v)
		case v < before:
			s.increase[name] += v
		default:
			s.increase[name] += v - before
		}
	}
	for name := range s.last {
		if _, there := series[name]; !there {
			s.problem("%s has gone", name)
		}
	}
	s.last = series
}

func (s *scraper) problem(format string, args ...any) {
	if len(s.problems) < 20 {
		s.problems = append(s.problems, fmt.Sprintf(format, args...))
	}
}

// counters reads the text format: every series of a counter or histogram as it is written, with its value, but for those that describe
// the process and begin anew with it. Of an answer that broke off it returns the whole lines, and an error.
func counters(body io.Reader) (map[string]float64, error) {
	series := map[string]float64{}
	in := bufio.NewReader(body)
	counts := false
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			if err == io.EOF && line == "" {
				err = nil
			}
			return series, err
		}
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			counts = (kind == "counter" || kind == "histogram") && !ofTheProcess(name)
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		if !counts || i < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			return series, fmt.Errorf("/metrics: %q: %w", line, err)
		}
		series[line[:i]] = v
	}
}

func ofTheProcess(name string) bool {
	for _, prefix := range []string{
		"go_", "process_", "promhttp_",
		"rsyncd_exporter_receive_errors_total", "rsyncd_exporter_socket_", "rsyncd_exporter_refused_connections_total", // what its sockets did isn't saved
	} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// finish scrapes until the scraper has counted as much as is true, or for long in vain; then it stops and compares all.
func (s *scraper) finish(t *testing.T, truth map[string]float64) {
	t.Helper()
	s.end()
	enough := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for name, want := range truth {
			if s.increase[name] < want {
				return false
			}
		}
		return true
	}
	for end := time.Now().Add(patient); !(s.scrape() && enough()) && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	for _, p := range s.problems {
		t.Error(p)
	}
	for _, name := range slices.Sorted(maps.Keys(s.increase)) {
		v := s.increase[name]
		compared := strings.HasPrefix(name, "rsync_") && !strings.Contains(name, "_seconds_bucket{") && !strings.Contains(name, "_seconds_sum{")
		if want, ok := truth[name]; v != want && (ok || compared) {
			t.Errorf("increase of %s: %v, want %v (%+v)", name, v, want, v-want)
		}
		most := 0
		if strings.Contains(name, `reason="unread"`) {
			most = s.deleted
		}
		if v > float64(most) && (strings.HasPrefix(name, "rsyncd_exporter_discarded_total") || strings.HasPrefix(name, "rsyncd_exporter_file_gaps_total")) {
			t.Errorf("%s: %v, want %d at most", name, v, most)
		}
	}
	for name := range truth {
		if _, ok := s.increase[name]; !ok {
			t.Errorf("%s was never seen", name)
		}
	}
	t.Logf("%d scrapes, %d failed, %d broke off", s.scrapes, s.missed, s.broken)
}
