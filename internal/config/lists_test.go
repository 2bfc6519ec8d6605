package config_test

import (
	"fmt"
	"strings"
	"testing"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/testenv"
)

// lists are all settings that are lists, with what an empty flag of each means.
func lists(t *testing.T) []config.Setting {
	var all []config.Setting
	for _, s := range config.Defaults() {
		switch s.EmptyIs() {
		case "":
		case "none", "all", "never":
			all = append(all, s)
		default:
			t.Errorf("%s: %q is no kind of list", s.Name, s.EmptyIs())
		}
	}
	if len(all) != 11 { // counted by hand in the table of docs/settings.md: those whose meaning is in the plural
		t.Errorf("%d lists, want 11", len(all))
	}
	return all
}

// A list that was given and has no item is an error, whichever it is: it must let nobody in, and not everybody. An empty
// variable is an unset one.
func TestListsWithoutItems(t *testing.T) {
	testenv.SetEnv(t)
	defaults := load(t)
	for _, s := range lists(t) {
		for _, value := range []string{",", ",,", " ", " , ", "\t,"} {
			want := fmt.Sprintf(`%s=%q (from `, s.Name, value)
			const why = "): the list has no item"
			t.Run(fmt.Sprintf("%s=%q", s.Name, value), func(t *testing.T) {
				testenv.SetEnv(t)
				if got := loadError(t, s.Flag+"="+value); !strings.HasPrefix(got, want+s.Flag+why) || strings.Contains(got, "\n") {
					t.Errorf("by flag: %s", got)
				}
				testenv.SetEnv(t, s.Name+"="+value)
				if got := loadError(t); !strings.HasPrefix(got, want+s.Variable+why) || strings.Contains(got, "\n") {
					t.Errorf("by variable: %s", got)
				}
			})
		}
		t.Run(s.Name+" empty", func(t *testing.T) {
			testenv.SetEnv(t, s.Name+"=")
			if got := load(t); fmt.Sprint(*got) != fmt.Sprint(*defaults) {
				t.Errorf("by variable: %+v, want the defaults", got)
			}
			_, err := config.Load([]string{s.Flag + "="})
			refused := err != nil && strings.Contains(err.Error(), s.Name+`="" (from `+s.Flag+"): the list has no item")
			if refused != (s.EmptyIs() != "none") {
				t.Errorf("by flag: %v", err)
			}
		})
	}
}

// All of them are told at once, with the other problems.
func TestAllListsWithoutItems(t *testing.T) {
	var pairs []string
	for _, s := range lists(t) {
		pairs = append(pairs, s.Name+"=,")
	}
	testenv.SetEnv(t, append(pairs, "LOG_LEVEL=loud")...)
	got := loadError(t)
	if n := strings.Count(got, ": the list has no item"); n != len(pairs) || !strings.Contains(got, "LOG_LEVEL") {
		t.Errorf("%d lists of %d:\n%s", n, len(pairs), got)
	}
}

// A flag that names no file of those that keep people out is a variable that nobody set, and must not let everybody in. An
// empty variable is an unset one.
func TestDoorsWithoutAFile(t *testing.T) {
	for _, name := range []string{"TLS_CLIENT_CA", "TLS_CRL", "WEB_CONFIG"} {
		testenv.SetEnv(t, name+"=")
		load(t)
		flag := "--" + strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		got := loadError(t, flag+"=")
		if want := name + `="" (from ` + flag + "): no file is named, which would let everybody in"; !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
