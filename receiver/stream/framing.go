package stream

import (
	"bytes"
	"errors"
	"net/netip"

	"rsyncd_exporter/receiver"
)

const (
	framerStart  = 4 << 10  // bytes of buffer a connection starts with
	framerMax    = 64 << 10 // and grows to; also the most that one read takes, so that no sender starves others
	framerBatch  = 512      // messages in one slab: 64 KiB of empty lines would take 1.5 MiB of slice headers
	maxLenDigits = 6        // of an octet count
)

// errBadLength ends a stream, since nobody knows where the next frame begins.
var errBadLength = errors.New("octet count is not a number from 1 to 999999 and a space")

// A framing is one of the two of RFC 6587.
type framing uint8

const (
	undecided framing = iota // no byte has come yet
	byCounts                 // octet counting, section 3.4.1: "LEN SP MSG"
	byLines                  // non-transparent framing, section 3.4.2: ended by LF or NUL
)

// A framer cuts the byte stream of one connection into messages, however its reads split it.
//
// The first byte of a connection decides its framing for good. Nothing that a message holds can
// change it: syslog-ng sends the line feeds of file names raw, so that whoever uploads a file
// writes whole lines.
//
//   - a digit: octet counts. LF within MSG is data. LEN has no leading zero and at most six digits;
//     anything else is a BadLength and ends the stream. Line ends between messages are skipped.
//   - any other byte: lines, whatever they begin with. LF ends them, or NUL, which section 3.4.2
//     names as seen in the field. No file name and no syslog(3) message holds a NUL.
//
// A message longer than MaxMessage is skipped and counted once. An empty line is a message.
type framer struct {
	peer     netip.Addr // Slab.Peer of all its slabs
	buf      []byte
	r, w     int  // buf[r:w] has not been cut yet
	full     bool // the last read took all the space it was given
	framing  framing
	skip     int    // bytes left of an oversized octet-counted frame
	skipLine bool   // within an oversized line
	cuts     uint64 // messages, skipped ones too, whose end has come
	lf, nul  int    // where the first LF and NUL from r on are, w for none; below r: not looked for yet
}

// space returns where the next read puts its bytes, at least one. It invalidates messages.
func (f *framer) space() []byte {
	kept := f.buf[f.r:f.w]
	if len(f.buf) < framerMax && (f.full || len(kept) == len(f.buf)) {
		f.buf = make([]byte, min(framerMax, max(framerStart, 2*len(f.buf))))
	}
	// What cut leaves is at most one incomplete message and its count, so there is room.
	f.r, f.w = 0, copy(f.buf, kept)
	return f.buf[f.w:]
}

// advance says that the first n bytes of space have been filled.
func (f *framer) advance(n int) {
	f.w += n
	f.full = f.w == len(f.buf)
	f.lf, f.nul = -1, -1
}

// uncut returns what has been read and not been cut.
func (f *framer) uncut() []byte { return f.buf[f.r:f.w] }

// within says whether a message, perhaps a skipped one, has begun and not ended.
func (f *framer) within() bool { return f.r < f.w || f.skip > 0 || f.skipLine }

// cut appends complete messages to s and counts discarded ones there. With more set s is full: cut
// must be called again before the next read. After an error, which s has counted, nothing more is
// cut.
func (f *framer) cut(s *receiver.Slab) (more bool, err error) {
	if f.framing == undecided && f.r < f.w {
		if f.framing = byLines; isDigit(f.buf[f.r]) {
			f.framing = byCounts
		}
	}
	for f.r < f.w {
		if len(s.Messages) >= framerBatch {
			return true, nil
		}
		var whole bool
		switch {
		case f.skip > 0:
			n := min(f.skip, f.w-f.r)
			f.skip -= n
			f.r += n
			whole = f.skip == 0
		case f.skipLine:
			whole = f.cutSkipped()
		case f.framing == byLines:
			whole = f.cutLine(s)
		case isLineEnd(f.buf[f.r]):
			f.r++
			continue
		default:
			if whole, err = f.cutCounted(s); err != nil {
				f.r = f.w
				s.Discarded[receiver.BadLength]++
				return false, err
			}
		}
		if !whole {
			break
		}
		f.cuts++
	}
	return false, nil
}

// isLineEnd says whether c ends a line, or stands in a line end.
func isLineEnd(c byte) bool { return c == '\n' || c == '\r' || c == 0 }

// finish counts what is left at the end: a message whose end never came is Incomplete, also where
// the sender closed the stream properly. A relay that ends within a line has cut it.
func (f *framer) finish(s *receiver.Slab) {
	if f.r < f.w { // else it may be within a skipped message, which has been counted
		s.Discarded[receiver.Incomplete]++
	}
	f.r = f.w
}

// cutCounted cuts one octet-counted frame. It returns false where the buffer lacks its end.
func (f *framer) cutCounted(s *receiver.Slab) (whole bool, err error) {
	rest := f.buf[f.r:f.w]
	if rest[0] == '0' || !isDigit(rest[0]) { // MSG-LEN = NONZERO-DIGIT *DIGIT, RFC 6587 section 3.4.1
		return false, errBadLength
	}
	n, i := 0, 0
	for ; i < len(rest) && isDigit(rest[i]); i++ {
		if i == maxLenDigits {
			return false, errBadLength
		}
		n = n*10 + int(rest[i]-'0')
	}
	if i == len(rest) {
		return false, nil
	}
	if rest[i] != ' ' {
		return false, errBadLength
	}
	body := rest[i+1:]
	switch {
	case n > receiver.MaxMessage:
		s.Discarded[receiver.Oversize]++
		f.skip = n
		f.r += i + 1
		return true, nil
	case len(body) < n:
		return false, nil
	}
	s.Messages = append(s.Messages, body[:n:n])
	f.r += i + 1 + n
	return true, nil
}

// cutLine cuts one line. It returns false where the buffer lacks its end.
func (f *framer) cutLine(s *receiver.Slab) (whole bool) {
	end := f.lineEnd()
	line := f.buf[f.r:end:end]
	whole = end < f.w
	switch {
	case len(line) > receiver.MaxMessage:
		s.Discarded[receiver.Oversize]++
		f.skipLine = true
		return f.cutSkipped()
	case whole:
		s.Messages = append(s.Messages, line)
		f.r = end + 1
	}
	return whole
}

// cutSkipped throws away the rest of an oversized line, as far as it has arrived.
func (f *framer) cutSkipped() (whole bool) {
	end := f.lineEnd()
	if end == f.w {
		f.r = f.w
		return false
	}
	f.r = end + 1
	f.skipLine = false
	return true
}

// lineEnd returns the index in buf of the terminator of the line at r, or w. Each byte of a read is
// searched once: a search per line would be quadratic for a read of nothing but NULs or LFs.
func (f *framer) lineEnd() int {
	if f.lf < f.r {
		f.lf = f.find('\n')
	}
	if f.nul < f.r {
		f.nul = f.find(0)
	}
	return min(f.lf, f.nul)
}

// find returns the index in buf of the first c at or after r, or w.
func (f *framer) find(c byte) int {
	if i := bytes.IndexByte(f.buf[f.r:f.w], c); i >= 0 {
		return f.r + i
	}
	return f.w
}

// deliver hands over all that can be cut now, in as many slabs as it takes, through s, which it
// leaves empty. At is when the bytes were received. An error is that of cut.
func (f *framer) deliver(src *receiver.Source, sink receiver.Sink, s *receiver.Slab, at int64) error {
	for {
		more, err := f.cut(s)
		f.deliverAny(src, sink, s, at)
		if err != nil || !more {
			return err
		}
	}
}

// deliverAny hands s over if there is anything in it, and empties it.
func (f *framer) deliverAny(src *receiver.Source, sink receiver.Sink, s *receiver.Slab, at int64) {
	if len(s.Messages) == 0 && s.Discarded == [receiver.NumDiscards]uint32{} {
		return
	}
	s.At, s.Peer = at, f.peer
	sink.Deliver(src, s)
	s.Reset()
}

func isDigit(c byte) bool { return c-'0' <= 9 }
