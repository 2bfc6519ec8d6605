package show

import (
	"math"
	"strconv"
	"time"

	"rsyncd_exporter/internal/text"
)

// thousands writes 1234567 as 1,234,567.
func thousands(n uint64) string { return text.Thousands(n) }

// iec writes bytes in units of 1024: 12.3 GiB.
func iec(bytes float64) string { return text.Bytes(bytes) }

// span writes a duration with its two largest units: 2d 3h, 1h 05m, 4m 10s, 12s, 0.4s.
func span(s float64) string { return text.Span(s) }

// hundredths writes a share of 1 in percent.
func hundredths(f float64) string {
	switch p := f * 100; {
	case math.IsNaN(p):
		return "?"
	case p > 0 && p < 0.1:
		return "<0.1%"
	case p > 99.9 && p < 100:
		return ">99.9%"
	default:
		return strconv.FormatFloat(p, 'f', 1, 64) + "%"
	}
}

// of returns the share of a part, 0 of nothing.
func of(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// minute shortens an RFC 3339 time to its minute. The report says once which zone times are of.
func minute(s string) string {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.Format("2006-01-02 15:04")
	}
	return text.OneLine(s)
}

// offset returns the zone of an RFC 3339 time as UTC or UTC+01:00; "" for another text.
func offset(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return ""
	}
	if z := t.Format("Z07:00"); z != "Z" {
		return "UTC" + z
	}
	return "UTC"
}

// between returns the seconds from one RFC 3339 time to another, or false if one isn't known or
// they lie the other way round.
func between(from, to string) (float64, bool) {
	a, err := time.Parse(time.RFC3339, from)
	b, err2 := time.Parse(time.RFC3339, to)
	if err != nil || err2 != nil || b.Before(a) {
		return 0, false
	}
	return b.Sub(a).Seconds(), true
}

// plural writes a number and what it counts.
func plural(n uint64, one, many string) string { return text.Plural(n, one, many) }
