package syslog

import (
	"math"
	"time"
)

// stampKept is the longest stamp that Stamps remembers. journalctl's short-full with nanoseconds
// has 40 bytes.
const stampKept = 44

// Stamps reads time stamps of headers. It remembers the last one, which most lines share with the
// line before. Not safe for concurrent use. The zero value is usable.
type Stamps struct {
	Local *time.Location // of stamps that name no zone; nil is time.Local. For tests

	last    [stampKept]byte // the stamp that was read last, with what it gave
	lastLen int
	arrived int64
	result  stampTime

	// from and to are the times in seconds between which offset, in seconds east of UTC, is surely
	// local's. Both are more than a day away from any change, so that what was read before makes no
	// difference.
	from, to, offset int64
}

// stampTime is what a stamp gives.
type stampTime struct {
	at        int64
	zoned, ok bool
	yearless  bool // it depends on when the stamp arrived
}

// Time returns the time that a Message.Stamp says; arrived is when the message was received. Both
// are in nanoseconds of the Unix epoch. zoned says that the stamp names its own time zone;
// otherwise it is this machine's. A stamp without a year gets the year that brings it closest to
// arrived. ok is false for what is no time. It does not allocate. These shapes are read:
//
//	2026/11/23 18:40:52                  rsync's own log file (log.c:timestring)
//	Nov 23 18:40:52                      RFC 3164 section 4.1.2; day 3 is " 3", "03" or "3"
//	2026 Nov 23 18:40:52                 the same with a year: first, third or last
//	Mon Nov 23 18:40:52 2026             ctime(3)
//	2026-11-23T18:40:52+01:00            RFC 3339 section 5.6; also "+0100", without a zone, a space for the T
//	Mon 2026-11-23 18:40:52 UTC          journalctl -o short-full; of the names of zones UTC and GMT
//	1795459252.123456, 1795459252123456  journalctl -o short-unix, and __REALTIME_TIMESTAMP: Unix epoch
//
// each with or without a fraction of a second. Second 60 is the one after 59. Years that don't fit
// into an int64 (before 1678, after 2261) are no times. Where daylight saving time ends or starts,
// the reading is time.Date's.
func (s *Stamps) Time(stamp []byte, arrived int64) (at int64, zoned, ok bool) {
	if len(stamp) == 0 {
		return 0, false, false
	}
	if s.sameMinute(stamp) {
		s.result.at += int64(twoDigits(stamp[ownSecond:])-twoDigits(s.last[ownSecond:])) * int64(time.Second)
		copy(s.last[ownSecond:], stamp[ownSecond:])
		return s.result.at, s.result.zoned, s.result.ok
	}
	if string(stamp) != string(s.last[:s.lastLen]) || s.result.yearless && distance(arrived, s.arrived) > nanosOfDay {
		s.result = s.read(stamp, arrived)
		s.lastLen, s.arrived = 0, arrived
		if len(stamp) <= stampKept {
			s.lastLen = copy(s.last[:], stamp)
		}
	}
	return s.result.at, s.result.zoned, s.result.ok
}

// ownSecond is where the second stands in a stamp of rsync's own.
const ownSecond = len("2026/11/23 18:40:")

// sameMinute says whether a stamp of rsync's own differs from the last one in its second at most.
// No zone has changed its offset within a minute since 1972.
func (s *Stamps) sameMinute(stamp []byte) bool {
	if len(stamp) != ownSecond+2 || s.lastLen != len(stamp) || stamp[0] != '2' || stamp[4] != '/' || !s.result.ok ||
		string(stamp[:ownSecond]) != string(s.last[:ownSecond]) {
		return false
	}
	tens, ones := stamp[ownSecond], stamp[ownSecond+1]
	return tens-'0' < 6 && ones-'0' < 10
}

const (
	secondsOfDay = 24 * 60 * 60
	nanosOfDay   = secondsOfDay * uint64(time.Second)
)

// read is Time without the memory.
func (s *Stamps) read(stamp []byte, arrived int64) stampTime {
	if t := unixStamp(stamp); t.ok {
		return t
	}
	weekday := shapeLength(stamp, "Aaa ")
	if weekday > 0 && !isBSDStamp(stamp[weekday:]) && !isISOStamp(stamp[weekday:]) {
		weekday = 0
	}
	stamp = stamp[weekday:]
	var c civil
	n := c.readDate(stamp)
	if n > 0 {
		n = c.readFraction(stamp, n)
	}
	zoned := false
	switch {
	case n == 0:
		return stampTime{}
	case c.year < 0:
		n = c.readYear(stamp, n)
	case weekday > 0:
		n, zoned = c.readZoneName(stamp, n)
	default:
		n, zoned = c.readZone(stamp, n)
	}
	if n != len(stamp) || c.hour > 23 || c.minute > 59 || c.second > 60 || weekday > 0 && c.year < 0 {
		return stampTime{}
	}
	if c.year < 0 {
		return s.inClosestYear(c, arrived)
	}
	at, ok := s.unix(c, zoned)
	return stampTime{at: at, zoned: zoned && ok, ok: ok}
}

// unixStamp reads seconds or microseconds of the Unix epoch: sixteen digits, or ten, a point and
// six.
func unixStamp(b []byte) stampTime {
	const digits, point = 16, 10
	if len(b) != digits && (len(b) != digits+1 || b[point] != '.') {
		return stampTime{}
	}
	micros := int64(0)
	for i, c := range b {
		switch {
		case isDigit(c):
			micros = micros*10 + int64(number(c))
		case i != point || len(b) == digits:
			return stampTime{}
		}
	}
	if micros > math.MaxInt64/int64(time.Microsecond) {
		return stampTime{}
	}
	return stampTime{at: micros * int64(time.Microsecond), zoned: true, ok: true}
}

// inClosestYear reads a stamp that has no year.
func (s *Stamps) inClosestYear(c civil, arrived int64) stampTime {
	best := stampTime{yearless: true}
	year := time.Unix(0, arrived).UTC().Year()
	for _, c.year = range [...]int{year, year - 1, year + 1} {
		at, ok := s.unix(c, false)
		if ok && (!best.ok || distance(at, arrived) < distance(best.at, arrived)) {
			best.at, best.ok = at, true
		}
		if ok && distance(at, arrived) < 180*nanosOfDay {
			break // no other year can bring it closer
		}
	}
	return best
}

func distance(a, b int64) uint64 { return uint64(max(a, b)) - uint64(min(a, b)) }

// unix returns the time of a date, in nanoseconds of the Unix epoch; not ok if the calendar doesn't
// have it.
func (s *Stamps) unix(c civil, zoned bool) (at int64, ok bool) {
	if c.month < 1 || c.month > 12 || c.day < 1 || c.day > daysIn(c.month, c.year) {
		return 0, false
	}
	leap := int64(c.second / 60) // second 60 is 59 and one more
	wall := c.days()*secondsOfDay + int64(c.hour)*3600 + int64(c.minute)*60 + int64(c.second) - leap
	seconds := wall - c.east
	if !zoned {
		seconds = s.utc(wall)
	}
	seconds += leap
	const most = math.MaxInt64/int64(time.Second) - 1
	if seconds > most || seconds < -most {
		return 0, false
	}
	return seconds*int64(time.Second) + c.nano, true
}

// utc returns the time at which local clocks show wall, both in seconds of the Unix epoch.
func (s *Stamps) utc(wall int64) int64 {
	if utc := wall - s.offset; s.from <= utc && utc < s.to {
		return utc
	}
	local := s.Local
	if local == nil {
		local = time.Local
	}
	shown := time.Unix(wall, 0).UTC()
	hour, minute, second := shown.Clock()
	t := time.Date(shown.Year(), shown.Month(), shown.Day(), hour, minute, second, 0, local)
	_, offset := t.Zone()
	s.offset, s.from, s.to = int64(offset), math.MinInt64, math.MaxInt64
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		s.from = start.Unix() + secondsOfDay + 1
	}
	if !end.IsZero() {
		s.to = end.Unix() - secondsOfDay
	}
	return t.Unix()
}

// A civil is a time as a stamp shows it.
type civil struct {
	year, month, day, hour, minute, second int // year is -1 where the stamp has none
	nano                                   int64
	east                                   int64 // of UTC, in seconds, where the stamp has a zone
}

// dateShapes are the shapes of dates, and where in them the parts begin; year is -1 where there is
// none, or where it stands behind.
var dateShapes = [...]struct {
	shape                   string
	year, month, day, clock int
}{
	{"0000/00/00 00:00:00", 0, 5, 8, 11},
	{"0000-00-00T00:00:00", 0, 5, 8, 11},
	{"0000-00-00 00:00:00", 0, 5, 8, 11},
	{"Aaa _0 00:00:00", -1, 0, 4, 7},
	{"Aaa 0 00:00:00", -1, 0, 4, 6},
	{"Aaa _0 0000 00:00:00", 7, 0, 4, 12},
	{"Aaa 0 0000 00:00:00", 6, 0, 4, 11},
	{"0000 Aaa _0 00:00:00", 0, 5, 9, 12},
	{"0000 Aaa 0 00:00:00", 0, 5, 9, 11},
}

// rareShapes are those that isISOStamp and isBSDStamp don't know, and rsync's own isn't.
var rareShapes = dateShapes[4:]

// The readers of parts return where the part at the start of b, or at b[n:], ends.
//
// readDate reads a date and time of day. end is 0 if there are none.
func (c *civil) readDate(b []byte) (end int) {
	for i := range dateShapes {
		s := &dateShapes[i]
		if end = shapeLength(b, s.shape); end == 0 {
			continue
		}
		if c.year = -1; s.year >= 0 {
			c.year = fourDigits(b[s.year:])
		}
		if c.day = twoDigits(b[s.day:]); b[s.day+1] == ' ' {
			c.day = number(b[s.day])
		}
		if month := b[s.month:]; isDigit(month[0]) {
			c.month = twoDigits(month)
		} else {
			c.month = monthByName(month[:3])
		}
		clock := b[s.clock:]
		c.hour, c.minute, c.second = twoDigits(clock), twoDigits(clock[3:]), twoDigits(clock[6:])
		return end
	}
	return 0
}

// readYear reads a year behind a date that has none. end is n if there is none.
func (c *civil) readYear(b []byte, n int) (end int) {
	length := yearBehind(b[n:])
	if length > 0 {
		c.year = fourDigits(b[n+1:])
	}
	return n + length
}

// readFraction reads a fraction of a second, if there is one. end is 0 for a '.' without digits.
func (c *civil) readFraction(b []byte, n int) (end int) {
	end = fractionEnd(b, n)
	unit := int64(time.Second / 10)
	for i := n + 1; i < end && unit > 0; i++ {
		c.nano += int64(number(b[i])) * unit
		unit /= 10
	}
	return end
}

// readZone reads "Z", "+hh:mm" or "+hhmm" (RFC 3339 section 5.6). end is n, and it is not ok, if
// there is none.
func (c *civil) readZone(b []byte, n int) (end int, ok bool) {
	end = zoneEnd(b, n)
	if end == n || b[n] == 'Z' {
		return end, end > n
	}
	if !c.setZone(b[n], twoDigits(b[n+1:]), twoDigits(b[end-2:])) {
		return n, false
	}
	return end, true
}

func (c *civil) setZone(sign byte, hours, minutes int) (ok bool) {
	if hours > 23 || minutes > 59 {
		return false
	}
	c.east = int64(hours*3600 + minutes*60)
	if sign == '-' {
		c.east = -c.east
	}
	return true
}

// readZoneName reads a zone as strftime's %Z writes it, behind a space. end is n if there is none.
// It is not ok for a name that more than one zone has, as most are: the stamp is this machine's
// then.
func (c *civil) readZoneName(b []byte, n int) (end int, ok bool) {
	end = n + zoneName(b[n:])
	if end == n {
		return n, false
	}
	name := b[n+1 : end]
	switch offset := (name[0] == '+' || name[0] == '-') && digitsEnd(name, 1) == len(name); {
	case string(name) == "UTC" || string(name) == "GMT":
		return end, true
	case offset && len(name) == len("+01"):
		return end, c.setZone(name[0], twoDigits(name[1:]), 0)
	case offset && len(name) == len("+0130"):
		return end, c.setZone(name[0], twoDigits(name[1:]), twoDigits(name[3:]))
	}
	return end, false
}

// days returns how many days after 1970-01-01 the date is.
func (c *civil) days() int64 {
	before := [...]int{0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334}[c.month-1]
	if c.month > 2 && isLeap(c.year) {
		before++
	}
	y := c.year + 399 // the years before it, and 400 more, so that year 0 is no exception
	const epoch = 719162 + 400*365 + 97
	return int64(y*365 + y/4 - y/100 + y/400 + before + c.day - 1 - epoch)
}

func isLeap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func daysIn(month, year int) int {
	if month == 2 && isLeap(year) {
		return 29
	}
	return [...]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[month-1]
}

// monthByName returns 1 to 12, or 0 for another word.
func monthByName(name []byte) int {
	const names = "JanFebMarAprMayJunJulAugSepOctNovDec"
	for i := 0; i < len(names); i += 3 {
		if string(name) == names[i:i+3] {
			return i/3 + 1
		}
	}
	return 0
}

func number(digit byte) int { return int(digit - '0') }

func fourDigits(b []byte) int { return twoDigits(b)*100 + twoDigits(b[2:]) }

// twoDigits reads a number of two digits, or of one behind a space.
func twoDigits(b []byte) int {
	if b[0] == ' ' {
		return number(b[1])
	}
	return number(b[0])*10 + number(b[1])
}
