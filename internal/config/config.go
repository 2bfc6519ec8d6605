// Package config turns environment variables, flags and rsyncd.conf into valid settings, or reports
// everything that is wrong with them.
//
// A new setting is a row of the table in settings.go, with the field of Config beside it that the
// row fills, and whatever uses that field.
package config

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"rsyncd_exporter/internal/systemd"
)

// Load reads the settings from the process environment and the flags, which go before it. The error
// joins every problem; it is flag.ErrHelp where the flags ask for help. Load opens no input.
// sockets are those that the process was started with.
func Load(args []string, sockets ...systemd.Socket) (*Config, error) {
	return newValidator().load(args, sockets)
}

// Given is what the settings were made of, for people to look at.
type Given struct {
	Settings  []Setting // in the order of the documentation
	Files     []string  // arguments that are no flags
	HealthURL string    // the health page of an exporter with these settings
}

// Check is Load for arguments among which there may be files. It also returns what was given.
func Check(args []string) (*Config, *Given, error) {
	v := newValidator()
	v.takesFiles = true
	cfg, err := v.load(args, nil)
	if err != nil {
		return nil, nil, err
	}
	return cfg, &Given{v.settings, v.checked, v.healthURL()}, nil
}

// A validator turns settings as given into a Config and collects what is wrong with them.
type validator struct {
	cfg         *Config
	settings    settings
	legacyFiles []string    // paths given with -p
	takesFiles  bool        // arguments that aren't flags are files
	checked     []string    // those files
	conf        *confReader // what RSYNCD_CONF holds; nil where it is not set or can't be read
	problems    []error
}

func newValidator() *validator {
	v := &validator{cfg: &Config{}}
	v.settings = v.table()
	for i := range v.settings {
		s := &v.settings[i]
		s.Variable = envPrefix + "_" + s.Name
		s.Flag = "--" + strings.ToLower(strings.ReplaceAll(s.Name, "_", "-"))
		s.set(s.Default, "default")
	}
	return v
}

// into returns what reads a setting with parse and stores the value.
func into[T any](field *T, parse func(*Setting) T) func(*Setting) {
	return func(s *Setting) { *field = parse(s) }
}

func (v *validator) load(args []string, sockets []systemd.Socket) (*Config, error) {
	v.problems = v.settings.readEnvironment()
	v.parseFlags(args, nil)
	if slices.Contains(v.problems, flag.ErrHelp) {
		return nil, flag.ErrHelp
	}
	if udp := v.settings.get("LISTEN_UDP"); len(v.legacyFiles) > 0 && udp.Origin == "default" {
		udp.set("off", "-p")
	}
	v.lists()
	v.doors()
	v.assign(sockets)
	v.readConf()
	for i := range v.settings {
		if s := &v.settings[i]; s.read != nil {
			s.read(s)
		}
	}
	v.credentials()
	v.daemon()
	v.expected(time.Now())
	v.lookAtFileHost()
	v.withoutCovered()
	v.together()
	return v.cfg, errors.Join(v.problems...)
}

// problem records why a setting can't be used, and what to do about it.
func (v *validator) problem(s *Setting, reason error, remedy string) {
	v.problemWith(s, s.Value, reason, remedy)
}

// problemWith is problem for one item of a list.
func (v *validator) problemWith(s *Setting, value string, reason error, remedy string) {
	v.problems = append(v.problems, fmt.Errorf("%s=%q (from %s): %w: %s", s.Name, value, s.Origin, reason, remedy))
}

// doubt warns that the value of a setting, or one item of it, is allowed but doubtful.
func (v *validator) doubt(s *Setting, value, format string, args ...any) {
	v.warn("%s=%q (from %s): %s", s.Name, value, s.Origin, fmt.Sprintf(format, args...))
}

func (v *validator) warn(format string, args ...any) {
	v.cfg.Warnings = append(v.cfg.Warnings, fmt.Sprintf(format, args...))
}

// lists reports lists without an item, such as ",". Such a mistake must not let everybody in. An
// empty variable counts as unset; an empty flag switches off what can be off.
func (v *validator) lists() {
	for i := range v.settings {
		s := &v.settings[i]
		off := s.list == emptyIsNone && s.Value == ""
		if s.list == "" || s.Origin == "default" || off || len(items(s)) > 0 {
			continue
		}
		reason, remedy := "the list has no item", "name one, or leave the setting out"
		switch s.list {
		case emptyIsAll:
			reason, remedy = reason+", which would let everybody in", "name whom to let in, or leave the setting out"
		case neverEmpty:
			reason, remedy = reason+", so every message would be ignored", "name one; the default is "+s.Default
		}
		v.problem(s, errors.New(reason), remedy)
		s.Value = s.Default // or more would seem to be wrong
	}
}

// doors reports empty flags whose file would keep people out, as in --tls-client-ca=$UNSET.
func (v *validator) doors() {
	for _, name := range []string{"TLS_CLIENT_CA", "TLS_CRL", "WEB_CONFIG"} {
		if s := v.settings.get(name); s.Value == "" && s.Origin == s.Flag {
			v.problem(s, errors.New("no file is named, which would let everybody in"), "name it, or leave the flag out")
		}
	}
}

func (v *validator) together() {
	c, get := v.cfg, v.settings.get
	inputs := []string{"LISTEN_UDP", "LISTEN_TCP", "LISTEN_TLS", "LISTEN_UNIXGRAM", "FILE"}
	given := slices.ContainsFunc(inputs, func(name string) bool { return !get(name).off() })
	if !given && len(c.Files) == 0 && !takesMessages(c.Passed) {
		v.problems = append(v.problems, fmt.Errorf("no input: LISTEN_UDP is off (from %s), and LISTEN_TCP, "+
			"LISTEN_TLS, LISTEN_UNIXGRAM and FILE are empty: set one of them", get("LISTEN_UDP").Origin))
	}
	tcp, tls := get("LISTEN_TCP"), get("LISTEN_TLS")
	v.apart(get("LISTEN_UDP"), c.ListenUDP)
	v.apart(tcp, c.ListenTCP)
	v.apart(tls, c.ListenTLS)
	v.notAt(tcp, c.ListenTCP, "HTTP_LISTEN is", c.HTTPListen)
	v.notAt(tls, c.ListenTLS, "HTTP_LISTEN is", c.HTTPListen)
	for _, a := range c.ListenTCP {
		v.notAt(tls, c.ListenTLS, "LISTEN_TCP has", a)
	}
	v.notFollowed(get("SESSION_LOG"))
	uidMap, err := os.ReadFile("/proc/self/uid_map")
	if err == nil && len(c.ListenUnixgramUIDs) > 0 && !seesAllUsers(string(uidMap)) {
		v.warn("LISTEN_UNIXGRAM_UIDS (from %s): in this user namespace (systemd: PrivateUsers=yes) users of the "+
			"system all look like 65534, and can't be told apart: run the exporter outside of it",
			get("LISTEN_UNIXGRAM_UIDS").Origin)
	}
	if s := get("LINE_FORMAT"); len(c.Files) == 0 && len(v.checked) == 0 && s.Origin != "default" {
		v.warn("LINE_FORMAT (from %s) is for the lines of files, and FILE names none", s.Origin)
	}
}

// notAt reports addresses that can't be used beside another one.
func (v *validator) notAt(s *Setting, addresses []string, what, other string) {
	for _, a := range addresses {
		if overlap(a, other) {
			v.problemWith(s, a, fmt.Errorf("%s %q, the same port", what, other), "give one of them another port")
		}
	}
}

// seesAllUsers reports whether users have the same numbers here as outside (user_namespaces(7)).
func seesAllUsers(uidMap string) bool {
	return slices.Equal(strings.Fields(uidMap), []string{"0", "0", "4294967295"})
}

func (v *validator) apart(s *Setting, addresses []string) {
	for i, a := range addresses {
		for _, b := range addresses[:i] {
			if overlap(a, b) {
				v.problemWith(s, a, fmt.Errorf("it names %q, too, which has the same port", b), "name one of them")
			}
		}
	}
}

// overlap reports whether two addresses are the same or one is a wildcard that includes the other.
func overlap(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || covers(hostA, hostB) || covers(hostB, hostA)
}

// covers reports whether a wildcard includes the host.
func covers(wildcard, host string) bool {
	ip, _ := netip.ParseAddr(host)
	switch wildcard {
	case "", "::":
		return true
	case "0.0.0.0":
		return host == "" || host == "::" || ip.Unmap().Is4()
	}
	return false
}
