// Command waivers judges what gosec has found. It fails for a finding that nothing waives, for a
// waiver without a reason, and for one that waives nothing. It runs in the repository's root.
//
//	waivers RULES FINDINGS...
//
// RULES has a rule that is waived as a whole and the reason on each line. FINDINGS are what gosec
// wrote with -fmt=json -track-suppressions, a file for each system that it looked at.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Args[1:], "."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A finding is what gosec has to say of a line.
type finding struct {
	Rule         string `json:"rule_id"`
	Details      string
	File         string
	Line         string // or a range, 12-14
	Suppressions []struct{ Kind string }
}

func (f *finding) first() int {
	line, _, _ := strings.Cut(f.Line, "-")
	n, _ := strconv.Atoi(line) // 0 is no line: nothing waives it
	return n
}

func run(args []string, root string) error {
	if len(args) < 2 {
		return errors.New("waivers: give the file of waived rules, and those with gosec's findings")
	}
	rules, err := readRules(args[0])
	if err != nil {
		return err
	}
	var wrong []error
	found := map[waived]bool{} // what was waived beside its line
	for _, name := range args[1:] {
		findings, err := readFindings(name)
		if err != nil {
			return err
		}
		for _, f := range findings {
			rule := rules[f.Rule]
			switch {
			case len(f.Suppressions) > 0:
				found[waived{f.Rule, f.File, f.first()}] = true
			case rule != nil:
				rule.used = true
			default:
				wrong = append(wrong,
					fmt.Errorf("%s:%s: %s: %s: mend it, or write why it is right: \"#nosec %s -- reason\"",
						f.File, f.Line, f.Rule, f.Details, f.Rule))
			}
		}
	}
	for name, rule := range rules {
		if !rule.used {
			wrong = append(wrong, fmt.Errorf("%s:%d: %s waives nothing any more: remove it", args[0], rule.line, name))
		}
	}
	return errors.Join(append(wrong, unusedComments(root, found)...)...)
}

// A waived is where a finding was waived beside its line.
type waived struct {
	rule, file string
	line       int
}

// A rule is waived as a whole.
type rule struct {
	line int
	used bool
}

func readRules(name string) (map[string]*rule, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	rules, number := map[string]*rule{}, 0
	for line := range strings.Lines(string(text)) {
		number++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		id, reason, _ := strings.Cut(line, " ")
		if !ruleName.MatchString(id) || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("%s:%d: %q is not a rule of gosec's with a reason: write \"G123 reason\"",
				name, number, line)
		}
		rules[id] = &rule{line: number}
	}
	return rules, nil
}

var (
	ruleName = regexp.MustCompile(`^G\d{3}$`)
	comment  = regexp.MustCompile(`//\s*#?nosec\b.*`)
	inOrder  = regexp.MustCompile(`^// #nosec (G\d{3}) -- \S.{9,}`)
)

func readFindings(name string) ([]finding, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var report struct {
		Issues      []finding
		GolangError map[string][]struct{ Error string } `json:"Golang errors"`
		Stats       struct{ Files int }
	}
	if err := json.Unmarshal(text, &report); err != nil {
		return nil, fmt.Errorf("%s: not what gosec -fmt=json writes: %w", name, err)
	}
	for file, errs := range report.GolangError {
		return nil, fmt.Errorf("gosec can't read %s: %v", file, errs)
	}
	if report.Stats.Files == 0 {
		return nil, fmt.Errorf("%s: gosec has looked at no file", name)
	}
	return report.Issues, nil
}

// within is how many lines below its comment a finding may begin: a statement may have several.
const within = 4

// unusedComments returns an error for each comment under root that waives nothing, or has no rule or
// reason.
func unusedComments(root string, found map[waived]bool) (wrong []error) {
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "build") {
			return filepath.SkipDir
		}
		if !entry.Type().IsRegular() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		wrong = append(wrong, commentsOf(path, found)...)
		return nil
	})
	if err != nil {
		wrong = append(wrong, err)
	}
	return wrong
}

// ownSource has the form of the comments in its words.
const ownSource = "internal/waivers/"

func commentsOf(path string, found map[waived]bool) (wrong []error) {
	if strings.Contains(filepath.ToSlash(path), ownSource) {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return append(wrong, err)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return append(wrong, err)
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		c := comment.FindString(line)
		if c == "" {
			continue
		}
		match := inOrder.FindStringSubmatch(c)
		if match == nil {
			wrong = append(wrong, fmt.Errorf("%s:%d: %q has no rule or no reason: write \"// #nosec G123 -- reason\"",
				path, number, strings.TrimSpace(c)))
			continue
		}
		used := false
		for at := number; at <= number+within; at++ {
			used = used || found[waived{match[1], absolute, at}]
		}
		if !used {
			wrong = append(wrong, fmt.Errorf("%s:%d: %q waives nothing: remove it", path, number, strings.TrimSpace(c)))
		}
	}
	return wrong
}
