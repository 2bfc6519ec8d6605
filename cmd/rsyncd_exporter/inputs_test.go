package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/systemd"
	"rsyncd_exporter/internal/testenv"
)

func names[T fmt.Stringer](list []T) (names []string) {
	for _, d := range list {
		names = append(names, d.String())
	}
	return names
}

// What the settings name is opened in this order: what local daemons log to first.
func TestInputsOfSettings(t *testing.T) {
	passed := func(role config.Role, address string) config.PassedSocket {
		return config.PassedSocket{Socket: systemd.Socket{FD: 3, Address: address}, Role: role}
	}
	for _, c := range []struct {
		name string
		cfg  config.Config
		want []string
	}{
		{"nothing", config.Config{}, nil},
		{"all kinds", config.Config{
			ListenUDP: []string{"127.0.0.1:5514", "[::1]:5514"}, ListenTCP: []string{":601"}, ListenTLS: []string{":6514"},
			ListenUnixgram: "/run/log", Files: []string{"/var/log/a", "-", "/var/log/b/*.log"},
		}, []string{"unixgram /run/log", "udp 127.0.0.1:5514", "udp [::1]:5514", "tcp :601", "tls :6514", "stdin",
			"files /var/log/a,/var/log/b/*.log"}},
		{"standard input alone", config.Config{Files: []string{"-"}}, []string{"stdin"}},
		{"passed sockets come first, but that of HTTP is none", config.Config{
			ListenUnixgram: "/run/log",
			Passed: []config.PassedSocket{passed(config.RoleHTTP, ":8080"), passed(config.RoleUDP, ":514"),
				passed(config.RoleTLS, ":6514"), passed(config.RoleUnixgram, "/dev/log"), passed(config.RoleTCP, ":601")},
		}, []string{"udp :514 (passed)", "tls :6514 (passed)", "unixgram /dev/log (passed)", "tcp :601 (passed)",
			"unixgram /run/log"}},
	} {
		if got := names(inputsOf(&c.cfg)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	cfg := config.Config{Files: []string{"/a", "-", "/b"}}
	if inputsOf(&cfg); !slices.Equal(cfg.Files, []string{"/a", "-", "/b"}) {
		t.Errorf("the settings have changed: %q", cfg.Files)
	}
}

// Each input that is described is opened, under the name that describes it.
func TestInputsAreOpenedAsDescribed(t *testing.T) {
	testenv.SetEnv(t)
	dir := t.TempDir()
	cfg := mustLoad(t, "--listen-udp=127.0.0.1:0", "--listen-tcp=127.0.0.1:0", "--listen-unixgram="+dir+"/socket",
		"--file=-,"+dir+"/one.log,"+dir+"/two.log")
	cfg.Stdin = strings.NewReader("")
	p, err := newPipeline(pipelineConfig(cfg), &kept{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	in, err := openInputs(cfg, p, &kept{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	if got, want := names(in.readers), names(inputsOf(cfg)); len(got) != 5 || !slices.Equal(got, want) {
		t.Errorf("%q are open, want %q", got, want)
	}
	var sockets []string
	for _, s := range in.live().Sockets {
		sockets = append(sockets, s.Input)
	}
	if want := []string{"unixgram", "udp", "tcp"}; !slices.Equal(sockets, want) {
		t.Errorf("a scrape shows sockets of %q, want %q", sockets, want)
	}
	for _, l := range in.live().Sockets {
		if l.Input == "udp" && l.Buffer == 0 || l.Input == "unixgram" && !l.InPlace {
			t.Errorf("%s: %+v", l.Input, l)
		}
	}
}
