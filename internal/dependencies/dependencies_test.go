package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The page is what go.mod, the sources and the licences say; run reads them in the root.
func TestPageIsUpToDate(t *testing.T) {
	t.Chdir("../..")
	if err := run([]string{"check"}, os.Stdout); err != nil {
		t.Error(err)
	}
}

// Every copy of the program brings the licence of each module that go version -m finds in it.
func TestLicencesOfTheProgram(t *testing.T) {
	t.Chdir("../..")
	program := filepath.Join(t.TempDir(), "rsyncd_exporter")
	if out, err := exec.Command("go", "build", "-o", program, "./cmd/rsyncd_exporter").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	lines, err := exec.Command("go", "version", "-m", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := listShipped()
	if err != nil {
		t.Fatal(err)
	}
	var texts strings.Builder
	if err := printLicences(&texts, shipped); err != nil {
		t.Fatal(err)
	}
	modules := 0
	for line := range strings.Lines(string(lines)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "dep" {
			continue
		}
		modules++
		if header := "\n---- " + fields[1] + " " + fields[2] + "\n"; !strings.Contains(texts.String(), header) {
			t.Errorf("no %q among the modules %q", header, slices.Sorted(maps.Keys(shipped)))
		}
	}
	if modules < 20 {
		t.Errorf("go version -m lists %d modules:\n%s", modules, lines)
	}
}

func TestIdentify(t *testing.T) {
	const mit = "Permission is hereby granted, free of charge, to any person obtaining\na copy"
	for _, tt := range []struct{ text, want, err string }{
		{mit, "MIT", ""},
		{"Apache License\n  Version 2.0", "Apache-2.0", ""},
		{"// Redistribution and use in source and binary forms, with or without\n// modification, are permitted", "BSD-2-Clause", ""},
		{"... to endorse or promote\n   products", "BSD-3-Clause", ""},
		{mit + "\n\nApache License, Version 2.0", "Apache-2.0 MIT", ""},
		{mit + ". The Software shall be used for Good, not Evil.", "", "for good not evil"},
		{mit + "\nGNU GENERAL PUBLIC LICENSE", "", "general public license"},
		{"Do what you like.", "", "none of those that are known"},
		{"", "", "none of those that are known"},
	} {
		got, err := identify(tt.text)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: error %v, want %q", tt.text, err, tt.err)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
}

// A module without a file LICENSE, or whose part has another licence than its root, is found.
func TestPartsOfAModule(t *testing.T) {
	dir := t.TempDir()
	part := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(part, 0o755); err != nil {
		t.Fatal(err)
	}
	m := &module{path: "example.org/m", dir: dir, packages: map[string]bool{part: true}}
	if err := identifyAll([]*module{m}); err == nil || !strings.Contains(err.Error(), "module example.org/m: no file LICENSE") {
		t.Errorf("without a file: %v", err)
	}
	for file, text := range map[string]string{"LICENSE": "Apache License Version 2.0", "a/COPYING.txt": "GNU General Public License"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := identifyAll([]*module{m}); err == nil || !strings.Contains(err.Error(), "a/COPYING.txt") {
		t.Errorf("the GPL in a part: %v", err)
	}
}

func TestUpdate(t *testing.T) {
	const page = "# P\n<!-- table: direct, by make dependencies -->\n| m/a | old | no | kept: why |\n<!-- end -->\n" +
		"between\n<!-- table: indirect, by make dependencies -->\n<!-- end -->\nbehind\n"
	a := &module{path: "m/a", direct: true, packages: map[string]bool{"d": true}, licences: []string{"MIT"}}
	b := &module{path: "m/b", licences: []string{"ISC", "MIT"}}
	got, err := update(page, []*module{a, b})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| m/a | MIT | yes | kept: why |\n<!-- end -->\nbetween\n", "| m/b | ISC, MIT |\n<!-- end -->\nbehind\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q isn't in:\n%s", want, got)
		}
	}
	if _, err := update(page, []*module{{path: "m/new", direct: true}}); err == nil || !strings.Contains(err.Error(), "what module m/new is for") {
		t.Errorf("a module that nobody says a word about: %v", err)
	}
	if _, err := update("# P\n", []*module{a}); err == nil {
		t.Error("a page without tables is taken")
	}
}
