package config_test

import (
	"strings"
	"testing"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/testenv"
)

func TestProblemsByThemselves(t *testing.T) {
	dir := t.TempDir()
	testenv.WriteFile(t, dir+"/slash.conf", "[a]\n\n[b/c]\n")
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"no input", []string{"--listen-udp=off"}, "no input: LISTEN_UDP is off (from --listen-udp), and LISTEN_TCP, LISTEN_TLS, LISTEN_UNIXGRAM and FILE are empty: set one of them"},
		{"an abstract socket", []string{"--listen-unixgram=@log"}, `LISTEN_UNIXGRAM="@log" (from --listen-unixgram): an abstract socket has no owner and no mode: name a file`},
		{"no tags", []string{"--tags="}, `TAGS="" (from --tags): the list has no item, so every message would be ignored: name one; the default is rsyncd*`},
		{"a buffer too small", []string{"--receive-buffer=1K"}, `RECEIVE_BUFFER="1K" (from --receive-buffer): it must be 0 or from 4KiB to 1GiB`},
		{"a buffer too large", []string{"--receive-buffer=2G"}, `RECEIVE_BUFFER="2G" (from --receive-buffer): it must be 0 or from 4KiB to 1GiB`},
		{"a mode for nobody", []string{"--listen-unixgram-mode=0"}, `LISTEN_UNIXGRAM_MODE="0" (from --listen-unixgram-mode): no octal permissions`},
		{"a mode with setuid", []string{"--listen-unixgram-mode=4755"}, `LISTEN_UNIXGRAM_MODE="4755"`},
		{"a poll too slow", []string{"--file-poll=2h"}, `FILE_POLL="2h" (from --file-poll): it must be from 10ms to 1h0m0s`},
		{"too many series", []string{"--max-series=10000001"}, `MAX_SERIES="10000001" (from --max-series): it must be a whole number from 1 to 10000000: the default is 10000`},
		{"no HTTP", []string{"--http-listen=off"},
			`HTTP_LISTEN="off" (from --http-listen): it can't be switched off: write 127.0.0.1:8080 `},
		{"nobody may send", []string{"--allow-from="}, `ALLOW_FROM="" (from --allow-from): the list has no item, so every message would be ignored: name one; the default is 127.0.0.0/8,`},
		{"no prefix", []string{"--allow-from=10.0.0.0/33"}, `ALLOW_FROM="10.0.0.0/33" (from --allow-from): neither an address nor a prefix: write prefixes such as`},
		{"a name for a prefix", []string{"--allow-from=localhost"}, `ALLOW_FROM="localhost" (from --allow-from): neither an address nor a prefix`},
		{"bits outside", []string{"--allow-from=10.1.2.3/8"}, `ALLOW_FROM="10.1.2.3/8" (from --allow-from): the address has bits outside of the prefix: write 10.0.0.0/8, or 10.1.2.3 for one address`},
		{"a zone", []string{"--allow-from=fe80::1%eth0"}, `ALLOW_FROM="fe80::1%eth0" (from --allow-from): a zone can't be told apart`},
		{"no sockets", []string{"--udp-sockets=0"}, `UDP_SOCKETS="0" (from --udp-sockets): it must be a whole number from 1 to 64: the default is 1`},
		{"a user that isn't", []string{"--listen-unixgram-uids=0,no-such-user"}, `LISTEN_UNIXGRAM_UIDS="no-such-user" (from --listen-unixgram-uids): no user of this machine has the name: write the user's number`},
		{"a section that rsyncd refuses", []string{"--rsyncd-conf=" + dir + "/slash.conf"}, `slash.conf:3: section "b/c": a module's name has no slash`},
		{"a session log that is followed", []string{"--file=" + dir + "/*.log", "--session-log=" + dir + "/./sessions.log"},
			`SESSION_LOG="` + dir + `/./sessions.log" (from --session-log): FILE="` + dir + `/*.log" follows it`},
		{"a flag without its value", []string{"--file"}, "flag --file has no value: write --file=VALUE"},
		{"a flag that is none", []string{"--=x"}, "flag --=x is unknown: see rsyncd_exporter help"},
		{"a flag with a terminal's commands", []string{"--\x1b[2J"}, `flag "--\x1b[2J" is unknown`},
		{"a short flag that is none", []string{"-q"}, "flag -q is unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			testenv.SetEnv(t)
			if got := loadError(t, c.args...); !strings.HasPrefix(got, c.want) && !strings.Contains(got, ": "+dir+"/"+c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestLongestSocketPathIsTaken(t *testing.T) {
	testenv.SetEnv(t)
	path := "/" + strings.Repeat("x", config.MaxSocketPath-1)
	if got := load(t, "--listen-unixgram="+path).ListenUnixgram; got != path {
		t.Errorf("got %q", got)
	}
	loadError(t, "--listen-unixgram="+path+"x")
}

// An HTTP_LISTEN that is no address has the remedy that fits, with the port of HTTP.
func TestAddressOfHTTP(t *testing.T) {
	for value, want := range map[string]string{
		"8080":                   "write :8080 for",
		"localhost":              "write localhost:8080",
		"127.0.0.1":              "write 127.0.0.1:8080",
		"::1:9100":               "or [::1]:9100",
		"http://localhost:9100/": "write the address alone, such as localhost:9100",
		"*:9100":                 "write :9100 for all",
		":http":                  "or :8080 for all",
		"off":                    "can't be switched off",
	} {
		testenv.SetEnv(t)
		if got := loadError(t, "--http-listen="+value); !strings.Contains(got, want) || strings.Contains(got, "5514") {
			t.Errorf("%s: %s\nwant %s, and no port of syslog's", value, got, want)
		}
	}
}
