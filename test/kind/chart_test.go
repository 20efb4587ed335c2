// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build kind

package kind

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

const chart = root + "/charts/netboot-operator"

var update = flag.Bool("update", false, "write testdata/*.golden.yaml") //nolint:gochecknoglobals // a flag of the test binary

func TestChartLints(t *testing.T) {
	t.Log(run(t, "helm", "lint", "--strict", chart))
	t.Log(run(t, "helm", "lint", "--strict", chart, "--values", "testdata/everything.yaml", "--values", "testdata/monitoring.yaml"))
}

// render returns the objects that the chart makes of values, without the CRDs.
func render(t *testing.T, args ...string) string {
	t.Helper()
	return run(t, "helm", append([]string{"template", "netboot-operator", chart, "--namespace", namespace, "--set", "crds.enabled=false"}, args...)...)
}

func TestChartRendersEverything(t *testing.T) {
	for _, values := range []string{"testdata/everything", "testdata/monitoring"} {
		got, golden := render(t, "--values", values+".yaml")+"\n", values+".golden.yaml"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("the chart renders something else with %s.yaml (-want +got):\n%s", values, diff)
		}
	}
}

// A wrong value is refused before anything is installed, by its name.
func TestChartRefusesWrongValues(t *testing.T) {
	for set, want := range map[string]string{
		"tftp.port=69":                      "tftp",
		"tftpp.bindAddress=x":               "tftpp",
		"tftp.bindAddress=nonsense":         "/tftp/bindAddress",
		"tftp.ports=many":                   "/tftp/ports",
		"image.digest=sha256:1234":          "/image/digest",
		"image.pullPolicy=Sometimes":        "/image/pullPolicy",
		"dataDir.type=pvc":                  "/dataDir/type",
		"dataDir.hostPath=relative":         "/dataDir/hostPath",
		"shutdownGraceSeconds=-1":           "/shutdownGraceSeconds",
		"shutdownGraceSeconds=4000":         "/shutdownGraceSeconds",
		"watchNamespace=No_Namespace":       "/watchNamespace",
		"unknownMachines=Panic":             "/unknownMachines",
		"log.format=xml":                    "/log/format",
		"updateStrategy.type=Recreate":      "/updateStrategy/type",
		"metrics.podMonitor.interval=often": "/metrics/podMonitor/interval",
		"https.bindAddress=:8443":           "https.secretName: needed with https.bindAddress",
	} {
		t.Run(set, func(t *testing.T) {
			_, err := try(t.Context(), "helm", "template", "x", chart, "--set", set)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an error that names %s", err, want)
			}
		})
	}
}

// The kustomization installs what the chart installs by default.
func TestKustomizationIsTheChart(t *testing.T) {
	fromChart := daemonSet(t, render(t))
	fromKustomize := daemonSet(t, run(t, "kubectl", "kustomize", root+"/config/default"))
	for _, of := range []map[string]any{fromChart, fromKustomize} {
		delete(of, "metadata")
		labels := of["spec"].(map[string]any)["template"].(map[string]any)["metadata"].(map[string]any)["labels"].(map[string]any)
		for _, helms := range []string{"app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"} {
			delete(labels, helms)
		}
	}
	if diff := cmp.Diff(fromChart, fromKustomize); diff != "" {
		t.Errorf("DaemonSets differ (-chart +config/default):\n%s", diff)
	}
}

// daemonSet returns the one among objects.
func daemonSet(t *testing.T, objects string) map[string]any {
	t.Helper()
	for text := range strings.SplitSeq("\n"+objects, "\n---\n") {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(text), &object); err != nil {
			t.Fatalf("%v in:\n%s", err, text)
		}
		if object["kind"] == "DaemonSet" {
			return object
		}
	}
	t.Fatal("there is no DaemonSet")
	return nil
}

// An upgrade of the chart brings the fields that its CRDs have gained, and removing it leaves the CRDs alone.
func TestChartUpgradesCRDs(t *testing.T) {
	old := filepath.Join(t.TempDir(), "netboot-operator")
	if err := os.CopyFS(old, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(old, "files/crds/netboot.dev_machines.yaml")
	crd, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// Say that the last release knew no serial numbers.
	without := regexp.MustCompile(`(?m)^ {14}serialNumber:\n(?:^ {16}.*\n)+`).ReplaceAll(crd, nil)
	if err := os.WriteFile(file, without, 0o600); err != nil {
		t.Fatal(err)
	}
	knows := func() error {
		_, err := try(t.Context(), "kubectl", "explain", "machine.spec.serialNumber")
		return err
	}
	nowhere := []string{"old", "--namespace", "chart-upgrade", "--set-string", "nodeSelector.nowhere=true", "--wait"}

	run(t, "helm", append([]string{"install", "--create-namespace", nowhere[0], old}, nowhere[1:]...)...)
	run(t, "kubectl", "wait", "--for=condition=Established", "crd/machines.netboot.dev", "--timeout=60s")
	if knows() == nil {
		t.Error("the old CRD has the field that it should lack")
	}
	run(t, "helm", append([]string{"upgrade", nowhere[0], chart}, nowhere[1:]...)...)
	eventually(t, "the field that the CRD gained", patience, knows)
	run(t, "helm", "uninstall", "old", "--namespace", "chart-upgrade", "--wait")
	run(t, "kubectl", "get", "crd", "machines.netboot.dev", "bootprofiles.netboot.dev")

	// The next test begins with nothing.
	run(t, "kubectl", "delete", "crd", "machines.netboot.dev", "bootprofiles.netboot.dev")
	run(t, "kubectl", "delete", "namespace", "chart-upgrade")
}
