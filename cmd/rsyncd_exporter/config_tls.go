package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"rsyncd_exporter/receiver/stream"
)

// tls returns who the listeners of LISTEN_TLS are and whom they let in. The files are read only if there are such listeners.
func (v *validator) tls(s *settings) stream.TLSOptions {
	opt := stream.TLSOptions{
		Certificate: s.TLSCert.value, Key: s.TLSKey.value, ClientCA: s.TLSClientCA.value, CRL: s.TLSCrl.value,
	}
	for _, name := range s.TLSAllowedSans.items() {
		san, err := stream.ParseSAN(name)
		if err != nil {
			v.problemWith(&s.TLSAllowedSans, name, err, "write rsync1.example.org, 192.0.2.1, spiffe://example.org/rsync1 or ops@example.org")
		}
		opt.AllowedSANs = append(opt.AllowedSANs, san)
	}
	opt.MinVersion = tls.VersionTLS13
	if v.oneOf(&s.TLSMinVersion, "1.3", "1.2") == "1.2" {
		opt.MinVersion = tls.VersionTLS12
	}
	for _, set := range []*setting{&s.TLSAllowedSans, &s.TLSCrl} {
		if set.value != "" && opt.ClientCA == "" {
			v.problem(set, errors.New("clients need no certificate without TLS_CLIENT_CA, and so nobody would be kept out"), "set TLS_CLIENT_CA")
		}
	}
	if s.ListenTLS.off() {
		for _, set := range []*setting{&s.TLSCert, &s.TLSKey, &s.TLSClientCA} {
			if set.value != "" {
				v.warn("%s (from %s) is for LISTEN_TLS, which is off", set.name, set.origin)
			}
		}
		return opt
	}
	missing := false
	for _, set := range []*setting{&s.TLSCert, &s.TLSKey} {
		if set.value == "" {
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
func (v *validator) credentials(s *settings, opt stream.TLSOptions) {
	from := map[stream.TLSFile]*setting{stream.CertificateFile: &s.TLSCert, stream.KeyFile: &s.TLSKey,
		stream.ClientCAFile: &s.TLSClientCA, stream.CRLFile: &s.TLSCrl}
	creds, err := stream.LoadCredentials(opt)
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			var file *stream.TLSFileError
			if errors.As(e, &file) {
				set := from[file.File]
				v.problems = append(v.problems, fmt.Errorf("%s=%q (from %s): %w", set.name, set.value, set.origin, file.Err))
			}
		}
	}
	if err != nil {
		return
	}
	now := time.Now()
	for file := stream.CertificateFile; file <= stream.CRLFile; file++ {
		if end, ok := creds.Expires()[file]; ok && end.Before(now) {
			set := from[file]
			v.warn("%s=%q (from %s): out of date since %s", set.name, set.value, set.origin, end.UTC().Format(time.RFC3339))
		}
	}
	for _, doubt := range creds.Doubts() {
		v.warn("%s=%q (from %s): %s", s.TLSCrl.name, s.TLSCrl.value, s.TLSCrl.origin, doubt)
	}
	if opt.ClientCA == "" {
		v.warn("LISTEN_TLS (from %s) without TLS_CLIENT_CA: whoever may send to the port may count", s.ListenTLS.origin)
	}
	v.keyIsPrivate(&s.TLSKey)
}

// keyIsPrivate warns of a key that others may read or replace.
func (v *validator) keyIsPrivate(s *setting) {
	info, err := os.Stat(s.value)
	if err != nil {
		return // gone since it was read: that shows soon enough
	}
	if info.Mode()&0o007 != 0 {
		v.warn("%s=%q (from %s): everybody on this machine may use the key (mode %04o): chmod o= it", s.name, s.value, s.origin, info.Mode()&fs.ModePerm)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		v.warn("%s=%q (from %s): it belongs to uid %d, who may replace it: it should be root's", s.name, s.value, s.origin, stat.Uid)
	}
}
