package status_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"rsyncd_exporter/internal/browser"
	"rsyncd_exporter/metrics"
	"rsyncd_exporter/status"
)

// behindAPrefix shows the world as a proxy does that serves it at /a/prefix/.
func (w *world) behindAPrefix(change func(*status.Options)) *httptest.Server {
	w.t.Helper()
	inner := w.serve(change)
	s := httptest.NewServer(http.StripPrefix("/a/prefix", inner.Config.Handler))
	w.t.Cleanup(s.Close)
	return s
}

// One Chromium looks at everything: its start takes longer than all the rest.
func TestPageInABrowser(t *testing.T) {
	w := busy(t)
	limits := metrics.Limits{}
	for module, most := range map[string]int{"debian": 5, "home": 3, "fedora": 40} {
		limits[module] = metrics.Limit{MaxConnections: most, LockFile: module}
	}
	calm := w.behindAPrefix(func(o *status.Options) { o.Limits = limits })
	s := w.behindAPrefix(func(o *status.Options) {
		o.Limits = limits
		look := o.Look
		o.Look = func() *status.Moment {
			m := look()
			m.Live.Files = append(slices.Clone(m.Live.Files), metrics.File{Path: hostilePath})
			m.Why = map[string]string{hostilePath: "open " + markup}
			return m
		}
	})
	calmURL, url := calm.URL+"/a/prefix/", s.URL+"/a/prefix/"
	b := browser.Start(t, 1280, 1500)
	b.Resize(t, 1280, 2130) // down to the clients
	for _, scheme := range []string{"light", "dark"} {
		b.Prefer(t, "prefers-color-scheme", scheme)
		b.Open(t, calmURL)
		b.Screenshot(t, "page-"+scheme) // docs/page.png is the light one
		if got := b.Strings(t, faint); len(got) > 0 {
			t.Errorf("%s: too little contrast: %q", scheme, got)
		}
	}
	b.Resize(t, 390, 1500)
	b.Screenshot(t, "page-narrow")
	b.Resize(t, 1280, 1500)
	hostile(w)
	// fetch refuses to ask for a URL with a password: location.href has none
	b.Open(t, strings.Replace(url, "//", "//user:password@", 1))
	if got := b.Strings(t, faint); len(got) > 0 {
		t.Errorf("hostile names: too little contrast: %q", got)
	}
	if got := b.Strings(t, unlabelled); len(got) > 0 {
		t.Errorf("without what a screen reader needs: %q", got)
	}
	hostileNamesAreText(t, b)
	b.Resize(t, 390, 1500)
	b.Screenshot(t, "page-narrow-hostile")
	if got := b.Strings(t, `document.documentElement.scrollWidth > innerWidth ? ["wide"] : []`); len(got) > 0 {
		t.Error("on a narrow screen the page is wider than the window")
	}
	b.Resize(t, 1280, 1500)

	updatesItself(t, w, b)
	for _, r := range b.Requests() {
		r = strings.Replace(r, "//user:password@", "//", 1)
		if !strings.HasPrefix(r, url) && !strings.HasPrefix(r, calmURL) && !strings.HasPrefix(r, "data:image/svg+xml") && r != "about:blank" {
			t.Errorf("the page has asked for %s", r)
		}
	}
	if faults := b.Faults(); len(faults) > 0 {
		t.Errorf("went wrong: %q", faults)
	}

	b.NoScripts(t)
	b.Open(t, url)
	if got := b.Strings(t, `[document.querySelector("noscript meta").content, String(document.getElementById("pause").hidden),
		String(document.querySelectorAll("#sessions tbody tr").length > 5)]`); strings.Join(got, " ") != "30 true true" {
		t.Errorf("without scripts: %q, want a refresh after 30 s, no button and all sessions", got)
	}
}

const pauseAndGoOn = `(() => {
	const button = document.getElementById("pause");
	return [0, 1].map(() => { button.click(); return button.getAttribute("aria-pressed") });
})()`

// updatesItself checks that what happens shows without a new page: what has the focus keeps it, and what was opened
// stays open.
func updatesItself(t *testing.T, w *world, b *browser.Browser) {
	t.Helper()
	b.Strings(t, `[document.querySelector("#errors details").open = true, document.querySelector("#modules .wide").focus(),
		window.before = document.querySelector("#sessions tbody tr")].map(String)`)
	w.connect(0, 9001, "late.example.org", "192.0.2.200", "on", "debian", "debian/late", "")
	b.Wait(t, "the new session", `document.getElementById("sessions").textContent.includes("late.example.org")`)
	w.moved(0, 9001, "send", "late.example.org", "192.0.2.200", "debian", "", "grown.iso", 5<<30)
	b.Strings(t, pauseAndGoOn) // asks at once
	b.Wait(t, "its growth", `/≥ 5.00 GiB.*grown.iso/s.test(document.getElementById("sessions").textContent)`)
	kept := b.Strings(t, `[document.querySelector("#errors details").open, document.activeElement === document.querySelector("#modules .wide"),
		window.before === document.querySelector("#sessions tbody tr")].map(String)`)
	if strings.Join(kept, " ") != "true true true" {
		t.Errorf("open, focused, the same row: %q", kept)
	}
	w.done(0, 9001, 5<<30, 100, 5<<30)
	if got := b.Strings(t, pauseAndGoOn); strings.Join(got, " ") != "true false" {
		t.Errorf("clicks on Pause: pressed %q, want true and then false", got)
	}
	b.Wait(t, "its end", `!document.getElementById("sessions").textContent.includes("late.example.org") &&
		document.getElementById("ended").textContent.includes("late.example.org")`)
	ignoresOldAnswers(t, w, b)
	saysOnce(t, b)
}

// ignoresOldAnswers checks that an answer that comes behind that to a later question changes nothing.
func ignoresOldAnswers(t *testing.T, w *world, b *browser.Browser) {
	t.Helper()
	b.Strings(t, `(() => {
		window.answers = window.fetch;
		window.release = null;
		window.fetch = async (...question) => {
			const text = await (await window.answers(...question)).text();
			if (!window.release) await new Promise(released => { window.release = released });
			return { ok: true, text: async () => text };
		};
		return [];
	})()`)
	b.Strings(t, pauseAndGoOn)
	b.Wait(t, "an answer that is held up", `window.release !== null`)
	w.connect(0, 9002, "later.example.org", "192.0.2.201", "on", "debian", "debian/later", "")
	const shown = `document.getElementById("sessions").textContent.includes("later.example.org")`
	b.Strings(t, pauseAndGoOn)
	b.Wait(t, "the later session", shown)
	b.Strings(t, `(() => { window.release(); window.fetch = window.answers; return []; })()`)
	if got := b.Strings(t, `[String(`+shown+`)]`); got[0] != "true" {
		t.Error("an old answer has taken the place of a newer one")
	}
	w.done(0, 9002, 1, 1, 1)
}

// saysOnce checks that a screen reader is told once that nobody answers, however often that happens.
func saysOnce(t *testing.T, b *browser.Browser) {
	t.Helper()
	b.Strings(t, `(() => {
		window.told = window.asked = 0;
		window.answers = window.fetch;
		window.fetch = () => { window.asked++; return Promise.reject(new Error("nobody answers")); };
		new MutationObserver(() => window.told++).observe(document.getElementById("lost"), { childList: true, characterData: true, subtree: true });
		return [];
	})()`)
	for _, n := range []string{"1", "2", "3"} {
		b.Strings(t, pauseAndGoOn)
		b.Wait(t, "a question", `window.asked >= `+n+` && document.getElementById("lost").textContent.includes("doesn't answer")`)
	}
	if got := b.Strings(t, `[String(window.told)]`); got[0] != "1" {
		t.Errorf("told %s times that nobody answers, want once", got[0])
	}
	b.Strings(t, `(() => { window.fetch = window.answers; return []; })()`)
	b.Strings(t, pauseAndGoOn)
	b.Wait(t, "an answer", `document.getElementById("lost").textContent === ""`)
}

// Names that clients, and whoever can send messages, may choose.
const (
	markup = `<script>alert(1)</script>`
	attack = `"'><img/src=x/onerror=alert(1)>`
	ptr    = `<i>pc</i>"'.example.org`

	hostilePath = "/var/log/" + markup + "\x1b[31m\u202e.log"
)

// hostile has sessions whose names do what they can.
func hostile(w *world) {
	long := strings.Repeat("long/", 400)
	for i, name := range []string{markup, attack, `\#033[31mred`, "a\u202egpj.exe", "javascript:alert(1)", long} {
		short := name[:min(len(name), 600)]
		w.connect(0, 8000+i, ptr, "192.0.2.99", "on", short, short+"/", attack)
		w.moved(0, 8000+i, "send", ptr, "192.0.2.99", short, attack, name, 5)
		w.log(0, 8100+i, "connect from UNKNOWN (192.0.2.99)", "unknown module '"+name+"' tried from UNKNOWN (192.0.2.99)")
	}
}

// hostileNamesAreText checks that no element, link or handler comes of names, and that nothing turns the direction of
// writing.
func hostileNamesAreText(t *testing.T, b *browser.Browser) {
	t.Helper()
	b.Wait(t, "the last one", `document.getElementById("sessions").textContent.includes("long/long/")`)
	if got := b.Strings(t, `[...document.querySelectorAll("img, script:not([src='status.js']), iframe, object, base, form, style, b > *, td b")]
		.map(e => e.outerHTML)`); len(got) > 0 {
		t.Errorf("elements: %q", got)
	}
	if got := b.Strings(t, `[...document.querySelectorAll("*")].flatMap(e => [...e.attributes]).filter(a => a.name.startsWith("on") ||
		a.name === "style" || /^(href|src)$/.test(a.name) && /:/.test(a.value) && !a.value.startsWith("data:image/svg+xml"))
		.map(a => a.name + "=" + a.value)`); len(got) > 0 {
		t.Errorf("attributes: %q", got)
	}
	words := strings.Join(b.Strings(t, `[document.body.textContent]`), "")
	for _, want := range []string{markup, attack, ptr, "\uFFFD[31mred", `\x1b[31m\u202e.log`, `a\u202egpj.exe`, "javascript:alert(1)", "long/long/"} {
		if !strings.Contains(words, want) {
			t.Errorf("%q is nowhere on the page", want)
		}
	}
	if strings.ContainsAny(words, "\u202e\x1b") {
		t.Error("a control character is on the page")
	}
}

// faint lists the texts whose contrast is below WCAG's 4.5, or 3 for large ones (1.4.3).
const faint = `(() => {
	const light = c => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4 };
	const luminance = c => { const [r, g, b] = c.match(/[\d.]+/g).map(Number); return 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b) };
	const ground = e => {
		for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (c !== "rgba(0, 0, 0, 0)") return c }
		return "rgb(255, 255, 255)";
	};
	const texts = [...document.querySelectorAll("body *")].filter(e => !e.closest("svg, noscript") &&
		[...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.nodeValue.trim()));
	if (texts.length < 100) return ["only " + texts.length + " texts"];
	return texts.map(e => {
		const style = getComputedStyle(e), [a, b] = [luminance(style.color), luminance(ground(e))];
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size = parseFloat(style.fontSize);
		const least = size >= 24 || size >= 18.66 && style.fontWeight >= 700 ? 3 : 4.5;
		return ratio < least ? ratio.toFixed(2) + " " + e.className + ": " + e.textContent.slice(0, 30) : "";
	}).filter(Boolean);
})()`

// unlabelled lists what has no name, and ids that are there twice.
const unlabelled = `(() => {
	const named = e => e.textContent.trim() || (e.getAttribute("aria-labelledby") || "").split(" ").some(id => id && document.getElementById(id));
	const bad = [];
	const need = (selector, good) => {
		const all = [...document.querySelectorAll(selector)];
		if (all.length === 0) bad.push("no " + selector);
		bad.push(...all.filter(e => !good(e)).map(e => selector + ": " + e.outerHTML.slice(0, 80)));
	};
	need("table", e => e.caption && e.caption.textContent.trim());
	need("thead th", e => e.scope === "col" && e.textContent.trim());
	need("tbody tr", e => e.firstElementChild.nodeName === "TH" && e.firstElementChild.scope === "row");
	need("svg[role=img]", named);
	need("svg:not([role=img])", e => e.getAttribute("aria-hidden") === "true");
	need("[role=region], section, nav", e => e.hasAttribute("aria-labelledby") ? document.getElementById(e.getAttribute("aria-labelledby")) : e.ariaLabel);
	need("a, button, summary", e => e.textContent.trim());
	need("a[href^='#']", e => document.getElementById(e.getAttribute("href").slice(1)));
	need("html", e => e.lang === "en");
	for (const one of ["h1", "main", "body > header", "body > footer", "nav", "#verdict[role=status]", ".skip"])
		if (document.querySelectorAll(one).length !== 1) bad.push("not one " + one);
	const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
	bad.push(...ids.filter((id, i) => ids.indexOf(id) !== i).map(id => "twice: " + id));
	return bad;
})()`
