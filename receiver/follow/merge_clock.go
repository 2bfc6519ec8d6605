package follow

import (
	"bytes"
	"strconv"
	"time"

	"rsyncd_exporter/receiver"
	"rsyncd_exporter/receiver/syslog"
)

// A lineZone says how the stamps of a file without a zone are to be read. Before rsync 3.4.2 a
// daemon in a chroot knows no time zone: what it logs to its module's file is in UTC, while its
// connects are not. The zero value is the machine's zone.
type lineZone struct {
	known bool
	utc   bool
	east  int64 // what a stamp, read so, is ahead of the time at which it was written: another machine's zone
}

const (
	zoneUnit   = 15 * time.Minute // what time zones differ by, in whole multiples
	zoneMost   = 26 * time.Hour   // the most that two of them differ by
	stampEarly = 2 * time.Second  // how far a stamp may be ahead of the time at which its line was written
	stampLate  = 5 * time.Second  // how far it may be behind, where that time is exact
	arriveLate = time.Minute      // how far it may be behind, where that time is the line's arrival
	clockBack  = 2 * time.Minute  // what a clock is set back by at times; beyond that it is another zone
)

// A lineTime is when a line was written, by its stamp.
type lineTime struct {
	key   int64
	shift int64 // by which the stamp is corrected: clocks go back one hour at the end of daylight saving time
}

// A lineClock reads the times of a file's lines. But for connects and ends, it is its reader's.
type lineClock struct {
	dialect receiver.Dialect
	zone    lineZone
	local   syslog.Stamps
	utc     syslog.Stamps
	message receiver.Message // scratch
	last    lineTime         // of the last line that was handed over
}

// stamp returns a line's stamp as it stands there, nil if it has none.
func (c *lineClock) stamp(line []byte) []byte {
	c.message.Stamp = nil
	if c.dialect.Scan(line, &c.message) != receiver.Kept {
		return nil
	}
	return c.message.Stamp
}

// read returns when a line, read at at, was written. after is that of the line before, and of this
// one if it has no stamp.
func (c *lineClock) read(line []byte, after lineTime, at int64) lineTime {
	stamp, zoned, ok := c.local.Time(c.stamp(line), at)
	if !ok {
		return after
	}
	if zoned {
		return lineTime{key: stamp}
	}
	stamp = c.inZone(c.zone, stamp, at)
	if after.key == 0 {
		return lineTime{key: stamp}
	}
	for _, shift := range [...]int64{0, after.shift} {
		if stamp+shift >= after.key-int64(clockBack) {
			return lineTime{stamp + shift, shift}
		}
	}
	quarters := (after.key - int64(clockBack) - stamp + int64(zoneUnit) - 1) / int64(zoneUnit)
	shift := quarters * int64(zoneUnit)
	if shift > int64(zoneMost) {
		return lineTime{key: stamp}
	}
	return lineTime{stamp + shift, shift}
}

// inZone returns the time of c.message's stamp, which local has read, in a zone.
func (c *lineClock) inZone(z lineZone, local, at int64) int64 {
	if z.utc {
		c.utc.Local = time.UTC
		local, _, _ = c.utc.Time(c.message.Stamp, at)
	}
	return local - z.east
}

// learn finds out the zone of a line that was written at the time given, late by as much at most.
// It returns false where the two don't show it.
func (c *lineClock) learn(line []byte, written int64, late time.Duration) (lineZone, bool) {
	local, zoned, ok := c.local.Time(c.stamp(line), written)
	if !ok || zoned {
		return lineZone{}, false
	}
	fits := func(lag int64) bool { return lag >= -int64(stampEarly) && lag <= int64(late) }
	for _, z := range [...]lineZone{{known: true}, {known: true, utc: true}} {
		if fits(written - c.inZone(z, local, written)) {
			return z, true
		}
	}
	ahead := local - written
	z := lineZone{known: true, east: int64(time.Duration(ahead).Round(zoneUnit))}
	return z, fits(z.east-ahead) && z.east <= int64(zoneMost) && z.east >= -int64(zoneMost)
}

// connects returns the pid of a connect that is the first line of data, 0 if that is another line.
func (c *lineClock) connects(data []byte) int32 {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	if !bytes.Contains(line, []byte(" connect from ")) {
		return 0
	}
	var m receiver.Message
	if c.dialect.Scan(line, &m) != receiver.Kept || !bytes.HasPrefix(m.Text, []byte("connect from ")) {
		return 0
	}
	return m.PID
}

// ends reports whether a session of the pid sums up in one of the first lines of data, those with
// the stamp given, before another one starts.
func (c *lineClock) ends(data, stamp []byte, pid int32) bool {
	const most = 1024 // lines of one second
	var buf [16]byte
	mark := append(strconv.AppendInt(append(buf[:0], '['), int64(pid), 10), ']')
	for range most {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if whole && bytes.HasPrefix(line, stamp) && !bytes.Contains(line, mark) { // most lines: another process's
			data = rest
			continue
		}
		var m receiver.Message
		if !whole || c.dialect.Scan(line, &m) == receiver.Kept && !bytes.Equal(m.Stamp, stamp) {
			return false
		}
		if m.PID == pid {
			switch {
			case bytes.HasPrefix(m.Text, []byte("sent ")):
				return true
			case bytes.HasPrefix(m.Text, []byte("rsync on ")), bytes.HasPrefix(m.Text, []byte("rsync to ")):
				return false
			}
		}
		data = rest
	}
	return false
}

// learnZone finds out the zone of a file by its last line, which is as old as the last write.
func (s *stream) learnZone(g *generation, size int64) {
	if s == nil || g.packed != nil || size == 0 {
		return
	}
	n := min(size, 16<<10)
	data, ended := bytes.CutSuffix(newContent(g.target.reads(g.fd, nil), size, true).at(size-n, n), []byte("\n"))
	info, err := statFD(g.fd)
	if !ended || err != nil || info.size != size {
		return
	}
	line := data[bytes.LastIndexByte(data, '\n')+1:]
	if z, ok := s.clock.learn(line, info.written, stampLate); ok {
		s.setZone(z)
	}
}

// setZone sets the zone of a generation, and of those of the same file of which none is known.
func (s *stream) setZone(z lineZone) {
	s.clock.zone = z
	s.file.merge.mu.Lock()
	defer s.file.merge.mu.Unlock()
	s.file.zone = z
}

// learn sees to it that the zone of the line that comes next is known, by the time at which it was
// read if it is a live one.
func (s *stream) learn(g *generation, line []byte, at int64, live bool) {
	c := &s.clock
	if !c.zone.known {
		s.file.merge.mu.Lock()
		c.zone = s.file.zone
		s.file.merge.mu.Unlock()
	}
	if !live {
		return
	}
	t := c.read(line, lineTime{}, at)
	if lag := at - t.key; c.zone.known && lag >= -int64(stampEarly) && lag <= int64(arriveLate) {
		if c.last.shift != 0 { // by a line whose stamp was wrong, or of a session in another zone
			c.last = lineTime{}
		}
		return
	}
	if z, ok := c.learn(line, at, arriveLate); ok {
		s.setZone(z)
		c.last = lineTime{}
	}
}
