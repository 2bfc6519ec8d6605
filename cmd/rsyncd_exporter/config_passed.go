package main

import (
	"fmt"
	"slices"

	"rsyncd_exporter/internal/systemd"
)

// A passedSocket is a socket that this process was started with, and what it is for.
type passedSocket struct {
	systemd.Socket
	role role
}

// A role is what a passed socket is for: one of the names that FileDescriptorName= can give it.
type role string

// The roles. Each is the input label of its messages, but for http.
const (
	roleHTTP     role = "http"
	roleUDP      role = "udp"
	roleTCP      role = "tcp"
	roleTLS      role = "tls"
	roleUnixgram role = "unixgram"
)

// kind returns what a socket of this role must be, empty for what is no role.
func (r role) kind() systemd.Kind {
	switch r {
	case roleHTTP, roleTCP, roleTLS:
		return systemd.TCP
	case roleUDP:
		return systemd.UDP
	case roleUnixgram:
		return systemd.Unixgram
	}
	return ""
}

// roleOf says what a passed socket is for: by its name, if that is a role's, else by its kind, and of TCP sockets by the settings' addresses.
func roleOf(sock systemd.Socket, s *settings) (role, error) {
	named := role(sock.Name)
	switch want := named.kind(); {
	case want != "" && want != sock.Kind:
		return "", fmt.Errorf("%v: %s is for %s sockets: correct FileDescriptorName= or the socket in the unit", sock, sock.Name, want)
	case want != "":
		return named, nil
	case sock.Kind == systemd.UDP:
		return roleUDP, nil
	case sock.Kind == systemd.Unixgram:
		return roleUnixgram, nil
	case sock.Covers(s.HTTPListen.value):
		return roleHTTP, nil
	case slices.ContainsFunc(s.ListenTCP.items(), sock.Covers):
		return roleTCP, nil
	case slices.ContainsFunc(s.ListenTLS.items(), sock.Covers):
		return roleTLS, nil
	}
	return "", fmt.Errorf("%v: it may be for metrics or for messages: write FileDescriptorName=http, =tcp or =tls in its unit", sock)
}

// assign finds the roles of the passed sockets. Where one takes messages, LISTEN_UDP's default is not meant.
func (v *validator) assign(sockets []systemd.Socket, s *settings) (passed []passedSocket) {
	for _, sock := range sockets {
		r, err := roleOf(sock, s)
		if err != nil {
			v.problems = append(v.problems, err)
			continue
		}
		if i := slices.IndexFunc(passed, func(p passedSocket) bool { return p.role == roleHTTP }); r == roleHTTP && i >= 0 {
			v.problems = append(v.problems, fmt.Errorf("%v: %v is for HTTP already: pass one, such as ListenStream=8080, which takes IPv4 and IPv6", sock, passed[i]))
			continue
		}
		if r == roleTLS && s.ListenTLS.off() { // as if it were set: the certificate is needed then
			s.ListenTLS.value, s.ListenTLS.origin = sock.Address, "passed sockets"
		}
		passed = append(passed, passedSocket{sock, r})
	}
	if takesMessages(passed) && s.ListenUDP.origin == "default" {
		s.ListenUDP.value, s.ListenUDP.origin = "off", "passed sockets"
	}
	return passed
}

// takesMessages says whether one of the sockets is an input.
func takesMessages(passed []passedSocket) bool {
	return slices.ContainsFunc(passed, func(p passedSocket) bool { return p.role != roleHTTP })
}

// withoutCovered takes from c what the passed sockets receive already, so that it isn't bound again.
func (v *validator) withoutCovered(s *settings, c *Config) {
	for _, p := range c.Passed {
		switch p.role {
		case roleUDP:
			c.ListenUDP = v.uncovered(p, &s.ListenUDP, c.ListenUDP)
		case roleTCP:
			c.ListenTCP = v.uncovered(p, &s.ListenTCP, c.ListenTCP)
		case roleTLS:
			c.ListenTLS = v.uncovered(p, &s.ListenTLS, c.ListenTLS)
		case roleUnixgram:
			if c.ListenUnixgram != "" && p.Covers(c.ListenUnixgram) {
				c.ListenUnixgram = ""
			}
			if s.ListenUnixgramMode.origin != "default" && c.ListenUnixgram == "" {
				v.warn("LISTEN_UNIXGRAM_MODE (from %s): %v has the mode that its maker gave it, SocketMode= in the unit", s.ListenUnixgramMode.origin, p)
			}
		case roleHTTP:
			if s.HTTPListen.origin != "default" && !p.Covers(c.HTTPListen) {
				v.warn("HTTP_LISTEN=%q (from %s) is not bound: %v is served instead", c.HTTPListen, s.HTTPListen.origin, p)
			}
			c.HTTPListen = p.Address
		}
	}
}

// uncovered returns the addresses that p doesn't receive.
func (v *validator) uncovered(p passedSocket, s *setting, addresses []string) (rest []string) {
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
func (c *Config) withRole(r role) (passedSocket, bool) {
	i := slices.IndexFunc(c.Passed, func(p passedSocket) bool { return p.role == r })
	if i < 0 {
		return passedSocket{}, false
	}
	return c.Passed[i], true
}
