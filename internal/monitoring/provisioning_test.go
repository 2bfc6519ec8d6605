package monitoring

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"rsyncd_exporter/internal/config"
)

const deploy = "../../deploy"

// A composeService is what the tests look at of a service in docker-compose.yml.
type composeService struct {
	Profiles    []string
	Image       string
	Environment map[string]string
	Volumes     []string
	Ports       []string
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	CapAdd      []string `yaml:"cap_add"`
	SecurityOpt []string `yaml:"security_opt"`
	PidsLimit   int      `yaml:"pids_limit"`
}

func readYAML(t *testing.T, path string, strict bool, into any) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(deploy, path))
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(strict)
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func composeServices(t *testing.T) map[string]composeService {
	t.Helper()
	return readCompose(t, "docker-compose.yml").Services
}

// A composeFile is one of the stacks that are shipped.
type composeFile struct {
	Services map[string]composeService
	Volumes  map[string]any
}

func readCompose(t *testing.T, path string) (file composeFile) {
	t.Helper()
	readYAML(t, path, false, &file)
	return file
}

// mounts returns the files of this machine that the service has, by their paths in the container.
func mounts(t *testing.T, service composeService) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, volume := range service.Volumes {
		parts := strings.Split(volume, ":")
		if !strings.HasPrefix(parts[0], ".") {
			continue // a named volume
		}
		if len(parts) != 3 || parts[2] != "ro" {
			t.Errorf("the volume %q can be written", volume)
		}
		all[parts[1]] = filepath.Join(deploy, parts[0])
	}
	return all
}

// onHost returns where a path of the container is on this machine.
func onHost(t *testing.T, mounted map[string]string, path string) string {
	t.Helper()
	for target, source := range mounted {
		if rest, ok := strings.CutPrefix(path, target); ok {
			return source + rest
		}
	}
	t.Errorf("the container has no %s; mounted are %v", path, mounted)
	return ""
}

var pinnedImage = regexp.MustCompile(`^\$\{GRAFANA_IMAGE:-grafana/grafana:\d+\.\d+\.\d+\}$`)

func TestGrafanaService(t *testing.T) {
	grafana := composeServices(t)["grafana"]
	if !slices.Equal(grafana.Profiles, []string{"grafana"}) {
		t.Errorf("the profiles are %q: the default stack must do without a registry", grafana.Profiles)
	}
	if !pinnedImage.MatchString(grafana.Image) {
		t.Errorf("the image %q has no pinned version", grafana.Image)
	}
	if !slices.Equal(grafana.Ports, []string{"127.0.0.1:${GRAFANA_PORT:-3000}:3000"}) {
		t.Errorf("the ports are %q, not on loopback", grafana.Ports)
	}
	if !grafana.ReadOnly || !slices.Equal(grafana.CapDrop, []string{"ALL"}) {
		t.Errorf("read_only is %v, cap_drop %q", grafana.ReadOnly, grafana.CapDrop)
	}
	if role := grafana.Environment["GF_AUTH_ANONYMOUS_ORG_ROLE"]; role != "Viewer" {
		t.Errorf("who comes in is %q", role)
	}
	mounted := mounts(t, grafana)
	home := onHost(t, mounted, grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
	checkDashboard(t, home)
	provisioning := onHost(t, mounted, "/etc/grafana/provisioning")
	entries, err := os.ReadDir(provisioning)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); name != "datasources" && name != "dashboards" {
			t.Errorf("%s: Grafana looks for no %q there", provisioning, name)
		}
	}
}

func checkDashboard(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	var board struct {
		UID, Title    string
		SchemaVersion int
		Panels        []any
	}
	if err := json.Unmarshal(content, &board); err != nil || board.UID == "" || board.Title == "" ||
		board.SchemaVersion < 36 || len(board.Panels) == 0 {
		t.Errorf("%s is no dashboard in the classic schema: %v", path, err)
	}
}

func TestProvisionedDataSource(t *testing.T) {
	var file struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, Type, Access, URL string
			IsDefault               bool `yaml:"isDefault"`
			Editable                bool
			JSONData                struct {
				HTTPMethod   string `yaml:"httpMethod"`
				TimeInterval string `yaml:"timeInterval"`
			} `yaml:"jsonData"`
		}
	}
	readYAML(t, "grafana/provisioning/datasources/prometheus.yml", true, &file)
	if file.APIVersion != 1 || len(file.Datasources) != 1 {
		t.Fatalf("got %+v", file)
	}
	source := file.Datasources[0]
	if source.Type != "prometheus" || source.Access != "proxy" || !source.IsDefault {
		t.Errorf("the data source is %+v", source)
	}
	if _, ok := composeServices(t)["prometheus"]; !ok || source.URL != "http://prometheus:9090" {
		t.Errorf("%s is no service of the stack", source.URL)
	}
	var prometheus struct {
		Global struct {
			ScrapeInterval string `yaml:"scrape_interval"`
		}
	}
	readYAML(t, "prometheus/prometheus.yml", false, &prometheus)
	if want := prometheus.Global.ScrapeInterval; source.JSONData.TimeInterval != want {
		t.Errorf("timeInterval is %q, and Prometheus scrapes every %q", source.JSONData.TimeInterval, want)
	}
}

func TestProvisionedDashboards(t *testing.T) {
	var file struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Type      string
			DisableDeletion bool `yaml:"disableDeletion"`
			AllowUIUpdates  bool `yaml:"allowUiUpdates"`
			Options         struct{ Path string }
		}
	}
	readYAML(t, "grafana/provisioning/dashboards/rsyncd_exporter.yml", true, &file)
	if file.APIVersion != 1 || len(file.Providers) != 1 || file.Providers[0].Type != "file" {
		t.Fatalf("got %+v", file)
	}
	folder := onHost(t, mounts(t, composeServices(t)["grafana"]), file.Providers[0].Options.Path)
	found, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(found) == 0 {
		t.Fatalf("there is no dashboard in %s: %v", folder, err)
	}
	for _, path := range found {
		checkDashboard(t, path)
	}
}

// No container of a stack may do more than it needs, write elsewhere than to named volumes, or be
// reached from other machines. That they work so is tested by scripts/docker-test.sh, where an engine is.
func TestComposeServicesAreConfined(t *testing.T) {
	_, given, err := config.Check(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"docker-compose.yml", "docker/syslog-driver.yml", "docker/sidecars.yml"} {
		file := readCompose(t, path)
		if len(file.Services) == 0 {
			t.Errorf("%s has no service", path)
		}
		for name, s := range file.Services {
			where := path + ": " + name
			if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) || s.PidsLimit < 64 {
				t.Errorf("%s: read_only %v, cap_drop %q, security_opt %q, pids_limit %d", where, s.ReadOnly, s.CapDrop, s.SecurityOpt, s.PidsLimit)
			}
			if len(s.CapAdd) > 0 && !slices.Equal(s.CapAdd, []string{"SETGID", "SETUID", "SYS_CHROOT"}) {
				t.Errorf("%s: it has the capabilities %q", where, s.CapAdd)
			}
			mounts(t, s)
			for _, volume := range s.Volumes {
				source, _, _ := strings.Cut(volume, ":")
				if _, named := file.Volumes[source]; !named && !strings.HasPrefix(source, ".") {
					t.Errorf("%s: there is no volume %q", where, source)
				}
			}
			for _, port := range s.Ports {
				if !strings.HasPrefix(port, "127.0.0.1:") {
					t.Errorf("%s: %s isn't on loopback", where, port)
				}
			}
			for variable := range s.Environment {
				known := slices.ContainsFunc(given.Settings, func(s config.Setting) bool { return s.Variable == variable })
				if strings.HasPrefix(variable, "RSYNCD_EXPORTER_") && !known {
					t.Errorf("%s: %s is no setting", where, variable)
				}
			}
		}
	}
}

// Kubernetes' copy of the rules has them as they are. Its other parts are tested by internal/kubernetes.
func TestPrometheusRuleForKubernetes(t *testing.T) {
	var rules any
	readYAML(t, "prometheus/rsyncd_exporter.rules.yml", false, &rules)
	var made struct{ Spec any }
	readYAML(t, "kubernetes/prometheus-operator/prometheusrule.yaml", false, &made)
	if rules == nil || !reflect.DeepEqual(made.Spec, rules) {
		t.Error("the PrometheusRule has other rules: run \"make kubernetes\"")
	}
}
