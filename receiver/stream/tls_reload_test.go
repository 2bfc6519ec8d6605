package stream_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rsyncd_exporter/internal/testpki"
	"rsyncd_exporter/receiver/stream"
)

// serial returns the number of a certificate that is on disk.
func (d *tlsDir) serial(name string) string {
	d.t.Helper()
	cert, err := x509.ParseCertificate(d.pair(name).Certificate[0])
	if err != nil {
		d.t.Fatal(err)
	}
	return cert.SerialNumber.String()
}

// newServer writes a new certificate and key in one of the ways that others do.
func (d *tlsDir) newServer() (certificate, key []byte) {
	d.t.Helper()
	return testpki.PairPEM(d.t, d.ca.Issue(d.t, testpki.Usage(x509.ExtKeyUsageServerAuth), testpki.Valid(-time.Hour, 48*time.Hour)))
}

// FAULTS S6: at each step of a renewal, in whatever way it is done, a handshake gets the old pair or the new one, both whole.
func TestRenewal(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []func(d *tlsDir, certificate, key []byte)
		ok    []bool // after each step, whether what is on disk can be used
	}{
		{"certificate first", []func(*tlsDir, []byte, []byte){
			func(d *tlsDir, certificate, _ []byte) { d.write("server.pem", certificate) },
			func(d *tlsDir, _, key []byte) { d.write("server.key", key) },
		}, []bool{false, true}},
		{"key first", []func(*tlsDir, []byte, []byte){
			func(d *tlsDir, _, key []byte) { d.write("server.key", key) },
			func(d *tlsDir, certificate, _ []byte) { d.write("server.pem", certificate) },
		}, []bool{false, true}},
		{"emptied, then in pieces", []func(*tlsDir, []byte, []byte){
			func(d *tlsDir, _, _ []byte) { d.write("server.pem", nil) },
			func(d *tlsDir, certificate, _ []byte) { d.write("server.pem", certificate[:100]) },
			func(d *tlsDir, certificate, _ []byte) { d.write("server.pem", certificate) },
			func(d *tlsDir, _, _ []byte) { d.write("server.key", nil) },
			func(d *tlsDir, _, key []byte) { d.write("server.key", key[:len(key)/2]) },
			func(d *tlsDir, _, key []byte) { d.write("server.key", key) },
		}, []bool{false, false, false, false, false, true}},
		{"removed, then renamed into place", []func(*tlsDir, []byte, []byte){
			func(d *tlsDir, _, _ []byte) { check(d.t, os.Remove(d.file("server.pem"))) },
			func(d *tlsDir, certificate, key []byte) {
				d.write("new.pem", certificate)
				d.write("server.key", key)
				check(d.t, os.Rename(d.file("new.pem"), d.file("server.pem")))
			},
		}, []bool{false, true}},
		{"unreadable for a while", []func(*tlsDir, []byte, []byte){
			func(d *tlsDir, _, _ []byte) { check(d.t, os.Rename(d.file("server.key"), d.file("away"))) },
			func(d *tlsDir, _, _ []byte) { check(d.t, os.Mkdir(d.file("server.key"), 0o700)) },
			func(d *tlsDir, certificate, key []byte) {
				check(d.t, os.Remove(d.file("server.key")))
				d.write("server.key", key)
				d.write("server.pem", certificate)
			},
		}, []bool{false, false, true}},
		{"the CA's file broken meanwhile", []func(*tlsDir, []byte, []byte){
			func(d *tlsDir, certificate, key []byte) {
				d.write("server.pem", certificate)
				d.write("server.key", key)
				d.write("ca.pem", []byte("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"))
			},
			func(d *tlsDir, _, _ []byte) { d.write("ca.pem", d.ca.PEM()) },
		}, []bool{false, true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newTLSDir(t)
			sink := newHoldSink(false)
			creds := loadCredentials(t, d.options())
			l := startTLS(t, sink, creds, stream.TCPOptions{})
			client := d.client(d.pair("client"))
			kept := dialTLS(t, l, sink, client) // stays open over it all
			old, expires := d.serial("server"), creds.Expires()[stream.CertificateFile]
			certificate, key := d.newServer()
			for i, step := range c.steps {
				step(d, certificate, key)
				changed, err := creds.Reload()
				if changed != c.ok[i] || (err == nil) != c.ok[i] || creds.Err() != err {
					t.Errorf("step %d: changed %t, %v, and Err %v; want %t", i, changed, err, creds.Err(), c.ok[i])
				}
				shown, want := d.serverNow(l).SerialNumber.String(), old
				if c.ok[i] {
					want = d.serial("server")
				}
				if shown != want {
					t.Errorf("step %d: the server shows %s, want %s", i, shown, want)
				}
				dialTLS(t, l, sink, client)
			}
			before := sink.Received()
			send(t, kept, "<30>still here\n")
			reach(t, "the old connection's message", func() bool { return sink.Received() == before+1 })
			if end := creds.Expires()[stream.CertificateFile]; !end.After(expires.Add(20 * time.Hour)) {
				t.Errorf("expires %v, before it %v; want a day later", end, expires)
			}
			if changed, err := creds.Reload(); changed || err != nil {
				t.Errorf("without a change: %t, %v", changed, err)
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// FAULTS S6: Kubernetes puts the files of a secret into a new directory and swaps the symbolic link that leads to it.
func TestRenewalByKubernetes(t *testing.T) {
	d := newTLSDir(t)
	mount := t.TempDir()
	version := func(name string) {
		dir := filepath.Join(mount, name)
		check(t, os.Mkdir(dir, 0o700))
		testpki.WriteTo(t, dir, d.ca)
		check(t, os.Symlink(name, filepath.Join(mount, "..data_tmp")))
		check(t, os.Rename(filepath.Join(mount, "..data_tmp"), filepath.Join(mount, "..data")))
	}
	version("..2026_11_26")
	for _, f := range []string{"server.pem", "server.key", "ca.pem"} {
		check(t, os.Symlink(filepath.Join("..data", f), filepath.Join(mount, f)))
	}
	d.path = mount
	creds := loadCredentials(t, d.options())
	l := startTLS(t, newHoldSink(false), creds, stream.TCPOptions{})
	old := d.serial("server")
	version("..2026_11_27")
	check(t, os.RemoveAll(filepath.Join(mount, "..2026_11_26")))
	if changed, err := creds.Reload(); !changed || err != nil {
		t.Fatalf("%t, %v", changed, err)
	}
	if now := d.serverNow(l).SerialNumber.String(); now == old || now != d.serial("server") {
		t.Errorf("the server shows %s; it was %s and is %s on disk", now, old, d.serial("server"))
	}
}

// The CA's and the CRL's file are followed too; names that are allowed are settings and aren't.
func TestReloadOfWhomToLetIn(t *testing.T) {
	d := newTLSDir(t)
	opt := d.options()
	opt.CRL = d.file("crl.pem")
	sink := newHoldSink(false)
	creds := loadCredentials(t, opt)
	l := startTLS(t, sink, creds, stream.TCPOptions{})
	client := d.pair("client")
	leaf, err := x509.ParseCertificate(client.Certificate[0])
	check(t, err)
	sayTLS(t, l, d.client(client), "<30>x\n")
	reach(t, "a message", func() bool { return sink.Received() == 1 })

	reload := func() {
		t.Helper()
		if changed, err := creds.Reload(); !changed || err != nil {
			t.Fatalf("%t, %v", changed, err)
		}
	}
	d.write("crl.pem", d.ca.CRL(t, leaf.SerialNumber))
	reload()
	sayTLS(t, l, d.client(client), "<30>x\n")
	wantRefused(t, l, stream.Revoked, 1)

	second := testpki.NewCA(t, "second CA")
	d.write("ca.pem", append(d.ca.PEM(), second.PEM()...))
	d.write("crl.pem", append(d.ca.CRL(t), second.CRL(t)...))
	reload()
	theirs := second.Issue(t)
	sayTLS(t, l, d.client(client), "<30>x\n")
	sayTLS(t, l, d.client(&theirs), "<30>x\n")
	reach(t, "both CAs' clients", func() bool { return sink.Received() == 3 })
}

// Run looks at the files on its own, and reports what changes and not what stays.
func TestCredentialsRun(t *testing.T) {
	d := newTLSDir(t)
	var mu sync.Mutex
	var reports []error
	opt := d.options()
	opt.Interval = 5 * time.Millisecond
	opt.Report = func(err error) {
		mu.Lock()
		defer mu.Unlock()
		reports = append(reports, err)
	}
	reported := func(n int) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(reports) == n
		}
	}
	creds := loadCredentials(t, opt)
	start(t, creds)
	d.write("server.key", nil)
	reach(t, "the first report", reported(1))
	certificate, key := d.newServer()
	old := creds.Expires()
	d.write("server.pem.new", certificate)
	check(t, os.Rename(d.file("server.pem.new"), d.file("server.pem")))
	d.write("server.key.new", key)
	check(t, os.Rename(d.file("server.key.new"), d.file("server.key")))
	reach(t, "the second report", reported(2))
	mu.Lock()
	defer mu.Unlock()
	if reports[0] == nil || !strings.Contains(reports[0].Error(), "server.key") || reports[1] != nil {
		t.Errorf("reports %v, want an error about server.key and nil", reports)
	}
	if creds.Err() != nil || creds.Expires()[stream.CertificateFile].Equal(old[stream.CertificateFile]) {
		t.Errorf("%v, %v", creds.Err(), creds.Expires())
	}
}

// All files that can't be used are told at once, each with its path and why.
func TestCredentialsThatCannotBeUsed(t *testing.T) {
	d := newTLSDir(t)
	other := newTLSDir(t)
	check(t, syscall.Mkfifo(d.file("fifo"), 0o600))
	d.write("empty", nil)
	d.write("garbage", []byte("garbage"))
	d.write("long", make([]byte, stream.MaxCredentials+1))
	certificate, key := testpki.PairPEM(t, d.ca.Issue(t))
	d.write("both.pem", append(slices.Clone(key), certificate...))
	d.write("twice.key", append(slices.Clone(key), key...))
	d.write("ca.der", d.ca.Cert.Raw)
	good := d.options()
	for _, c := range []struct {
		name   string
		change func(*stream.TLSOptions)
		want   []string // of each error a part; none: it can be used
	}{
		{"good", func(*stream.TLSOptions) {}, nil},
		{"certificate and key in one file", func(o *stream.TLSOptions) { o.Certificate, o.Key = d.file("both.pem"), d.file("both.pem") }, nil},
		{"none is there", func(o *stream.TLSOptions) { o.Certificate, o.Key, o.ClientCA, o.CRL = "a", "b", "c", "d" },
			[]string{`certificate "a": no such file`, `key "b": no such file`, `client_ca "c": no such file`, `crl "d": no such file`}},
		{"another key", func(o *stream.TLSOptions) { o.Key = other.file("server.key") }, []string{"server.key\": tls: private key does not match public key"}},
		{"no key", func(o *stream.TLSOptions) { o.Key = d.file("server.pem") }, []string{`key "`}},
		{"no certificate", func(o *stream.TLSOptions) { o.Certificate = d.file("server.key") }, []string{"no certificate in it"}},
		{"a key for the CA", func(o *stream.TLSOptions) { o.ClientCA = d.file("server.key") },
			[]string{`line 1, byte 0: the block "PRIVATE KEY" doesn't belong here, only "CERTIFICATE" does`}},
		{"two keys", func(o *stream.TLSOptions) { o.Key = d.file("twice.key") }, []string{"line 6, byte 241: a second key, and the first one is in line 1"}},
		{"DER", func(o *stream.TLSOptions) { o.ClientCA = d.file("ca.der") }, []string{"it is DER: convert it to PEM"}},
		{"empty", func(o *stream.TLSOptions) { o.Certificate = d.file("empty") }, []string{"empty"}},
		{"garbage", func(o *stream.TLSOptions) { o.ClientCA = d.file("garbage") }, []string{"no PEM block in it"}},
		{"a directory", func(o *stream.TLSOptions) { o.ClientCA = d.path }, []string{"not a regular file"}},
		{"a FIFO without a writer", func(o *stream.TLSOptions) { o.Key = d.file("fifo") }, []string{"not a regular file"}},
		{"too long", func(o *stream.TLSOptions) { o.ClientCA = d.file("long") }, []string{"longer than 4194304 bytes"}},
		{"no CRL", func(o *stream.TLSOptions) { o.CRL = d.file("ca.pem") }, []string{`line 1, byte 0: the block "CERTIFICATE" doesn't belong here, only "X509 CRL" does`}},
		{"another CA's CRL", func(o *stream.TLSOptions) { o.CRL = other.file("crl.pem") }, []string{`signed by none of TLS_CLIENT_CA`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			opt := good
			c.change(&opt)
			_, err := stream.LoadCredentials(opt)
			if err == nil {
				if len(c.want) > 0 {
					t.Fatal("no error")
				}
				return
			}
			errs := err.(interface{ Unwrap() []error }).Unwrap()
			if len(errs) != len(c.want) {
				t.Fatalf("%d errors, want %d: %v", len(errs), len(c.want), err)
			}
			for i, e := range errs {
				var file *stream.TLSFileError
				if !errors.As(e, &file) || !strings.Contains(e.Error(), c.want[i]) {
					t.Errorf("%v, want %q of a file", e, c.want[i])
				}
			}
		})
	}
	if _, err := stream.LoadCredentials(stream.TLSOptions{Certificate: "a", Key: "b"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v doesn't wrap ErrNotExist", err)
	}
}

// No configuration keeps tickets or an old version, and all ask for certificates where there is a CA.
func TestConfigurations(t *testing.T) {
	d := newTLSDir(t)
	c := loadCredentials(t, d.options()).Config()
	if !c.SessionTicketsDisabled || c.MinVersion != tls.VersionTLS13 || c.ClientAuth != tls.RequireAndVerifyClientCert || c.VerifyConnection == nil {
		t.Errorf("%+v", c)
	}
}
