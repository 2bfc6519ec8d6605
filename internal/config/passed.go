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

// A role is what a passed socket is for: one of the names that FileDescriptorName= can give it.
type Role string

// The roles. Each is the input label of its messages, but for http.
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

// roleOf says what a passed socket is for: by its name, if that is a role's, else by its kind, and of TCP sockets by the settings' addresses.
func roleOf(sock systemd.Socket, s *settings) (Role, error) {
	named := Role(sock.Name)
	switch want := named.kind(); {
	case want != "" && want != sock.Kind:
		return "", fmt.Errorf("%v: %s is for %s sockets: correct FileDescriptorName= or the socket in the unit", sock, sock.Name, want)
	case want != "":
		return named, nil
	case sock.Kind == systemd.UDP:
		return RoleUDP, nil
	case sock.Kind == systemd.Unixgram:
		return RoleUnixgram, nil
	case sock.Covers(s.HTTPListen.Value):
		return RoleHTTP, nil
	case slices.ContainsFunc(s.ListenTCP.items(), sock.Covers):
		return RoleTCP, nil
	case slices.ContainsFunc(s.ListenTLS.items(), sock.Covers):
		return RoleTLS, nil
	}
	return "", fmt.Errorf("%v: it may be for metrics or for messages: write FileDescriptorName=http, =tcp or =tls in its unit", sock)
}

// assign finds the roles of the passed sockets. Where one takes messages, LISTEN_UDP's default is not meant.
func (v *validator) assign(sockets []systemd.Socket, s *settings) (passed []PassedSocket) {
	for _, sock := range sockets {
		r, err := roleOf(sock, s)
		if err != nil {
			v.problems = append(v.problems, err)
			continue
		}
		if i := slices.IndexFunc(passed, func(p PassedSocket) bool { return p.Role == RoleHTTP }); r == RoleHTTP && i >= 0 {
			v.problems = append(v.problems, fmt.Errorf("%v: %v is for HTTP already: pass one, such as ListenStream=8080, which takes IPv4 and IPv6", sock, passed[i]))
			continue
		}
		if r == RoleTLS && s.ListenTLS.off() { // as if it were set: the certificate is needed then
			s.ListenTLS.Value, s.ListenTLS.Origin = sock.Address, "passed sockets"
		}
		passed = append(passed, PassedSocket{sock, r})
	}
	if takesMessages(passed) && s.ListenUDP.Origin == "default" {
		s.ListenUDP.Value, s.ListenUDP.Origin = "off", "passed sockets"
	}
	return passed
}

// takesMessages says whether one of the sockets is an input.
func takesMessages(passed []PassedSocket) bool {
	return slices.ContainsFunc(passed, func(p PassedSocket) bool { return p.Role != RoleHTTP })
}

// withoutCovered takes from c what the passed sockets receive already, so that it isn't bound again.
func (v *validator) withoutCovered(s *settings, c *Config) {
	for _, p := range c.Passed {
		switch p.Role {
		case RoleUDP:
			c.ListenUDP = v.uncovered(p, &s.ListenUDP, c.ListenUDP)
		case RoleTCP:
			c.ListenTCP = v.uncovered(p, &s.ListenTCP, c.ListenTCP)
		case RoleTLS:
			c.ListenTLS = v.uncovered(p, &s.ListenTLS, c.ListenTLS)
		case RoleUnixgram:
			if c.ListenUnixgram != "" && p.Covers(c.ListenUnixgram) {
				c.ListenUnixgram = ""
			}
			if s.ListenUnixgramMode.Origin != "default" && c.ListenUnixgram == "" {
				v.warn("LISTEN_UNIXGRAM_MODE (from %s): %v has the mode that its maker gave it, SocketMode= in the unit", s.ListenUnixgramMode.Origin, p)
			}
		case RoleHTTP:
			if s.HTTPListen.Origin != "default" && !p.Covers(c.HTTPListen) {
				v.warn("HTTP_LISTEN=%q (from %s) is not bound: %v is served instead", c.HTTPListen, s.HTTPListen.Origin, p)
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

// withRole returns the passed socket of a role that only one can have.
func (c *Config) WithRole(r Role) (PassedSocket, bool) {
	i := slices.IndexFunc(c.Passed, func(p PassedSocket) bool { return p.Role == r })
	if i < 0 {
		return PassedSocket{}, false
	}
	return c.Passed[i], true
}
