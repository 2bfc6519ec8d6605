package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"rsyncd_exporter/internal/testenv"
)

// A manifest is what these tests look at of a Deployment or DaemonSet. That it is a valid one is
// tested by internal/kubernetes.
type manifest struct {
	Kind string
	Spec struct {
		Template struct {
			Spec struct {
				Containers []struct {
					Env []struct{ Name, Value string }
				}
			}
		}
	}
}

// settingsOf returns the environment of the exporter in a manifest, with replacements.
func settingsOf(t *testing.T, kind, path string, replace ...string) (env []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testenv.Root(t), "deploy/kubernetes", path))
	if err != nil {
		t.Fatal(err)
	}
	for documents := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var m manifest
		if err := documents.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if m.Kind != kind {
			continue
		}
		for _, e := range m.Spec.Template.Spec.Containers[0].Env {
			env = append(env, e.Name+"="+e.Value)
		}
	}
	if len(env) == 0 {
		t.Fatalf("%s has no %s with settings", path, kind)
	}
	for i := 0; i < len(replace); i += 2 {
		joined := strings.Join(env, "\n")
		if !strings.Contains(joined, replace[i]) {
			t.Fatalf("%s: no setting holds %q, in %q", path, replace[i], env)
		}
		env = strings.Split(strings.ReplaceAll(joined, replace[i], replace[i+1]), "\n")
	}
	return env
}

// A node is a machine of a cluster, as far as the exporter sees it.
type node struct {
	t    *testing.T
	dir  string
	pids int
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name) }

// session has a container's rsyncd log a pull of 100 bytes, as containerd writes it.
func (n *node) session(log string) {
	n.t.Helper()
	if err := os.MkdirAll(filepath.Dir(n.path(log)), 0o755); err != nil {
		n.t.Fatal(err)
	}
	n.pids++
	for i, text := range []string{
		"connect from client.example (192.0.2.7)",
		"rsync allowed access on module mirror from client.example (192.0.2.7)",
		"rsync on mirror/ from client.example (192.0.2.7)",
		"send client.example [192.0.2.7] mirror () README 60",
		"sent 100 bytes  received 30 bytes  total size 60",
	} {
		at := fmt.Sprintf("%02d:%02d", n.pids, i)
		appendFile(n.t, n.path(log), fmt.Sprintf("2026-11-30T10:%s.123456789Z stdout F 2026/11/30 10:%s [%d] %s\n", at, at, 100+n.pids, text))
	}
}

// form puts one of testdata/forms somewhere.
func (n *node) form(name, path string) {
	n.t.Helper()
	text, err := os.ReadFile(filepath.Join(testenv.Root(n.t), "testdata/forms", name))
	if err != nil {
		n.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(n.path(path)), 0o755); err != nil {
		n.t.Fatal(err)
	}
	appendFile(n.t, n.path(path), string(text))
}

func (n *node) sh(command string) {
	n.t.Helper()
	cmd := exec.Command("/bin/sh", "-ec", command)
	cmd.Dir = n.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v: %s", command, err, out)
	}
}

// The DaemonSet's settings, in the real program, on the directory that kubelet and the runtimes make:
// what containers named rsyncd log counts once, whatever is rotated, compressed, restarted and removed,
// also while no exporter runs; what other containers log, its own among them, isn't even read.
func TestPodLogsOfTheDaemonSet(t *testing.T) {
	t.Parallel()
	n := &node{t: t, dir: testenv.Dir(t)}
	pods := n.path("pods")
	env := settingsOf(t, "DaemonSet", "pod-logs/daemonset.yaml", "/var/log/pods", pods, "/var/lib/rsyncd_exporter", n.path("state"))
	start := func() *exporterProcess { return startExporterProcess(t, append([]string{"env"}, env...)) }

	const mirror, nas = "pods/prod_mirror-7d9f8c6b54-x2x4z_0a1b", "pods/backup_nas-0_2c3d"
	n.form("cri.log", mirror+"/rsyncd/0.log")
	n.session("pods/kube-system_rsyncd-x_1/other/0.log")
	n.session("pods/rsyncd-exporter-pod-logs_rsyncd-exporter-x2x4z_4e5f/exporter/0.log")
	// With cri-dockerd the file is a link to docker's.
	n.form("docker.json", "docker/containers/6a7b/6a7b-json.log")
	n.sh("mkdir -p " + nas + "/rsyncd && ln -s " + n.path("docker/containers/6a7b/6a7b-json.log") + " " + nas + "/rsyncd/0.log")
	e := start()
	// Both are sessions of 6 connections, three of which pull and one pushes: testdata/forms/truth.tsv.
	s := e.until(12, "rsync_connections_total")
	for _, host := range []string{`host="prod_mirror"`, `host="backup_nas-0"`} {
		e.want(s, 6, "rsync_connections_total", host)
		e.want(s, 4, "rsync_executions_total", host)
		e.want(s, 3, "rsync_sessions_total", host, `outcome="ok"`)
		e.want(s, 3, "rsync_files_total", host, `operation="send"`)
	}
	e.want(s, 0, "rsync_messages_total", `kind="unrecognised"`)

	// kubelet renames a log that has become large, and compresses the one before.
	n.session(mirror + "/rsyncd/0.log")
	n.sh("cd " + mirror + "/rsyncd; mv 0.log 0.log.20261130-101500")
	n.session(mirror + "/rsyncd/0.log")
	e.until(8, "rsync_connections_total", `host="prod_mirror"`)
	n.sh("cd " + mirror + "/rsyncd; gzip 0.log.20261130-101500; mv 0.log 0.log.20261130-102000")
	n.session(mirror + "/rsyncd/0.log")
	e.until(9, "rsync_connections_total", `host="prod_mirror"`)

	// Without the exporter: more of it, the container restarts, and the Deployment gets a new pod.
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	n.session(mirror + "/rsyncd/0.log")
	n.sh("cd " + mirror + "/rsyncd; gzip 0.log.20261130-102000; mv 0.log 0.log.20261130-102500")
	n.session(mirror + "/rsyncd/0.log")
	n.session(mirror + "/rsyncd/1.log")
	n.session("pods/prod_mirror-5c8b7d4f6-q5w7z_8c9d/rsyncd/0.log")
	e = start()
	s = e.until(13, "rsync_connections_total", `host="prod_mirror"`)
	e.want(s, 6, "rsync_connections_total", `host="backup_nas-0"`)

	// What counted stays when the pod is gone.
	n.sh("rm -r " + mirror)
	n.session("pods/prod_mirror-5c8b7d4f6-q5w7z_8c9d/rsyncd/0.log")
	s = e.until(14, "rsync_connections_total", `host="prod_mirror"`)
	e.until(11, "rsync_sessions_total", `host="prod_mirror"`, `outcome="ok"`) // three, and eight by session
	e.want(s, 6, "rsync_connections_total", `host="backup_nas-0"`)
	e.want(s, 20, "rsync_connections_total")
	e.want(s, 0, "rsyncd_exporter_ignored_total")
}

// The label host is the workload, for pods of each kind.
func TestHostOfPodLogs(t *testing.T) {
	var pattern *regexp.Regexp
	for _, e := range settingsOf(t, "DaemonSet", "pod-logs/daemonset.yaml") {
		if value, ok := strings.CutPrefix(e, "RSYNCD_EXPORTER_FILE_HOST="); ok {
			pattern = regexp.MustCompile(value)
		}
	}
	for pod, want := range map[string]string{
		"prod_mirror-7d9f8c6b54-x2x4z":   "prod_mirror", // Deployment
		"prod_mirror-eu-d9f8c6b5-bcdfg":  "prod_mirror-eu",
		"backup_nas-0":                   "backup_nas-0",  // StatefulSet
		"backup_nas-12":                  "backup_nas-12", // StatefulSet
		"prod_rsyncd-x7k2p":              "prod_rsyncd",   // DaemonSet, Job
		"prod_nightly-29012345-x7k2p":    "prod_nightly",  // CronJob
		"prod_mirror-decade-north":       "prod_mirror-decade-north",
		"prod_mirror":                    "prod_mirror", // by hand
		"default_rsyncd-server-01":       "default_rsyncd-server-01",
		"kube-system_rsyncd-aaaaa-bbbb1": "kube-system_rsyncd-aaaaa-bbbb1",
	} {
		m := pattern.FindStringSubmatch("/var/log/pods/" + pod + "_0a1b2c3d-0000-4000-8000-001122334455/rsyncd/0.log")
		if m == nil || m[pattern.SubexpIndex("host")] != want {
			t.Errorf("%s: %q, want %q", pod, m, want)
		}
	}
}

// The Deployment's settings, in the real program: both ports count, and the state is kept.
func TestSyslogOfTheDeployment(t *testing.T) {
	t.Parallel()
	udp, tcp := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t)), fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	state := filepath.Join(testenv.Dir(t), "state")
	env := settingsOf(t, "Deployment", "syslog/deployment.yaml", ":5514", udp, ":5601", tcp, "/var/lib/rsyncd_exporter", state)
	e := startExporterProcess(t, append([]string{"env"}, env...))
	for network, address := range map[string]string{"udp": udp, "tcp": tcp} {
		fmt.Fprintf(dialDatagram(t, network, address), "<30>Nov 30 10:00:00 %s rsyncd[7]: connect from client.example (192.0.2.7)\n", network)
	}
	s := e.until(2, "rsync_connections_total")
	e.want(s, 1, "rsync_connections_total", `host="udp"`)
	e.want(s, 1, "rsync_connections_total", `host="tcp"`)
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	e = startExporterProcess(t, append([]string{"env"}, env...))
	e.until(2, "rsync_connections_total")
}
