package pipeline_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// walls is the table of what a package must not import; docs/decisions.md says why. A name that
// ends in a slash stands for all that begins so.
var walls = map[string][]string{
	"rsyncd_exporter/rsynclog": {"net", "os", "log/slog", "github.com/prometheus/", "rsyncd_exporter/receiver",
		"rsyncd_exporter/receiver/", "rsyncd_exporter/metrics", "rsyncd_exporter/pipeline"},
	"rsyncd_exporter/receiver":          append(room(), "rsyncd_exporter/receiver/"),
	"rsyncd_exporter/receiver/syslog":   room("datagram", "stream", "follow"),
	"rsyncd_exporter/receiver/datagram": room("syslog", "stream", "follow"),
	"rsyncd_exporter/receiver/stream":   room("datagram", "follow"),
	"rsyncd_exporter/receiver/follow":   room("datagram", "stream"),
	"rsyncd_exporter/metrics": {"net", "rsyncd_exporter/receiver", "rsyncd_exporter/receiver/", "rsyncd_exporter/pipeline",
		"github.com/kelseyhightower/envconfig"},
	"rsyncd_exporter/pipeline": {"net", "os", "log/slog", "github.com/prometheus/", "github.com/kelseyhightower/envconfig",
		"rsyncd_exporter/receiver/datagram", "rsyncd_exporter/receiver/stream"},
	"rsyncd_exporter/status/sessionlog": {"net", "log/slog", "github.com/prometheus/", "rsyncd_exporter/metrics", "rsyncd_exporter/receiver",
		"rsyncd_exporter/receiver/", "rsyncd_exporter/pipeline", "rsyncd_exporter/internal/config"},
	"rsyncd_exporter/rsynclog/codes": {"net", "os", "log/slog", "github.com/prometheus/", "rsyncd_exporter/metrics", "rsyncd_exporter/receiver",
		"rsyncd_exporter/receiver/", "rsyncd_exporter/pipeline"},
	"rsyncd_exporter/clients": {"net", "log/slog", "github.com/prometheus/", "rsyncd_exporter/metrics", "rsyncd_exporter/receiver",
		"rsyncd_exporter/receiver/", "rsyncd_exporter/pipeline", "rsyncd_exporter/internal/config"},
	"rsyncd_exporter/backups": {"net", "os", "log/slog", "github.com/prometheus/", "rsyncd_exporter/metrics", "rsyncd_exporter/receiver",
		"rsyncd_exporter/receiver/", "rsyncd_exporter/pipeline", "rsyncd_exporter/internal/config"},
	"rsyncd_exporter/report/logs": {"net", "log/slog", "github.com/prometheus/", "rsyncd_exporter/metrics", "rsyncd_exporter/report",
		"rsyncd_exporter/internal/config", "rsyncd_exporter/receiver/datagram", "rsyncd_exporter/receiver/stream"},
	"rsyncd_exporter/report":         {"net", "os", "log/slog", "github.com/prometheus/", "rsyncd_exporter/metrics", "rsyncd_exporter/internal/config"},
	"rsyncd_exporter/report/explain": {"net", "os", "log/slog", "github.com/prometheus/", "rsyncd_exporter/metrics", "rsyncd_exporter/report"},
	"rsyncd_exporter/status/ask": {"log/slog", "github.com/prometheus/", "rsyncd_exporter/metrics", "rsyncd_exporter/pipeline",
		"rsyncd_exporter/receiver", "rsyncd_exporter/receiver/", "rsyncd_exporter/rsynclog", "rsyncd_exporter/internal/config"},
	"rsyncd_exporter/status/who": {"net/http", "log/slog", "github.com/prometheus/", "rsyncd_exporter/metrics", "rsyncd_exporter/pipeline",
		"rsyncd_exporter/receiver", "rsyncd_exporter/receiver/", "rsyncd_exporter/rsynclog", "rsyncd_exporter/internal/config"},
	"rsyncd_exporter/report/backfill": {"net", "os", "log/slog", "rsyncd_exporter/report", "rsyncd_exporter/internal/config"},
	"rsyncd_exporter/report/show": {"net", "log/slog", "github.com/prometheus/", "rsyncd_exporter/metrics", "rsyncd_exporter/receiver",
		"rsyncd_exporter/pipeline", "rsyncd_exporter/internal/config"},
	"rsyncd_exporter/status": {"net", "os", "log/slog", "github.com/prometheus/", "rsyncd_exporter/receiver", "rsyncd_exporter/receiver/",
		"rsyncd_exporter/internal/config", "rsyncd_exporter/internal/web"},
	"rsyncd_exporter/status/api": {"net", "os", "log/slog", "github.com/prometheus/", "rsyncd_exporter/rsynclog", "rsyncd_exporter/metrics",
		"rsyncd_exporter/pipeline"},
	"rsyncd_exporter/status/recent": {"net", "os", "log/slog", "github.com/prometheus/", "rsyncd_exporter/metrics", "rsyncd_exporter/receiver",
		"rsyncd_exporter/receiver/", "rsyncd_exporter/pipeline", "rsyncd_exporter/internal/config"},
	"rsyncd_exporter/internal/config": {"rsyncd_exporter/metrics", "rsyncd_exporter/pipeline"},
	"rsyncd_exporter/internal/web": {"rsyncd_exporter/metrics", "rsyncd_exporter/pipeline", "rsyncd_exporter/receiver",
		"rsyncd_exporter/receiver/", "rsyncd_exporter/rsynclog", "rsyncd_exporter/internal/config"},
}

// room returns what no part of the receiver imports, and the others that this one doesn't.
func room(others ...string) []string {
	banned := []string{"github.com/prometheus/", "rsyncd_exporter/rsynclog", "rsyncd_exporter/metrics",
		"rsyncd_exporter/pipeline", "github.com/kelseyhightower/envconfig"}
	for _, o := range others {
		banned = append(banned, "rsyncd_exporter/receiver/"+o)
	}
	return banned
}

func TestImportWalls(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "rsyncd_exporter/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	checked := 0
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for dec.More() {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&pkg); err != nil {
			t.Fatal(err)
		}
		banned, ok := walls[pkg.ImportPath]
		if !ok {
			continue
		}
		checked++
		for _, imp := range pkg.Imports {
			for _, b := range banned {
				if imp == b || strings.HasSuffix(b, "/") && strings.HasPrefix(imp, b) {
					t.Errorf("%s imports %s", pkg.ImportPath, imp)
				}
			}
		}
	}
	if checked != len(walls) {
		t.Errorf("go list showed %d of the %d packages with walls", checked, len(walls))
	}
}

// The sessions and the books are told the time: a log that is read later gives what it would have given then.
func TestNobodyBehindThePipelineAsksAClock(t *testing.T) {
	clock := regexp.MustCompile(`\btime\.(Now|Since|Until|After|AfterFunc|Tick|NewTimer|NewTicker|Sleep)\(`)
	files := 0
	for _, dir := range []string{"../rsynclog", "../metrics", "../backups", "../status/recent"} {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			files++
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if call := clock.Find(text); call != nil {
				t.Errorf("%s calls %s)", name, call)
			}
		}
	}
	if files < 20 {
		t.Errorf("%d files, want at least 20", files)
	}
}

// Bounds that keep the code readable: files of a package, lines of a function, columns of a line, also of scripts
// (a tab is four).
const (
	maxFiles   = 24
	maxLines   = 70
	maxColumns = 120
)

func TestFilesFunctionsAndLinesAreShort(t *testing.T) {
	files := map[string]int{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "build" || d.Name() == "testdata"):
			return fs.SkipDir
		case filepath.Dir(path) == "../scripts":
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(text), "\n") {
			if n := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    ")); n > maxColumns {
				t.Errorf("%s:%d: %d columns, want at most %d", path, i+1, n, maxColumns)
			}
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		files[filepath.Dir(path)]++
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, path, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				if n := set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1; n > maxLines {
					t.Errorf("%s: %s: %d lines, want at most %d", set.Position(f.Pos()), f.Name, n, maxLines)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, n := range files {
		if n > maxFiles {
			t.Errorf("%s: %d files, want at most %d", dir, n, maxFiles)
		}
	}
	if len(files) < 15 {
		t.Errorf("%d packages seen, want at least 15", len(files))
	}
}
