package stream

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const maxCredentials = 4 << 20 // bytes of a file; a bundle of all public CAs has a tenth of that

// TLSOptions say who a TLS input is and whom it lets in. All files are PEM.
type TLSOptions struct {
	Certificate string        // path: the server's certificate, and behind it those that lead to its CA
	Key         string        // path: the certificate's private key, not encrypted
	ClientCA    string        // path: certificates of those who sign the clients'; empty lets everybody in
	CRL         string        // path: what they have revoked (RFC 5280 section 5); empty for none
	AllowedSANs []SAN         // a client's certificate must have one of them; empty: any that ClientCA has signed
	MinVersion  uint16        // as tls.Config has it; 0: TLS 1.3
	Interval    time.Duration // how often the files are looked at, 10 s
	Report      func(error)   // called when changed files were taken (nil) or begin to be unusable; may be nil
}

// A TLSFile is one of the files of TLSOptions.
type TLSFile uint8

// The files.
const (
	CertificateFile TLSFile = iota
	KeyFile
	ClientCAFile
	CRLFile
	numTLSFiles
)

var tlsFileNames = [numTLSFiles]string{"certificate", "key", "client_ca", "crl"}

// String returns a label value.
func (f TLSFile) String() string { return tlsFileNames[f] }

// A TLSFileError says which file can't be used. Err has the place in it, the reason and the remedy.
type TLSFileError struct {
	File TLSFile
	Path string
	Err  error
}

func (e *TLSFileError) Error() string { return fmt.Sprintf("%s %q: %v", e.File, e.Path, e.Err) }

// Unwrap returns the reason.
func (e *TLSFileError) Unwrap() error { return e.Err }

// Credentials are what a TLS input shows and asks for. They follow their files: once these have
// changed and all of them can be used together, new handshakes get a new configuration as a whole.
// Several inputs may share them.
type Credentials struct {
	opt     TLSOptions
	mu      sync.Mutex // one Reload at a time
	current atomic.Pointer[tlsState]
	failed  atomic.Pointer[error] // of the last Reload; nil when it went well
}

// tlsState is what one reading of the files gave. It never changes.
type tlsState struct {
	config  *tls.Config
	files   [numTLSFiles][]byte
	expires map[TLSFile]time.Time
	allowed []SAN        // a client's certificate has one of them; empty: any
	revoked *revocations // nil without TLS_CRL
}

// LoadCredentials reads the files. The error joins a TLSFileError for each that can't be used.
func LoadCredentials(opt TLSOptions) (*Credentials, error) {
	opt.Interval = cmp.Or(opt.Interval, 10*time.Second)
	opt.MinVersion = cmp.Or(opt.MinVersion, tls.VersionTLS13)
	c := &Credentials{opt: opt}
	state, err := c.read(nil)
	if err != nil {
		return nil, err
	}
	c.current.Store(state)
	return c, nil
}

// Run looks at the files every Interval until ctx ends, and returns nil.
func (c *Credentials) Run(ctx context.Context) error {
	tick := time.NewTicker(c.opt.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			before := c.Err()
			changed, err := c.Reload()
			if c.opt.Report != nil && (changed || err != nil && before == nil) {
				c.opt.Report(err)
			}
		}
	}
}

// Reload reads the files and takes what they hold if that has changed and can be used. It compares
// contents: a Kubernetes secret is a symbolic link, and a copy may keep the time of its original.
func (c *Credentials) Reload() (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.current.Load()
	state, err := c.read(old)
	if err != nil {
		c.failed.Store(&err)
		return false, err
	}
	c.failed.Store(nil)
	c.current.Store(state)
	return state != old, nil
}

// Err returns why the last Reload failed, nil if it didn't. It may be called at any time.
func (c *Credentials) Err() error {
	if err := c.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Expires returns when what is in force ends, by file: with the first of its certificates, or a
// CRL's nextUpdate. It may be called at any time.
func (c *Credentials) Expires() map[TLSFile]time.Time { return c.current.Load().expires }

// Doubts returns what is doubtful about the CRL that is in force. It may be called at any time.
func (c *Credentials) Doubts() []string {
	if revoked := c.current.Load().revoked; revoked != nil {
		return revoked.doubts
	}
	return nil
}

// config returns the configuration for a new connection, which is never changed.
func (c *Credentials) config() *tls.Config { return c.current.Load().config }

// String returns what a log calls it.
func (c *Credentials) String() string { return fmt.Sprintf("TLS certificate %q", c.opt.Certificate) }

// read makes a new state of the files, or returns old, which may be nil, where they hold the same.
func (c *Credentials) read(old *tlsState) (*tlsState, error) {
	s := &tlsState{
		config:  &tls.Config{MinVersion: c.opt.MinVersion, SessionTicketsDisabled: true}, // each client is checked anew
		expires: map[TLSFile]time.Time{},
		allowed: c.opt.AllowedSANs,
	}
	paths := [numTLSFiles]string{c.opt.Certificate, c.opt.Key, c.opt.ClientCA, c.opt.CRL}
	var problems []error
	note := func(f TLSFile, err error) {
		if err != nil {
			problems = append(problems, &TLSFileError{f, paths[f], err})
		}
	}
	for f := range numTLSFiles {
		if paths[f] == "" && f >= ClientCAFile {
			continue
		}
		var err error
		if s.files[f], err = readCredential(paths[f]); err != nil {
			note(f, fmt.Errorf("%w: name a PEM file of the right kind that the exporter's user may read", err))
		}
	}
	if old != nil && len(problems) == 0 && slices.EqualFunc(s.files[:], old.files[:], bytes.Equal) {
		return old, nil
	}
	if s.files[CertificateFile] != nil && s.files[KeyFile] != nil {
		note(s.showCertificate())
	}
	if s.files[ClientCAFile] != nil {
		note(s.requireClients(old))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return s, nil
}

// showCertificate has the server show its certificate, or says which file keeps it from that.
func (s *tlsState) showCertificate() (TLSFile, error) {
	chain, err := parseCertificates(s.files[CertificateFile], besideKeys...)
	if err != nil {
		return CertificateFile, err
	}
	if _, err := privateKey(s.files[KeyFile]); err != nil {
		return KeyFile, err
	}
	pair, err := tls.X509KeyPair(s.files[CertificateFile], s.files[KeyFile])
	if err != nil {
		return KeyFile, fmt.Errorf("%w: name the key of the first certificate", err)
	}
	s.config.Certificates = []tls.Certificate{pair}
	s.expires[CertificateFile] = firstEnd(chain)
	return 0, nil
}

// requireClients has clients show a certificate that the CA file's have signed, or says which file
// keeps it from that.
func (s *tlsState) requireClients(old *tlsState) (TLSFile, error) {
	cas, err := parseCertificates(s.files[ClientCAFile])
	if err != nil {
		return ClientCAFile, err
	}
	if s.files[CRLFile] != nil {
		if s.revoked, err = readCRLs(s.files[CRLFile], cas, time.Now()); err != nil {
			return CRLFile, err
		}
		if old != nil {
			if err := s.revoked.supersedes(old.revoked, cas); err != nil {
				return CRLFile, err
			}
		}
		if !s.revoked.next.IsZero() {
			s.expires[CRLFile] = s.revoked.next
		}
	}
	s.expires[ClientCAFile] = firstEnd(cas)
	s.config.ClientAuth = tls.RequireAndVerifyClientCert // which asks for clientAuth among the extended key usages
	s.config.ClientCAs = x509.NewCertPool()
	for _, ca := range cas {
		s.config.ClientCAs.AddCert(ca)
	}
	s.config.VerifyConnection = s.check
	return 0, nil
}

// readCredential reads one regular file that isn't empty.
func readCredential(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO would have us wait for its writer
	if err != nil {
		if at, ok := errors.AsType[*os.PathError](err); ok {
			err = at.Err // the caller names the path
		}
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxCredentials+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxCredentials:
		return nil, fmt.Errorf("longer than %d bytes", maxCredentials)
	case len(b) == 0:
		return nil, errors.New("empty")
	}
	return b, nil
}

const certificateLabel = "CERTIFICATE"

// besideKeys may stand in a file with certificate or key. openssl ecparam writes the curve first.
var besideKeys = []string{
	certificateLabel, "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "EC PARAMETERS", "DH PARAMETERS",
}

// unexpected is the error about a block that doesn't belong where it is.
func unexpected(b pemBlock, want string) error {
	return b.at.errorf("the block %q doesn't belong here, only %s does: take it out, or convert it with openssl",
		b.label, want)
}

// privateKey returns the only private key of a PEM file. Text may stand behind it, as openssl pkey
// -text writes it: another block can't be missed.
func privateKey(file []byte) (key pemBlock, err error) {
	blocks, _, err := readBlocks(file)
	if err != nil {
		return key, err
	}
	for _, b := range blocks {
		switch {
		case !slices.Contains(besideKeys, b.label):
			return key, unexpected(b, `"PRIVATE KEY", not encrypted,`)
		case !strings.HasSuffix(b.label, "PRIVATE KEY"):
		case key.der != nil:
			return key, b.at.errorf("a second key, and the first one is in line %d: leave that of the certificate",
				key.at.line)
		default:
			key = b
		}
	}
	if key.der == nil {
		return key, errors.New(`no key in it: want PEM, "-----BEGIN PRIVATE KEY-----"`)
	}
	return key, nil
}

// parseCertificates returns the certificates of a PEM file, at least one. Blocks of others are
// skipped.
func parseCertificates(file []byte, others ...string) ([]*x509.Certificate, error) {
	blocks, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for _, b := range blocks {
		if b.label != certificateLabel {
			if !slices.Contains(others, b.label) {
				return nil, unexpected(b, `"`+certificateLabel+`"`)
			}
			continue
		}
		cert, err := x509.ParseCertificate(b.der)
		if err != nil {
			return nil, b.at.errorf("certificate %d: %w: "+writeAnew, len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New(`no certificate in it: want PEM, "-----BEGIN CERTIFICATE-----"`)
	}
	return certs, nil
}

// firstEnd returns when the first of the certificates expires.
func firstEnd(certs []*x509.Certificate) time.Time {
	byEnd := func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }
	return slices.MinFunc(certs, byEnd).NotAfter
}
