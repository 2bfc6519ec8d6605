package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"rsyncd_exporter/receiver"
)

// tls returns who the listeners of LISTEN_TLS are and whom they let in. The files are read only if there are such listeners.
func (v *validator) tls(s *settings) receiver.TLSOptions {
	opt := receiver.TLSOptions{
		Certificate: s.TLSCert.Value, Key: s.TLSKey.Value, ClientCA: s.TLSClientCA.Value, CRL: s.TLSCrl.Value,
	}
	for _, name := range s.TLSAllowedSans.items() {
		san, err := receiver.ParseSAN(name)
		if err != nil {
			v.problemWith(&s.TLSAllowedSans, name, err, "write rsync1.example.org, 192.0.2.1, spiffe://example.org/rsync1 or ops@example.org")
		}
		opt.AllowedSANs = append(opt.AllowedSANs, san)
	}
	opt.MinVersion = tls.VersionTLS13
	if v.oneOf(&s.TLSMinVersion, "1.3", "1.2") == "1.2" {
		opt.MinVersion = tls.VersionTLS12
	}
	for _, set := range []*Setting{&s.TLSAllowedSans, &s.TLSCrl} {
		if set.Value != "" && opt.ClientCA == "" {
			v.problem(set, errors.New("clients need no certificate without TLS_CLIENT_CA, and so nobody would be kept out"), "set TLS_CLIENT_CA")
		}
	}
	if s.ListenTLS.off() {
		for _, set := range []*Setting{&s.TLSCert, &s.TLSKey, &s.TLSClientCA} {
			if set.Value != "" {
				v.warn("%s (from %s) is for LISTEN_TLS, which is off", set.Name, set.Origin)
			}
		}
		return opt
	}
	missing := false
	for _, set := range []*Setting{&s.TLSCert, &s.TLSKey} {
		if set.Value == "" {
			missing = true
			v.problem(set, errors.New("LISTEN_TLS needs one"), "name a PEM file")
		}
	}
	if !missing {
		v.credentials(s, opt)
	}
	return opt
}

// credentials reports what is wrong with the files, and what is doubtful.
func (v *validator) credentials(s *settings, opt receiver.TLSOptions) {
	from := map[receiver.TLSFile]*Setting{receiver.CertificateFile: &s.TLSCert, receiver.KeyFile: &s.TLSKey,
		receiver.ClientCAFile: &s.TLSClientCA, receiver.CRLFile: &s.TLSCrl}
	creds, err := receiver.LoadCredentials(opt)
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			var file *receiver.TLSFileError
			if errors.As(e, &file) {
				set := from[file.File]
				v.problems = append(v.problems, fmt.Errorf("%s=%q (from %s): %w", set.Name, set.Value, set.Origin, file.Err))
			}
		}
	}
	if err != nil {
		return
	}
	now := time.Now()
	for file := receiver.CertificateFile; file <= receiver.CRLFile; file++ {
		if end, ok := creds.Expires()[file]; ok && end.Before(now) {
			set := from[file]
			v.warn("%s=%q (from %s): out of date since %s", set.Name, set.Value, set.Origin, end.UTC().Format(time.RFC3339))
		}
	}
	for _, doubt := range creds.Doubts() {
		v.warn("%s=%q (from %s): %s", s.TLSCrl.Name, s.TLSCrl.Value, s.TLSCrl.Origin, doubt)
	}
	if opt.ClientCA == "" {
		v.warn("LISTEN_TLS (from %s) without TLS_CLIENT_CA: whoever may send to the port may count", s.ListenTLS.Origin)
	}
	v.keyIsPrivate(&s.TLSKey)
}

// keyIsPrivate warns of a key that others may read or replace.
func (v *validator) keyIsPrivate(s *Setting) {
	info, err := os.Stat(s.Value)
	if err != nil {
		return // gone since it was read: that shows soon enough
	}
	if info.Mode()&0o007 != 0 {
		v.warn("%s=%q (from %s): everybody on this machine may use the key (mode %04o): chmod o= it", s.Name, s.Value, s.Origin, info.Mode()&fs.ModePerm)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		v.warn("%s=%q (from %s): it belongs to uid %d, who may replace it: it should be root's", s.Name, s.Value, s.Origin, stat.Uid)
	}
}
