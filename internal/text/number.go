package text

import (
	"math"
	"strconv"
)

// Thousands writes 1234567 as 1,234,567.
func Thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Plural writes a number and what it counts.
func Plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Thousands(n) + " " + many
}

// Bytes writes bytes with three digits or more, in units of 1024: 12.3 GiB.
func Bytes(bytes float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	i := 0
	for i < len(units)-1 && math.Round(bytes) >= 1000 {
		bytes /= 1024
		i++
	}
	return digits(bytes, i > 0) + " " + units[i]
}

// digits writes a number with three digits or more: 1.23, 12.3, 123, 1234.
func digits(f float64, fraction bool) string {
	switch {
	case !fraction || f >= 99.95:
		return strconv.FormatFloat(f, 'f', 0, 64)
	case f >= 9.995:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 2, 64)
}

// Span writes a duration in seconds with its two largest units: 2d 3h, 1h 05m, 4m 10s, 12s, 0.4s.
func Span(s float64) string {
	switch {
	case s < 0 || math.IsNaN(s):
		return "?"
	case s < 9.95 && s != math.Trunc(s):
		return strconv.FormatFloat(s, 'f', 1, 64) + "s"
	case s >= 1e11: // 3,000 years
		return "forever"
	}
	for _, u := range []struct {
		large, small float64
		names        [2]string
	}{{86400, 3600, [2]string{"d", "h"}}, {3600, 60, [2]string{"h", "m"}}, {60, 1, [2]string{"m", "s"}}} {
		n := math.Round(s / u.small)
		per := u.large / u.small
		if n < per {
			continue
		}
		rest := strconv.Itoa(int(math.Mod(n, per)))
		if len(rest) < 2 && u.names[0] != "d" {
			rest = "0" + rest
		}
		return strconv.Itoa(int(n/per)) + u.names[0] + " " + rest + u.names[1]
	}
	return strconv.FormatFloat(s, 'f', 0, 64) + "s"
}
