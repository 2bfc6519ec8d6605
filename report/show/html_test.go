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
