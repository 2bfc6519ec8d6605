package follow

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"rsyncd_exporter/internal/receivertest"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// Reading allocates nothing, whether there is something to read or not.
func TestFileReadingDoesNotAllocate(t *testing.T) {
	opt := Options{Path: filepath.Join(t.TempDir(), "log"), SetOptions: SetOptions{FromBeginning: true, pollOnly: true}}
	create(t, opt.Path).write(text(lines(0, 5000)))
	sink := receivertest.NewCounter()
	f := follow(t, sink, opt)
	g := f.generations[0]
	b := f.blocks.Get().(*block)
	for name, position := range map[string]func(){
		"a block": func() { g.pos = receiver.FilePosition{ID: g.id} },
		"nothing": func() {},
	} {
		more := true
		if n := testing.AllocsPerRun(100, func() {
			position()
			var err error
			if more, err = g.read(b); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if name == "a block" != more {
			for more {
				more, _ = g.read(b)
			}
		}
	}
	if sink.Received() < 100*2000 {
		t.Errorf("%d lines read, want 2000 and more in each of 100 blocks", sink.Received())
	}
}

// BenchmarkFile reads a file of 200 MB; in the other one its bytes are only searched for LF, without a read, and with the same reads.
func BenchmarkFile(b *testing.B) {
	path := filepath.Join(b.TempDir(), "log")
	const size = 200 << 20
	var whole bytes.Buffer
	count := 0
	for n := 0; whole.Len() < size; n += 1000 {
		whole.WriteString(text(lines(n, n+1000)))
		count += 1000
	}
	must(b, os.WriteFile(path, whole.Bytes(), 0o644))
	rate := func(b *testing.B) {
		b.ReportMetric(float64(count)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		b.SetBytes(int64(whole.Len()))
	}
	b.Run("follow", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sink := receivertest.NewCounter()
			f, err := newFile(receiver.Source{Name: "file test"}, Options{Path: path, SetOptions: SetOptions{FromBeginning: true}}, sink)
			must(b, err)
			must(b, f.generations[0].drain())
			f.Close()
			if sink.Received() != uint64(count) {
				b.Fatalf("%d lines, want %d", sink.Received(), count)
			}
		}
		rate(b)
	})
	search := func(data []byte) (n int) {
		for {
			i := bytes.IndexByte(data, '\n')
			if i < 0 {
				return n
			}
			data = data[i+1:]
			n++
		}
	}
	b.Run("IndexByte", func(b *testing.B) {
		for b.Loop() {
			if n := search(whole.Bytes()); n != count {
				b.Fatalf("%d lines, want %d", n, count)
			}
		}
		rate(b)
	})
	b.Run("pread and IndexByte", func(b *testing.B) {
		buf := make([]byte, syslog.BlockBytes)
		for b.Loop() {
			file, err := os.Open(path)
			must(b, err)
			n := 0
			for at := 0; at < whole.Len(); {
				size, err := unix.Pread(int(file.Fd()), buf, int64(at))
				must(b, err)
				n += search(buf[:size])
				at += size
			}
			file.Close()
			if n != count {
				b.Fatalf("%d lines, want %d", n, count)
			}
		}
		rate(b)
	})
}
