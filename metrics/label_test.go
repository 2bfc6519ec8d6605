package metrics_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"rsyncd_exporter/internal/testenv"
	"rsyncd_exporter/metrics"
)

func TestLabelValue(t *testing.T) {
	long := strings.Repeat("/directory", 30) + "/rsyncd.log"
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"/var/log/rsyncd.log", "/var/log/rsyncd.log"},
		{strings.Repeat("ü", 64), strings.Repeat("ü", 64)}, // 128 bytes
		// printf %s "$long" | sha256sum
		{long, "05e466f1aa291d86a1616773…" + long[len(long)-101:]},
	} {
		if got := metrics.LabelValue(c.text); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

// Whatever a text holds, its label value is short, valid and its own, and its end is the text's.
func TestLabelValuesAreBoundedValidAndDifferent(t *testing.T) {
	r := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	parts := []string{"/", "a", "ü", "€", "😀", "\xff", "\xe2\x82", "\x00", "\n", `"`, "rsyncd.log", strings.Repeat("x", 100)}
	seen := map[string]string{}
	for range testenv.Tortured(20_000, 2_000_000) {
		var b strings.Builder
		for range r.IntN(60) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		text := b.String()
		got := metrics.LabelValue(text)
		if len(got) > metrics.MaxLabel || !utf8.ValidString(got) {
			t.Fatalf("%q: %q of %d bytes", text, got, len(got))
		}
		if before, ok := seen[got]; ok && before != text {
			t.Fatalf("%q and %q have the same value %q", text, before, got)
		}
		seen[got] = text
		if got != text && metrics.LabelValue(got) == got {
			t.Fatalf("%q has the value %q, as has whoever is called that", text, got)
		}
		if _, end, cut := strings.Cut(got, "…"); cut && !strings.HasSuffix(strings.ToValidUTF8(text, "\uFFFD"), end) {
			t.Fatalf("%q: %q isn't its end", text, end)
		}
	}
}
