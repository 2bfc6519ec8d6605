package config_test

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/clients"
	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/internal/testpki"
	"rsyncd_exporter/receiver/stream"
	"rsyncd_exporter/rsynclog"
)

// load returns the settings in force and fails the test if there is a problem.
func load(t *testing.T, args ...string) *config.Config {
	t.Helper()
	cfg, err := config.Load(args)
	if err != nil {
		t.Fatalf("loadConfig(%q): %v", args, err)
	}
	return cfg
}

// loadError returns the problems, one a line.
func loadError(t *testing.T, args ...string) string {
	t.Helper()
	cfg, err := config.Load(args)
	if err == nil {
		t.Fatalf("loadConfig(%q) = %+v, want an error", args, cfg)
	}
	return err.Error()
}

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func TestDefaultsAreTheDesigns(t *testing.T) {
	testenv.SetEnv(t)
	want := &config.Config{
		ListenUDP:          []string{"127.0.0.1:5514"},
		UDPSockets:         1,
		TLS:                stream.TLSOptions{MinVersion: tls.VersionTLS13},
		ListenUnixgramMode: 0o666,
		AllowFrom:          prefixes("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1/128", "fc00::/7", "fe80::/10"),
		ReceiveBuffer:      16777216, // 16 × 1024 × 1024
		FilePoll:           time.Second,
		SyslogFormat:       "auto",
		Tags:               []string{"rsyncd*"},
		LogFormat:          "%o %h [%a] %m (%u) %f %l",
		LineFormat:         "auto",
		MaxSeries:          10000,
		SessionTTL:         24 * time.Hour,
		SessionLogMode:     0o640,
		HTTPListen:         ":8080",
	}
	got := load(t)
	got.Warnings = nil // the parser's, about the default log format
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEverySettingFromVariableAndFromFlag(t *testing.T) {
	dir := t.TempDir()
	pki := testpki.Write(t)
	web, conf, expect := dir+"/web.yml", dir+"/rsyncd.conf", dir+"/expect.yml"
	testenv.WriteFile(t, web, "")
	testenv.WriteFile(t, expect, "backups: [{name: nightly, module: from conf, user: alice, every: 1d}]")
	testenv.WriteFile(t, conf, "max connections = 8x\n[from conf]\nlog format = %f %l\nauth users = alice, bob\n[b c]\nmax connections = 0\n")
	given := map[string]string{ // by variable; each differs from its default
		"LISTEN_UDP":           " :1514 , [::1]:1515,:1514",
		"UDP_SOCKETS":          "4",
		"LISTEN_TCP":           "localhost:601",
		"LISTEN_TLS":           "127.0.0.1:6514,[::1]:6514",
		"TLS_CERT":             pki + "/server.pem",
		"TLS_KEY":              pki + "/server.key",
		"TLS_CLIENT_CA":        pki + "/ca.pem",
		"TLS_CRL":              pki + "/crl.pem",
		"TLS_ALLOWED_SANS":     "A.example.org, 192.0.2.1,spiffe://example.org/b",
		"TLS_MIN_VERSION":      "1.2",
		"LISTEN_UNIXGRAM":      dir + "/log",
		"LISTEN_UNIXGRAM_MODE": "660",
		"LISTEN_UNIXGRAM_UIDS": "root,65534, 0",
		"ALLOW_FROM":           "192.0.2.0/24, 2001:db8::1,any",
		"RECEIVE_BUFFER":       "64K",
		"FILE":                 "-," + dir + "/a.log," + dir + "/./a.log",
		"FILE_POLL":            "250ms",
		"FILE_START":           "beginning",
		"FILE_HOST":            "/(?P<host>[^/]+)/a.log",
		"STATE_DIR":            dir + "/./state/",
		"SYSLOG_FORMAT":        "rfc5424",
		"SYSLOG_LOG_LINES":     "yes",
		"TAGS":                 "rsyncd,backup-?",
		"LOG_FORMAT":           "%o %f %l",
		"LINE_FORMAT":          `(?P<pid>\d+) (?P<description>.*)`,
		"MODULES":              "a, b c ,a",
		"RSYNCD_CONF":          conf,
		"HOSTS":                "vm1, vm2.example.org,vm1",
		"MAX_SERIES":           "77",
		"SESSION_TTL":          "90m",
		"CLIENT_GROUPS":        "office=192.0.2.0/24",
		"GEOIP_DB":             dir + "/country.mmdb",
		"EXPECT":               "a@alice<8d, b c",
		"EXPECT_FILE":          expect,
		"SESSION_LOG":          dir + "/sessions.log",
		"SESSION_LOG_MODE":     "600",
		"ANONYMISE":            "on",
		"STATUS_PAGE":          "public",
		"HTTP_LISTEN":          "127.0.0.1:9999",
		"WEB_CONFIG":           web,
		"LOG_LEVEL":            "warn",
	}
	office, err := clients.ParseGroups("office=192.0.2.0/24")
	if err != nil {
		t.Fatal(err)
	}
	expected := []backups.Expectation{
		{Name: "nightly", Every: 24 * time.Hour, Grace: time.Hour, Calendar: backups.Calendar{Zone: time.Local},
			Identity: backups.Identity{Module: "from conf", User: "alice", Direction: rsynclog.Receive}},
		{Name: "a@alice", Every: 8 * 24 * time.Hour, Identity: backups.Identity{Module: "a", User: "alice", Direction: rsynclog.Receive}},
		{Name: "b c", Every: 26 * time.Hour, Identity: backups.Identity{Module: "b c", Direction: rsynclog.Receive}},
	}
	want := &config.Config{
		ClientGroups: office, GeoIPDB: dir + "/country.mmdb",
		ListenUDP:  []string{":1514", "[::1]:1515"},
		UDPSockets: 4,
		ListenTCP:  []string{"localhost:601"},
		ListenTLS:  []string{"127.0.0.1:6514", "[::1]:6514"},
		TLS: stream.TLSOptions{Certificate: pki + "/server.pem", Key: pki + "/server.key", ClientCA: pki + "/ca.pem",
			CRL: pki + "/crl.pem", AllowedSANs: sans(t, "a.example.org", "192.0.2.1", "spiffe://example.org/b"), MinVersion: tls.VersionTLS12},
		ListenUnixgram:     dir + "/log",
		ListenUnixgramMode: 0o660,
		ListenUnixgramUIDs: []uint32{0, 65534},
		AllowFrom:          prefixes("192.0.2.0/24", "2001:db8::1/128", "0.0.0.0/0", "::/0"),
		ReceiveBuffer:      65536,
		Files:              []string{"-", dir + "/a.log"},
		FilePoll:           250 * time.Millisecond,
		FileFromStart:      true,
		FileHost:           regexp.MustCompile("/(?P<host>[^/]+)/a.log"),
		StateDir:           dir + "/state",
		SyslogFormat:       "rfc5424",
		SyslogLogLines:     true,
		Tags:               []string{"rsyncd", "backup-?"},
		LogFormat:          "%o %f %l",
		LineFormat:         `(?P<pid>\d+) (?P<description>.*)`,
		Modules:            []string{"a", "b c", "from conf"},
		Hosts:              []string{"vm1", "vm2.example.org"},
		ModuleFormats:      map[string]string{"from conf": "%f %l"},
		Unlogged:           []string{"from conf", "b c"},
		MaxSeries:          77,
		SessionTTL:         90 * time.Minute,
		Expected:           expected,
		SessionLog:         dir + "/sessions.log",
		SessionLogMode:     0o600,
		Anonymise:          true,
		StatusPage:         config.StatusPagePublic,
		Limits:             map[string]config.Limit{"from conf": {MaxConnections: 8, LockFile: "/var/run/rsyncd.lock"}},
		HTTPListen:         "127.0.0.1:9999",
		WebConfig:          web,
		LogLevel:           slog.LevelWarn,
	}
	var env, flags, split []string
	for _, s := range config.Defaults() {
		v, ok := given[s.Name]
		if !ok {
			t.Fatalf("%s is not in this test", s.Name)
		}
		env = append(env, s.Name+"="+v)
		flags = append(flags, s.Flag+"="+v)
		split = append(split, s.Flag, v)
	}
	for _, c := range []struct {
		name       string
		env, flags []string
	}{{"variables", env, nil}, {"--name=value", nil, flags}, {"--name value", nil, split}} {
		t.Run(c.name, func(t *testing.T) {
			testenv.SetEnv(t, c.env...)
			got := load(t, c.flags...)
			got.Warnings = nil
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestFlagBeatsVariableBeatsDefault(t *testing.T) {
	testenv.SetEnv(t, "FILE_POLL=5s", "MAX_SERIES=5")
	cfg := load(t, "--file-poll=7s")
	if cfg.FilePoll != 7*time.Second || cfg.MaxSeries != 5 || cfg.SessionTTL != 24*time.Hour {
		t.Errorf("FILE_POLL %v, MAX_SERIES %d, SESSION_TTL %v; want 7s from the flag, 5 from the variable, 24h by default",
			cfg.FilePoll, cfg.MaxSeries, cfg.SessionTTL)
	}
}

func TestEmptyVariableIsUnsetAndListenersCanBeOff(t *testing.T) {
	for _, c := range []struct {
		name string
		env  []string
		args []string
		want []string
	}{
		{"an empty variable leaves the default", []string{"LISTEN_UDP="}, nil, []string{"127.0.0.1:5514"}},
		{"off in the variable", []string{"LISTEN_UDP=off"}, []string{"--listen-tcp=:1"}, nil},
		{"off in the flag", []string{"LISTEN_UDP=:9"}, []string{"--listen-udp", "off", "--listen-tcp=:1"}, nil},
		{"an empty flag", []string{"LISTEN_UDP=:9"}, []string{"--listen-udp=", "--listen-tcp=:1"}, nil},
		{"the other listeners have off too", nil, []string{"--listen-tcp=off", "--listen-unixgram=off"}, []string{"127.0.0.1:5514"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			testenv.SetEnv(t, c.env...)
			if got := load(t, c.args...); !slices.Equal(got.ListenUDP, c.want) || got.ListenUnixgram != "" {
				t.Errorf("LISTEN_UDP %q, LISTEN_UNIXGRAM %q; want %q and none", got.ListenUDP, got.ListenUnixgram, c.want)
			}
		})
	}
	testenv.SetEnv(t, "MAX_SERIES=", "TAGS=")
	if cfg := load(t); cfg.MaxSeries != 10000 || !slices.Equal(cfg.Tags, []string{"rsyncd*"}) {
		t.Errorf("MAX_SERIES %d, TAGS %q with empty variables, want the defaults", cfg.MaxSeries, cfg.Tags)
	}
}

func TestRepeatedListFlagAdds(t *testing.T) {
	testenv.SetEnv(t, "FILE=/from/variable")
	got := load(t, "--file", "/a", "--file=/b,/c", "--log-level=warn", "--log-level=error")
	if want := []string{"/a", "/b", "/c"}; !slices.Equal(got.Files, want) {
		t.Errorf("FILE %q, want %q", got.Files, want)
	}
	if got.LogLevel != slog.LevelError {
		t.Errorf("LOG_LEVEL %v, want the last one given", got.LogLevel)
	}
}

func TestWarningsOfWhatIsAllowed(t *testing.T) {
	conf := t.TempDir() + "/rsyncd.conf"
	testenv.WriteFile(t, conf, "port = 873\n")
	testenv.SetEnv(t, "FILE=/does/not/exist", "RSYNCD_CONF="+conf)
	got := strings.Join(load(t).Warnings, "\n")
	for _, want := range []string{
		`FILE="/does/not/exist" (from RSYNCD_EXPORTER_FILE): it doesn't exist yet`,
		`RSYNCD_CONF="` + conf + `" (from RSYNCD_EXPORTER_RSYNCD_CONF): it has no module`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no warning %s in\n%s", want, got)
		}
	}
	testenv.SetEnv(t, "LINE_FORMAT=(?P<pid>.)(?P<description>.)")
	if got := strings.Join(load(t).Warnings, "\n"); !strings.Contains(got, "LINE_FORMAT (from RSYNCD_EXPORTER_LINE_FORMAT) is for the lines of files") {
		t.Errorf("warnings %q, want one about LINE_FORMAT without FILE", got)
	}
}

func sans(t *testing.T, names ...string) (sans []stream.SAN) {
	t.Helper()
	for _, name := range names {
		san, err := stream.ParseSAN(name)
		if err != nil {
			t.Fatal(err)
		}
		sans = append(sans, san)
	}
	return sans
}
