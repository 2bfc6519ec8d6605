package config

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/netip"
	osuser "os/user"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// A ByteSize is a number of bytes.
type ByteSize int64

// byteUnits are the units of a ByteSize, each 1024 times the one before.
var byteUnits = [...]string{"KiB", "MiB", "GiB"}

// parseByteSize reads a number of bytes: 1048576, 64KiB, 16MiB, 1GiB, or 64k.
func parseByteSize(s string) (ByteSize, error) {
	digits := strings.TrimRight(s, "KMGBikmgb")
	n, err := strconv.ParseUint(digits, 10, 63)
	if errors.Is(err, strconv.ErrRange) {
		return 0, errors.New("too large")
	}
	if err != nil {
		return 0, errors.New("not a number of bytes")
	}
	unit, shift := s[len(digits):], 0
	if unit != "" {
		i := slices.IndexFunc(byteUnits[:], func(u string) bool {
			return strings.EqualFold(unit, u) || strings.EqualFold(unit, u[:1])
		})
		if i < 0 {
			return 0, fmt.Errorf("%q is no unit that is known", unit)
		}
		shift = 10 * (i + 1)
	}
	if n > math.MaxInt64>>shift {
		return 0, errors.New("too large")
	}
	return ByteSize(n << shift), nil
}

// String returns the size in the largest unit that divides it. parseByteSize reads it back.
func (b ByteSize) String() string {
	n, unit := b, ""
	for _, u := range byteUnits {
		if n == 0 || n%1024 != 0 {
			break
		}
		n, unit = n/1024, u
	}
	return strconv.FormatInt(int64(n), 10) + unit
}

// parsed returns what reads a setting by parse, and reports its error with the remedy.
func parsed[T any](v *validator, parse func(string) (T, error), remedy string) func(*Setting) T {
	return func(s *Setting) T {
		value, err := parse(s.Value)
		if err != nil {
			v.problem(s, err, remedy)
		}
		return value
	}
}

// parsedItems is parsed for each item of a list, and returns equal values once.
func parsedItems[T comparable](v *validator, parse func(string) (T, error), remedy string) func(*Setting) []T {
	return func(s *Setting) (list []T) {
		for _, item := range items(s) {
			value, err := parse(item)
			if err != nil {
				v.problemWith(s, item, err, remedy)
			} else if !slices.Contains(list, value) {
				list = append(list, value)
			}
		}
		return list
	}
}

// valid makes a check of a text a function for parsed.
func valid[T any](check func(string) (T, error)) func(string) (string, error) {
	return func(s string) (string, error) {
		_, err := check(s)
		return s, err
	}
}

func parseReceiveBuffer(s string) (ByteSize, error) {
	const least, most ByteSize = 4 << 10, 1 << 30 // the kernel doubles it, in an int
	n, err := parseByteSize(strings.TrimSpace(s))
	if err == nil && n != 0 && (n < least || n > most) {
		err = fmt.Errorf("it must be 0 or from %v to %v", least, most)
	}
	return n, err
}

func parseDuration(least, most time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(strings.TrimSpace(s))
		if err != nil {
			return 0, errors.New("not a duration")
		}
		if d < least || d > most {
			return 0, fmt.Errorf("it must be from %v to %v", least, most)
		}
		return d, nil
	}
}

func parseNumber(least, most int) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("it must be a whole number from %d to %d", least, most)
		}
		return n, nil
	}
}

func asGiven(s *Setting) string { return s.Value }

// parseMode reads octal permissions, with or without the leading 0 or 0o.
func parseMode(s string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(s), "0o"), 8, 32)
	if err != nil || n == 0 || n > 0o777 {
		return 0, errors.New("no octal permissions from 0001 to 0777")
	}
	return fs.FileMode(n), nil
}

// oneOf returns what reads a setting that is one of some words, and returns the value in its place.
func oneOf[T any](v *validator, words string, values ...T) func(*Setting) T {
	return func(s *Setting) T {
		i := slices.Index(strings.Split(words, ", "), strings.TrimSpace(s.Value))
		if i < 0 {
			v.problem(s, errors.New("not one of the words that are known"), "write one of "+words)
		}
		return values[max(i, 0)]
	}
}

func (v *validator) addresses(s *Setting) []string {
	if s.off() {
		return nil
	}
	list := items(s)
	for _, a := range list {
		if reason, remedy := checkAddress(a, usualPort(s)); reason != "" {
			v.problemWith(s, a, errors.New(reason), remedy)
		}
	}
	return list
}

// usualPort returns the port that hints about an address show.
func usualPort(s *Setting) string {
	if _, port, err := net.SplitHostPort(s.Default); err == nil {
		return port
	}
	if s.Name == "LISTEN_TLS" {
		return "6514" // RFC 5425 section 4.1
	}
	return "5514"
}

func (v *validator) address(s *Setting) string {
	a := strings.TrimSpace(s.Value)
	if s.off() {
		v.problem(s, errors.New("it can't be switched off"),
			"write 127.0.0.1:"+usualPort(s)+" to be asked by this machine only")
		return a
	}
	if reason, remedy := checkAddress(a, usualPort(s)); reason != "" {
		v.problem(s, errors.New(reason), remedy)
	}
	return a
}

// prefixes returns the networks of a list of addresses, prefixes and the word any.
func (v *validator) prefixes(s *Setting) []netip.Prefix {
	const remedy = "write prefixes such as 192.0.2.0/24 and 2001:db8::/32, addresses, or any"
	var list []netip.Prefix
	for _, item := range items(s) {
		p, err := parsePrefix(item)
		switch {
		case item == "any":
			list = append(list, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"))
		case err != nil:
			v.problemWith(s, item, err, remedy)
		case p != p.Masked():
			v.problemWith(s, item, errors.New("the address has bits outside of the prefix"),
				"write "+p.Masked().String()+", or "+p.Addr().String()+" for one address")
		default:
			list = append(list, p)
		}
	}
	return list
}

// parsePrefix reads a prefix, or an address as one of full length. IPv4-mapped ones become IPv4's.
func parsePrefix(item string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(item); err == nil {
		if addr.Zone() != "" {
			return netip.Prefix{}, errors.New("a zone can't be told apart: fe80::/10 has the link-local addresses of " +
				"all interfaces")
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(item)
	if err != nil {
		return netip.Prefix{}, errors.New("neither an address nor a prefix")
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, nil
}

// parseUser returns a user's number. A name that looks like a number is that number.
func parseUser(item string) (uint32, error) {
	n, err := strconv.ParseUint(item, 10, 32)
	if err != nil {
		if u, unknown := osuser.Lookup(item); unknown == nil {
			n, err = strconv.ParseUint(u.Uid, 10, 32)
		}
	}
	if err != nil {
		return 0, errors.New("no user of this machine has the name")
	}
	return uint32(n), nil
}

// checkAddress returns why nobody can listen at an address, and what to write instead.
func checkAddress(a, usual string) (reason, remedy string) {
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		return checkBareAddress(a, usual, err)
	}
	example := addressExample(usual)
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return fmt.Sprintf("%q is no port from 0 to 65535", port), example
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil && !isHostName(host) {
		if host == "*" {
			example = "write :" + port + " for all addresses"
		}
		return fmt.Sprintf("%q is neither an IP address nor a host name", host), example
	}
	return "", ""
}

func addressExample(port string) string {
	return fmt.Sprintf("write 127.0.0.1:%s, [::1]:%[1]s, or :%[1]s for all addresses", port)
}

// checkBareAddress is checkAddress for what is no host and port, as err says.
func checkBareAddress(a, usual string, err error) (reason, remedy string) {
	if _, rest, ok := strings.Cut(a, "://"); ok {
		return "it is a URL", "write the address alone, such as " + strings.TrimRight(rest, "/")
	}
	if _, err := strconv.ParseUint(a, 10, 16); err == nil {
		return "it has no colon", "write :" + a + " for all addresses, or 127.0.0.1:" + a
	}
	if ip, err := netip.ParseAddr(a); err == nil {
		remedy := "write " + net.JoinHostPort(ip.String(), usual)
		if i := strings.LastIndexByte(a, ':'); i > 0 {
			if front, err := netip.ParseAddr(a[:i]); err == nil { // ::1:8080
				remedy += ", or " + net.JoinHostPort(front.String(), a[i+1:])
			}
		}
		return "it has no port", remedy
	}
	if isHostName(a) && a != "off" {
		return "it has no port", "write " + a + ":" + usual
	}
	if addrErr := (*net.AddrError)(nil); errors.As(err, &addrErr) {
		return addrErr.Err, addressExample(usual)
	}
	return err.Error(), addressExample(usual)
}

// isHostName reports whether s is a host name (RFC 1123 section 2.1, and underscores).
func isHostName(s string) bool {
	const label = `[0-9A-Za-z_-]{0,62}`
	name := regexp.MustCompile(`^([0-9A-Za-z_]` + label + `\.)*` + label + `[A-Za-z_-][0-9A-Za-z_-]*\.?$`)
	return len(s) <= 253 && name.MatchString(s)
}

func (v *validator) logFormat(s *Setting) string {
	warnings, err := checkLogFormat(s.Value)
	if err != nil {
		v.problem(s, err, "copy rsyncd.conf's log format")
	}
	for _, w := range warnings {
		v.doubt(s, s.Value, "%s", w)
	}
	return s.Value
}

func checkLogFormat(format string) (warnings []string, err error) {
	parser, err := rsynclog.NewParser(format)
	if err != nil {
		return nil, err
	}
	return parser.Warnings(), nil
}

func parseSyslogFormat(s string) (string, error) {
	s = strings.TrimSpace(s)
	_, err := syslog.NewDialect(s, false)
	return s, err
}
