package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net"
	"net/netip"
	osuser "os/user"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A ByteSize is a number of bytes.
type ByteSize int64

// parseByteSize reads a number of bytes: 1048576, 64KiB, 16MiB, 1GiB, or with K, M, G alone, which mean the same. Lower case will do.
func parseByteSize(s string) (ByteSize, error) {
	digits := strings.TrimRight(s, "KMGBikmgb")
	n, err := strconv.ParseUint(digits, 10, 63)
	if errors.Is(err, strconv.ErrRange) {
		return 0, errors.New("too large")
	}
	if err != nil {
		return 0, errors.New("not a number of bytes")
	}
	shift := 0
	switch strings.ToLower(s[len(digits):]) {
	case "":
	case "k", "kib":
		shift = 10
	case "m", "mib":
		shift = 20
	case "g", "gib":
		shift = 30
	default:
		return 0, fmt.Errorf("%q is no unit that is known", s[len(digits):])
	}
	if n > math.MaxInt64>>shift {
		return 0, errors.New("too large")
	}
	return ByteSize(n << shift), nil
}

// String returns the size in the largest unit that it is a whole number of. parseByteSize reads it back.
func (b ByteSize) String() string {
	n, unit := b, ""
	for _, u := range []string{"KiB", "MiB", "GiB"} {
		if n == 0 || n%1024 != 0 {
			break
		}
		n, unit = n/1024, u
	}
	return strconv.FormatInt(int64(n), 10) + unit
}

func (v *validator) receiveBuffer(s *Setting) ByteSize {
	const remedy = "write 16MiB, 512KiB or a number of bytes"
	n, err := parseByteSize(strings.TrimSpace(s.Value))
	switch {
	case err != nil:
		v.problem(s, err, remedy)
	case n != 0 && (n < minReceiveBuffer || n > maxReceiveBuffer):
		v.problem(s, fmt.Errorf("it must be 0 or from %v to %v", ByteSize(minReceiveBuffer), ByteSize(maxReceiveBuffer)), remedy)
	}
	return n
}

func (v *validator) duration(s *Setting, least, most time.Duration) time.Duration {
	const remedy = "write a number and a unit, such as 500ms, 1s, 5m or 24h"
	d, err := time.ParseDuration(strings.TrimSpace(s.Value))
	switch {
	case err != nil:
		v.problem(s, errors.New("not a duration"), remedy)
	case d < least || d > most:
		v.problem(s, fmt.Errorf("it must be from %v to %v", least, most), remedy)
	}
	return d
}

func (v *validator) number(s *Setting, least, most int) int {
	n, err := strconv.Atoi(strings.TrimSpace(s.Value))
	if err != nil || n < least || n > most {
		v.problem(s, fmt.Errorf("it must be a whole number from %d to %d", least, most), fmt.Sprintf("the default is %s", s.Default))
	}
	return n
}

// mode reads octal permissions, with or without the leading 0 or 0o.
func (v *validator) mode(s *Setting) fs.FileMode {
	digits := strings.TrimPrefix(strings.TrimSpace(s.Value), "0o")
	n, err := strconv.ParseUint(digits, 8, 32)
	if err != nil || n == 0 || n > 0o777 {
		v.problem(s, errors.New("no octal permissions from 0001 to 0777"), "write 0666 for everybody, 0660 for owner and group")
	}
	return fs.FileMode(n)
}

func (v *validator) oneOf(s *Setting, names ...string) string {
	value := strings.TrimSpace(s.Value)
	for _, n := range names {
		if value == n {
			return n
		}
	}
	v.problem(s, errors.New("not one of the words that are known"), "write one of "+strings.Join(names, ", "))
	return ""
}

func (v *validator) level(s *Setting) slog.Level {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	return levels[v.oneOf(s, "debug", "info", "warn", "error")]
}

// lists reports lists that were given and have no item. Such a "," is a mistake, and must not let everybody in. An empty variable
// is an unset one; an empty flag switches off what can be.
func (v *validator) lists(s *settings) {
	for _, set := range s.all() {
		off := set.list == emptyIsNone && set.Value == ""
		if set.list == "" || set.Origin == "default" || off || len(set.items()) > 0 {
			continue
		}
		switch reason := "the list has no item"; set.list {
		case emptyIsNone:
			v.problem(set, errors.New(reason), "name one, or leave the setting out")
		case emptyIsAll:
			v.problem(set, errors.New(reason+", which would let everybody in"), "name whom to let in, or leave the setting out")
		default:
			v.problem(set, errors.New(reason+", so every message would be ignored"), "name one; the default is "+set.Default)
		}
		set.Value = set.Default // or more would seem to be wrong
	}
}

// doors reports flags that name no file where a file would keep people out: --tls-client-ca=$CA, and nobody has set CA.
func (v *validator) doors(s *settings) {
	for _, set := range []*Setting{&s.TLSClientCA, &s.TLSCrl, &s.WebConfig} {
		if set.Value == "" && set.Origin == set.Flag {
			v.problem(set, errors.New("no file is named, which would let everybody in"), "name it, or leave the flag out")
		}
	}
}

// addresses returns the addresses of a listener, none where it is off.
func (v *validator) addresses(s *Setting) []string {
	if s.off() {
		return nil
	}
	items := s.items()
	for _, a := range items {
		if reason, remedy := checkAddress(a, usualPort(s)); reason != "" {
			v.problemWith(s, a, errors.New(reason), remedy)
		}
	}
	return items
}

// usualPort returns the port that hints about an address have.
func usualPort(s *Setting) string {
	if _, port, err := net.SplitHostPort(s.Default); err == nil {
		return port
	}
	if s.Name == "LISTEN_TLS" {
		return "6514" // RFC 5425 section 4.1
	}
	return "5514"
}

// address returns a single address.
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
	for _, item := range s.items() {
		p, err := parsePrefix(item)
		switch {
		case item == "any":
			list = append(list, netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0))
		case err != nil:
			v.problemWith(s, item, err, remedy)
		case p != p.Masked():
			v.problemWith(s, item, errors.New("the address has bits outside of the prefix"), "write "+p.Masked().String()+", or "+p.Addr().String()+" for one address")
		default:
			list = append(list, p)
		}
	}
	return list
}

// parsePrefix reads a prefix, or an address, which is a prefix of full length. IPv4-mapped ones become IPv4's.
func parsePrefix(item string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(item); err == nil {
		if addr.Zone() != "" {
			return netip.Prefix{}, errors.New("a zone can't be told apart: fe80::/10 has the link-local addresses of all interfaces")
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

// users returns the numbers of a list of users.
func (v *validator) users(s *Setting) []uint32 {
	var list []uint32
	for _, item := range s.items() {
		n, err := strconv.ParseUint(item, 10, 32)
		if err != nil { // a name; one that looks like a number is the number
			if u, unknown := osuser.Lookup(item); unknown == nil {
				n, err = strconv.ParseUint(u.Uid, 10, 32)
			}
		}
		if err != nil {
			v.problemWith(s, item, errors.New("no user of this machine has the name"), "write the user's number")
			continue
		}
		if !slices.Contains(list, uint32(n)) {
			list = append(list, uint32(n))
		}
	}
	return list
}

// checkAddress says why an address can't be listened at, and what to write instead, with the usual port; the reason
// is empty where it can. It looks up no name.
func checkAddress(a, usual string) (reason, remedy string) {
	example := fmt.Sprintf("write 127.0.0.1:%s, [::1]:%[1]s, or :%[1]s for all addresses", usual)
	host, port, err := net.SplitHostPort(a)
	if err != nil {
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
		var addrErr *net.AddrError
		if errors.As(err, &addrErr) {
			return addrErr.Err, example
		}
		return err.Error(), example
	}
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

// isHostName says whether s is a host name (RFC 1123 section 2.1, and underscores). One whose last label is a number is a mistyped address.
func isHostName(s string) bool {
	return len(s) <= 253 && regexp.MustCompile(`^([0-9A-Za-z_]([0-9A-Za-z_-]{0,62})\.)*[0-9A-Za-z_-]{0,62}[A-Za-z_-][0-9A-Za-z_-]*\.?$`).MatchString(s)
}
