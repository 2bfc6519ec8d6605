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

// needsNothing checks that a browser has asked for nothing but this page, and that nothing went
// wrong.
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

// A page from a file is all there, in light and in dark, and fits into a narrow window.
func TestPageNeedsNothingButItself(t *testing.T) {
	narrow := browser.Start(t, 500, 3000) // Chromium makes none narrower
	url := page(t, withComparison(realistic()))
	narrow.Open(t, url)
	if got := narrow.Strings(t, `document.documentElement.scrollWidth > innerWidth ? ["yes"] : []`); len(got) > 0 {
		t.Error("the page is wider than the window")
	}
	narrow.Screenshot(t, "report-narrow")

	b := browser.Start(t, 1100, 6200)
	for _, c := range []struct{ scheme, want string }{{"light", "rgb(246, 246, 243)"}, {"dark",
		"rgb(18, 18, 17)"}} { // #f6f6f3, #121211
		b.Prefer(t, "prefers-color-scheme", c.scheme)
		b.Open(t, url)
		if got := b.Strings(t, `[getComputedStyle(document.body).backgroundColor]`); got[0] != c.want {
			t.Errorf("%s: the page is %s, want %s", c.scheme, got[0], c.want)
		}
		b.Screenshot(t, "report-"+c.scheme)
	}
	needsNothing(t, b, url)
	url = page(t, hostile())
	b.Open(t, url)
	hostileNamesAreText(t, b)
}

// hostileNamesAreText checks that names that clients chose are text: no element, no link, no handler
// comes of them, and nothing turns the direction of writing.
func hostileNamesAreText(t *testing.T, b *browser.Browser) {
	t.Helper()
	elements := `[...document.querySelectorAll("img, script, iframe, object, link, base, form, style ~ style")].map(e => e.outerHTML)`
	if got := b.Strings(t, elements); len(got) > 0 {
		t.Errorf("elements: %q", got)
	}
	attributes := `[...document.querySelectorAll("*")].flatMap(e => [...e.attributes])
		.filter(a => a.name.startsWith("on") || /^(href|src)$/.test(a.name) && !a.value.startsWith("#")).map(a => a.name + "=" + a.value)`
	if got := b.Strings(t, attributes); len(got) > 0 {
		t.Errorf("attributes: %q", got)
	}
	words := strings.Join(b.Strings(t, `[...document.querySelectorAll("th, td, p, pre")].map(e => e.textContent)`), "\n")
	for _, want := range []string{"<img src=x onerror=alert(1)>", "javascript:alert(1)", `a\u202egpj.exe`, `\x1b[31mred`} {
		if !strings.Contains(words, want) {
			t.Errorf("%q is nowhere on the page", want)
		}
	}
	if faults := b.Faults(); len(faults) > 0 {
		t.Errorf("went wrong: %q", faults)
	}
}
