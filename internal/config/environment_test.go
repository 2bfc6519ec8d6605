package config_test

import (
	"strings"
	"testing"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/testenv"
)

func TestMisspeltVariables(t *testing.T) {
	for name, want := range map[string]string{
		"LISTEN_UPD":   "(did you mean RSYNCD_EXPORTER_LISTEN_UDP?)",
		"MAXSERIES":    "(did you mean RSYNCD_EXPORTER_MAX_SERIES?)",
		"FILES":        "(did you mean RSYNCD_EXPORTER_FILE?)",
		"listen_tcp":   "(did you mean RSYNCD_EXPORTER_LISTEN_TCP?)",
		"SOMETHING_UP": "is no setting: see",
		"HTTP_PORT":    "is no setting", // looks like one of Kubernetes', and holds no URL
		"PORT":         "is no setting",
	} {
		t.Run(name, func(t *testing.T) {
			testenv.SetEnv(t, name+"=8080")
			got := loadError(t)
			if !strings.HasPrefix(got, `variable RSYNCD_EXPORTER_`+name+`="8080" is no setting`) || !strings.Contains(got, want) {
				t.Errorf("got %s\nwant %s", got, want)
			}
		})
	}
}

// What Kubernetes sets for a service rsyncd-exporter with a port named http, and for one named rsyncd-exporter-syslog.
func TestVariablesOfKubernetesAreIgnored(t *testing.T) {
	testenv.SetEnv(t,
		"SERVICE_HOST=10.96.7.4",
		"SERVICE_PORT=8080",
		"SERVICE_PORT_HTTP=8080",
		"PORT=tcp://10.96.7.4:8080",
		"PORT_8080_TCP=tcp://10.96.7.4:8080",
		"PORT_8080_TCP_PROTO=tcp",
		"PORT_8080_TCP_PORT=8080",
		"PORT_8080_TCP_ADDR=10.96.7.4",
		"SYSLOG_SERVICE_HOST=fd00::7",
		"SYSLOG_SERVICE_PORT=5514",
		"SYSLOG_PORT=udp://[fd00::7]:5514",
		"SYSLOG_PORT_5514_UDP=udp://[fd00::7]:5514",
		"SYSLOG_PORT_5514_UDP_ADDR=fd00::7",
	)
	if got := load(t).HTTPListen; got != ":8080" {
		t.Errorf("HTTP_LISTEN %q, want the default", got)
	}
}

// who, top and backups read them, and a shell may have them while it runs check.
func TestVariablesOfWhoAsks(t *testing.T) {
	testenv.SetEnv(t, "USER=u", "PASSWORD=p")
	load(t)
}

// envconfig falls back to names without the prefix where a field has the tag "envconfig".
func TestVariablesWithoutPrefixAreSomebodyElses(t *testing.T) {
	testenv.SetEnv(t)
	t.Setenv("FILE", "/not/ours")
	t.Setenv("LOG_LEVEL", "nonsense")
	t.Setenv("TAGS", "prod,blue")
	if cfg := load(t); len(cfg.Files) != 0 || cfg.Tags[0] != "rsyncd*" {
		t.Errorf("FILE %q, TAGS %q; want the defaults", cfg.Files, cfg.Tags)
	}
}

// Kubernetes would set it: see STYLE of names in settings.
func TestNoSettingEndsInPort(t *testing.T) {
	all := config.Defaults()
	if len(all) != 41 { // counted by hand in DESIGN's table, less what is not there yet, and SYSLOG_LOG_LINES
		t.Errorf("%d settings, want 41", len(all))
	}
	for _, s := range all {
		if strings.HasSuffix(s.Variable, "_PORT") || config.FromKubernetes(s.Variable, "8080") || config.FromKubernetes(s.Variable, "tcp://10.0.0.1:80") {
			t.Errorf("%s can come from Kubernetes", s.Variable)
		}
	}
}
