// Package kubernetes has only tests: deploy/kubernetes is built by kustomize, read strictly by
// Kubernetes' and prometheus-operator's own types, and held to Pod Security Standards. It is a module
// of its own, so that the exporter's has none of that. What the settings do is tested by the program.
package kubernetes

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const deploy = "../../deploy/kubernetes/"

// A stack is what one kustomization gives.
type stack struct {
	namespaces  []*core.Namespace
	deployments []*apps.Deployment
	daemonSets  []*apps.DaemonSet
	services    []*core.Service
	claims      []*core.PersistentVolumeClaim
	policies    []*networking.NetworkPolicy
	monitors    []*monitoring.PodMonitor
	rules       []*monitoring.PrometheusRule
}

// build makes the stack as "kubectl apply -k" does. Fields that a type doesn't have are errors.
func build(t *testing.T, name string) *stack {
	t.Helper()
	all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), deploy+name)
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{}
	for _, r := range all.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		switch id := r.GetGvk().ApiVersion() + " " + r.GetKind(); id {
		case "v1 Namespace":
			add(t, text, &s.namespaces)
		case "apps/v1 Deployment":
			add(t, text, &s.deployments)
		case "apps/v1 DaemonSet":
			add(t, text, &s.daemonSets)
		case "v1 Service":
			add(t, text, &s.services)
		case "v1 PersistentVolumeClaim":
			add(t, text, &s.claims)
		case "networking.k8s.io/v1 NetworkPolicy":
			add(t, text, &s.policies)
		case "monitoring.coreos.com/v1 PodMonitor":
			add(t, text, &s.monitors)
		case "monitoring.coreos.com/v1 PrometheusRule":
			add(t, text, &s.rules)
		default:
			t.Errorf("%s has a %s, which nothing here checks", name, id)
		}
	}
	return s
}

func add[T any](t *testing.T, text []byte, to *[]*T) {
	t.Helper()
	object := new(T)
	unmarshal(t, text, object)
	*to = append(*to, object)
}

// unmarshal reads YAML as the API server does: names of fields in other letters are unknown, too.
func unmarshal(t *testing.T, text []byte, into any) {
	t.Helper()
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		t.Fatalf("%v, in\n%s", err, text)
	}
	unknown, err := json.UnmarshalStrict(asJSON, into)
	if err != nil || len(unknown) > 0 {
		t.Errorf("%v %q, in\n%s", err, unknown, text)
	}
}

// only returns the one object that a stack has of a kind.
func only[T any](t *testing.T, list []*T) *T {
	t.Helper()
	if len(list) != 1 {
		t.Fatalf("there are %d of %T, not one", len(list), *new(T))
	}
	return list[0]
}

// A workload is what Deployment and DaemonSet have in common.
type workload struct {
	namespace *core.Namespace
	selector  *meta.LabelSelector
	template  core.PodTemplateSpec
	policies  []*networking.NetworkPolicy
}

func workloads(t *testing.T) map[string]workload {
	t.Helper()
	syslog, logs := build(t, "syslog"), build(t, "pod-logs")
	d, l := only(t, syslog.deployments), only(t, logs.daemonSets)
	return map[string]workload{
		"syslog":   {only(t, syslog.namespaces), d.Spec.Selector, d.Spec.Template, syslog.policies},
		"pod-logs": {only(t, logs.namespaces), l.Spec.Selector, l.Spec.Template, logs.policies},
	}
}

// port returns a container port by its name.
func port(t *testing.T, pod core.PodSpec, name string) core.ContainerPort {
	t.Helper()
	ports := pod.Containers[0].Ports
	at := slices.IndexFunc(ports, func(p core.ContainerPort) bool { return p.Name == name })
	if at < 0 {
		t.Errorf("the pod has no port %q", name)
		return core.ContainerPort{}
	}
	if problems := validation.IsValidPortName(name); len(problems) > 0 {
		t.Errorf("%q: %q", name, problems)
	}
	return ports[at]
}

func sameProtocol(a, b core.Protocol) bool {
	tcp := func(p core.Protocol) core.Protocol {
		if p == "" {
			return core.ProtocolTCP
		}
		return p
	}
	return tcp(a) == tcp(b)
}

func TestPodsAreWholeAndSelected(t *testing.T) {
	for name, w := range workloads(t) {
		pod, container := w.template.Spec, w.template.Spec.Containers[0]
		selector, err := meta.LabelSelectorAsSelector(w.selector)
		if err != nil || selector.Empty() || !selector.Matches(labels.Set(w.template.Labels)) {
			t.Errorf("%s: the selector %v doesn't take the pod's labels %v: %v", name, selector, w.template.Labels, err)
		}
		if len(pod.Containers) != 1 || !strings.HasPrefix(container.Image, "registry.example.org/rsyncd_exporter:1.") {
			t.Errorf("%s: the image is %q", name, container.Image)
		}
		for what, probe := range map[string]*core.Probe{
			"/-/healthy startup": container.StartupProbe, "/-/healthy liveness": container.LivenessProbe, "/-/ready readiness": container.ReadinessProbe,
		} {
			if path, _, _ := strings.Cut(what, " "); probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path ||
				probe.HTTPGet.Port.StrVal != port(t, pod, "http").Name {
				t.Errorf("%s: the probe %q is %v", name, what, probe)
			}
		}
		mounted := map[string]core.VolumeMount{}
		for _, m := range container.VolumeMounts {
			mounted[m.Name] = m
			if !slices.ContainsFunc(pod.Volumes, func(v core.Volume) bool { return v.Name == m.Name }) {
				t.Errorf("%s: there is no volume %q", name, m.Name)
			}
		}
		at := slices.IndexFunc(container.Env, func(e core.EnvVar) bool { return e.Name == "RSYNCD_EXPORTER_STATE_DIR" })
		if state := mounted["state"]; at < 0 || container.Env[at].Value != state.MountPath || state.ReadOnly {
			t.Errorf("%s: the state is not on the volume %v, in %v", name, state, container.Env)
		}
		if m := container.Resources.Limits.Memory(); m.Cmp(*container.Resources.Requests.Memory()) < 0 || m.Value() < 64<<20 {
			t.Errorf("%s: memory is limited to %v", name, m)
		}
	}
}

// failures returns what a level of the Pod Security Standards, in the newest version, forbids of a pod.
func failures(t *testing.T, level podsecurity.Level, pod core.PodTemplateSpec) (reasons []string) {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	version := podsecurity.LevelVersion{Level: level, Version: podsecurity.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(version, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			reasons = append(reasons, result.ForbiddenReason+": "+result.ForbiddenDetail)
		}
	}
	return reasons
}

// The Deployment passes the strictest level, which its namespace enforces. The DaemonSet needs two
// directories of the node and root, who owns them, and nothing else.
func TestPodsPassTheStrictestLevelTheyCan(t *testing.T) {
	needed := map[string][]string{
		"syslog": nil,
		"pod-logs": {
			`restricted volume types: volumes "pods", "state" use restricted volume type "hostPath"`,
			"runAsNonRoot != true: pod or container \"exporter\" must set securityContext.runAsNonRoot=true",
			"runAsUser=0: pod must not set runAsUser=0",
		},
	}
	for name, w := range workloads(t) {
		got := failures(t, podsecurity.LevelRestricted, w.template)
		slices.Sort(got)
		slices.Sort(needed[name])
		if !slices.Equal(got, needed[name]) {
			t.Errorf("%s: got\n%q, want\n%q", name, got, needed[name])
		}
		enforced := podsecurity.Level(w.namespace.Labels[podsecurity.EnforceLevelLabel])
		if enforced == "" || len(failures(t, enforced, w.template)) > 0 || (enforced == podsecurity.LevelRestricted) != (len(got) == 0) {
			t.Errorf("%s: the namespace enforces %q", name, enforced)
		}
		for _, c := range w.template.Spec.Containers {
			if c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
				t.Errorf("%s: the root file system can be written", name)
			}
		}
		if token := w.template.Spec.AutomountServiceAccountToken; token == nil || *token {
			t.Errorf("%s: the pod has a token for the API", name)
		}
	}
}

// Two exporters never have one state directory, not even while one replaces the other.
func TestOneExporterForEachState(t *testing.T) {
	s := build(t, "syslog")
	d := only(t, s.deployments)
	if d.Spec.Strategy.Type != apps.RecreateDeploymentStrategyType || d.Spec.Replicas == nil || *d.Spec.Replicas != 1 {
		t.Errorf("strategy %q with %v replicas", d.Spec.Strategy.Type, d.Spec.Replicas)
	}
	volume := d.Spec.Template.Spec.Volumes[0].PersistentVolumeClaim
	if claim := only(t, s.claims); volume == nil || volume.ClaimName != claim.Name || claim.Namespace != d.Namespace {
		t.Errorf("the volume %v isn't the claim %q", volume, claim.Name)
	}
	l := only(t, build(t, "pod-logs").daemonSets)
	if u := l.Spec.UpdateStrategy.RollingUpdate; u == nil || u.MaxSurge.IntValue() != 0 || u.MaxUnavailable.IntValue() < 1 {
		t.Errorf("the update strategy is %v", u)
	}
	for _, v := range l.Spec.Template.Spec.Volumes {
		if v.HostPath == nil || v.HostPath.Type == nil {
			t.Errorf("the volume %q is no directory of the node", v.Name)
		}
	}
	for _, m := range l.Spec.Template.Spec.Containers[0].VolumeMounts {
		if m.Name != "state" && !m.ReadOnly {
			t.Errorf("%s can be written", m.MountPath)
		}
	}
}

// A Service's port leads to a port of the pod. No number comes twice, not even for two protocols:
// "kubectl apply" merges ports by their number alone (kubernetes issue 39188).
func TestServiceLeadsToThePod(t *testing.T) {
	s := build(t, "syslog")
	service, d := only(t, s.services), only(t, s.deployments)
	pod := d.Spec.Template
	if len(service.Spec.Selector) == 0 || !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels)) || service.Namespace != d.Namespace {
		t.Errorf("the selector %v doesn't take the pod's labels %v", service.Spec.Selector, pod.Labels)
	}
	numbers, targets := map[int32]bool{}, map[int32]bool{}
	for _, p := range service.Spec.Ports {
		target := port(t, pod.Spec, p.TargetPort.StrVal)
		if !sameProtocol(p.Protocol, target.Protocol) || numbers[p.Port] || targets[target.ContainerPort] {
			t.Errorf("%v leads to %v", p, target)
		}
		numbers[p.Port], targets[target.ContainerPort] = true, true
	}
	if !numbers[514] || !numbers[601] || len(numbers) != len(pod.Spec.Containers[0].Ports) {
		t.Errorf("the ports are %v", service.Spec.Ports)
	}
	if !service.Spec.PublishNotReadyAddresses {
		t.Error("messages wait until the pod is ready")
	}
}

// Every port of the pods lets somebody in, the scraper nowhere but to http, and nothing goes out.
func TestNetworkPolicies(t *testing.T) {
	for name, w := range workloads(t) {
		p := only(t, w.policies)
		if len(p.Spec.PolicyTypes) != 2 || len(p.Spec.Egress) > 0 || len(p.Spec.PodSelector.MatchLabels) > 0 || p.Namespace != w.namespace.Name {
			t.Errorf("%s: the policy is %v", name, p.Spec)
		}
		reached := map[string]bool{}
		for _, rule := range p.Spec.Ingress {
			if len(rule.From) != 1 || len(rule.Ports) == 0 {
				t.Fatalf("%s: %v", name, rule)
			}
			from := rule.From[0]
			scraper := reflect.DeepEqual(from.NamespaceSelector.MatchLabels, map[string]string{core.LabelMetadataName: "monitoring"})
			// kustomize can add labels of its own here, with which no sender would be let in.
			sender := from.PodSelector != nil && reflect.DeepEqual(from.PodSelector.MatchLabels, map[string]string{"rsyncd-exporter-client": "true"})
			for _, allowed := range rule.Ports {
				target := port(t, w.template.Spec, allowed.Port.StrVal)
				if protocol := allowed.Protocol; protocol != nil && !sameProtocol(*protocol, target.Protocol) || protocol == nil && !sameProtocol("", target.Protocol) {
					t.Errorf("%s: %v isn't of the protocol of %v", name, allowed, target)
				}
				if http := target.Name == "http"; http && !scraper || !http && !sender {
					t.Errorf("%s: %v may come in at %s", name, from, target.Name)
				}
				reached[target.Name] = true
			}
		}
		if len(reached) != len(w.template.Spec.Containers[0].Ports) {
			t.Errorf("%s: only %v can be reached", name, reached)
		}
	}
}

func TestPodMonitorTakesThePods(t *testing.T) {
	m := only(t, build(t, "prometheus-operator").monitors)
	selector, err := meta.LabelSelectorAsSelector(&m.Spec.Selector)
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range workloads(t) {
		if !selector.Matches(labels.Set(w.template.Labels)) || !slices.Contains(m.Spec.NamespaceSelector.MatchNames, w.namespace.Name) {
			t.Errorf("%s isn't scraped", name)
		}
		port(t, w.template.Spec, *m.Spec.PodMetricsEndpoints[0].Port)
	}
	// Without a jobLabel the job is NAMESPACE/NAME. The rules look for "rsyncd" in it.
	if !strings.Contains(m.Namespace+"/"+m.Name, "rsyncd") || m.Spec.JobLabel != "" {
		t.Errorf("the job is %s/%s, or the label %q", m.Namespace, m.Name, m.Spec.JobLabel)
	}
}

// The rules are those of deploy/prometheus, and the operator's type has all of their fields.
func TestPrometheusRuleIsTheRules(t *testing.T) {
	rule := only(t, build(t, "prometheus-operator").rules)
	fs := filesys.MakeFsOnDisk()
	text, err := fs.ReadFile("../../deploy/prometheus/rsyncd_exporter.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var want monitoring.PrometheusRuleSpec
	unmarshal(t, text, &want)
	if len(want.Groups) == 0 || spaced(t, rule.Spec) != spaced(t, want) {
		t.Error("the PrometheusRule has other rules: run \"make kubernetes\"")
	}
}

// spaced returns rules as YAML, with one blank for each run of blanks and line feeds: kustomize doubles
// line feeds in folded text, which makes no difference to an expression.
func spaced(t *testing.T, rules monitoring.PrometheusRuleSpec) string {
	t.Helper()
	text, err := yaml.Marshal(rules)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(text)), " ")
}
