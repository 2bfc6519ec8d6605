package config

import (
	"errors"
	"flag"
	"slices"
)

// logSettings are those that say how logs are read. The others don't matter to whoever reads old
// ones, and may be wrong, or need a user who may read their files.
var logSettings = [...]string{"TAGS", "LOG_FORMAT", "LINE_FORMAT", "SYSLOG_LOG_LINES", "RSYNCD_CONF", "MODULES",
	"HOSTS", "CLIENT_GROUPS", "GEOIP_DB", "FILE_HOST", "SESSION_TTL", "MAX_SERIES", "ANONYMISE"}

// Logs is Load for a command that reads old logs: it returns the files among the arguments, and
// settings that matter to these alone. own adds the command's flags. They take strings, or are
// boolean: what a string may be is for the command to say.
func Logs(args []string, own func(*flag.FlagSet)) (cfg *Config, files []string, err error) {
	v := newValidator()
	v.takesFiles = true
	v.problems = v.settings.readEnvironment()
	v.parseFlags(args, own)
	if slices.Contains(v.problems, flag.ErrHelp) {
		return nil, nil, flag.ErrHelp
	}
	v.lists()
	v.readConf()
	for _, name := range logSettings {
		if s := v.settings.get(name); s.read != nil {
			s.read(s)
		}
	}
	return v.cfg, v.checked, errors.Join(v.problems...)
}
