//go:build linux

// Command pictures takes the pictures of the documents, by Chromium; scripts/pictures.sh runs it.
//
//	pictures graphs PROMETHEUS OUT.png     panels of the dashboard, as Prometheus' own page draws them
//	pictures terminal OUT.png <CAPTURE     a terminal, as "tmux capture-pane -e -p" prints it
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/chromedp/chromedp"

	"rsyncd_exporter/internal/monitoring"
)

const usage = "usage: pictures graphs PROMETHEUS OUT.png | pictures terminal OUT.png <CAPTURE"

func main() {
	if err := run(os.Args[1:], os.Stdin); err != nil {
		fmt.Fprintf(os.Stderr, "pictures: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader) error {
	var picture image.Image
	var err error
	switch {
	case len(args) == 3 && args[0] == "graphs":
		picture, err = graphs(args[1])
	case len(args) == 2 && args[0] == "terminal":
		picture, err = terminal(stdin)
	default:
		return errors.New(usage)
	}
	if err != nil {
		return err
	}
	var file bytes.Buffer
	if err := png.Encode(&file, picture); err != nil {
		return fmt.Errorf("encoding the picture: %w", err)
	}
	return os.WriteFile(args[len(args)-1], file.Bytes(), 0o644)
}

// A panel is one of the dashboard that becomes a part of the picture.
type panel struct {
	title   string
	stacked bool
}

var shown = []panel{
	{"Sessions by module", true}, {"Traffic by module", true},
	{"Outcomes of sessions", true}, {"Refused by reason", true},
	{"Errors by exit code", false}, {"Sessions by group", true},
}

// graphs draws the first query of each panel over the last five minutes, two side by side.
func graphs(prometheus string) (image.Image, error) {
	queries, err := monitoring.DashboardQueries("deploy/grafana/dashboards/rsyncd_exporter.json", map[string]string{
		"__rate_interval": "1m", "__range": "5m",
		"cluster": ".*", "job": ".*", "instance": ".*", "host": ".*", "module": ".*",
	})
	if err != nil {
		return nil, err
	}
	var parts []image.Image
	for _, p := range shown {
		expr := ""
		for _, q := range queries {
			if q.Panel == p.title && q.Ref == "A" {
				expr = q.Expr
			}
		}
		if expr == "" {
			return nil, fmt.Errorf("the dashboard has no panel %q", p.title)
		}
		values := url.Values{"g0.expr": {expr}, "g0.tab": {"0"}, "g0.range_input": {"5m"}}
		if p.stacked {
			values.Set("g0.stacked", "1")
		}
		page := prometheus + "/classic/graph?" + values.Encode()
		part, err := shoot(page, 760, 1400, graphDrawn, fmt.Sprintf(bareGraph, p.title))
		if err != nil {
			return nil, fmt.Errorf("panel %q: %w", p.title, err)
		}
		parts = append(parts, part)
	}
	return beside(parts), nil
}

const (
	graphDrawn = `document.querySelector(".graph_area svg path") && document.querySelector(".legend .line") && true`
	// bareGraph leaves only the graph of Prometheus' page, puts a headline above it, and says where it is.
	bareGraph = `(() => {
		const style = document.createElement("style");
		style.textContent = "nav, form > :not(:last-child), .nav-tabs, .graph_container .clearfix, #add_graph { " +
			"display: none !important }.tab-content, .tab-pane, .list-group { border: 0 !important }.legend { " +
			"background: white !important } .legend * { color: #222 !important } .legend .line a { display: none " +
			"}h5 { margin: 12px 0 10px 60px; font-weight: 600 }";
		document.head.append(style);
		const title = document.createElement("h5");
		title.textContent = %q;
		document.querySelector(".graph_area").before(title);
		const box = document.querySelector(".graph_container").getBoundingClientRect();
		return [box.x, box.y, box.width, box.height];
	})()`
)

// beside puts parts into two columns.
func beside(parts []image.Image) image.Image {
	width, height := 0, make([]int, (len(parts)+1)/2)
	total := 0
	for i, part := range parts {
		width = max(width, part.Bounds().Dx())
		height[i/2] = max(height[i/2], part.Bounds().Dy())
	}
	for _, h := range height {
		total += h
	}
	whole := image.NewRGBA(image.Rect(0, 0, 2*width, total))
	draw.Draw(whole, whole.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	y := 0
	for i, part := range parts {
		at := image.Rect(i%2*width, y, i%2*width+part.Bounds().Dx(), y+part.Bounds().Dy())
		draw.Draw(whole, at, part, part.Bounds().Min, draw.Src)
		if i%2 == 1 {
			y += height[i/2]
		}
	}
	return whole
}

// terminal draws what a terminal shows.
func terminal(capture io.Reader) (image.Image, error) {
	text, err := io.ReadAll(capture)
	if err != nil {
		return nil, fmt.Errorf("reading the terminal: %w", err)
	}
	page := base64.StdEncoding.EncodeToString([]byte(terminalHTML(string(text))))
	return shoot("data:text/html;charset=utf-8;base64,"+page, 1600, 900, "true", `(() => {
		const box = document.querySelector("pre").getBoundingClientRect();
		return [box.x, box.y, box.width, box.height];
	})()`)
}

// shoot opens a page, waits until the first expression is true, and takes a picture of the box that
// the second one returns.
func shoot(page string, width, height int, until, box string) (image.Image, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"),
		chromedp.WindowSize(width, height),
		chromedp.NoSandbox, // root has none, and a chroot allows none; the pages are our own
		chromedp.DisableGPU,
	)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Navigate(page)); err != nil {
		return nil, fmt.Errorf("opening the page: %w", err)
	}
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](until, chromedp.WithPollingTimeout(time.Minute))); err != nil {
		return nil, fmt.Errorf("waiting until the page is drawn: %w", err)
	}
	at, err := chromedp.Run(ctx, chromedp.Evaluate[[]float64](box))
	if err != nil {
		return nil, fmt.Errorf("looking where the picture is: %w", err)
	}
	shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return nil, fmt.Errorf("taking the picture: %w", err)
	}
	whole, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		return nil, fmt.Errorf("reading the picture: %w", err)
	}
	x, y := int(at[0]), int(at[1])
	part := image.NewRGBA(image.Rect(0, 0, int(at[2]), int(at[3])))
	draw.Draw(part, part.Bounds(), whole, image.Pt(x, y), draw.Src)
	return part, nil
}
