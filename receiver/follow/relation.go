package follow

import (
	"bytes"

	"github.com/cespare/xxhash/v2"

	"rsyncd_exporter/receiver"
)

// A relation says how a file's lines relate to those of another file, of which a position is known.
// Whatever asks whether two files hold the same bytes asks relate, or commonLength.
type relation uint8

const (
	unrelated relation = iota
	tooShort           // it begins as the other, with too few bytes to tell
	within             // it holds nothing but what the other holds, or held
	continues          // it holds all that is counted of the other, and more
	shares             // it begins as the other and differs later
	moved              // the end of what is counted of the other stands elsewhere in it
)

// A content is what a file holds: lines, unpacked if they are compressed.
type content struct {
	pread preader
	size  int64
	whole bool // size is all that there is; else more may follow, as of a compressed file

	err    error                          // the last read that failed
	sums   [len(receiver.SumSizes)]uint64 // computed so far
	summed xxhash.Digest
	fed    int64
}

func newContent(pread preader, size int64, whole bool) *content {
	c := &content{pread: pread, size: size, whole: whole}
	c.summed.Reset()
	return c
}

// at returns n bytes from an offset on, nil if there are fewer or they can't be read.
func (c *content) at(offset, n int64) []byte {
	buf := make([]byte, n)
	for got := 0; got < len(buf); {
		k, err := c.pread(buf[got:], offset+int64(got))
		if err != nil {
			c.err = err
		}
		if err != nil || k == 0 {
			return nil
		}
		got += k
	}
	return buf
}

// sum returns the hash of the first receiver.SumSizes[i] bytes, 0 if there are fewer.
func (c *content) sum(i int) uint64 {
	for j := range i + 1 {
		size := receiver.SumSizes[j]
		if c.fed >= size {
			continue
		}
		data := c.at(c.fed, size-c.fed)
		if data == nil {
			return 0
		}
		c.summed.Write(data)
		c.fed, c.sums[j] = size, notZero(c.summed.Sum64())
	}
	return c.sums[i]
}

// relate compares a content with a position. shared is how many bytes at its start are known to be
// the same.
func (c *content) relate(p *receiver.FilePosition) (r relation, shared int64) {
	head := headOf(p)
	head = head[:min(int64(len(head)), c.size)]
	if len(head) == 0 || p.Offset < receiver.AnchorSize && p.Skipping || !bytes.Equal(c.at(0, int64(len(head))), head) {
		return unrelated, 0
	}
	shared = int64(len(head))
	if shared < receiver.AnchorSize && c.size < p.Offset {
		return tooShort, shared
	}
	for i, size := range receiver.SumSizes {
		if size > min(c.size, p.Offset) || p.Sums[i] == 0 {
			break
		}
		if c.sum(i) != p.Sums[i] {
			return shares, shared
		}
		shared = size
	}
	switch {
	case c.size < p.Offset && c.whole:
		return within, shared
	case c.size < p.Offset: // whoever reads it finds out
		return continues, p.Offset
	case !c.endsAt(p, p.Offset):
		return shares, shared
	case c.size == p.Offset && c.whole:
		return within, c.size
	}
	return continues, p.Offset
}

// endsAt reports whether the bytes before an offset are those before p.Offset, as many as are
// known.
func (c *content) endsAt(p *receiver.FilePosition, offset int64) bool {
	if p.Tails[0] == 0 {
		n := min(p.Offset, receiver.AnchorSize)
		return n <= offset && bytes.Equal(c.at(offset-n, n), anchorOf(p))
	}
	return c.alikeAt(p, offset) >= min(p.Offset, tailSize)
}

// alikeAt returns how many bytes before an offset are those before p.Offset, 0 if too few to tell.
func (c *content) alikeAt(p *receiver.FilePosition, offset int64) (n int64) {
	tail := c.at(max(0, offset-tailSize), min(offset, tailSize))
	if start := int64(len(tail)) - p.Line; p.Line > 0 && start >= 0 && xxhash.Sum64(tail[start:]) == p.LineSum &&
		(start == 0 && offset == p.Line || start > 0 && tail[start-1] == '\n') {
		n = p.Line
	}
	for i, size := range receiver.TailSizes {
		size = min(size, p.Offset)
		if size > int64(len(tail)) || notZero(xxhash.Sum64(tail[int64(len(tail))-size:])) != p.Tails[i] {
			break
		}
		n = max(n, size)
	}
	return n
}

// search finds where the bytes before p.Offset stand last, and returns the offset behind them, or
// -1. Where some were trimmed as well, the place is taken where most of them stand.
func (c *content) search(p *receiver.FilePosition) (best int64) {
	if best = -1; p.Offset < receiver.AnchorSize || p.Tails[0] == 0 {
		return best
	}
	const chunk, tries = 256 << 10, 1 << 10
	most, tried := int64(0), 0
	for end := c.size; end >= receiver.AnchorSize; end -= chunk - receiver.AnchorSize {
		start := max(0, end-chunk)
		data := c.at(start, end-start)
		for at := bytes.LastIndex(data, p.Anchor[:]); at >= 0 && tried < tries; tried++ {
			found := start + int64(at) + receiver.AnchorSize
			if n := c.alikeAt(p, found); n > most {
				best, most = found, n
			}
			if most >= min(p.Offset, tailSize) {
				return best
			}
			at = bytes.LastIndex(data[:at+receiver.AnchorSize-1], p.Anchor[:])
		}
		if start == 0 {
			break
		}
	}
	return best
}

// commonLength returns how many bytes at their starts two contents have in common, at most most.
// Lines that have once differed are taken never to be the same again.
func commonLength(a, b *content, most int64) int64 {
	const block = int64(tailSize)
	same := func(offset int64) bool {
		x := a.at(offset, block)
		return x != nil && bytes.Equal(x, b.at(offset, block))
	}
	low, high := int64(0), most/block // blocks below low are the same, that at high isn't, or isn't whole
	if high > 0 && !same(0) {
		high = 0
	} else if high > 0 && same(most-block) {
		return most
	}
	for low < high {
		if mid := (low + high) / 2; same(mid * block) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	offset := low * block
	n := min(block, most-offset)
	x, y := a.at(offset, n), b.at(offset, n)
	i := 0
	for i < min(len(x), len(y)) && x[i] == y[i] {
		i++
	}
	return offset + int64(i)
}

// lineStart returns the offset behind the last LF before one, 0 if there is none near.
func (c *content) lineStart(offset int64) int64 {
	n := min(offset, receiver.MaxMessage)
	if i := bytes.LastIndexByte(c.at(offset-n, n), '\n'); i >= 0 {
		return offset - n + int64(i) + 1
	}
	return offset - n
}
