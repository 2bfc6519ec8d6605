package show_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rsyncd_exporter/internal/browser"
	"rsyncd_exporter/report"
)

// page writes a report into a file and returns its URL.
func page(t *testing.T, s *report.Summary) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, html(t, s), 0o644); err != nil {
		t.Fatal(err)
	}
	return "file://" + path
}

// needsNothing checks that a page has asked for nothing but itself, and that nothing went wrong.
func needsNothing(t *testing.T, b *browser.Browser, url string) {
	t.Helper()
	for _, r := range b.Requests() {
		if r != url && r != "about:blank" {
			t.Errorf("the page has asked for %s", r)
		}
	}
	if len(b.Requests()) == 0 {
		t.Error("no request was seen, not even for the page: the test sees none")
	}
	if faults := b.Faults(); len(faults) > 0 {
		t.Errorf("went wrong: %q", faults)
	}
}

// A page from a file is all there, in light and in dark.
func TestPageNeedsNothingButItself(t *testing.T) {
	for _, c := range []struct {
		scheme, want  string
		width, height int
	}{
		{"light", "rgb(246, 246, 243)", 1100, 7600}, // #f6f6f3
		{"dark", "rgb(18, 18, 17)", 1100, 7600},
		{"light", "rgb(246, 246, 243)", 400, 3000},
	} {
		b := browser.Start(t, c.width, c.height)
		b.Prefer(t, "prefers-color-scheme", c.scheme)
		url := page(t, withComparison(realistic()))
		b.Open(t, url)
		if got := b.Strings(t, `[getComputedStyle(document.body).backgroundColor]`); got[0] != c.want {
			t.Errorf("%s: the page is %s, want %s", c.scheme, got[0], c.want)
		}
		if got := b.Strings(t, `document.documentElement.scrollWidth > innerWidth ? ["yes"] : []`); len(got) > 0 {
			t.Errorf("%d pixels: the page is wider than the window", c.width)
		}
		needsNothing(t, b, url)
		b.Screenshot(t, "report-"+c.scheme+"-"+map[bool]string{true: "narrow", false: "wide"}[c.width < 500])
	}
}

// Names that clients chose are text: no element, no link, no handler comes of them, and nothing
// turns the direction of writing.
func TestHostileNamesAreTextOnThePage(t *testing.T) {
	b := browser.Start(t, 800, 600)
	url := page(t, hostile())
	b.Open(t, url)
	if got := b.Strings(t, `[...document.querySelectorAll("img, script, iframe, object, link, base, form, style ~ style")].map(e => e.outerHTML)`); len(got) > 0 {
		t.Errorf("elements: %q", got)
	}
	if got := b.Strings(t, `[...document.querySelectorAll("*")].flatMap(e => [...e.attributes])
		.filter(a => a.name.startsWith("on") || /^(href|src)$/.test(a.name) && !a.value.startsWith("#")).map(a => a.name + "=" + a.value)`); len(got) > 0 {
		t.Errorf("attributes: %q", got)
	}
	words := strings.Join(b.Strings(t, `[...document.querySelectorAll("th, td, p, pre")].map(e => e.textContent)`), "\n")
	for _, want := range []string{"<img src=x onerror=alert(1)>", "javascript:alert(1)", `a\u202egpj.exe`, `\x1b[31mred`} {
		if !strings.Contains(words, want) {
			t.Errorf("%q is nowhere on the page", want)
		}
	}
	needsNothing(t, b, url)
}
