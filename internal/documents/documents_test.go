// Package documents has only tests: links and anchors of all documents lead somewhere, README is
// short and leads to what a new user looks for. They use no network.
package documents

import (
	"bytes"
	"fmt"
	"image/png"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const root = "../.."

// A page is a Markdown file: its lines outside of code, its anchors, and where its links lead.
type page struct {
	prose   []string // what stands in code is empty
	anchors map[string]bool
	links   []link
}

// A link is a target as it is written, and its line.
type link struct {
	target string
	line   int
}

var (
	codeSpan   = regexp.MustCompile("`+[^`]*`+")
	inlineLink = regexp.MustCompile(`\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)`)
	autoLink   = regexp.MustCompile(`<(https?://[^>]+)>`)
	heading    = regexp.MustCompile(`^#{1,6} +(.*?) *#*$`)
	markup     = regexp.MustCompile("[`*]|\\]\\([^)]*\\)|\\[")
	notAnchor  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// parse reads a page as GitHub shows it, as far as these documents need.
func parse(text string) *page {
	p := &page{anchors: map[string]bool{}}
	fence := ""
	var body strings.Builder // the prose, in which a link may go over a line's end
	for _, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case fence != "":
			if strings.HasPrefix(trimmed, fence) {
				fence = ""
			}
			line = ""
		case strings.HasPrefix(trimmed, "```"), strings.HasPrefix(trimmed, "~~~"):
			fence, line = trimmed[:3], ""
		}
		p.prose = append(p.prose, line)
		if m := heading.FindStringSubmatch(line); m != nil {
			p.addAnchor(m[1])
		}
		body.WriteString(line + "\n")
	}
	// A code span goes over line ends, too; what it holds is blanked, so that lines stay what they are.
	shown := codeSpan.ReplaceAllStringFunc(body.String(), func(s string) string {
		return strings.Map(func(r rune) rune {
			if r == '\n' {
				return r
			}
			return 'x'
		}, s)
	})
	for _, form := range []*regexp.Regexp{inlineLink, autoLink} {
		for _, m := range form.FindAllStringSubmatchIndex(shown, -1) {
			p.links = append(p.links, link{shown[m[2]:m[3]], 1 + strings.Count(shown[:m[2]], "\n")})
		}
	}
	return p
}

// addAnchor adds what GitHub makes of a heading: the second of one name ends in -1.
func (p *page) addAnchor(title string) {
	a := strings.ToLower(markup.ReplaceAllString(title, ""))
	a = strings.ReplaceAll(notAnchor.ReplaceAllString(a, ""), " ", "-")
	name := a
	for n := 1; p.anchors[name]; n++ {
		name = fmt.Sprintf("%s-%d", a, n)
	}
	p.anchors[name] = true
}

// textFiles calls read with each file of the repository that has the ending, by its path with slashes.
func textFiles(t *testing.T, read func(name string, text []byte), endings ...string) {
	t.Helper()
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "build", "bin", "dist"}, d.Name()):
			return fs.SkipDir
		case !d.Type().IsRegular() || !slices.Contains(endings, filepath.Ext(file)):
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		read(filepath.ToSlash(name), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func pages(t *testing.T) map[string]*page {
	t.Helper()
	all := map[string]*page{}
	textFiles(t, func(name string, text []byte) { all[name] = parse(string(text)) }, ".md")
	if len(all) < 25 || all["README.md"] == nil {
		t.Fatalf("%d documents, want at least 25 and README.md", len(all))
	}
	return all
}

// resolve returns the path and the anchor that a link of a page leads to.
func resolve(from, target string) (file, anchor string) {
	file, anchor, _ = strings.Cut(target, "#")
	if file == "" {
		return from, anchor
	}
	return path.Join(path.Dir(from), file), anchor
}

// wrong says what is wrong with a link, or nothing.
func wrong(all map[string]*page, from, target string) string {
	u, err := url.Parse(target)
	switch {
	case err != nil:
		return err.Error()
	case u.Scheme == "http" && u.Hostname() == "localhost", u.Scheme == "https" && u.Host != "", u.Scheme == "mailto":
		return "" // nobody asks the network
	case u.Scheme != "" || path.IsAbs(target):
		return "neither relative nor https"
	}
	file, anchor := resolve(from, target)
	if strings.HasPrefix(file, "../") {
		return "leads out of the repository"
	}
	if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(file))); err != nil {
		return "no such file"
	}
	if p := all[file]; anchor != "" && (p == nil || !p.anchors[anchor]) {
		return "no such heading in " + file
	}
	return ""
}

func TestLinksLeadSomewhere(t *testing.T) {
	all := pages(t)
	links, pictures := 0, map[string]bool{}
	for name, p := range all {
		for _, l := range p.links {
			links++
			if why := wrong(all, name, l.target); why != "" {
				t.Errorf("%s:%d: %s: %s", name, l.line, l.target, why)
			}
			if file, _ := resolve(name, l.target); path.Ext(file) == ".png" {
				pictures[file] = true
			}
		}
	}
	if links < 150 {
		t.Errorf("%d links found, want at least 150", links)
	}
	for file := range pictures {
		b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
		if err != nil {
			continue // told above
		}
		if _, err := png.DecodeConfig(bytes.NewReader(b)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

var named = regexp.MustCompile(`\bdocs/[a-z0-9/_-]+\.(?:md|png|json)(?:#[a-z0-9_-]+)?`)

// Code, scripts and configurations name pages of docs/, which are there.
func TestPagesThatAreNamedAreThere(t *testing.T) {
	all, names := pages(t), 0
	textFiles(t, func(name string, text []byte) {
		for _, m := range named.FindAllIndex(text, -1) {
			if before := text[:m[0]]; len(before) > 0 && before[len(before)-1] == '/' {
				continue // of another repository
			}
			names++
			if why := wrong(all, "README.md", string(text[m[0]:m[1]])); why != "" {
				t.Errorf("%s:%d: %s: %s", name, 1+bytes.Count(text[:m[0]], []byte("\n")), text[m[0]:m[1]], why)
			}
		}
	}, ".go", ".sh", ".yml", ".yaml", ".conf", ".service", ".socket", ".example", ".json", ".tmpl")
	if names < 5 {
		t.Errorf("%d names found, want at least 5", names)
	}
}

// clicks returns how many clicks each page and heading is away from README.md.
func clicks(all map[string]*page) map[string]int {
	away, at := map[string]int{"README.md": 0}, []string{"README.md"}
	for n := 1; len(at) > 0; n++ {
		var next []string
		for _, name := range at {
			for _, l := range all[name].links {
				file, anchor := resolve(name, l.target)
				for _, to := range []string{file, file + "#" + anchor} {
					if _, known := away[to]; !known {
						away[to] = n
						if all[to] != nil {
							next = append(next, to)
						}
					}
				}
			}
		}
		at = next
	}
	return away
}

// What a new user looks for is on README.md or one click away from it; everything in docs/ is at most two.
func TestReadmeLeadsToEverything(t *testing.T) {
	all := pages(t)
	away := clicks(all)
	for what, where := range map[string]string{
		"what is counted":                    "docs/metrics.md",
		"how to point rsyncd at it":          "docs/logging/README.md",
		"what it costs":                      "docs/performance.md",
		"what to do when nothing is counted": "docs/troubleshooting.md#nothing-is-counted",
		"how to report a hole":               "SECURITY.md",
	} {
		if n, ok := away[where]; !ok || n > 1 {
			t.Errorf("%s (%s) is not one click away from README.md", what, where)
		}
	}
	for name := range all {
		if n, ok := away[name]; strings.HasPrefix(name, "docs/") && (!ok || n > 2) {
			t.Errorf("%s is not within two clicks of README.md", name)
		}
	}
}

const (
	readmeLines = 200
	columns     = 100
)

func TestReadmeIsShort(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n > readmeLines {
		t.Errorf("README.md has %d lines, want at most %d: docs/ has room", n, readmeLines)
	}
}

// Tables, code and what can't be wrapped may be wider.
func TestDocumentsAreWrapped(t *testing.T) {
	for name, p := range pages(t) {
		if strings.Contains(name, "testdata/") {
			continue
		}
		for i, line := range p.prose {
			words := strings.Fields(line)
			if utf8.RuneCountInString(line) > columns && len(words) > 2 && !strings.HasPrefix(words[0], "|") {
				t.Errorf("%s:%d: %d columns, want at most %d", name, i+1, utf8.RuneCountInString(line), columns)
			}
		}
	}
}

// The checker finds what it is for.
func TestCheckerFindsBrokenLinks(t *testing.T) {
	all := map[string]*page{"README.md": parse("# One & two\n\n## `a_b`: (c)\n\n## Twice\n## Twice\n\n```\n[x](code.md)\n```\n`[y](span.md)` " +
		"[z](#one--two) [w](over\n.md)\n")}
	if got, want := all["README.md"].links, (link{"#one--two", 11}); len(got) != 1 || got[0] != want {
		t.Errorf("links %v, want %v", got, want)
	}
	for target, broken := range map[string]bool{
		"#one--two": false, "#a_b-c": false, "#twice": false, "#twice-1": false, "#twice-2": true, "#one-two": true,
		"docs": false, "docs/" + "nothing.md": true, "docs/": false, "../elsewhere": true, "/etc/passwd": true, "http://example.org/": true,
		"https://example.org/": false, "http://localhost:8080/": false, "LICENSE#part": true, "docs/metrics.md" + "#x": true, "https://": true,
	} {
		if got := wrong(all, "README.md", target) != ""; got != broken {
			t.Errorf("%s: broken %v, want %v", target, got, broken)
		}
	}
}
