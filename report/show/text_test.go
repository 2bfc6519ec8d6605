package show_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	xwidth "golang.org/x/text/width"

	"rsyncd_exporter/report"
	"rsyncd_exporter/report/show"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file under testdata, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		g, w := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
		for i := range min(len(g), len(w)) {
			if !bytes.Equal(g[i], w[i]) {
				t.Fatalf("%s:%d:\n got %q\nwant %q\n(-update writes it)", name, i+1, g[i], w[i])
			}
		}
		t.Fatalf("%s: %d lines, want %d", name, len(g), len(w))
	}
}

func text(t *testing.T, s *report.Summary, o show.TextOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := show.Text(&b, s, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// By hand: 471,902 + 1,204 + 12,890 + 14,988 + 9,120 + 2,210 = 512,314 sessions, of which 471,902 are
// 92.1%; the clients beyond the first ten have 401,300 + 2,583 + 2,384 + 2,214 + 2,066 = 410,547.
func TestTextLooksAsItDid(t *testing.T) {
	for _, line := range []string{`  All +512,314`, `    went well +471,902  92\.1%`, `  all others, at least 48,208 +410,547  .*`} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).Match(text(t, realistic(), show.TextOptions{})) {
			t.Errorf("no line is %q", line)
		}
	}
	golden(t, "month-80.txt", text(t, realistic(), show.TextOptions{}))
	golden(t, "month-120.txt", text(t, withComparison(realistic()), show.TextOptions{Width: 120, Top: 5}))
	golden(t, "month-colour.txt", text(t, realistic(), show.TextOptions{Width: 80, Color: true}))
}

// No line is too wide for its terminal, and nothing in it moves the cursor or turns the direction of
// writing. The width is measured with another library than Text's.
func TestTextFitsItsWidth(t *testing.T) {
	for width := 60; width <= 200; width += 7 {
		for name, s := range map[string]*report.Summary{"realistic": withComparison(realistic()), "hostile": hostile(),
			"empty": {Version: 1}} {
			for i, line := range strings.Split(string(text(t, s, show.TextOptions{Width: width, Top: 30})), "\n") {
				if w := runewidth(line); w > width {
					t.Fatalf("%s at %d: line %d is %d wide: %q", name, width, i+1, w, line)
				}
				for _, r := range line {
					if !unicode.IsPrint(r) {
						t.Fatalf("%s at %d: line %d has %U: %q", name, width, i+1, r, line)
					}
				}
			}
		}
	}
}

// runewidth is how wide a line is where a terminal adds up its runes, by Unicode's own tables: wide
// and fullwidth runes are two columns, marks none.
func runewidth(s string) (columns int) {
	for _, r := range s {
		switch k := xwidth.LookupRune(r).Kind(); {
		case unicode.In(r, unicode.Mn, unicode.Me):
		case k == xwidth.EastAsianWide || k == xwidth.EastAsianFullwidth:
			columns += 2
		default:
			columns++
		}
	}
	return columns
}

// Colours are only what they are said to be: without them the text is the same.
func TestColourChangesNoText(t *testing.T) {
	sgr := regexp.MustCompile("\x1b\\[[0-9]+m")
	for _, s := range []*report.Summary{withComparison(realistic()), hostile()} {
		plain := text(t, s, show.TextOptions{})
		coloured := text(t, s, show.TextOptions{Color: true})
		if bytes.Equal(plain, coloured) {
			t.Error("nothing is coloured")
		}
		if got := sgr.ReplaceAll(coloured, nil); !bytes.Equal(got, plain) {
			t.Error("the coloured text is another one")
		}
	}
}

// 18 of the first list are only in it because they are among the first of the other.
func TestTheFirstByBytesAndBySessions(t *testing.T) {
	s := &report.Summary{Top: 2, ClientsRest: report.Rest{Entries: 5, Volume: report.Volume{Sessions: 5, Sent: 500}}}
	for i := range 4 {
		n := uint64(i)
		s.Clients = append(s.Clients, report.Client{Client: fmt.Sprint("c", i),
			Volume: report.Volume{Sessions: 10 * (n + 1), Sent: 1000 * (4 - n)}})
	}
	got := string(text(t, s, show.TextOptions{Top: 10})) + string(html(t, s))
	for _, want := range []string{`
  c0                            10  3.91 KiB       0 B
  c1                            20  2.93 KiB       0 B
  all others, at least 7        75  3.42 KiB       0 B
`, `
  c3                            40  0.98 KiB
`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}

// What isn't known isn't said, and what can't be is explained.
func TestSentencesOfSmallReports(t *testing.T) {
	lists := report.Module{Sessions: map[string]uint64{"listing": 7}}
	compare := report.Compare{From: "2026-11-01T00:00:00Z", To: "2026-11-08T00:00:00Z"}
	late := compare
	late.Began = "2026-11-03T00:00:00Z"
	for _, c := range []struct {
		s        report.Summary
		has, not string
	}{
		{report.Summary{}, "There is no line.", "Clients"},
		{report.Summary{Filter: &report.Filter{Since: "2026-11-01T00:00:00Z"}}, "No line is of this period.", "Clients"},
		{report.Summary{Lines: 7}, "No line of rsyncd has a time.", "Listing"},
		{report.Summary{Waste: report.Waste{Bytes: 7}}, "had fetched before: the same paths", "a day"},
		{report.Summary{Waste: report.Waste{Bytes: 7, PerDay: 2}}, "That is 2 B a day.", "about"},
		{report.Summary{Modules: []report.Module{lists}}, "Listing", "Clients"},
		{report.Summary{Modules: []report.Module{{Executions: 1}}}, "Modules", "Listing"},
		{report.Summary{Compare: &compare}, "there is nothing to compare", "What changed most"},
		{report.Summary{Compare: &late}, "The first line of that time is of 2026-11-03 00:00", "nothing to compare"},
	} {
		got := strings.Join(strings.Fields(string(text(t, &c.s, show.TextOptions{}))), " ")
		if !strings.Contains(got, c.has) || strings.Contains(got, c.not) {
			t.Errorf("%q or no %q in\n%s", c.not, c.has, got)
		}
	}
}

func TestWriterErrorsComeBack(t *testing.T) {
	full := errors.New("full")
	for name, err := range map[string]error{
		"text": show.Text(failing{full}, realistic(), show.TextOptions{}), "html": show.HTML(failing{full},
			realistic()),
	} {
		if !errors.Is(err, full) {
			t.Errorf("%s: %v, want the writer's error", name, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// What a limit would have done: 100 transfers began, 60 of them alone, 25 beside one other, 10 beside
// two, 4 beside three, 1 beside four. A limit of 4 refuses 1, of 3 refuses 1+4, of 2 refuses 15, of
// 1 refuses 40. Told are the lowest limits that refuse nobody (5), one in a hundred (4), one in ten
// (3): 15 in a hundred are more.
func TestLimitsByHand(t *testing.T) {
	s := &report.Summary{Saturation: []report.Saturation{{Module: "m", Peak: 5, Begun: []uint64{60, 25, 10, 4, 1}}}}
	want := `What a limit would have done
  Module  Limit  Refused at most  Of the begun
  m           5                0          0.0%
  m           4                1          1.0%
  m           3                5          5.0%
`
	if got := string(text(t, s, show.TextOptions{})); !strings.Contains(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	// The last one may have begun beside more: then nobody knows what a limit of 5 or more does.
	s.Saturation[0].Peak = 9
	if got := string(text(t, s, show.TextOptions{})); strings.Contains(got, "m           5") || !strings.Contains(got,
		"m           4  ") {
		t.Errorf("with a peak of 9:\n%s", got)
	}
}

// Two years of days are added up by month. November 2024 has 30 days of 2 GiB: 60 GiB.
func TestManyDaysAreAddedUp(t *testing.T) {
	s := &report.Summary{}
	for d := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC); d.Year() < 2026; d = d.AddDate(0, 0, 1) {
		s.Days = append(s.Days, report.Day{Date: d.Format(time.DateOnly), Volume: report.Volume{Sessions: 1,
			Sent: 2 * gib}})
	}
	got := string(text(t, s, show.TextOptions{}))
	line := regexp.MustCompile(`(?m)^  2024-11 .*$`).FindString(got)
	if !strings.Contains(line, "60.0 GiB        30 ") {
		t.Errorf("November: %q in\n%s", line, got)
	}
}

// The setting can be pasted: a shell reads from it what the entries are, however long they are.
func TestExpectCanBePasted(t *testing.T) {
	s := &report.Summary{}
	var want []string
	for i := range 12 {
		entry := fmt.Sprintf("backup@user-%d-%s\"$HOME`id`\\<26h", i, strings.Repeat("n", 7*i))
		want = append(want, entry)
		s.Expect = append(s.Expect, report.Expected{Entry: entry})
	}
	for width := 60; width < 80; width++ {
		got := string(text(t, s, show.TextOptions{Width: width}))
		from := strings.Index(got, "RSYNCD_EXPORTER_EXPECT=")
		to := from + strings.Index(got[from:], "26h\"\n") + len("26h\"\n")
		out, err := exec.Command("/bin/sh", "-c", got[from:to]+`printf %s "$RSYNCD_EXPORTER_EXPECT"`).CombinedOutput()
		if err != nil || string(out) != strings.Join(want, ",") {
			t.Fatalf("width %d: the shell read %q, %v, of\n%s", width, out, err, got[from:to])
		}
	}
}
