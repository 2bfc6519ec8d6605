package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/systemd"
	"rsyncd_exporter/internal/testenv"
)

func socket(name string, kind systemd.Kind, address string) systemd.Socket {
	return systemd.Socket{FD: 3, Name: name, Kind: kind, Address: address}
}

// loadPassed returns the settings in force in a few words: roles, what is bound besides, and whether there are warnings.
func loadPassed(t *testing.T, sockets []systemd.Socket, args ...string) (words string, err error) {
	t.Helper()
	cfg, err := config.Load(append([]string{"--log-format=%o %h [%a] %m (%u) %f %l"}, args...), sockets...)
	if err != nil {
		return "", err
	}
	var roles []string
	for _, p := range cfg.Passed {
		roles = append(roles, string(p.Role))
	}
	return fmt.Sprintf("%v udp%v tcp%v unixgram[%s] http[%s]", roles, cfg.ListenUDP, cfg.ListenTCP, cfg.ListenUnixgram, cfg.HTTPListen), nil
}

func TestPassedSocketsAndSettings(t *testing.T) {
	udp, gram := socket("", systemd.UDP, "127.0.0.1:5514"), socket("rsyncd_exporter.socket", systemd.Unixgram, "/run/rx/log")
	http, tcp := socket("http", systemd.TCP, "0.0.0.0:8080"), socket("tcp", systemd.TCP, "127.0.0.1:601")
	for _, c := range []struct {
		what    string
		sockets []systemd.Socket
		args    []string
		want    string
	}{
		{"nothing passed", nil, nil, "[] udp[127.0.0.1:5514] tcp[] unixgram[] http[:8080]"},
		{"all kinds", []systemd.Socket{udp, gram, http, tcp}, nil, "[udp unixgram http tcp] udp[] tcp[] unixgram[] http[0.0.0.0:8080]"},
		{"the default isn't bound beside a passed input", []systemd.Socket{gram}, nil, "[unixgram] udp[] tcp[] unixgram[] http[:8080]"},
		{"it is beside HTTP", []systemd.Socket{http}, nil, "[http] udp[127.0.0.1:5514] tcp[] unixgram[] http[0.0.0.0:8080]"},
		{"settings that name the same", []systemd.Socket{udp, gram, http, tcp},
			[]string{"--listen-udp=127.0.0.1:5514", "--listen-tcp=127.0.0.1:601", "--listen-unixgram=/run/rx/log", "--http-listen=127.0.0.1:8080"},
			"[udp unixgram http tcp] udp[] tcp[] unixgram[] http[0.0.0.0:8080]"},
		{"settings that name more", []systemd.Socket{udp, gram, tcp},
			[]string{"--listen-udp=127.0.0.1:5514,127.0.0.2:5514", "--listen-tcp=[::1]:601", "--listen-unixgram=/run/rx/other"},
			"[udp unixgram tcp] udp[127.0.0.2:5514] tcp[[::1]:601] unixgram[/run/rx/other] http[:8080]"},
		{"all inputs off", []systemd.Socket{udp}, []string{"--listen-udp=off"}, "[udp] udp[] tcp[] unixgram[] http[:8080]"},
		{"two of a kind", []systemd.Socket{gram, socket("x", systemd.Unixgram, "/dev/log")}, nil, "[unixgram unixgram] udp[] tcp[] unixgram[] http[:8080]"},
		{"TCP by HTTP_LISTEN", []systemd.Socket{socket("x.socket", systemd.TCP, "0.0.0.0:8080")}, nil, "[http] udp[127.0.0.1:5514] tcp[] unixgram[] http[0.0.0.0:8080]"},
		{"TCP by LISTEN_TCP", []systemd.Socket{socket("x.socket", systemd.TCP, "127.0.0.1:601")}, []string{"--listen-tcp=127.0.0.1:601"},
			"[tcp] udp[] tcp[] unixgram[] http[:8080]"},
		{"a file besides", []systemd.Socket{gram}, []string{"--file=-"}, "[unixgram] udp[] tcp[] unixgram[] http[:8080]"},
	} {
		t.Run(c.what, func(t *testing.T) {
			testenv.SetEnv(t)
			if got, err := loadPassed(t, c.sockets, c.args...); got != c.want || err != nil {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestPassedSocketsThatDontFit(t *testing.T) {
	for _, c := range []struct {
		what    string
		sockets []systemd.Socket
		args    []string
		want    string
	}{
		{"a name for another kind", []systemd.Socket{socket("http", systemd.UDP, "127.0.0.1:5514")}, nil,
			`passed descriptor 3 (UDP 127.0.0.1:5514, name "http"): http is for TCP sockets: correct FileDescriptorName=`},
		{"datagrams for TCP", []systemd.Socket{socket("unixgram", systemd.TCP, "127.0.0.1:601")}, nil, `unixgram is for unix datagram sockets`},
		{"TCP for what?", []systemd.Socket{socket("x.socket", systemd.TCP, "127.0.0.1:601")}, nil,
			`it may be for metrics or for messages: write FileDescriptorName=http, =tcp or =tls`},
		{"two for HTTP", []systemd.Socket{socket("http", systemd.TCP, "127.0.0.1:80"), socket("http", systemd.TCP, "[::1]:80")}, nil,
			`passed descriptor 3 (TCP [::1]:80, name "http"): passed descriptor 3 (TCP 127.0.0.1:80, name "http") is for HTTP already: pass one`},
		{"a port within the other", []systemd.Socket{socket("udp", systemd.UDP, "127.0.0.1:5514")}, []string{"--listen-udp=:5514"},
			`LISTEN_UDP=":5514" (from --listen-udp): passed descriptor 3 (UDP 127.0.0.1:5514, name "udp") has that port: name the same address`},
		{"HTTP's port", []systemd.Socket{socket("http", systemd.TCP, "127.0.0.1:9000")}, []string{"--listen-tcp=:9000"},
			`LISTEN_TCP=":9000" (from --listen-tcp): HTTP_LISTEN is "127.0.0.1:9000", the same port`},
		{"TLS without a certificate", []systemd.Socket{socket("tls", systemd.TCP, "127.0.0.1:6514")}, nil, `TLS_CERT="" (from default): LISTEN_TLS needs one`},
		{"no input", []systemd.Socket{socket("http", systemd.TCP, "127.0.0.1:9000")}, []string{"--listen-udp=off"}, `no input: LISTEN_UDP is off`},
	} {
		t.Run(c.what, func(t *testing.T) {
			testenv.SetEnv(t)
			if got, err := loadPassed(t, c.sockets, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestSettingsThatAPassedSocketOverrules(t *testing.T) {
	testenv.SetEnv(t)
	cfg, err := config.Load([]string{"--http-listen=:9000", "--listen-unixgram-mode=0660"},
		socket("http", systemd.TCP, "127.0.0.1:80"), socket("", systemd.Unixgram, "/run/rx/log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`HTTP_LISTEN=":9000" (from --http-listen) is not bound: passed descriptor 3 (TCP 127.0.0.1:80, name "http") is served instead`,
		`LISTEN_UNIXGRAM_MODE (from --listen-unixgram-mode): passed descriptor 3 (unix datagram /run/rx/log, name "") has the mode that its maker gave it, SocketMode= in the unit`,
	} {
		if !slices.Contains(cfg.Warnings, want) {
			t.Errorf("no warning %q among %q", want, cfg.Warnings)
		}
	}
}
