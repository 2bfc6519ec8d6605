package backfill_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"rsyncd_exporter/report/backfill"
)

func TestParseLabel(t *testing.T) {
	for text, problem := range map[string]string{
		"job=rsyncd": "", "instance=mirror:9150": "", "a=b=c": "", "_x9=é\n\"": "",
		"job": "no \"=\"", "=x": "a name has", "9a=x": "a name has", "a-b=x": "a name has", "é=x": "a name has",
		"__name__=x": "Prometheus' own", "host=x": "the metrics have", "le=1": "the metrics have", "job=": "empty",
		"job=\xff": "not UTF-8", "job=" + strings.Repeat("x", 129): "longer than 128 bytes",
	} {
		_, err := backfill.ParseLabel(text)
		if err == nil && problem != "" || err != nil && (problem == "" || !strings.Contains(err.Error(), problem)) {
			t.Errorf("%q: %v, want %q", text, err, problem)
		}
	}
	if l, err := backfill.ParseLabel("a=b=c"); err != nil || l != (backfill.Label{Name: "a", Value: "b=c"}) {
		t.Error(l, err)
	}
}

func TestValidate(t *testing.T) {
	twice := []backfill.Label{{Name: "job", Value: "a"}, {Name: "job", Value: "b"}}
	for problem, c := range map[string]backfill.Config{
		"":               {Step: time.Second, Gap: time.Second},
		"a step of 0s":   {Gap: time.Hour},
		"a step of 2h":   {Step: 2 * time.Hour, Gap: 2 * time.Hour},
		"a step of 1.5s": {Step: 1500 * time.Millisecond, Gap: time.Hour},
		"a gap of 59s":   {Step: time.Minute, Gap: 59 * time.Second},
		"a gap of 745h":  {Step: time.Minute, Gap: 745 * time.Hour},
		"given twice":    {Step: time.Minute, Gap: time.Hour, Labels: twice},
	} {
		err := c.Validate()
		if err == nil && problem != "" || err != nil && (problem == "" || !strings.Contains(err.Error(), problem)) {
			t.Errorf("%+v: %v, want %q", c, err, problem)
		}
	}
}

// No label of the metrics can be given: a sample would have it twice.
func TestLabelsOfMetricsAreTaken(t *testing.T) {
	names := map[string]bool{}
	for _, l := range wholeLogs(t) {
		c := config()
		c.Step = time.Hour
		for series := range parse(t, fill(t, c, l)) {
			for _, m := range regexp.MustCompile(`[{ ]([a-z_]+)="`).FindAllStringSubmatch(series, -1) {
				names[m[1]] = true
			}
		}
	}
	if len(names) < 11 { // host, module, direction, user, outcome, reason, status_code, errno, operation, kind, le
		t.Errorf("the corpus has only %v", names)
	}
	for name := range names {
		if _, err := backfill.ParseLabel(name + "=x"); err == nil {
			t.Errorf("%s can be given", name)
		}
	}
}
