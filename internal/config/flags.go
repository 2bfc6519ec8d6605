package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"rsyncd_exporter/internal/readfile"
	"rsyncd_exporter/internal/text"
)

// A LegacyFlag is a flag of the program that this one replaces.
type LegacyFlag struct {
	Name, Arg, Meaning string
	set                func(v *validator, arg string) error
}

// LegacyFlags returns them all.
func LegacyFlags() []LegacyFlag {
	return []LegacyFlag{
		{"p", "FILE", "adds FILE, a path or a quoted pattern, to the files to follow; LISTEN_UDP is off then unless " +
			"it is set", setLegacyFile},
		{"f", "FILE", "the first line of FILE is the LINE_FORMAT, if it has a named group such as (?P<pid>…), " +
			"otherwise the LOG_FORMAT", setLegacyFormat},
		{"s", "SECONDS", "FILE_POLL", setLegacySeconds},
		{"x", "PORT", "HTTP_LISTEN=:PORT", setLegacyPort},
	}
}

// parseFlags takes settings from the flags and collects problems, flag.ErrHelp if help is asked
// for. extra, which may be nil, adds a command's own flags.
func (v *validator) parseFlags(args []string, extra func(*flag.FlagSet)) {
	fs := v.flagSet(extra)
	for {
		err := fs.Parse(args)
		rest := fs.Args()
		switch {
		case err == nil && v.takesFiles && len(rest) > 0:
			if rest[0] == "" {
				v.problems = append(v.problems, errors.New(`"": no file named`))
			}
			if before := len(args) - len(rest) - 1; before >= 0 && args[before] == "--" {
				v.checked = append(v.checked, rest...)
				return
			}
			v.checked, args = append(v.checked, rest[0]), rest[1:]
			continue
		case err == nil && len(rest) > 0:
			v.problems = append(v.problems, strayArgument(rest[0]))
			return
		case err == nil:
			return
		case errors.Is(err, flag.ErrHelp):
			v.problems = append(v.problems, err)
			return
		}
		if len(rest) == len(args) { // Parse has not taken what doesn't even look like a flag, such as "--="
			rest = rest[1:]
		}
		bad := args[len(args)-len(rest)-1]
		v.problems = append(v.problems, flagProblem(fs, bad))
		if len(rest) > 0 && !strings.Contains(bad, "=") && !strings.HasPrefix(rest[0], "-") {
			rest = rest[1:] // most likely its value
		}
		args = rest
	}
}

// flagSet returns the flags of all settings, the legacy ones, and extra's.
func (v *validator) flagSet(extra func(*flag.FlagSet)) *flag.FlagSet {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	if extra != nil {
		extra(fs)
	}
	for i := range v.settings {
		s := &v.settings[i]
		fs.Func(strings.TrimPrefix(s.Flag, "--"), s.Meaning, func(value string) error {
			if s.list != "" && s.Origin == s.Flag && s.Value != "" && value != "" {
				value = s.Value + "," + value
			}
			s.set(value, s.Flag)
			return nil
		})
	}
	for _, l := range LegacyFlags() {
		fs.Func(l.Name, l.Meaning, func(value string) error {
			if err := l.set(v, value); err != nil {
				v.problems = append(v.problems, err)
			}
			return nil
		})
	}
	return fs
}

func strayArgument(arg string) error {
	remedy := "settings are given as --name=value, and a command comes first"
	if _, err := os.Stat(arg); err == nil {
		remedy += "; a pattern of files takes quotation marks, '*.log'"
	}
	return fmt.Errorf("unexpected argument %q: %s", arg, remedy)
}

func flagProblem(fs *flag.FlagSet, arg string) error {
	name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	if fs.Lookup(name) != nil {
		return fmt.Errorf("flag %s has no value: write %s=VALUE", arg, arg)
	}
	var names []string
	fs.VisitAll(func(f *flag.Flag) {
		if len(f.Name) > 1 {
			names = append(names, "--"+f.Name)
		}
	})
	return fmt.Errorf("flag %s is unknown%s: see rsyncd_exporter help",
		text.Printable(arg), text.DidYouMean("--"+name, names))
}

// setLegacyFile implements -p. A comma is part of the path.
func setLegacyFile(v *validator, path string) error {
	if path == "" {
		return errors.New(`-p "": no file named: write -p /var/log/rsyncd.log`)
	}
	v.legacyFiles = append(v.legacyFiles, path)
	return nil
}

func setLegacyFormat(v *validator, path string) error {
	line, err := firstLine(path)
	if err != nil {
		return fmt.Errorf("-f %q: %w: name a file whose first line is the format", path, err)
	}
	name := "LOG_FORMAT"
	if strings.Contains(line, "(?P<") || strings.Contains(line, "(?<") {
		name = "LINE_FORMAT"
	}
	v.settings.get(name).set(line, "-f "+path)
	return nil
}

// firstLine returns the first line of a file; an empty or overlong one is an error.
func firstLine(path string) (string, error) {
	content, err := readfile.Read(path, maxConfSize)
	if err != nil {
		return "", err
	}
	const most = 64 << 10
	line, _, _ := strings.Cut(string(content), "\n")
	if len(line) >= most {
		return "", fmt.Errorf("the first line is longer than %d bytes", most)
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", errors.New("the first line is empty")
	}
	return line, nil
}

func setLegacySeconds(v *validator, arg string) error {
	seconds, err := strconv.ParseFloat(arg, 64)
	if err != nil || !(seconds >= minFilePoll.Seconds() && seconds <= maxFilePoll.Seconds()) {
		return fmt.Errorf("-s %q: no number of seconds from %v to %v: write -s 1 or -s 0.5",
			arg, minFilePoll.Seconds(), maxFilePoll.Seconds())
	}
	v.settings.get("FILE_POLL").set(time.Duration(seconds*float64(time.Second)).String(), "-s")
	return nil
}

func setLegacyPort(v *validator, arg string) error {
	if port, err := strconv.ParseUint(arg, 10, 16); err != nil || port == 0 {
		return fmt.Errorf("-x %q: no port number from 1 to 65535: write -x 8080", arg)
	}
	v.settings.get("HTTP_LISTEN").set(":"+arg, "-x")
	return nil
}
