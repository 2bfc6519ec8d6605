package releasetest

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What make gives the shell for each target is whole: make cuts arguments of functions at commas, and
// left quotation marks open in messages of targets that are seldom run.
func TestTargetsAreShell(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	help := exec.Command("make", "-C", root, "--no-print-directory", "help")
	text, err := help.Output()
	if err != nil {
		t.Fatal(err)
	}
	targets := regexp.MustCompile(`(?m)^[a-z][a-z0-9-]*`).FindAllString(string(text), -1)
	if len(targets) < 20 {
		t.Fatalf("%d targets in make help", len(targets))
	}
	for _, target := range targets {
		if target == "test" { // a line of it calls make, so that -n runs it all the same
			continue
		}
		recipe, err := exec.Command("make", "-C", root, "--no-print-directory", "-n", target).CombinedOutput()
		if err != nil {
			t.Errorf("make -n %s: %v\n%s", target, err, recipe)
		}
		shell := exec.Command("bash", "-n")
		shell.Stdin = strings.NewReader(string(recipe))
		if out, err := shell.CombinedOutput(); err != nil {
			t.Errorf("make -n %s: %v\n%s", target, err, out)
		}
	}
}
