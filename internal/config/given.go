package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/kelseyhightower/envconfig"

	"rsyncd_exporter/internal/text"
)

// notSettings are the variables with the prefix that status/ask reads.
func notSettings() []string { return []string{envPrefix + "_USER", envPrefix + "_PASSWORD"} }

// envPrefix is what the names of all variables start with, less its underscore.
const envPrefix = "RSYNCD_EXPORTER"

// A Setting is a setting's declaration, its text as given, and where that came from.
//
// A list has its items separated by commas, and repeating its flag adds to it.
type Setting struct {
	Name     string // LISTEN_UDP
	Default  string
	Meaning  string
	list     listKind
	read     func(*Setting) // nil: others read it
	Variable string         // RSYNCD_EXPORTER_LISTEN_UDP
	Flag     string         // --listen-udp

	Value  string
	Origin string // "default", the variable's name, or the flag
}

// A listKind says what a list without an item means, see validator.lists; it is empty for no list.
type listKind string

const (
	emptyIsNone listKind = "none"  // nothing is listened at, followed or named
	emptyIsAll  listKind = "all"   // everybody is let in
	neverEmpty  listKind = "never" // an error
)

// items returns the items of a list, trimmed, without empty and repeated ones.
func items(s *Setting) []string {
	if s.list == "" {
		panic(s.Name + " is no list in the table, so that nobody looks at whether it is empty")
	}
	var items []string
	seen := map[string]bool{}
	for item := range strings.SplitSeq(s.Value, ",") {
		if item = strings.TrimSpace(item); item != "" && !seen[item] {
			seen[item] = true
			items = append(items, item)
		}
	}
	return items
}

// off reports whether a listener is switched off, by an empty flag or the word off.
func (s *Setting) off() bool {
	v := strings.TrimSpace(s.Value)
	return v == "" || v == "off"
}

// set replaces the default.
func (s *Setting) set(value, origin string) { s.Value, s.Origin = value, origin }

type settings []Setting

// Defaults returns all settings at their defaults, in the order of the documentation.
func Defaults() []Setting { return newValidator().settings }

func (all settings) get(name string) *Setting {
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	panic("no setting is called " + name)
}

// readEnvironment takes the settings from the variables, and returns a problem for each unknown
// one. envconfig fills a struct of strings, since it stops at the first value that it can't convert
// and lets empty variables override defaults. The tag "envconfig" would admit variables without the
// prefix.
func (all settings) readEnvironment() []error {
	var fields []reflect.StructField
	for i := range all {
		fields = append(fields, reflect.StructField{Name: all[i].Name, Type: reflect.TypeFor[string]()})
	}
	given := reflect.New(reflect.StructOf(fields))
	if err := envconfig.Process(envPrefix, given.Interface()); err != nil {
		return []error{fmt.Errorf("environment: %w", err)}
	}
	names := notSettings()
	for i := range all {
		s := &all[i]
		names = append(names, s.Variable)
		if value := given.Elem().Field(i).String(); value != "" {
			s.set(value, s.Variable)
		}
	}
	var problems []error
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, envPrefix+"_") && !slices.Contains(names, name) && !fromKubernetes(name, value) {
			guess := text.DidYouMean(name, names)
			problems = append(problems, fmt.Errorf("variable %s=%q is no setting%s: see rsyncd_exporter help, or "+
				"unset it", text.Printable(name), value, guess))
		}
	}
	return problems
}

// fromKubernetes reports whether Kubernetes (or Docker's links) sets such a variable for a service
// whose name starts with rsyncd-exporter. See
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables.
func fromKubernetes(name, value string) bool {
	endings := `(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_[0-9]+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR))`
	if strings.Contains(value, "://") {
		endings = `PORT(_[0-9]+_(TCP|UDP|SCTP))?`
	}
	return regexp.MustCompile(`^` + envPrefix + `_(.+_)?` + endings + `$`).MatchString(name)
}
