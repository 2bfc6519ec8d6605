// Package ask asks a running exporter what it shows at /api/v1. An answer is another machine's
// text: its size is bounded, and errors quote it.
package ask

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"rsyncd_exporter/internal/readfile"
)

// The bounds of an answer. 1,000 sessions take half a MiB.
const (
	maxAnswer  = 64 << 20
	maxObjects = 1 << 20 // each may take 300 bytes of memory
)

// Options say how an exporter is asked.
type Options struct {
	Timeout time.Duration // for the whole answer; 0 is 10 s
	CAFile  string        // certificates, in PEM, that are trusted besides the system's; "" is none
}

// A Client asks one exporter. Several goroutines may use it.
type Client struct {
	base    url.URL // without user and password
	login   login
	http    *http.Client
	timeout time.Duration
}

// New returns a client for the exporter at base, such as https://logs.example.org:8080 or, behind a
// proxy, https://example.org/rsyncd. User and password are those in base, those of the variables
// RSYNCD_EXPORTER_USER and RSYNCD_EXPORTER_PASSWORD, or those of the netrc file, in this order.
func New(base string, o Options) (*Client, error) {
	u, err := url.Parse(base)
	switch {
	case err != nil:
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err // without the URL, which may hold a password
		}
		return nil, fmt.Errorf("the exporter's address is no URL: %w: write http://HOST:PORT", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%q is no address of an exporter: write http://HOST:PORT", u.Redacted())
	}
	c := &Client{base: *u, timeout: cmp.Or(o.Timeout, 10*time.Second)}
	c.base.User = nil
	if c.login, err = loginFor(u); err != nil {
		return nil, err
	}
	encryption := &tls.Config{}
	if o.CAFile != "" {
		if encryption.RootCAs, err = roots(o.CAFile); err != nil {
			return nil, fmt.Errorf("--ca-file=%q: %w", o.CAFile, err)
		}
	} else if IsLoopback(u.Hostname()) && c.login == (login{}) {
		// #nosec G402 -- on loopback nothing secret is sent, and the certificate is for another name
		encryption.InsecureSkipVerify = true
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: encryption, ForceAttemptHTTP2: true,
		},
		// the password would go along, and another path is not that of an exporter
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// roots returns the system's certificates and those of a file.
func roots(path string) (*x509.CertPool, error) {
	pem, err := readfile.Read(path, 1<<20)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("it holds no certificate in PEM")
	}
	return pool, nil
}

// IsLoopback reports whether a host, a name or an address, is this machine.
func IsLoopback(host string) bool {
	ip, _ := netip.ParseAddr(host)
	return ip.IsLoopback() || host == "localhost"
}

// Where returns the exporter's address for people: host and port, and the path if there is one.
func (c *Client) Where() string { return c.base.Host + strings.TrimSuffix(c.base.Path, "/") }

// URL returns the exporter's address, without user and password.
func (c *Client) URL() string { return c.base.String() }

// Get asks for a path such as /api/v1/sessions and decodes the JSON of the answer into a pointer.
// The error is a sentence that begins with Where.
func (c *Client) Get(ctx context.Context, path string, into any) error {
	if err := c.get(ctx, path, into); err != nil {
		return fmt.Errorf("%s: %w", c.Where(), err)
	}
	return nil
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	tooLate := fmt.Errorf("no answer within %v", c.timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, tooLate)
	defer cancel()
	// #nosec G125 -- path is a constant of this package
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.JoinPath(path).String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	if c.login != (login{}) {
		req.SetBasicAuth(c.login.user, c.login.password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return notReached(ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case resp.StatusCode != http.StatusOK:
		return c.refused(resp, body)
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("the answer broke off: %w", err)
	case len(body) > maxAnswer:
		return fmt.Errorf("the answer has more than %d MiB, which no exporter's has", maxAnswer>>20)
	}
	return decode(body, into)
}

// notReached says why a request got no answer.
func notReached(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err // without the URL
	}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &unknown), errors.As(err, &name):
		return fmt.Errorf("its certificate isn't trusted: %w: name those that are with --ca-file=FILE, and the "+
			"exporter as the certificate does with --url=URL", err)
	case errors.As(err, &record):
		return fmt.Errorf("it speaks no TLS: %w: write http://", err)
	case errors.As(err, &op) && op.Op == "remote error": // a TLS alert; see crypto/tls/conn.go: readRecordOrCCS
		return fmt.Errorf("%w: perhaps it wants a client's certificate, as WEB_CONFIG can say, and none is sent", err)
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("not reached: %w: is the exporter running there? --url=URL asks elsewhere", err)
	}
	return fmt.Errorf("not reached: %w", err)
}

// refused says what an answer other than 200 means. body may be cut off.
func (c *Client) refused(resp *http.Response, body []byte) error {
	code := resp.StatusCode
	switch {
	case code == http.StatusUnauthorized && c.login == (login{}):
		return errors.New("it wants a password: set RSYNCD_EXPORTER_USER and RSYNCD_EXPORTER_PASSWORD, or write " +
			"\"machine " + c.base.Hostname() + " login USER password PASSWORD\" into ~/.netrc")
	case code == http.StatusUnauthorized:
		return fmt.Errorf("it doesn't take the password of %q from %s", c.login.user, c.login.from)
	case code == http.StatusNotFound:
		return errors.New("it has no status page: STATUS_PAGE=false turns that off; or it is an older exporter, or " +
			"another program")
	case code >= 300 && code < 400:
		return fmt.Errorf("it says %s and names %q, and no redirection is followed: give that address with --url=URL",
			resp.Status, resp.Header.Get("Location"))
	case bytes.HasPrefix(body, []byte("Client sent an HTTP request to an HTTPS server")):
		return errors.New("it speaks TLS: write https://")
	}
	const most = 200
	line, _, _ := strings.Cut(string(body[:min(len(body), most)]), "\n")
	return fmt.Errorf("it answers %q: %q", resp.Status, line)
}

// decode reads the JSON of an answer.
func decode(body []byte, into any) error {
	if n := objects(body); n > maxObjects {
		return fmt.Errorf("the answer has %d objects, which no exporter's has", n)
	}
	err := json.Unmarshal(body, into)
	var kind *json.UnmarshalTypeError
	var date *time.ParseError
	switch {
	case errors.As(err, &kind), errors.As(err, &date):
		return fmt.Errorf("the answer isn't what this version understands: %w: are both of the same version?", err)
	case err != nil:
		return fmt.Errorf("the answer is no JSON, so no exporter's: %w", err)
	}
	return nil
}

// objects counts what Unmarshal would make of a text.
func objects(text []byte) (n int) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++ // also outside of strings, where it is an error
		case '"':
			quoted = !quoted
		case '{':
			if !quoted {
				n++
			}
		}
	}
	return n
}
