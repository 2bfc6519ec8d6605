package web

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
)

// A passwordGate stands before exporter-toolkit's basic authentication, which checks one password
// at a time and remembers a hundred. Credentials known to be right pass, wrong ones are refused,
// and the others wait in a guessQueue. No password is kept.
type passwordGate struct {
	toolkit http.Handler // calls the handler that behindPassword returns once it has accepted a request
	web     *webFile
	salt    [sha256.Size]byte
	queue   *guessQueue
	log     *slog.Logger

	mu     sync.Mutex
	broken string // the error that was logged last
}

func newPasswordGate(web *webFile, room int, log *slog.Logger) *passwordGate {
	g := &passwordGate{web: web, queue: newGuessQueue(room), log: log}
	rand.Read(g.salt[:])
	_, _ = web.read() // the first read is what later ones are compared with
	return g
}

// A passwordCheck travels with a request through exporter-toolkit, and learns its verdict.
type passwordCheck struct {
	gate     *passwordGate
	settings *webSettings
	offered  bool // there are credentials
	key      credentialKey
	turn     bool // they have a turn in the queue
	over     bool // the check is
}

type passwordCheckKey struct{}

func (g *passwordGate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	settings, err := g.web.read()
	if g.report(err); err != nil {
		plainText(w, http.StatusInternalServerError, "WEB_CONFIG can't be used now: the exporter's log says why")
		return
	}
	check := &passwordCheck{gate: g, settings: settings}
	if len(settings.users) > 0 {
		r = r.WithContext(context.WithValue(r.Context(), passwordCheckKey{}, check))
	}
	user, password, ok := r.BasicAuth()
	if len(settings.users) == 0 || !ok {
		g.toolkit.ServeHTTP(w, r) // it looks at no password
		return
	}
	check.offered, check.key = true, g.key(settings, user, password)
	source, _ := netip.ParseAddrPort(r.RemoteAddr)
	switch g.queue.enter(r.Context(), check.key, source.Addr()) {
	case isBad:
		w.Header().Set("WWW-Authenticate", "Basic")
		plainText(w, http.StatusUnauthorized, "Unauthorized")
		return
	case isPutOff:
		w.Header().Set("Retry-After", "1")
		plainText(w, http.StatusTooManyRequests, "too many passwords wait to be checked: "+
			"try again in a second; these credentials go before others then")
		return
	case isGone:
		return
	case isNext:
		check.turn = true
	}
	answer := &statusRecorder{ResponseWriter: w}
	defer func() { check.end(answer.status) }()
	g.toolkit.ServeHTTP(answer, r)
}

// behindPassword returns the handler that exporter-toolkit calls with the requests that it accepts.
func behindPassword(pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		check, ok := r.Context().Value(passwordCheckKey{}).(*passwordCheck)
		if ok && !check.accept() {
			plainText(w, http.StatusInternalServerError, "WEB_CONFIG was changed while it was read: try again")
			return
		}
		pages.ServeHTTP(w, r)
	})
}

// accept ends the check of right credentials, unless the toolkit has read another WEB_CONFIG.
func (c *passwordCheck) accept() bool {
	now, err := c.gate.web.read()
	if err != nil || now != c.settings || !c.offered {
		return false
	}
	c.over = true
	if c.turn {
		c.gate.queue.finish(c.key, isGood)
	}
	return true
}

// end ends a check that accept has not ended. Only 401 says something about the credentials.
func (c *passwordCheck) end(status int) {
	if c.over {
		return
	}
	c.over = true
	now, err := c.gate.web.read()
	switch refused := status == http.StatusUnauthorized; {
	case !c.turn && refused:
		c.gate.queue.forget(c.key)
	case !c.turn:
	case refused && err == nil && now == c.settings:
		c.gate.queue.finish(c.key, isBad)
	default:
		c.gate.queue.finish(c.key, isPutOff)
	}
}

// key returns a salted hash of credentials and the user's hash, which a new password changes.
func (g *passwordGate) key(s *webSettings, user, password string) (key credentialKey) {
	mac := hmac.New(sha256.New, g.salt[:])
	for _, part := range []string{user, s.users[user], password} {
		fmt.Fprintf(mac, "%d:%s", len(part), part)
	}
	mac.Sum(key[:0])
	return key
}

// report logs when WEB_CONFIG begins to be unusable, and when it can be used again.
func (g *passwordGate) report(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case text == g.broken:
	case text != "":
		g.log.Error("WEB_CONFIG can't be used: nothing but the health pages is served until it can", "err", err)
	default:
		g.log.Info("WEB_CONFIG can be used again")
	}
	g.broken = text
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }
