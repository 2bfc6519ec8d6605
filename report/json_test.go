package report_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"rsyncd_exporter/report"
)

func jsonOf(t testing.TB, s *report.Summary) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.JSON(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestJSON(t *testing.T) {
	for name, s := range map[string]*report.Summary{
		"small": fold(t, report.Options{SuggestExpect: true, Module: "data"}, small+small2()),
		"empty": fold(t, report.Options{}, ""),
	} {
		text := jsonOf(t, s)
		if strings.Contains(text, "null") {
			t.Errorf("%s: null in %s", name, text)
		}
		again, err := report.ReadSummary(strings.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if jsonOf(t, again) != text {
			t.Errorf("%s is not what it was:\n%s\n%s", name, jsonOf(t, again), text)
		}
	}
	s := fold(t, report.Options{Module: "<a>&"}, "")
	if !strings.Contains(jsonOf(t, s), `"module": "<a>&"`) {
		t.Error("JSON escapes HTML")
	}
}

func TestReadSummaryRefuses(t *testing.T) {
	good := jsonOf(t, fold(t, report.Options{}, small))
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "unexpected end of JSON input"},
		{"no object", "[]", "cannot unmarshal array"},
		{"another object", `{"status":"ok"}`, "it has no version"},
		{"another version", strings.Replace(good, `"version": 1`, `"version": 2`, 1), "it has version 2"},
		{"a field", strings.Replace(good, `"lines"`, `"lignes"`, 1), `unknown field "lignes"`},
		{"a number", strings.Replace(good, `"lines": 31`, `"lines": -31`, 1), "cannot unmarshal number -31"},
		{"a number without measure", strings.Replace(good, `"sum": `, `"sum": 1e300, "sum": `, 1), "the number 1e+300"},
		{"half of it", good[:len(good)/2], "unexpected end of JSON input"},
		{"more behind it", good + "{}", "after top-level value"},
		{"hours", `{"version":1,"hours":[]}`, "it has 0 hours"},
		{"a control character", strings.Replace(good, `"module": "pub"`, `"module": "\u001b]0;"`, 1), "control character"},
		{"buckets", strings.Replace(good, `"buckets": [`, `"buckets": [1,`, 1), "durations in 123 buckets"},
		{"saturation", strings.Replace(good, `"begun": [`, `"begun": [`+strings.Repeat("1,", 1024), 1), "levels of saturation"},
		{"size", good + strings.Repeat(" ", 64<<20), "longer than 64 MiB"},
	} {
		_, err := report.ReadSummary(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	if _, err := report.ReadSummary(strings.NewReader(good)); err != nil {
		t.Error(err)
	}
}

// What is read is written as it was read.
func FuzzReadSummary(f *testing.F) {
	for _, s := range []*report.Summary{
		fold(f, report.Options{SuggestExpect: true, User: "anna"}, small+small2()), fold(f, report.Options{}, ""),
	} {
		b, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := report.ReadSummary(bytes.NewReader(b))
		if err != nil {
			if s != nil {
				t.Error("a Summary beside an error")
			}
			return
		}
		text := jsonOf(t, s)
		again, err := report.ReadSummary(strings.NewReader(text))
		if err != nil {
			t.Fatalf("it can't be read again: %v\n%s", err, text)
		}
		if jsonOf(t, again) != text {
			t.Errorf("%s\nbecomes\n%s", text, jsonOf(t, again))
		}
	})
}
