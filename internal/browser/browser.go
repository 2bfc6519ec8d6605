//go:build linux

// Package browser opens pages in a real Chromium, for tests. Chromium is the machine's, or the one
// that `make deps` has unpacked.
package browser

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"rsyncd_exporter/internal/testenv"
)

// patience is how long a page may take for what a test waits for. A cold start of Chromium on a
// busy machine takes many seconds.
const patience = 2 * time.Minute

// Browser is a running Chromium with one page. It ends with the test.
type Browser struct {
	ctx context.Context

	mu       sync.Mutex // of these, which another goroutine fills
	faults   []string
	requests []string
}

// Start starts a Chromium with a window of this size and an empty profile.
func Start(t testing.TB, width, height int) *Browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(testenv.Need(t, "chromium")),
		chromedp.WindowSize(width, height),
		chromedp.NoSandbox, // root has none, and a chroot allows none; the pages are our own
		chromedp.DisableGPU,
	)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	allocator, cancel := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	b := &Browser{}
	b.ctx, cancel = chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Listen(b.ctx, b.listen); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return b
}

// listen notes what a page asks for, and what is wrong with it: resources that didn't load,
// exceptions of its scripts, and errors in the console, breaches of its policy among them.
func (b *Browser) listen(event any) {
	var fault string
	switch e := event.(type) {
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			fault = fmt.Sprintf("%s: HTTP status %d", e.Response.URL, e.Response.Status)
		}
	case *network.EventRequestWillBeSent:
		b.mu.Lock()
		b.requests = append(b.requests, e.Request.URL)
		b.mu.Unlock()
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			fault = fmt.Sprintf("%s: %s", e.Entry.URL, e.Entry.Text)
		}
	case *network.EventLoadingFailed:
		if !e.Canceled {
			fault = fmt.Sprintf("%s: %s", e.Type, e.ErrorText)
		}
	case *runtime.EventExceptionThrown:
		fault = fmt.Sprintf("%s:%d: %s", e.ExceptionDetails.URL, e.ExceptionDetails.LineNumber, e.ExceptionDetails.Text)
		if e.ExceptionDetails.Exception != nil {
			fault += " " + e.ExceptionDetails.Exception.Description
		}
	}
	if fault == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, fault)
}

// Faults returns what went wrong on the page so far: resources that didn't load, exceptions of its
// scripts, and errors in the console.
func (b *Browser) Faults() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.faults...)
}

// Requests returns the URLs that pages have asked for so far, themselves among them.
func (b *Browser) Requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.requests...)
}

// Prefer makes a media feature of the page have a value: prefers-color-scheme dark.
func (b *Browser) Prefer(t testing.TB, feature, value string) {
	t.Helper()
	b.emulate(t, emulation.SetEmulatedMedia.Method,
		emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: feature, Value: value}}})
}

// Resize gives the page another size; it can be narrower than a window.
func (b *Browser) Resize(t testing.TB, width, height int64) {
	t.Helper()
	b.emulate(t, emulation.SetDeviceMetricsOverride.Method,
		emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1})
}

// NoScripts turns JavaScript off for the pages that are opened from now on.
func (b *Browser) NoScripts(t testing.TB) {
	t.Helper()
	b.emulate(t, emulation.SetScriptExecutionDisabled.Method, emulation.SetScriptExecutionDisabledParams{Value: true})
}

func (b *Browser) emulate(t testing.TB, method string, params any) {
	t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Func(func(ctx context.Context, page *chromedp.Target) error {
		return page.Call(ctx, method, params, nil)
	})); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}

// Open goes to a page, which must answer with status 200, and waits until its own scripts and
// pictures have been loaded.
func (b *Browser) Open(t testing.TB, url string) {
	t.Helper()
	response, err := chromedp.Run(b.ctx, chromedp.NavigateResponse(url))
	if err != nil {
		t.Fatalf("opening %s: %v; what went wrong on the page: %q", url, err, b.Faults())
	}
	if response == nil {
		t.Fatalf("opening %s: no answer", url)
	}
	if response.Status != http.StatusOK {
		t.Fatalf("opening %s: the answer has status %d, want 200", url, response.Status)
	}
}

// Wait waits until the JavaScript expression is true on the page. What says what for.
func (b *Browser) Wait(t testing.TB, what, expression string) {
	t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expression,
		chromedp.WithPollingTimeout(patience))); err != nil {
		t.Fatalf("waiting for %s: %v; what went wrong on the page: %q", what, err, b.Faults())
	}
}

// Strings returns the value of a JavaScript expression that is an array of strings.
func (b *Browser) Strings(t testing.TB, expression string) []string {
	t.Helper()
	values, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](expression))
	if err != nil {
		t.Fatalf("evaluating %s: %v; what went wrong on the page: %q", expression, err, b.Faults())
	}
	return values
}

// Screenshot writes what the window shows as a PNG file, into SCREENSHOTS if that is set and into
// the test's directory otherwise, and returns its bytes.
func (b *Browser) Screenshot(t testing.TB, name string) []byte {
	t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatalf("taking a screenshot: %v", err)
	}
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
	return png
}
