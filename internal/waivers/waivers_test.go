package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWaivers(t *testing.T) {
	t.Parallel()
	const (
		source  = "package p\n\n// #nosec G402 -- nothing secret is sent\nvar a = 1\n"
		waiver  = "G104 errors of Close\n"
		closes  = `{"rule_id":"G104","file":"F","line":"9","suppressions":null}`
		secret  = `{"rule_id":"G402","file":"F","line":"4","suppressions":[{"kind":"inSource"}]}`
		unknown = `{"rule_id":"G101","details":"a password","file":"F","line":"7-8"}`
	)
	for _, tt := range []struct{ name, rules, source, findings, want string }{
		{"all is waived, and with reason", waiver, source, closes + "," + secret, ""},
		{"a finding", waiver, source, closes + "," + secret + "," + unknown, "p.go:7-8: G101: a password: mend it"},
		{"a rule without reason", "G104\n", source, closes + "," + secret, `rules:1: "G104" is not a rule of gosec's with a reason`},
		{"a rule that isn't one", "# all\nclose reason\n", source, secret, `rules:2: "close reason"`},
		{"a rule that waives nothing", waiver, source, secret, "rules:1: G104 waives nothing any more"},
		{"a comment that waives nothing", waiver, source, closes, `p.go:3: "// #nosec G402 -- nothing secret is sent" waives nothing`},
		{"a comment for another rule", waiver, strings.Replace(source, "G402", "G101", 1), closes + "," + secret, "p.go:3:"},
		{"a comment too far away", waiver, strings.Replace(source, "\n\n", "\n\n// #nosec G402 -- nothing secret is sent\n\n\n\n\n\n", 1),
			closes + "," + strings.Replace(secret, `"4"`, `"10"`, 1), "p.go:3:"},
		{"a comment without reason", waiver, strings.Replace(source, " -- nothing secret is sent", "", 1), closes + "," + secret, "p.go:3: \"// #nosec G402\" has no rule or no reason"},
		{"a comment without rule", waiver, strings.Replace(source, "G402 ", "", 1), closes + "," + secret, "has no rule or no reason"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "p.go")
			rules, findings := filepath.Join(dir, "rules"), filepath.Join(dir, "findings")
			report := fmt.Sprintf(`{"Issues":[%s],"Stats":{"files":1}}`, strings.ReplaceAll(tt.findings, `"F"`, fmt.Sprintf("%q", file)))
			for name, text := range map[string]string{file: tt.source, rules: tt.rules, findings: report} {
				if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			err := run([]string{rules, findings}, dir)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// Findings that gosec could not make are no findings.
func TestFindingsOfNothing(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"Issues":[],"Stats":{"files":0}}`:                                             "looked at no file",
		`{"Golang errors":{"p.go":[{"error":"expected package"}]},"Stats":{"files":1}}`: "can't read p.go",
		"gosec: not found": "not what gosec -fmt=json writes",
	} {
		name := filepath.Join(t.TempDir(), "findings")
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readFindings(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
