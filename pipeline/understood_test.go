package pipeline_test

import (
	"fmt"
	"strings"
	"testing"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// times returns n messages of the format, whose %d is their number.
func times(n int, format string) (list []string) {
	for i := range n {
		list = append(list, strings.ReplaceAll(format, "%d", fmt.Sprint(1000+i)))
	}
	return list
}

func join(lists ...[]string) (all []string) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

const (
	goodLine   = "<30>Nov 23 18:40:52 h rsyncd[%d]: connect from a (192.0.2.1)"
	sshdLine   = "<30>Nov 23 18:40:52 h sshd[%d]: Accepted publickey for root from 192.0.2.1"
	cronLine   = "<30>Nov 23 18:40:52 h CRON[%d]: (root) CMD (true)"
	odderLine  = "<30>Nov 23 18:40:52 h rsyncd[%d]: what a script says"
	startLine  = "<30>Nov 23 18:40:52 h mirror[%d]: rsync on pool/a from a (192.0.2.1)"
	dockerLine = "<30>Nov 23 18:40:52 h 8f3e1a2b3c4d[7]: 2026/11/23 18:40:52 [%d] rsync on pool/a from a (192.0.2.1)"
	otherLine  = "<30>Nov 23 18:40:52 h rsyncd[%d]: send a [192.0.2.1] m pool/a 1 2"
)

// Each input is judged by what may be rsyncd's: a machine's whole log is no trouble, a wrong tag is one.
func TestWhatIsNotUnderstood(t *testing.T) {
	none := ""
	for _, c := range []struct {
		name     string
		messages []string
		want     string // the trouble; empty: none
		sample   string // what it begins with
	}{
		{"all understood", times(200, goodLine), none, ""},
		{"99 that are not", times(99, "nonsense"), none, ""},
		{"100 that are not", times(100, "nonsense"), "no_header", "nonsense"},
		{"half and one more understood", join(times(100, "nonsense"), times(101, goodLine)), none, ""},
		{"less than half", join(times(101, "nonsense"), times(100, goodLine)), "no_header", "nonsense"},
		{"a bad priority is the more frequent", join(times(40, "nonsense"), times(60, "<999>x%d")), "bad_priority",
			"<999>x1000"},
		{"a machine's whole log", join(times(5000, sshdLine), times(3, goodLine)), none, ""},
		{"a machine's whole log and a few odd ones", join(times(5000, sshdLine), times(9, odderLine)), none, ""},
		{"another tag", join(times(99, sshdLine), times(1, startLine)), "other_tag", startLine[:40]},
		{"another tag of a module", join(times(1, goodLine), times(100, startLine)), "other_tag", startLine[:40]},
		{"a tag that speaks of rsync", times(100, strings.Replace(goodLine, "rsyncd", "rsync", 1)), "other_tag",
			"<30>Nov"},
		{"libwrap's connects", times(100, strings.Replace(goodLine, "rsyncd", "in.ftpd", 1)), none, ""},
		{"our own log", times(100, strings.Replace(goodLine, "rsyncd", "rsyncd_exporter", 1)), none, ""},
		{"a container's log", times(100, dockerLine), "other_tag", "<30>Nov"},
		{"texts that nobody knows", times(100, odderLine), "unrecognised", "what a script says"},
		{"another log format, among others", join(times(500, goodLine), times(10, otherLine)), "other_log_format",
			"send a [192.0.2.1] m pool/a 1 2"},
		{"few of another log format", join(times(500, goodLine), times(9, otherLine)), none, ""},
		{"some of another log format", join(times(1, otherLine[:len(otherLine)-len("m pool/a 1 2")]+"m (u) f 1"),
			times(300, goodLine), times(50, otherLine)), none, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPipeline(t, pipeline.Config{})
			src := &receiver.Source{Input: "udp", Name: "udp x", Dialect: syslog.Auto{}}
			var got []string
			for _, m := range c.messages {
				p.Deliver(src, slabOf(m))
			}
			var u pipeline.Understanding
			for range 2 { // the second time it is known
				if len(got) > 0 {
					p.Deliver(src, slabOf(c.messages...))
				}
				for _, u = range p.Misunderstood() {
					if why, bad := u.Judge(pipeline.Enough); bad {
						got = append(got, why.String())
						if !strings.HasPrefix(u.Samples[why], strings.SplitN(c.sample, "%d", 2)[0]) ||
							u.Source != "udp x" {
							t.Errorf("source %q, sample %q, want %q", u.Source, u.Samples[why], c.sample)
						}
					}
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%q, want %q: %v", got, c.want, u.Troubles)
			}
		})
	}
}

// Where only other programs log, nothing is wrong, perhaps: it is told apart, once, and what comes later is judged.
func TestOtherProgramsOnly(t *testing.T) {
	p := newPipeline(t, pipeline.Config{})
	src := &receiver.Source{Input: "unixgram", Name: "unixgram x", Dialect: syslog.Auto{}}
	p.Deliver(src, slabOf(join(times(100, sshdLine), times(1, cronLine))...))
	list := p.Misunderstood()
	if len(list) != 1 || !list[0].OnlyOthers(pipeline.Enough) || list[0].Tag != "sshd" {
		t.Fatalf("%+v, want one source with sshd's messages only", list)
	}
	p.Deliver(src, slabOf(times(100, sshdLine)...))
	if list := p.Misunderstood(); len(list) != 0 {
		t.Errorf("told again: %+v", list)
	}
	p.Deliver(src, slabOf(times(1, startLine)...))
	if list := p.Misunderstood(); len(list) != 1 || list[0].OtherTag != "mirror" {
		t.Errorf("%+v, want a warning of the tag mirror", list)
	}
}

// What is well again when somebody looks is no trouble, and may be one later.
func TestATroubleThatIsOver(t *testing.T) {
	p := newPipeline(t, pipeline.Config{})
	src := &receiver.Source{Input: "udp", Name: "udp x", Dialect: syslog.Auto{}}
	p.Deliver(src, slabOf(times(100, "nonsense")...))
	p.Deliver(src, slabOf(times(500, goodLine)...))
	if list := p.Misunderstood(); len(list) != 0 {
		t.Errorf("%+v, want none", list)
	}
	p.Deliver(src, slabOf(times(900, "nonsense")...))
	if list := p.Misunderstood(); len(list) != 1 || list[0].Received != 1500 || list[0].Understood != 500 {
		t.Errorf("%+v, want one of 1500, 500 of them understood", list)
	}
}

// What readers throw away counts, and a line that could not be kept has no sample.
func TestWhatReadersDiscard(t *testing.T) {
	p := newPipeline(t, pipeline.Config{})
	src := &receiver.Source{Input: "udp", Name: "udp x", Dialect: syslog.Auto{}}
	slab := slabOf()
	slab.Discarded[receiver.NotAllowed] = 200
	p.Deliver(src, slab)
	list := p.Misunderstood()
	if len(list) != 1 {
		t.Fatalf("%+v", list)
	}
	if why, bad := list[0].Judge(pipeline.Enough); !bad || why.String() != "not_allowed" || list[0].Samples[why] != "" {
		t.Errorf("%v, sample %q; want not_allowed", why, list[0].Samples[why])
	}
}

// A pattern may name any number of files, and a line may be of any length.
func TestSourcesAndSamplesAreBounded(t *testing.T) {
	p := newPipeline(t, pipeline.Config{})
	long := "<30>Nov 23 18:40:52 h " + strings.Repeat("t", 5000) + "[1]: x"
	for i := range 1000 {
		src := &receiver.Source{Input: "file", Name: fmt.Sprint("file ", i), Scope: uint32(i + 1),
			Dialect: syslog.Lines{}}
		p.Deliver(src, slabOf(join(times(100, strings.Repeat("x", 5000)), []string{long[4:]})...))
	}
	if list := p.Misunderstood(); len(list) != pipeline.MaxTallied+1 {
		t.Errorf("%d sources are told of, want %d", len(list), pipeline.MaxTallied+1)
	}
	for _, tl := range p.Tallies() {
		for why, s := range tl.Samples {
			if len(s) > pipeline.MaxSample {
				t.Errorf("%v: a sample of %d bytes", pipeline.Trouble(why), len(s))
			}
		}
		if len(tl.Tag) > pipeline.MaxTagLen {
			t.Errorf("a tag of %d bytes", len(tl.Tag))
		}
	}
	if n := len(p.Tallies()); n != pipeline.MaxTallied+1 {
		t.Errorf("%d tallies", n)
	}
}

// The kinds of what is understood add up.
func TestUnderstandingByKind(t *testing.T) {
	p := newPipeline(t, pipeline.Config{})
	src := &receiver.Source{Input: "udp", Name: "udp x", Dialect: syslog.Auto{}}
	p.Deliver(src, slabOf(join(times(3, goodLine), times(2, sshdLine), times(1, odderLine), []string{""})...))
	u := p.Understanding("udp x")
	if u.Received != 7 || u.Understood != 3 || u.Kinds[rsynclog.Connect] != 3 || u.Troubles[pipeline.OtherProgram] != 2 ||
		u.Troubles[pipeline.Unrecognised] != 1 ||
		u.Troubles[receiver.Empty] != 1 {
		t.Errorf("%+v", u)
	}
	if u := p.Understanding("no such"); u.Received != 0 {
		t.Errorf("%+v", u)
	}
}

// Neither good messages nor bad ones cost an allocation, once a sample is kept.
func TestUnderstandingAllocatesNothing(t *testing.T) {
	for _, message := range []string{sshdLine, odderLine, "nonsense", otherLine, startLine} {
		p := newPipeline(t, pipeline.Config{})
		src := &receiver.Source{Input: "udp", Name: "udp x", Dialect: syslog.Auto{}}
		slab := slabOf(times(10, message)...)
		for range 20 {
			p.Deliver(src, slab)
		}
		if n := testing.AllocsPerRun(100, func() { p.Deliver(src, slab) }); n > 0 {
			t.Errorf("%q: %v allocations", message, n)
		}
	}
}
