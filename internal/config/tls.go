package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"rsyncd_exporter/receiver/stream"
)

// credentials reports what is missing for TLS, and looks at the files if something listens.
func (v *validator) credentials() {
	get := v.settings.get
	for _, name := range []string{"TLS_ALLOWED_SANS", "TLS_CRL"} {
		if s := get(name); s.Value != "" && v.cfg.TLS.ClientCA == "" {
			v.problem(s, errors.New("clients need no certificate without TLS_CLIENT_CA, and so nobody would be kept "+
				"out"), "set TLS_CLIENT_CA")
		}
	}
	off, missing := get("LISTEN_TLS").off(), false
	for _, name := range []string{"TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA"} {
		switch s := get(name); {
		case off && s.Value != "":
			v.warn("%s (from %s) is for LISTEN_TLS, which is off", s.Name, s.Origin)
		case !off && s.Value == "" && name != "TLS_CLIENT_CA":
			missing = true
			v.problem(s, errors.New("LISTEN_TLS needs one"), "name a PEM file")
		}
	}
	if !off && !missing {
		v.lookAtCredentials()
	}
}

func (v *validator) lookAtCredentials() {
	from := map[stream.TLSFile]*Setting{
		stream.CertificateFile: v.settings.get("TLS_CERT"), stream.KeyFile: v.settings.get("TLS_KEY"),
		stream.ClientCAFile: v.settings.get("TLS_CLIENT_CA"), stream.CRLFile: v.settings.get("TLS_CRL"),
	}
	creds, err := stream.LoadCredentials(v.cfg.TLS)
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			var file *stream.TLSFileError
			if errors.As(e, &file) {
				s := from[file.File]
				v.problems = append(v.problems, fmt.Errorf("%s=%q (from %s): %w", s.Name, s.Value, s.Origin, file.Err))
			}
		}
	}
	if err != nil {
		return
	}
	now := time.Now()
	for file := stream.CertificateFile; file <= stream.CRLFile; file++ {
		if end, ok := creds.Expires()[file]; ok && end.Before(now) {
			v.doubt(from[file], from[file].Value, "out of date since %s", end.UTC().Format(time.RFC3339))
		}
	}
	for _, doubt := range creds.Doubts() {
		v.doubt(from[stream.CRLFile], from[stream.CRLFile].Value, "%s", doubt)
	}
	if v.cfg.TLS.ClientCA == "" {
		v.warn("LISTEN_TLS (from %s) without TLS_CLIENT_CA: whoever may send to the port may count",
			v.settings.get("LISTEN_TLS").Origin)
	}
	v.keyIsPrivate(from[stream.KeyFile])
}

// keyIsPrivate warns of a key that others may read or replace.
func (v *validator) keyIsPrivate(s *Setting) {
	info, err := os.Stat(s.Value)
	if err != nil {
		return // gone since it was read: that shows soon enough
	}
	if info.Mode()&0o007 != 0 {
		mode := info.Mode() & fs.ModePerm
		v.doubt(s, s.Value, "everybody on this machine may use the key (mode %04o): chmod o= it", mode)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		v.doubt(s, s.Value, "it belongs to uid %d, who may replace it: it should be root's", stat.Uid)
	}
}
