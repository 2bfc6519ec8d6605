package config

import (
	"fmt"
	"slices"

	"rsyncd_exporter/internal/systemd"
)

// A PassedSocket is a socket that this process was started with, and what it is for.
type PassedSocket struct {
	systemd.Socket
	Role Role
}

// A Role is what a passed socket is for: one of the names that FileDescriptorName= can give it.
type Role string

// The roles. Each but RoleHTTP is the input label of its messages.
const (
	RoleHTTP     Role = "http"
	RoleUDP      Role = "udp"
	RoleTCP      Role = "tcp"
	RoleTLS      Role = "tls"
	RoleUnixgram Role = "unixgram"
)

// kind returns what a socket of this role must be, empty for what is no role.
func (r Role) kind() systemd.Kind {
	switch r {
	case RoleHTTP, RoleTCP, RoleTLS:
		return systemd.TCP
	case RoleUDP:
		return systemd.UDP
	case RoleUnixgram:
		return systemd.Unixgram
	}
	return ""
}

// roleOf returns what a passed socket is for, by its name, its kind, or the settings' addresses.
func roleOf(sock systemd.Socket, all settings) (Role, error) {
	named := Role(sock.Name)
	switch want := named.kind(); {
	case want != "" && want != sock.Kind:
		return "", fmt.Errorf("%v: %s is for %s sockets: correct FileDescriptorName= or the socket in the unit",
			sock, sock.Name, want)
	case want != "":
		return named, nil
	case sock.Kind == systemd.UDP:
		return RoleUDP, nil
	case sock.Kind == systemd.Unixgram:
		return RoleUnixgram, nil
	case sock.Covers(all.get("HTTP_LISTEN").Value):
		return RoleHTTP, nil
	case slices.ContainsFunc(items(all.get("LISTEN_TCP")), sock.Covers):
		return RoleTCP, nil
	case slices.ContainsFunc(items(all.get("LISTEN_TLS")), sock.Covers):
		return RoleTLS, nil
	}
	return "", fmt.Errorf("%v: it may be for metrics or for messages: write FileDescriptorName=http, =tcp or =tls in "+
		"its unit", sock)
}

// assign finds the roles of the passed sockets. LISTEN_UDP is off by default if one takes messages.
func (v *validator) assign(sockets []systemd.Socket) {
	udp, tls := v.settings.get("LISTEN_UDP"), v.settings.get("LISTEN_TLS")
	for _, sock := range sockets {
		r, err := roleOf(sock, v.settings)
		if err != nil {
			v.problems = append(v.problems, err)
			continue
		}
		if other, ok := v.cfg.WithRole(RoleHTTP); ok && r == RoleHTTP {
			v.problems = append(v.problems, fmt.Errorf("%v: %v is for HTTP already: pass one, such as "+
				"ListenStream=8080, which takes IPv4 and IPv6", sock, other))
			continue
		}
		if r == RoleTLS && tls.off() { // as if it were set: the certificate is needed then
			tls.set(sock.Address, "passed sockets")
		}
		v.cfg.Passed = append(v.cfg.Passed, PassedSocket{sock, r})
	}
	if takesMessages(v.cfg.Passed) && udp.Origin == "default" {
		udp.set("off", "passed sockets")
	}
}

func takesMessages(passed []PassedSocket) bool {
	return slices.ContainsFunc(passed, func(p PassedSocket) bool { return p.Role != RoleHTTP })
}

// withoutCovered removes what the passed sockets receive already, so that it isn't bound again.
func (v *validator) withoutCovered() {
	c, get := v.cfg, v.settings.get
	for _, p := range c.Passed {
		switch p.Role {
		case RoleUDP:
			c.ListenUDP = v.uncovered(p, get("LISTEN_UDP"), c.ListenUDP)
		case RoleTCP:
			c.ListenTCP = v.uncovered(p, get("LISTEN_TCP"), c.ListenTCP)
		case RoleTLS:
			c.ListenTLS = v.uncovered(p, get("LISTEN_TLS"), c.ListenTLS)
		case RoleUnixgram:
			if c.ListenUnixgram != "" && p.Covers(c.ListenUnixgram) {
				c.ListenUnixgram = ""
			}
			if s := get("LISTEN_UNIXGRAM_MODE"); s.Origin != "default" && c.ListenUnixgram == "" {
				v.warn("LISTEN_UNIXGRAM_MODE (from %s): %v has the mode that its maker gave it, SocketMode= in the "+
					"unit", s.Origin, p)
			}
		case RoleHTTP:
			if s := get("HTTP_LISTEN"); s.Origin != "default" && !p.Covers(c.HTTPListen) {
				v.warn("HTTP_LISTEN=%q (from %s) is not bound: %v is served instead", c.HTTPListen, s.Origin, p)
			}
			c.HTTPListen = p.Address
		}
	}
}

// uncovered returns the addresses that p doesn't receive.
func (v *validator) uncovered(p PassedSocket, s *Setting, addresses []string) (rest []string) {
	for _, a := range addresses {
		if p.Covers(a) {
			continue
		}
		if overlap(a, p.Address) {
			v.problemWith(s, a, fmt.Errorf("%v has that port", p), "name the same address as the socket unit, or none")
		}
		rest = append(rest, a)
	}
	return rest
}

// WithRole returns the first passed socket of a role.
func (c *Config) WithRole(r Role) (PassedSocket, bool) {
	i := slices.IndexFunc(c.Passed, func(p PassedSocket) bool { return p.Role == r })
	if i < 0 {
		return PassedSocket{}, false
	}
	return c.Passed[i], true
}
