package stream_test

import (
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/stream"
	"rsyncd_exporter/receiver/syslog"
)

const stdinConnect = "2026/11/23 18:40:52 [505] connect from localhost (127.0.0.1)"

// A stream that ends within a line in parts has not told it.
func TestStdinEndsWithinAPart(t *testing.T) {
	sink := newHoldSink(false)
	data := stdinConnect + "\n" + criStamp + " stdout P y"
	if err := stream.NewStdin(strings.NewReader(data), receiver.Source{Input: "stdin", Name: "stdin", Dialect: syslog.Lines{}}, sink).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, discarded := sink.All(); !slices.Equal(got, []string{stdinConnect}) || discarded[receiver.Incomplete] != 1 {
		t.Errorf("%q, %d incomplete; want the connect alone, 1", got, discarded[receiver.Incomplete])
	}
}

// A part whose line never goes on costs that line and nothing else, from standard input too.
func TestStdinPartsThatNeverEnd(t *testing.T) {
	const begun, connects = criStamp + " stdout P y\n", 6000
	many := strings.Repeat(stdinConnect+"\n", connects)
	late := criStamp + " stdout F " + stdinConnect + "\n"
	for name, test := range map[string]struct {
		data string
		want int
	}{
		"in rsync's own log":        {begun + many, connects},
		"too many, then another's":  {strings.Repeat(begun, 10000) + many, connects},
		"a long line without an LF": {begun + criStamp + " stdout P " + strings.Repeat("x", 256<<10) + "\n" + late + many, connects},
	} {
		sink := newHoldSink(false)
		in := stream.NewStdin(strings.NewReader(test.data), receiver.Source{Input: "stdin", Name: "stdin"}, sink)
		if err := in.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, _ := sink.All(); len(got) != test.want {
			t.Errorf("%s: %d messages, want %d", name, len(got), test.want)
		}
	}
}
