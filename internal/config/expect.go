package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/internal/readfile"
	"rsyncd_exporter/internal/text"
)

// autoExpect in EXPECT stands for the auth users of RSYNCD_CONF.
const autoExpect = "auto"

// expected takes EXPECT and EXPECT_FILE together. auto adds those that neither names.
func (v *validator) expected(now time.Time) {
	all := expectations{named: map[string]string{}, known: map[backups.Identity]string{}}
	file := v.settings.get("EXPECT_FILE")
	if file.Value != "" {
		v.expectFile(file, &all, now)
	}
	s := v.settings.get("EXPECT")
	entries := items(s)
	for _, entry := range entries {
		if entry == autoExpect {
			continue
		}
		e, err := backups.ParseEntry(entry)
		if err == nil {
			err = all.add(e, fmt.Sprintf("%q of EXPECT", entry))
		}
		if err != nil {
			v.problemWith(s, entry, err, "write data@alice<26h for a module, a user and the longest time between "+
				"successes; EXPECT_FILE can say more")
		}
	}
	if slices.Contains(entries, autoExpect) {
		v.autoExpected(s, &all)
	}
	if n := len(all.list); n > backups.MaxExpected {
		v.problems = append(v.problems, fmt.Errorf("EXPECT and EXPECT_FILE: %d backups are expected, and %d can be: "+
			"leave some out", n, backups.MaxExpected))
	}
	v.cfg.Expected = all.list
	v.doubtModules()
	if len(all.list) > 0 && v.cfg.StateDir == "" {
		if file.Value == "" {
			file = s
		}
		v.warn("%s (from %s): without STATE_DIR each start forgets which backups came, and one that is missing shows "+
			"only after its whole time and grace once more: set STATE_DIR", file.Name, file.Origin)
	}
}

// expectations collects what is expected.
type expectations struct {
	list  []backups.Expectation
	named map[string]string // by name, where it is said
	known map[backups.Identity]string
}

func (a *expectations) add(e backups.Expectation, where string) error {
	if other := a.known[e.Identity]; other != "" {
		return fmt.Errorf("it is the same backup as %s", other)
	}
	if other := a.named[e.Name]; other != "" {
		return fmt.Errorf("it has the name of %s, %q: give one of them another name in EXPECT_FILE", other, e.Name)
	}
	a.list, a.known[e.Identity], a.named[e.Name] = append(a.list, e), where, where
	return nil
}

func (v *validator) expectFile(s *Setting, all *expectations, now time.Time) {
	content, err := readfile.Read(s.Value, maxConfSize)
	if err != nil {
		v.problem(s, err, "name a YAML file that the exporter may read")
		return
	}
	list, problems := parseExpectFile(content, now)
	for _, e := range list {
		if err := all.add(e.Expectation, fmt.Sprintf("that of line %d of EXPECT_FILE", e.line)); err != nil {
			problems = append(problems, fmt.Errorf("line %d: %w", e.line, err))
		}
	}
	for _, p := range problems {
		v.problems = append(v.problems, fmt.Errorf("EXPECT_FILE=%q (from %s): %w", s.Value, s.Origin, p))
	}
}

// autoExpected expects the auth users that may write, and warns of those that can't be expected.
func (v *validator) autoExpected(s *Setting, all *expectations) {
	if v.conf == nil {
		v.problemWith(s, autoExpect, errors.New("no rsyncd.conf says which users these are"),
			"set RSYNCD_CONF to one that can be read, or name modules and users")
		return
	}
	added := false
	for i := range v.conf.modules {
		m := &v.conf.modules[i]
		users, left := m.writers()
		for _, user := range users {
			e := backups.Expectation{Name: m.name + "@" + user, Every: backups.DefaultAge}
			e.Module, e.User, e.Direction = m.name, user, receive
			switch {
			case e.Check(time.Time{}) != nil:
				left = append(left, user)
			case all.known[e.Identity] == "":
				err := all.add(e, "an auth user of RSYNCD_CONF")
				if err != nil {
					v.problemWith(s, autoExpect, err, "or name modules and users in place of auto")
				}
			}
			added = true
		}
		if len(left) > 0 {
			v.doubt(s, autoExpect, "of the auth users of module %s these are not expected, as they are no names, "+
				"or may not write: %s", text.Printable(m.name), text.OneLine(strings.Join(left, ", ")))
		}
	}
	if !added {
		v.doubt(s, autoExpect, "RSYNCD_CONF has no auth users that may write, so nobody is expected")
	}
}

// writers returns the names among the auth users of a module that may write, and the other entries
// of the list (authenticate.c: auth_server, loadparm.c: conf_strtok).
func (m *confModule) writers() (users, left []string) {
	separator := func(r rune) bool { return r == ',' || isConfSpace(r) }
	if strings.HasPrefix(m.authUsers, ",") {
		separator = func(r rune) bool { return r == ',' }
	}
	for _, entry := range strings.FieldsFunc(m.authUsers, separator) {
		if entry = strings.Trim(entry, confSpace); entry == "" {
			continue
		}
		user, may, _ := strings.Cut(entry, ":")
		writes := may == "rw" || may == "" && !m.readOnly
		switch {
		case !writes || user == "" || strings.HasPrefix(user, "@") || strings.ContainsAny(user, `*?[\`):
			left = append(left, entry)
		case !slices.Contains(users, user):
			users = append(users, user)
		}
	}
	return users, left
}

// doubtModules warns of expected backups whose module RSYNCD_CONF doesn't have, or whose least
// number of files nothing will tell.
func (v *validator) doubtModules() {
	if v.conf == nil {
		return
	}
	for i := range v.cfg.Expected {
		e := &v.cfg.Expected[i]
		switch {
		case e.Host != "": // another machine's may have others
		case !slices.Contains(v.cfg.Modules, e.Module):
			v.warn("backup %s is expected in module %s, which RSYNCD_CONF and MODULES don't have%s",
				text.Printable(e.Name), text.Printable(e.Module), text.DidYouMean(e.Module, v.cfg.Modules))
		case e.Files > 0 && slices.Contains(v.cfg.Unlogged, e.Module):
			v.warn("backup %s is expected to transfer files, and module %s doesn't log them: set "+
				"transfer logging = yes in rsyncd.conf", text.Printable(e.Name), text.Printable(e.Module))
		}
	}
}
