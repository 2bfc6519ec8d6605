package config_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

func TestLegacyFileSwitchesListenersOffUnlessAskedFor(t *testing.T) {
	for _, c := range []struct {
		name  string
		env   []string
		args  []string
		udp   []string
		files []string
	}{
		{"-p alone", nil, []string{"-p", "/var/log/a,b.log"}, nil, []string{"/var/log/a,b.log"}},
		{"-p twice", nil, []string{"-p", "/a", "-p=/b", "-p", "/a"}, nil, []string{"/a", "/b"}},
		{"-p and the variable LISTEN_UDP", []string{"LISTEN_UDP=:514"}, []string{"-p", "/a"}, []string{":514"}, []string{"/a"}},
		{"-p and the flag --listen-udp", nil, []string{"-p", "/a", "--listen-udp=127.0.0.1:5514"}, []string{"127.0.0.1:5514"}, []string{"/a"}},
		{"-p adds to FILE", []string{"FILE=/x"}, []string{"-p", "/a"}, nil, []string{"/x", "/a"}},
		{"FILE without -p", []string{"FILE=/x"}, nil, []string{"127.0.0.1:5514"}, []string{"/x"}},
		{"--file without -p", nil, []string{"--file=-"}, []string{"127.0.0.1:5514"}, []string{"-"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			testenv.SetEnv(t, c.env...)
			cfg := load(t, c.args...)
			if !slices.Equal(cfg.ListenUDP, c.udp) || !slices.Equal(cfg.Files, c.files) {
				t.Errorf("LISTEN_UDP %q, FILE %q; want %q and %q", cfg.ListenUDP, cfg.Files, c.udp, c.files)
			}
		})
	}
}

func TestLegacyFormatFile(t *testing.T) {
	const logFormat, python, gos = "%o %m %f %l", `(?P<date>\S+) (?P<timestamp>\S+) \[(?P<pid>\d+)\] (?P<description>.*)`, `(?<pid>\d+) (?<description>.*)`
	for _, c := range []struct{ name, text, log, line string }{
		{"a log format", logFormat + "\n# more\n", logFormat, "auto"},
		{"a log format without line end", logFormat, logFormat, "auto"},
		{"a regular expression of Python's", python + "\r\n", "%o %h [%a] %m (%u) %f %l", python},
		{"a regular expression of Go's", gos + "\n", "%o %h [%a] %m (%u) %f %l", gos},
	} {
		t.Run(c.name, func(t *testing.T) {
			testenv.SetEnv(t, "FILE=/a")
			path := t.TempDir() + "/format"
			testenv.WriteFile(t, path, c.text)
			if cfg := load(t, "-f", path); cfg.LogFormat != c.log || cfg.LineFormat != c.line {
				t.Errorf("LOG_FORMAT %q, LINE_FORMAT %q; want %q and %q", cfg.LogFormat, cfg.LineFormat, c.log, c.line)
			}
		})
	}
}

func TestLegacyFlagsInPlaceOfNewOnes(t *testing.T) {
	testenv.SetEnv(t, "FILE_POLL=9s", "HTTP_LISTEN=127.0.0.1:1")
	cfg := load(t, "-p", "/a", "-s", "0.25", "-x", "9111")
	if cfg.FilePoll != 250*time.Millisecond || cfg.HTTPListen != ":9111" {
		t.Errorf("FILE_POLL %v, HTTP_LISTEN %q; want 250ms and :9111", cfg.FilePoll, cfg.HTTPListen)
	}
}

func TestLegacyFlagProblems(t *testing.T) {
	dir := t.TempDir()
	testenv.WriteFile(t, dir+"/empty", "\nsecond\n")
	testenv.WriteFile(t, dir+"/long", strings.Repeat("x", 1<<17))
	testenv.WriteFile(t, dir+"/bad", "(?P<pid>\n")
	for _, c := range []struct{ flag, arg, want string }{
		{"-p", "", `-p "": no file named`},
		{"-s", "fast", `-s "fast": no number of seconds from 0.01 to 3600: write -s 1 or -s 0.5`},
		{"-s", "0", `-s "0": no number of seconds`},
		{"-s", "NaN", `-s "NaN": no number of seconds`},
		{"-s", "1e300", `-s "1e300": no number of seconds`},
		{"-x", "0", `-x "0": no port number from 1 to 65535`},
		{"-x", ":80", `-x ":80": no port number`},
		{"-x", "65536", `-x "65536": no port number`},
		{"-f", dir + "/nothing", `-f "` + dir + `/nothing": open `},
		{"-f", dir + "/empty", `-f "` + dir + `/empty": the first line is empty: name a file`},
		{"-f", dir + "/long", `-f "` + dir + `/long": the first line is longer than 65536 bytes`},
		{"-f", dir + "/bad", `LINE_FORMAT="(?P<pid>" (from -f ` + dir + `/bad): `},
	} {
		t.Run(c.flag+" "+c.arg, func(t *testing.T) {
			testenv.SetEnv(t)
			if got := loadError(t, c.flag, c.arg); !strings.HasPrefix(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
