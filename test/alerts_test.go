// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package repo_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// TestAlertsAreExplained compares the alerts of the chart with docs/alerts.md, with what promtool tests, and with the metrics.
func TestAlertsAreExplained(t *testing.T) {
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr         string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, chart+"files/rules/netboot-operator.yaml")), &rules); err != nil {
		t.Fatal(err)
	}
	page, tests, metrics := read(t, "docs/alerts.md"), read(t, "test/alerts/testdata/alerts.yaml"), documentedMetrics(t)
	var want []string
	for _, rule := range rules.Groups[0].Rules {
		want = append(want, fmt.Sprintf("## %s (%s)\n\n%s", rule.Alert, rule.Labels["severity"], rule.Annotations["summary"]))
		if !strings.Contains(tests, "    alertname: "+rule.Alert+"\n    exp_alerts:\n    - exp_labels:") {
			t.Errorf("no test raises %s", rule.Alert)
		}
		names := reMetric.FindAllString(rule.Expr, -1)
		if len(names) == 0 {
			t.Errorf("%s asks for no metric: it was not understood", rule.Alert)
		}
		for _, name := range names {
			if !metrics[name] {
				t.Errorf("%s asks for %s, which does not exist", rule.Alert, name)
			}
		}
	}
	got := regexp.MustCompile(`(?m)^## .*\n\n[^.]*\.`).FindAllString(page, -1)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sections of docs/alerts.md, each with the alert's summary (-alerts of the chart +page):\n%s", diff)
	}
}
