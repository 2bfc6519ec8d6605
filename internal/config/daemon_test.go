package config_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/testenv"
)

// configOf loads settings with an rsyncd.conf, in whose text DIR stands for its directory.
func configOf(t *testing.T, conf string, args ...string) (cfg *config.Config, dir string, err error) {
	t.Helper()
	testenv.SetEnv(t)
	dir = t.TempDir()
	if conf != "" {
		path := filepath.Join(dir, "rsyncd.conf")
		testenv.WriteFile(t, path, strings.ReplaceAll(conf, "DIR", dir))
		args = append(args, "--rsyncd-conf="+path)
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "DIR", dir)
	}
	cfg, err = config.Load(args)
	return cfg, dir, err
}

// within takes the directory off paths.
func within(dir string, paths []string) (names []string) {
	for _, p := range paths {
		names = append(names, strings.TrimPrefix(p, dir+"/"))
	}
	return names
}

// FILE=auto is every log file that the configuration names and that has a name; what isn't followed is told.
func TestFileAuto(t *testing.T) {
	for name, test := range map[string]struct {
		conf, args    string
		files, daemon []string // in this order
		syslog        bool
		warnings      []string
	}{
		"global and modules": {
			conf:  "[early]\npath = /\n[global]\nlog file = DIR/log\n[one]\nlog file=DIR//one.log\n[two]\n  LogFile = DIR/two*.log  \n[like one]\nlog file = DIR/one.log\n",
			files: []string{"log", "one.log", `two\*.log`}, daemon: []string{"log", "one.log", "two*.log"},
			syslog: true, warnings: []string{"whose messages come from a relay"}, // [early] has none
		},
		"an include has its own": {
			conf: "log file = DIR/log\n&include DIR/inc\n[one]\nlog file = DIR/one.log\n", files: []string{"log", "one.log"},
			daemon: []string{"log", "one.log"},
		},
		"what can't be followed": {
			conf: "log file = log\n[one]\nlog file = DIR/%RSYNC_MODULE_NAME%.log\n[two]\nlog file = /dev/null\n[three]\nlog file = DIR/three.log\n",
			args: "--listen-udp=off", files: []string{"three.log"}, daemon: []string{"three.log"},
			warnings: []string{"only rsyncd knows the value of %RSYNC_MODULE_NAME%", "relative to where rsyncd was started", "no regular file"},
		},
		"the daemon's part in syslog": {
			conf: "[one]\nlog file = DIR/one.log\n", args: "--listen-unixgram=DIR/socket", files: []string{"one.log"},
			daemon: []string{"one.log"}, syslog: true,
		},
		"syslog that nobody receives": {
			conf: "[one]\nlog file = DIR/one.log\n[two]\nlog file = DIR/two.log\n", args: "--listen-udp=off",
			files: []string{"one.log", "two.log"}, daemon: []string{"one.log", "two.log"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"--file=auto"}
			if test.args != "" {
				args = append(args, test.args)
			}
			conf := test.conf
			if strings.Contains(conf, "&include") {
				inc := filepath.Join(t.TempDir(), "inc")
				testenv.WriteFile(t, inc, "log file = /nowhere/else\n")
				conf = strings.ReplaceAll(conf, "DIR/inc", inc)
			}
			cfg, dir, err := configOf(t, conf, args...)
			if err != nil {
				t.Fatal(err)
			}
			if got := within(dir, cfg.Files); !slices.Equal(got, test.files) {
				t.Errorf("files %q, want %q", got, test.files)
			}
			if got := within(dir, cfg.Daemon.Paths); !slices.Equal(got, test.daemon) || cfg.Daemon.Syslog != test.syslog {
				t.Errorf("daemon's %q, syslog %v; want %q, %v", got, cfg.Daemon.Syslog, test.daemon, test.syslog)
			}
			all := strings.Join(cfg.Warnings, "\n")
			for _, w := range test.warnings {
				if !strings.Contains(all, w) {
					t.Errorf("no warning %q in %s", w, all)
				}
			}
		})
	}
}

// What FILE=auto and FILE_HOST can't be says what to do.
func TestFileAutoAndHostProblems(t *testing.T) {
	for want, test := range map[string]struct{ conf, arg string }{
		"set RSYNCD_CONF to one that can be read":            {"", "--file=auto"},
		"RSYNCD_CONF names no log file that can be followed": {"[one]\n", "--file=auto"},
		`it has no group "host"`:                             {"", "--file-host=/var/log/([^/]+)"},
		"missing closing )":                                  {"", "--file-host=("},
	} {
		if _, _, err := configOf(t, test.conf, test.arg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s with %q: %v, want %q", test.arg, test.conf, err, want)
		}
	}
	if cfg, _, err := configOf(t, "", "--file=./auto"); err != nil || !slices.Equal(cfg.Files, []string{"auto"}) {
		t.Errorf("a file called auto: %v", err)
	}
}

// The files of one daemon have one host, though the expression says something else of each.
func TestHostOfADaemonsFiles(t *testing.T) {
	cfg, dir, err := configOf(t, "log file = DIR/a.log\n[one]\nlog file = DIR/b.log\n", "--file=auto", "--file-host=/(?P<host>[^/]+)[.]log")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{dir + "/a.log": "a", dir + "/b.log": "a", dir + "/c.log": "c", dir + "/d": ""} {
		if got := cfg.HostOf(path); got != want {
			t.Errorf("host of %s: %q, want %q", path, got, want)
		}
	}
}

// A part of a daemon's log that isn't followed, and a FILE_HOST that finds nothing, are told of; where no file at all can
// be followed, so is each reason.
func TestFilesOfADaemonThatAreNotFollowed(t *testing.T) {
	const conf = "log file = DIR/a.log\n[one]\nlog file = DIR/b.log\n"
	for name, test := range map[string]struct{ args, want string }{
		"a module's":       {"--file=DIR/a.log", "b.log\", which FILE doesn't follow"},
		"the daemon's":     {"--file=DIR/b.log", "a.log\", which FILE doesn't follow"},
		"nothing of it":    {"--file=DIR/other.log", ""},
		"all":              {"--file=auto", ""},
		"no host":          {"--file=auto --file-host=/nix/(?P<host>.)", "it finds no host in the path of any followed file"},
		"a host":           {"--file=auto --file-host=/(?P<host>[^/]+)/a", ""},
		"a packed file":    {"--file=DIR/old.log.gz", "it is compressed"},
		"an empty host":    {"--file=DIR/other.log --file-host=(?P<host>)", "it finds no host"},
		"a host for stdin": {"--file=- --file-host=(?P<host>x)", ""},
	} {
		dir := t.TempDir()
		for _, f := range []string{"a.log", "b.log", "other.log", "old.log.gz"} {
			testenv.WriteFile(t, filepath.Join(dir, f), "")
		}
		testenv.WriteFile(t, filepath.Join(dir, "rsyncd.conf"), strings.ReplaceAll(conf, "DIR", dir))
		args := strings.Fields(strings.ReplaceAll(test.args, "DIR", dir))
		testenv.SetEnv(t)
		cfg := load(t, append(args, "--listen-udp=off", "--rsyncd-conf="+filepath.Join(dir, "rsyncd.conf"))...)
		if got := strings.Join(cfg.Warnings, "\n"); test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s: warnings %q, want %q", name, got, test.want)
		}
	}
	_, _, err := configOf(t, "log file = log\n[one]\nlog file = DIR/%RSYNC_MODULE_NAME%.log\n", "--file=auto", "--listen-udp=off")
	for _, want := range []string{"relative to where rsyncd was started", "only rsyncd knows the value"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "no input") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
