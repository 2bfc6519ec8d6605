package web

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v2"

	"rsyncd_exporter/internal/readfile"
)

const maxWebFile = 1 << 20 // bytes of WEB_CONFIG, and of each file that it names

// webSettings are the parts of WEB_CONFIG that this package needs. They never change.
type webSettings struct {
	content     []byte
	users       map[string]string // hashes of passwords; none: nobody is asked for one
	encrypted   bool
	needsClient bool     // clients must show a certificate
	ownCA       bool     // it has the CAs of their certificates
	names       bool     // of clients' certificates are asked for
	warnings    []string // what is doubtful
	files       []string // certificates and keys
}

// A webFile reads WEB_CONFIG before exporter-toolkit does, which accepts any file of any size and
// one that is half written. Many goroutines may call its methods.
type webFile struct {
	path   string
	reader readfile.Reader

	mu    sync.Mutex
	first *webSettings // of the first read
	last  *webSettings // of the last read that succeeded
}

func newWebFile(path string) *webFile {
	return &webFile{path: path, reader: readfile.NewReader()}
}

// read returns what the file says now, the same pointer as long as that doesn't change. Less
// protection than at the first read is an error, since the file may be cut off.
func (f *webFile) read() (*webSettings, error) {
	content, err := f.reader.Read(f.path, maxWebFile)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last != nil && bytes.Equal(content, f.last.content) {
		return f.last, nil
	}
	s, err := parseWebSettings(f.path, content)
	if err != nil {
		return nil, err
	}
	if f.first == nil {
		f.first = s
	}
	switch {
	case len(f.first.users) > 0 && len(s.users) == 0:
		return nil, errors.New("it has named users since the start, and names none now: " +
			"restart to serve without passwords")
	case f.first.needsClient && !s.needsClient:
		return nil, errors.New("it has asked for client certificates since the start, and doesn't now: " +
			"restart to serve without them")
	case f.first.ownCA && !s.ownCA:
		return nil, errors.New("it has had a CA of clients since the start, and has none now: " +
			"restart to take certificates of all CAs that this machine trusts")
	case f.first.names && !s.names:
		return nil, errors.New("it has named clients in client_allowed_sans since the start, and names none now: " +
			"restart to take every certificate")
	}
	f.last = s
	return s, nil
}

func (f *webFile) check() error {
	if f.path == "" {
		return nil
	}
	s, err := f.read()
	if err != nil {
		return err
	}
	for _, name := range s.files {
		if _, err := f.reader.Read(name, maxWebFile); err != nil {
			return err
		}
	}
	return nil
}

// parseWebSettings parses a web configuration as exporter-toolkit does.
func parseWebSettings(path string, content []byte) (*webSettings, error) {
	var c web.Config
	if err := yaml.UnmarshalStrict(content, &c); err != nil {
		return nil, errors.New(strings.Join(strings.Fields(err.Error()), " ")) // YAML's have several lines
	}
	if err := wholeWebConfig(content); err != nil {
		return nil, err
	}
	s := &webSettings{content: content, users: map[string]string{}, encrypted: c.TLSConfig.IsEnabled()}
	for name, hash := range c.Users {
		s.users[name] = string(hash)
	}
	switch c.TLSConfig.ClientAuth {
	case "VerifyClientCertIfGiven", "RequireAndVerifyClientCert":
		s.ownCA = c.TLSConfig.ClientCAs != "" || c.TLSConfig.ClientCAsText != ""
		if !s.ownCA {
			s.warnings = append(s.warnings, "it has no client_ca_file, so that a certificate of any CA that this "+
				"machine trusts will do")
		}
	}
	switch c.TLSConfig.ClientAuth {
	case "RequireAnyClientCert", "RequireClientCert", "RequireAndVerifyClientCert":
		s.needsClient = true
	}
	s.names = c.TLSConfig.ClientAllowedSans != nil
	if !s.needsClient && s.names {
		s.warnings = append(s.warnings, "client_allowed_sans keeps out clients without a certificate, and "+
			"exporter-toolkit panics at each of them: set client_auth_type: RequireAndVerifyClientCert")
	}
	c.TLSConfig.SetDirectory(filepath.Dir(path))
	for _, name := range []string{c.TLSConfig.TLSCertPath, c.TLSConfig.TLSKeyPath, c.TLSConfig.ClientCAs} {
		if name != "" {
			s.files = append(s.files, name)
		}
	}
	return s, nil
}

// CheckConfig returns why a web configuration file can't be used, or what is doubtful in it.
func CheckConfig(path string) (warnings []string, err error) {
	file := newWebFile(path)
	err = file.check()
	if err == nil {
		err = web.Validate(path)
	}
	if err != nil {
		return nil, errors.New(strings.Join(strings.Fields(err.Error()), " ")) // YAML's have several lines
	}
	if file.last == nil { // there is no path
		return nil, nil
	}
	return file.last.warnings, nil
}

// IsEncrypted reports whether a server with this web configuration file speaks TLS.
func IsEncrypted(path string) (bool, error) {
	s, err := newWebFile(path).read()
	return err == nil && s.encrypted, err
}

// wholeWebConfig returns what exporter-toolkit tolerates although it lets everybody in.
func wholeWebConfig(content []byte) error {
	documents := yaml.NewDecoder(bytes.NewReader(content))
	var first struct {
		Users map[string]any `yaml:"basic_auth_users"`
		TLS   map[string]any `yaml:"tls_server_config"`
	}
	var keys, more map[string]any
	if err := yaml.Unmarshal(content, &keys); err != nil {
		return err
	}
	if err := documents.Decode(&first); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if _, given := keys["basic_auth_users"]; given && len(first.Users) == 0 {
		return errors.New("basic_auth_users names nobody, which lets everybody in: " +
			"name users, or take the key out, unless the file is cut off")
	}
	if names, given := first.TLS["client_allowed_sans"]; given {
		if list, _ := names.([]any); len(list) == 0 {
			return errors.New("client_allowed_sans names nobody, which lets every certificate in: " +
				"give names, or take the key out, unless the file is cut off")
		}
	}
	if err := documents.Decode(&more); !errors.Is(err, io.EOF) {
		return errors.New("it has a second document, behind ---, which is not read: write all in one")
	}
	return nil
}
