package follow

import (
	"bytes"

	"github.com/cespare/xxhash/v2"

	"rsyncd_exporter/receiver"
)

// marks computes what a FilePosition says of the bytes before its offset, as these go by.
type marks struct {
	head xxhash.Digest // of the first fed bytes
	fed  int64
	tail []byte // the last bytes before the offset: tailSize, or more, or all that there are
}

// headMost is how much of a file's start is hashed.
const headMost = int64(1 << 20)

// tailSize is how many bytes before the offset are hashed.
const tailSize = 4 << 10

func newMarks() *marks {
	m := &marks{tail: make([]byte, 0, 2*tailSize)}
	m.reset()
	return m
}

// reset goes back to the start of a file.
func (m *marks) reset() {
	m.head.Reset()
	m.fed, m.tail = 0, m.tail[:0]
}

// advance moves p behind data, which are the bytes of the file from p.Offset on.
func (m *marks) advance(p *receiver.FilePosition, data []byte) {
	if p.Offset < receiver.AnchorSize {
		copy(p.Head[p.Offset:], data)
	}
	if m.fed == p.Offset && m.fed < headMost {
		m.feed(p, data)
	}
	if len(data) >= tailSize {
		m.tail = append(m.tail[:0], data[len(data)-tailSize:]...)
	} else {
		if len(m.tail)+len(data) > cap(m.tail) {
			m.tail = append(m.tail[:0], m.tail[len(m.tail)-tailSize:]...)
		}
		m.tail = append(m.tail, data...)
	}
	p.Offset += int64(len(data))
	copy(p.Anchor[:], m.tail[max(0, len(m.tail)-receiver.AnchorSize):])
	p.Line, p.LineSum = 0, 0
	if line := m.lastLine(); len(line) > 0 {
		p.Line, p.LineSum = int64(len(line)), xxhash.Sum64(line)
	}
	for i, size := range receiver.TailSizes {
		p.Tails[i] = notZero(xxhash.Sum64(m.tail[max(0, int64(len(m.tail))-size):]))
	}
}

// lastLine returns the line that ends the tail, nil if none does or it is too long.
func (m *marks) lastLine() []byte {
	tail := m.tail[max(0, len(m.tail)-tailSize):]
	n := len(tail) - 1
	if n < 0 || tail[n] != '\n' {
		return nil
	}
	if start := bytes.LastIndexByte(tail[:n], '\n') + 1; start > 0 || m.fed == int64(len(tail)) {
		return tail[start:]
	}
	return nil
}

func (m *marks) feed(p *receiver.FilePosition, data []byte) {
	for i, size := range receiver.SumSizes {
		if size <= m.fed {
			continue
		}
		n := min(int64(len(data)), size-m.fed)
		m.head.Write(data[:n])
		m.fed, data = m.fed+n, data[n:]
		if m.fed < size {
			return
		}
		p.Sums[i] = notZero(m.head.Sum64())
	}
}

// notZero keeps a hash from meaning that none is known.
func notZero(sum uint64) uint64 { return max(sum, 1) }

// load sets p and m to an offset of a file, by its bytes. It returns false where it has fewer.
func (m *marks) load(pread preader, p *receiver.FilePosition, offset int64) (bool, error) {
	at := receiver.FilePosition{ID: p.ID, Copy: p.Copy, Cut: p.Cut}
	m.reset()
	buf := make([]byte, 64<<10)
	for at.Offset < offset {
		if at.Offset >= headMost && at.Offset < offset-tailSize {
			at.Offset = offset - tailSize
			m.tail = m.tail[:0]
		}
		want := buf[:min(int64(len(buf)), offset-at.Offset)]
		if at.Offset < headMost {
			want = want[:min(int64(len(want)), headMost-at.Offset)]
		}
		n, err := pread(want, at.Offset)
		if err != nil || n == 0 {
			return false, err
		}
		m.advance(&at, want[:n])
	}
	*p = at
	return true, nil
}

// sameMarks reports whether two positions at one offset say the same of the bytes before it, as far
// as both say something.
func sameMarks(a, b *receiver.FilePosition) bool {
	agree := func(x, y uint64) bool { return x == y || x == 0 || y == 0 }
	same := bytes.Equal(anchorOf(a), anchorOf(b)) && bytes.Equal(headOf(a), headOf(b))
	for i := range a.Sums {
		same = same && agree(a.Sums[i], b.Sums[i])
	}
	for i := range a.Tails {
		same = same && agree(a.Tails[i], b.Tails[i])
	}
	return same
}

// A preader reads a file at an offset. At the end of the file it returns 0 and no error.
type preader func(p []byte, offset int64) (n int, err error)

// headOf returns what is known of a file's first bytes, at most receiver.AnchorSize.
func headOf(p *receiver.FilePosition) []byte {
	if p.Offset < receiver.AnchorSize {
		return p.Anchor[:p.Offset]
	}
	return p.Head[:]
}

func anchorOf(p *receiver.FilePosition) []byte { return p.Anchor[:min(p.Offset, receiver.AnchorSize)] }
