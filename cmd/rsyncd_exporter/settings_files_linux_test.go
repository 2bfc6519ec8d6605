package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/internal/testenv"
)

// fileSettings returns the arguments that name a file, by what they are called, with %s for its path.
func fileSettings(t *testing.T) map[string][]string {
	t.Helper()
	dir := t.TempDir()
	testenv.SelfSigned(t, dir)
	web := func(name, text string) string {
		testenv.WriteFile(t, filepath.Join(dir, name), text)
		return "--web-config=" + filepath.Join(dir, name)
	}
	tls := []string{"--listen-tls=127.0.0.1:0", "--tls-cert=" + dir + "/cert.pem", "--tls-key=" + dir + "/key.pem"}
	testenv.WriteFile(t, dir+"/including.conf", "&include "+dir+"/link\n")
	testenv.WriteFile(t, dir+"/merging.conf", "[m]\n&merge "+dir+"/link\n")
	link := dir + "/link"
	return map[string][]string{
		"":           {link},
		"WEB_CONFIG": {link, "--web-config=" + link},
		"cert_file":  {link, web("cert.yml", "tls_server_config: {cert_file: link, key_file: key.pem}\n")},
		"key_file":   {link, web("key.yml", "tls_server_config: {cert_file: cert.pem, key_file: link}\n")},
		"client_ca_file": {link, web("ca.yml", "tls_server_config: {cert_file: cert.pem, key_file: key.pem, "+
			"client_ca_file: link, client_auth_type: RequireAndVerifyClientCert}\n")},
		"RSYNCD_CONF":               {link, "--rsyncd-conf=" + link},
		"RSYNCD_CONF that includes": {link, "--rsyncd-conf=" + dir + "/including.conf"},
		"RSYNCD_CONF that merges":   {link, "--rsyncd-conf=" + dir + "/merging.conf"},
		"-f":                        {link, "-f", link},
		"TLS_CERT":                  append([]string{link, "--tls-cert=" + link}, tls[0], tls[2]),
		"TLS_KEY":                   append([]string{link, "--tls-key=" + link}, tls[:2]...),
		"TLS_CLIENT_CA":             append([]string{link, "--tls-client-ca=" + link}, tls...),
		"TLS_CRL":                   append([]string{link, "--tls-client-ca=" + dir + "/cert.pem", "--tls-crl=" + link}, tls...),
	}
}

// Whatever a setting that names a file leads to, check and serve say at once what is wrong, and end.
func TestSettingsThatNameNoFile(t *testing.T) {
	settings := fileSettings(t)
	delete(settings, "")
	failed := map[string]bool{} // the FIFO comes first; who waits for it may fill all memory from a device
	for _, target := range testenv.NotRegular(t) {
		for name, args := range settings {
			for _, command := range []string{"check", "serve", "healthcheck"} {
				if command == "healthcheck" && name != "WEB_CONFIG" && name != "-f" ||
					command == "serve" && filepath.Base(target) != "fifo" || // it reads the settings as check does
					failed[name] {
					continue
				}
				ok := t.Run(strings.Join([]string{command, name, filepath.Base(target)}, " "), func(t *testing.T) {
					testenv.SetEnv(t)
					if filepath.Base(target) == filepath.Base(filepath.Dir(args[0])) {
						t.Skip("the link's own directory")
					}
					link := args[0]
					if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
						t.Fatal(err)
					}
					if err := os.Symlink(target, link); err != nil {
						t.Fatal(err)
					}
					isDir := name[0] == 'R' && strings.Contains(name, "that") && isDirectory(target)
					status, errs := endsSoon(t, command, args[1:])
					if isDir { // rsyncd reads all of a directory
						return
					}
					if status != exitUsage || !strings.Contains(errs, "regular file") && !strings.Contains(errs, "larger than") &&
						!strings.Contains(errs, "longer than") {
						t.Errorf("status %d: %s", status, errs)
					}
				})
				failed[name] = failed[name] || !ok
			}
		}
	}
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// endsSoon runs a command as a process of its own, within the memory of a small machine, and kills it if it goes on.
func endsSoon(t *testing.T, command string, args []string) (status int, errs string) {
	t.Helper()
	args = append([]string{command}, args...)
	if command == "serve" {
		args = append(args, "--http-listen=127.0.0.1:0", "--listen-udp=127.0.0.1:0")
	}
	cmd := exec.Command(testenv.Released(t), args...)
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=64MiB")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	_ = cmd.Wait() // its status says more
	return cmd.ProcessState.ExitCode(), stderr.String()
}
