package alertslive

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

func dump(t *testing.T, w *world) {
	for _, s := range w.scenes {
		resp, err := http.Get("http://" + s.Address + "/metrics")
		if err != nil {
			t.Log(s.name, err)
			continue
		}
		b, _ := io.ReadAll(resp.Body)
		var out []string
		for l := range strings.Lines(string(b)) {
			if !strings.HasPrefix(l, "#") && !strings.HasPrefix(l, "go_") && !strings.HasPrefix(l, "process_") {
				out = append(out, l)
			}
		}
		os.WriteFile("/tmp/dump-"+strings.ReplaceAll(s.name, " ", "_"), []byte(strings.Join(out, "")), 0o644)
	}
}
