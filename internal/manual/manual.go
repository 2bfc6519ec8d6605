// Package manual renders what help knows in the forms that packages ship: a man page, completions
// for three shells, and a file of all settings.
package manual

import (
	"regexp"
	"strings"

	"rsyncd_exporter/internal/config"
)

// A Command is one of the program's commands.
type Command struct {
	Name, Summary string
	Usage         string // what its --help prints; empty where that is help's own text
	Settings      bool   // whether it takes all settings as flags
}

// A Manual is everything that help knows.
type Manual struct {
	Version  string
	Date     string // of the man page, 2006-01-02; may be empty
	Commands []Command
	Settings []config.Setting
	Legacy   []config.LegacyFlag
}

// An option is a flag of one command that is no setting.
type option struct {
	name    string // with its hyphens
	value   string // how usage calls its value; empty for a flag without one
	equals  bool   // the value stands behind an equals sign, not in the next word
	meaning string
}

// choices returns the values that the usage lists, as in send|receive.
func (o option) choices() []string {
	if !strings.Contains(o.value, "|") {
		return nil
	}
	return strings.Split(o.value, "|")
}

// optionText is a flag in a usage: --url=URL, --json or -d SECONDS.
var optionText = regexp.MustCompile(`^(--?[a-z][a-z-]*)(?:(=)([^\s,]*)| ([A-Z][A-Za-z.]*))?,? ?`)

// options reads a command's flags from its usage, where each line that begins with two spaces and
// a hyphen names one or several. What stands in the text of both the settings and the usage counts
// as a setting.
func (c Command) options(settings []config.Setting) (all []option) {
	known := map[string]bool{}
	for _, s := range settings {
		known[s.Flag] = true
	}
	for line := range strings.Lines(c.Usage) {
		rest, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "  ")
		if !ok || !strings.HasPrefix(rest, "-") {
			continue
		}
		first := len(all)
		for m := optionText.FindStringSubmatch(rest); m != nil; m = optionText.FindStringSubmatch(rest) {
			rest = rest[len(m[0]):]
			if !known[m[1]] {
				all = append(all, option{name: m[1], value: m[3] + m[4], equals: m[2] != ""})
			}
		}
		for i := range all[first:] {
			all[first+i].meaning = strings.TrimSpace(rest)
		}
	}
	if c.Usage != "" {
		all = append(all, option{name: "--help", meaning: "says how to use it"})
	}
	return all
}
