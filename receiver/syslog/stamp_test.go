package syslog_test

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the tests name zones

	"rsyncd_exporter/receiver/syslog"
)

// location is for zones whose rules differ: half hours, daylight saving of 30 minutes, a day left out, an offset of
// odd seconds.
func location(t testing.TB, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	must(t, err)
	return l
}

var zoneNames = []string{"UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia",
	"Africa/Monrovia", "Asia/Kathmandu"}

// utc is the time that RFC 3339 text says, in nanoseconds of the Unix epoch.
func utc(t testing.TB, s string) int64 {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	must(t, err)
	return at.UnixNano()
}

func TestStamps(t *testing.T) {
	// By hand: 56 years with 14 leap days to 2026 are 20,454 days, 326 more to November 23 are 20,780, of 86,400 s
	// each; 18:40:52 is 67,252 s.
	const golden = 1_795_459_252 * int64(time.Second)
	for _, tt := range []struct{ stamp, arrived, want string }{ // want: a time, "zoned" before it, or "" for none
		{"2026-11-23T18:40:52Z", "", "zoned 2026-11-23T18:40:52Z"},
		{"2026-11-23T18:40:52.123456+01:00", "", "zoned 2026-11-23T17:40:52.123456Z"},
		{"2026-11-23T18:40:52-03:30", "", "zoned 2026-11-23T22:10:52Z"},
		{"2026-11-23T18:40:52-00:00", "", "zoned 2026-11-23T18:40:52Z"},
		{"2026-11-23 18:40:52.5Z", "", "zoned 2026-11-23T18:40:52.5Z"},
		{"2026-11-23 18:40:52", "", "2026-11-23T17:40:52Z"},
		{"2026-11-23T18:40:52.1234567899", "", "2026-11-23T17:40:52.123456789Z"},
		{"2026/11/23 18:40:52", "", "2026-11-23T17:40:52Z"},
		{"2026/07/23 18:40:52", "", "2026-07-23T16:40:52Z"}, // in summer Berlin is two hours ahead
		{"2024/02/29 12:00:00", "", "2024-02-29T11:00:00Z"},

		// The year that brings it closest.
		{"Nov 23 18:40:52", "2026-11-23T17:40:53Z", "2026-11-23T17:40:52Z"},
		{"Nov 23 18:40:52.25", "2026-11-23T17:40:53Z", "2026-11-23T17:40:52.25Z"},
		{"Nov  3 18:40:52", "2026-11-23T17:40:53Z", "2026-11-03T17:40:52Z"},
		{"Nov 03 18:40:52", "2026-11-23T17:40:53Z", "2026-11-03T17:40:52Z"},
		{"Dec 31 23:59:59", "2027-01-01T00:30:00Z", "2026-12-31T22:59:59Z"},
		{"Jan  1 00:00:01", "2026-12-31T23:30:00Z", "2026-12-31T23:00:01Z"}, // of 2027 in Berlin
		{"Jan  1 01:00:01", "2026-12-31T22:30:00Z", "2027-01-01T00:00:01Z"},
		{"Jun 30 12:00:00", "2026-12-01T00:00:00Z", "2026-06-30T10:00:00Z"}, // 154 days before, 211 after
		{"May 30 12:00:00", "2026-12-01T00:00:00Z", "2027-05-30T10:00:00Z"}, // 185 days before, 180 after
		{"Feb 29 12:00:00", "2025-01-10T00:00:00Z", "2024-02-29T11:00:00Z"},
		{"Feb 29 12:00:00", "2023-12-01T00:00:00Z", "2024-02-29T11:00:00Z"},
		{"Feb 29 12:00:00", "2026-03-01T00:00:00Z", ""}, // neither 2025 nor 2026 nor 2027 has one
		{"Feb 29 12:00:00", "2100-03-01T00:00:00Z", ""},

		// A year; a day without padding; a comma; a zone without a colon.
		{"Nov 23 18:40:52 2024", "", "2024-11-23T17:40:52Z"},
		{"Nov 23 18:40:52.5 2024", "", "2024-11-23T17:40:52.5Z"},
		{"Nov 23 2024 18:40:52", "", "2024-11-23T17:40:52Z"},
		{"2024 Nov 23 18:40:52.25", "", "2024-11-23T17:40:52.25Z"},
		{"Nov 3 18:40:52", "2026-11-23T17:40:53Z", "2026-11-03T17:40:52Z"},
		{"Nov 3 18:40:52 2024", "", "2024-11-03T17:40:52Z"},
		{"Nov 3 2024 18:40:52", "", "2024-11-03T17:40:52Z"},
		{"2024 Nov 3 18:40:52", "", "2024-11-03T17:40:52Z"},
		{"2024 Nov  3 18:40:52", "", "2024-11-03T17:40:52Z"},
		{"Mon Nov 23 18:40:52 2026", "", "2026-11-23T17:40:52Z"},
		{"2026-11-23 18:40:52,123", "", "2026-11-23T17:40:52.123Z"},
		{"2026-11-23T18:40:52.5+0130", "", "zoned 2026-11-23T17:10:52.5Z"},
		{"Feb 29 12:00:00 2026", "", ""}, {"Nov 23 18:40:52 1826", "", ""}, {"2026 Nov 23 18:40:52 2026", "", ""},

		// journalctl -o short-full, whose zone is a name; short-unix; json.
		{"Mon 2026-11-23 18:40:52 CET", "", "2026-11-23T17:40:52Z"},
		{"Mon 2026-11-23 18:40:52.25 UTC", "", "zoned 2026-11-23T18:40:52.25Z"},
		{"Mon 2026-11-23 18:40:52 GMT", "", "zoned 2026-11-23T18:40:52Z"},
		{"Mon 2026-11-23 18:40:52 -03", "", "zoned 2026-11-23T21:40:52Z"},
		{"Mon 2026-11-23 18:40:52 +0545", "", "zoned 2026-11-23T12:55:52Z"},
		{"Mon 2026-11-23 18:40:52 +99", "", "2026-11-23T17:40:52Z"},
		{"Mon Nov 23 18:40:52", "2026-11-23T17:40:53Z", ""}, {"Mon 2026/11/23 18:40:52", "", ""},
		{"1795459252.123456", "", "zoned 2026-11-23T18:40:52.123456Z"}, // the golden number above
		{"1795459252123456", "", "zoned 2026-11-23T18:40:52.123456Z"},
		{"9223372036854775", "", "zoned 2262-04-11T23:47:16.854775Z"}, {"9223372036854776", "", ""},
		{"1795459252", "", ""}, {"1795459252.12345", "", ""}, {"179545925212345x", "", ""}, {"17954592521234567", "", ""},

		// A second more than there are.
		{"2016-12-31T23:59:60Z", "", "zoned 2017-01-01T00:00:00Z"},
		{"2016-12-31T23:59:60.5Z", "", "zoned 2017-01-01T00:00:00.5Z"},
		{"2026/06/30 12:00:60", "", "2026-06-30T10:01:00Z"},
		{"2016-12-31T23:59:61Z", "", ""},

		// No times.
		{"", "", ""}, {"-", "", ""}, {"x", "", ""}, {"Nov 23", "", ""}, {"2026/11/23", "", ""},
		{"18:40:52", "", ""}, {"2026/02/30 00:00:00", "", ""}, {"2026/02/29 00:00:00", "", ""},
		{"1900/02/29 00:00:00", "", ""}, {"2026/04/31 00:00:00", "", ""}, {"2026/00/01 00:00:00", "", ""},
		{"2026/13/01 00:00:00", "", ""}, {"2026/01/00 00:00:00", "", ""}, {"2026/01/32 00:00:00", "", ""},
		{"2026/01/01 24:00:00", "", ""}, {"2026/01/01 00:60:00", "", ""},
		{"Nov  0 00:00:00", "2026-11-23T00:00:00Z", ""}, {"Nov 31 00:00:00", "2026-11-23T00:00:00Z", ""},
		{"Nix 23 00:00:00", "2026-11-23T00:00:00Z", ""}, {"nov 23 00:00:00", "2026-11-23T00:00:00Z", ""},
		{"Nov 23 18:40:52Z", "2026-11-23T00:00:00Z", ""}, {"2026/11/23 18:40:52 ", "", ""},
		{" 2026/11/23 18:40:52", "", ""}, {"2026/11/23 18:40:52.", "", ""}, {"2026/11-23 18:40:52", "", ""},
		{"2026-11-23T18:40:52+24:00", "", ""}, {"2026-11-23T18:40:52+01:60", "", ""},
		{"2026-11-23T18:40:52ZZ", "", ""},
		{"1677/01/01 00:00:00", "", ""}, {"9999-12-31T23:59:59Z", "", ""}, {"0000-01-01T00:00:00Z", "", ""},
	} {
		s := syslog.Stamps{Local: location(t, "Europe/Berlin")}
		arrived, got := golden, ""
		if tt.arrived != "" {
			arrived = utc(t, tt.arrived)
		}
		at, zoned, ok := s.Time([]byte(tt.stamp), arrived)
		if ok {
			got = time.Unix(0, at).UTC().Format(time.RFC3339Nano)
		}
		if zoned {
			got = "zoned " + got
		}
		if got != tt.want {
			t.Errorf("%q, read at %s: %q, want %q", tt.stamp, tt.arrived, got, tt.want)
		}
		if !ok && at != 0 {
			t.Errorf("%q: %d, though it is no time", tt.stamp, at)
		}
		if again, z, o := s.Time([]byte(tt.stamp), arrived); again != at || z != zoned || o != ok {
			t.Errorf("%q gives %d %v %v at first and %d %v %v when asked again", tt.stamp, at, zoned, ok, again, z, o)
		}
	}
	if at, _, _ := new(syslog.Stamps).Time([]byte("2026-11-23T18:40:52Z"), 0); at != golden {
		t.Errorf("%d, want %d", at, golden)
	}
}

// Without a zone it is this machine's.
func TestStampsOfThisMachine(t *testing.T) {
	want := time.Date(2026, 7, 23, 18, 40, 52, 0, time.Local).UnixNano()
	if at, zoned, ok := new(syslog.Stamps).Time([]byte("2026/07/23 18:40:52"), 0); at != want || zoned || !ok {
		t.Errorf("%d %v %v, want %d false true", at, zoned, ok, want)
	}
}

// What was read before changes nothing: a year of stamps, every ten minutes, forwards, in jumps, and backwards,
// around each change of the clocks and away from it, reads as each of them by itself.
func TestStampsRememberRightly(t *testing.T) {
	for _, name := range zoneNames {
		zone := location(t, name)
		s := syslog.Stamps{Local: zone}
		const steps = 365 * 24 * 6
		for i := range 3 * steps {
			n := [...]int{i, i * 7919 % steps, 3*steps - i}[i/steps]
			// In 2011 Apia left a day out.
			stamp := time.Date(2011, 1, 1, 0, 10*n, 0, 0, time.UTC).Format("2006/01/02 15:04:05")
			want, err := time.ParseInLocation("2006/01/02 15:04:05", stamp, zone)
			must(t, err)
			if at, _, ok := s.Time([]byte(stamp), 0); at != want.UnixNano() || !ok {
				t.Fatalf("%s, %q: %v, want %v", name, stamp, time.Unix(0, at).In(zone), want)
			}
		}
	}
}

// A stamp of the same minute as the one before reads as by itself, too: one that is none, a leap second, and where a zone changed within
// the minute (New York's clocks went back from 12:03:58 to 12:00:00 on 18 November 1883).
func TestStampsOfTheSameMinute(t *testing.T) {
	for _, zone := range []*time.Location{time.UTC, location(t, "America/New_York")} {
		for _, c := range [][2]string{
			{"2026/11/23 18:40:52", "2026/11/23 18:40:07"}, {"2026/11/23 18:40:52", "2026/11/23 18:40:5:"},
			{"2026/11/23 18:40:52", "2026/11/23 18:40:60"}, {"2026/11/23 18:40:60", "2026/11/23 18:40:52"},
			{"2026/11/23 18:40:52", "2026/11/23 18:40:79"}, {"2026/11/23 18:40:52", "2026/11/23 18:40: 2"},
			{"1883/11/18 12:03:50", "1883/11/18 12:03:59"}, {"1883/11/18 12:03:59", "1883/11/18 12:03:50"},
		} {
			after, alone := syslog.Stamps{Local: zone}, syslog.Stamps{Local: zone}
			after.Time([]byte(c[0]), 0)
			at, _, ok := after.Time([]byte(c[1]), 0)
			if want, _, wanted := alone.Time([]byte(c[1]), 0); at != want || ok != wanted {
				t.Errorf("%v: %q after %q: %d %v, want %d %v", zone, c[1], c[0], at, ok, want, wanted)
			}
		}
	}
}

// A stamp without a year that comes again is another year's, once so much time has passed.
func TestStampsYearPasses(t *testing.T) {
	s := syslog.Stamps{Local: time.UTC}
	stamp := []byte("Nov 23 18:40:52")
	for _, year := range []string{"2026", "2027", "2025"} {
		want := year + "-11-23T18:40:52Z"
		for _, arrived := range []string{"-11-23T18:40:52Z", "-11-24T00:00:00Z", "-11-26T00:00:00Z"} {
			if at, _, ok := s.Time(stamp, utc(t, year+arrived)); !ok || at != utc(t, want) {
				t.Errorf("%q, read at %s: %v, want %s", stamp, year+arrived, time.Unix(0, at).UTC(), want)
			}
		}
	}
}

// changing returns stamps of one shape, a second from one to the next, over a day and a half from the night on in
// which daylight saving time ended in Berlin.
func changing(layout string) (all [][]byte) {
	for i := range 36 * 60 * 60 {
		all = append(all, []byte(time.Date(2026, 10, 25, 0, 0, i, 0, time.UTC).Format(layout)))
	}
	return all
}

var stampLayouts = []struct{ name, layout string }{
	{"rsync", "2006/01/02 15:04:05"}, {"rfc3164", "Jan _2 15:04:05"}, {"rfc3339", "2006-01-02T15:04:05.000000-07:00"},
}

func TestStampsDoNotAllocate(t *testing.T) {
	s := syslog.Stamps{Local: location(t, "Europe/Berlin")}
	arrived := utc(t, "2026-10-26T00:00:00Z")
	for _, l := range stampLayouts {
		stamps, i := changing(l.layout), 0
		if n := testing.AllocsPerRun(len(stamps)-1, func() {
			s.Time(stamps[i], arrived)
			i++
		}); n != 0 {
			t.Errorf("%s: %v allocations a stamp", l.name, n)
		}
	}
	long := "2026-11-23T18:40:52." + strings.Repeat("1", 1000) + "Z"
	for _, stamp := range []string{"Feb 30 00:00:00", "2026/11/23 24:00:00", "x", "", long} {
		b := []byte(stamp)
		if n := testing.AllocsPerRun(100, func() { s.Time(b, arrived) }); n != 0 {
			t.Errorf("%.99q: %v allocations", stamp, n)
		}
	}
}

func BenchmarkStamps(b *testing.B) {
	arrived := utc(b, "2026-10-26T00:00:00Z")
	for _, l := range stampLayouts {
		stamps := changing(l.layout)
		for _, bench := range []struct {
			name         string
			first, every int
		}{
			{"same", 0, 0}, {"changing near DST", 0, 1}, {"changing", 28 * 60 * 60, 1},
		} {
			b.Run(l.name+"/"+bench.name, func(b *testing.B) {
				s := syslog.Stamps{Local: location(b, "Europe/Berlin")}
				b.ReportAllocs()
				for i := bench.first; b.Loop(); i += bench.every {
					if i == len(stamps) {
						i = bench.first
					}
					if _, _, ok := s.Time(stamps[i], arrived); !ok {
						b.Fatal("no time")
					}
				}
			})
		}
	}
}

var (
	specDate = regexp.MustCompile(`\A(?:[0-9]{4}/[0-9]{2}/[0-9]{2} |[0-9]{4}-[0-9]{2}-[0-9]{2}[ T])` +
		`([0-9]{2}:[0-9]{2}:[0-9]{2})([.,][0-9]+)?(Z|[-+](?:[01][0-9]|2[0-3]):?[0-5][0-9])?\z`)
	specYearless = regexp.MustCompile(`\A[A-Z][a-z]{2} (?:[ 0-9][0-9]|[0-9]) ([0-9]{2}:[0-9]{2}:[0-9]{2})([.,][0-9]+)?\z`)
	specYears    = regexp.MustCompile(`\A(?:[A-Z][a-z]{2} ([A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}(?:[.,][0-9]+)?) ((?:19|20)[0-9]{2})` + // ctime
		`|([A-Z][a-z]{2} (?:[ 0-9][0-9]|[0-9]) [0-9:]{8}(?:[.,][0-9]+)?) ((?:19|20)[0-9]{2})` + // last
		`|([A-Z][a-z]{2} (?:[ 0-9][0-9]|[0-9]) )([0-9]{4}) ([0-9:]{8}(?:[.,][0-9]+)?)` + // third
		`|([0-9]{4}) ([A-Z][a-z]{2} (?:[ 0-9][0-9]|[0-9]) [0-9:]{8}(?:[.,][0-9]+)?))\z`) // first
	specFull = regexp.MustCompile(`\A[A-Z][a-z]{2} ([0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:]{8}(?:[.,][0-9]+)?)(?: ([A-Z0-9+-]{3,6}))?\z`)
	specZone = regexp.MustCompile(`\A([-+])([01][0-9]|2[0-3])([0-5][0-9])?\z`)
	specUnix = regexp.MustCompile(`\A([0-9]{10})\.?([0-9]{6})\z`)
)

// specRewritten returns a stamp in one of the shapes that have a year or a weekday in another place as one of the
// others; with the number it stands for, where it is one.
func specRewritten(stamp string) (same, number string) {
	if m := specUnix.FindStringSubmatch(stamp); m != nil {
		micros, err := strconv.ParseInt(m[1]+m[2], 10, 64)
		if err != nil || micros > math.MaxInt64/1000 {
			return "", ""
		}
		return "", fmt.Sprint(micros*1000, " ", true)
	}
	if m := specFull.FindStringSubmatch(stamp); m != nil {
		zone := m[2]
		if z := specZone.FindStringSubmatch(zone); z != nil {
			zone = z[1] + z[2] + ":" + (z[3] + "00")[:2]
		} else if zone == "UTC" || zone == "GMT" {
			zone = "Z"
		} else {
			zone = ""
		}
		return m[1] + zone, ""
	}
	if m := specYears.FindStringSubmatch(stamp); m != nil {
		return m[2] + m[4] + m[6] + m[8] + " " + m[1] + m[3] + m[5] + m[7] + m[9], ""
	}
	return stamp, ""
}

// specTime is what package time makes of a stamp.
func specTime(stamp string, arrived int64, zone *time.Location) string {
	stamp, number := specRewritten(stamp)
	if number != "" {
		return number
	}
	stamp = strings.Replace(stamp, ",", ".", 1)
	layout, prefixes := "2006-01-02T15:04:05", []string{""}
	m := specDate.FindStringSubmatch(stamp)
	yearly := len(stamp) > 5 && stamp[4] == ' ' && specYearless.MatchString(stamp[5:])
	switch {
	case yearly:
		m = append(specYearless.FindStringSubmatch(stamp[5:]), "")
		layout = "2006 Jan _2 15:04:05"
	case m != nil:
		if zone := m[3]; len(zone) == 5 {
			stamp = stamp[:len(stamp)-2] + ":" + zone[3:]
		}
		stamp = stamp[:4] + "-" + stamp[5:7] + "-" + stamp[8:10] + "T" + stamp[11:]
		if m[3] != "" {
			layout += "Z07:00"
		}
	case specYearless.MatchString(stamp):
		m = append(specYearless.FindStringSubmatch(stamp), "")
		layout = "2006 Jan _2 15:04:05"
		year := time.Unix(0, arrived).UTC().Year()
		prefixes = []string{fmt.Sprint(year, " "), fmt.Sprint(year-1, " "), fmt.Sprint(year+1, " ")}
	default:
		return "none"
	}
	leap := time.Duration(0)
	if strings.HasSuffix(m[1], ":60") { // package time doesn't know it
		stamp, leap = strings.Replace(stamp, m[1], m[1][:6]+"59", 1), time.Second
	}
	best := "none"
	var closest uint64 = math.MaxUint64
	for _, prefix := range prefixes {
		at, err := time.ParseInLocation(layout, prefix+stamp, zone)
		at = at.Add(leap)
		if most := math.MaxInt64/int64(time.Second) - 1; err != nil || at.Unix() > most || at.Unix() < -most {
			continue
		}
		if d := apart(at.UnixNano(), arrived); d < closest {
			closest, best = d, fmt.Sprint(at.UnixNano(), " ", m[3] != "")
		}
	}
	return best
}

func apart(a, b int64) uint64 { return uint64(max(a, b)) - uint64(min(a, b)) }

// FuzzStamps holds the reading of stamps against package time, whatever was read before.
func FuzzStamps(f *testing.F) {
	now := utc(f, "2026-11-23T18:40:53Z")
	for _, s := range []string{
		"2026/11/23 18:40:52", "Nov 23 18:40:52.5", "Nov  3 18:40:60", "2026-11-23T18:40:52.123456789+01:00",
		"1700-02-28 00:00:00Z", "2026-10-25 02:30:00", "2026-03-29 02:30:00", "Feb 29 00:00:00", "2011-12-30 12:00:00", "1960/01/01 00:00:00",
		"2300/01/01 00:00:00", "-", "", "Nov 3 18:40:52.5 2024", "2024 Nov  3 18:40:52,5", "Nov 23 2024 18:40:52", "Mon Nov 23 18:40:52 2026",
		"Mon 2026-11-23 18:40:52 CET", "Mon 2026-11-23 18:40:52.25 +0545", "1795459252.123456", "1795459252123456", "2026-11-23T18:40:52+0100",
	} {
		f.Add(s, now, "2026/06/01 00:00:00")
		f.Add("2026/11/23 18:40:52", -now, s)
	}
	var zones []*time.Location
	for _, name := range zoneNames {
		zones = append(zones, location(f, name))
	}
	f.Fuzz(func(t *testing.T, stamp string, arrived int64, before string) {
		for _, zone := range zones {
			s := syslog.Stamps{Local: zone}
			for _, x := range []string{before, stamp, stamp, before} {
				got := "none"
				if at, zoned, ok := s.Time([]byte(x), arrived); ok {
					got = fmt.Sprint(at, " ", zoned)
				}
				if want := specTime(x, arrived, zone); got != want {
					t.Errorf("%s: %q, read at %d: %s, want %s", zone, x, arrived, got, want)
				}
			}
		}
	})
}
