package show_test

import (
	"bytes"
	"testing"

	"rsyncd_exporter/report"
	"rsyncd_exporter/report/show"
)

func html(t *testing.T, s *report.Summary) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := show.HTML(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPageLooksAsItDid(t *testing.T) {
	golden(t, "month.html", html(t, withComparison(realistic())))
}

// A page is mailed: it stays small, however much there is to show. 100 rows of a table are enough.
func TestPageIsBounded(t *testing.T) {
	s := realistic()
	for range 20_000 {
		s.Clients = append(s.Clients, s.Clients[0])
		s.Paths = append(s.Paths, s.Paths[0])
		s.Files = append(s.Files, s.Files[4])
		s.Users = append(s.Users, s.Users[0])
		s.Days = append(s.Days, report.Day{Date: "2026-01-01"})
	}
	if n := len(html(t, s)); n > 400<<10 {
		t.Errorf("%d KiB, want at most 400", n>>10)
	}
	if page := html(t, s); !bytes.Contains(page, []byte("… and 19903 more")) { // 20,003 paths
		t.Error("the page doesn't say that there are more")
	}
}
