// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/manifest"
	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

func newValidator(t *testing.T) *manifest.Validator {
	t.Helper()
	v, err := manifest.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// write puts files, by their names, below dir.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// machine returns the manifest of a Machine, seven lines, whose spec has the given further lines.
func machine(name, mac string, more ...string) string {
	lines := []string{
		"apiVersion: netboot.dev/v1alpha1",
		"kind: Machine",
		"metadata:",
		"  name: " + name,
		"spec:",
		"  macAddresses:",
		"  - " + mac,
	}
	for _, line := range more {
		lines = append(lines, "  "+line)
	}
	return strings.Join(lines, "\n") + "\n"
}

const (
	good   = "52:54:00:aa:bb:01"
	digest = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
)

func TestLoadTellsProblemsWithTheirPlaces(t *testing.T) {
	const badMAC = `: a MAC address is six pairs of hex digits, such as 52:54:00:aa:bb:01`
	for name, tc := range map[string]struct {
		files map[string]string
		want  []string
		left  []string // names of the Machines in the Set
	}{
		"a wrong MAC address in the second document": {
			files: map[string]string{"lab/m.yaml": "# the lab\n" + machine("n1", good) + "---\n" + machine("n2", "52:54:00:aa:bb:0g")},
			want:  []string{`lab/m.yaml:16:5: Machine default/n2: spec.macAddresses[0]: Invalid value: "52:54:00:aa:bb:0g"` + badMAC},
			left:  []string{"n1"},
		},
		"a document separator with a comment, and Windows' line ends": {
			files: map[string]string{"m.yaml": strings.ReplaceAll("--- # one\n"+machine("n1", good)+"--- # two\n"+machine("n2", "x2:54:00:aa:bb:02"), "\n", "\r\n")},
			want:  []string{`m.yaml:16:5: Machine default/n2: spec.macAddresses[0]: Invalid value: "x2:54:00:aa:bb:02"` + badMAC},
			left:  []string{"n1"},
		},
		"an unknown field": {
			files: map[string]string{"m.yaml": machine("n1", good, "bootPolizy: Once")},
			want:  []string{"m.yaml:8:3: Machine default/n1: spec.bootPolizy: Forbidden: unknown field"},
		},
		"an unknown field of the metadata": {
			files: map[string]string{"m.yaml": strings.Replace(machine("n1", good), "  name: n1", "  name: n1\n  labls: {a: b}", 1)},
			want:  []string{"m.yaml:5:3: Machine default/n1: metadata.labls: Forbidden: unknown field"},
		},
		"a key twice": {
			files: map[string]string{"m.yaml": machine("n0", good) + "---\n" + machine("n1", good, "bootID: a", "bootID: b")},
			want:  []string{"m.yaml:17:3: spec.bootID: key is already set in line 16"},
			left:  []string{"n0"},
		},
		"a required field is missing": {
			files: map[string]string{"m.yaml": machine("n1", good, "configs:", "- name: a", "  template: x", "- template: x")},
			want: []string{
				"m.yaml:11:5: Machine default/n1: spec.configs[1].name: Required value",
				"m.yaml:1:1: Machine default/n1: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
			},
		},
		"spec is missing": {
			files: map[string]string{"m.yaml": "---\n# n1\napiVersion: netboot.dev/v1alpha1\nkind: Machine\nmetadata: {name: n1}\n"},
			want: []string{
				"m.yaml:3:1: Machine default/n1: spec: Required value",
				"m.yaml:3:1: Machine default/n1: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
			},
		},
		"the name is missing": {
			files: map[string]string{"m.yaml": strings.Replace(machine("n1", good), "name:", "generateName:", 1)},
			want: []string{
				"m.yaml:3:1: Machine default/(no name): metadata.name: Required value: name or generateName is required",
				"m.yaml:1:1: Machine default/(no name): some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
			},
		},
		"a misplaced key": {
			files: map[string]string{"m.yaml": machine("n0", good) + "---\n" + machine("n1", good, " bootID: a")},
			want:  []string{"m.yaml:16: mapping values are not allowed in this context"},
			left:  []string{"n0"},
		},
		"a list that is not closed": {
			files: map[string]string{"m.yaml": machine("n1", "[1, 2") + "# end\n"},
			want:  []string{"m.yaml:9: did not find expected ',' or ']'"},
		},
		"a list item in a mapping": {
			files: map[string]string{"m.yaml": machine("n0", good) + "---\na: 1\n- b\n"},
			want:  []string{"m.yaml:10: did not find expected key"},
			left:  []string{"n0"},
		},
		"a string that is not closed": {
			files: map[string]string{"m.yaml": machine("n1", good, `bootID: "a`)},
			want:  []string{"m.yaml:8: found unexpected end of stream"},
		},
		"a rule of a nested list item": {
			files: map[string]string{"p.yaml": `apiVersion: netboot.dev/v1alpha1
kind: BootProfile
metadata: {name: debian, namespace: lab}
spec:
  platforms:
  - architecture: amd64
    kernel: {url: "http://mirror/linux", sha256: ` + digest + `}
    initrds:
    - {url: "http://mirror/initrd", sha256: ` + digest + `}
    - url: http://mirror/firmware
`},
			want: []string{`p.yaml:10:7: BootProfile lab/debian: spec.platforms[0].initrds[1]: Invalid value: ` +
				`set sha256 (sha256sum FILE prints it), or insecureSkipVerify: true for a file without a known digest; one of the two`},
		},
		"a rule of a map's value": {
			files: map[string]string{"m.yaml": machine("n1", good, "variables:", "  rack: r12", `  motd: "a\nb"`)},
			want:  []string{`m.yaml:10:5: Machine default/n1: spec.variables[motd]: Invalid value: "a\nb": a variable must be one line without control characters`},
		},
		"one object in two files": {
			files: map[string]string{"a.yaml": "\n" + machine("n1", good), "b.yaml": machine("n0", good) + "---\n" + machine("n1", good)},
			want:  []string{"b.yaml:9:1: Machine default/n1: already defined at a.yaml:2:1"},
			left:  []string{"n0"},
		},
		"an item of a List": {
			files: map[string]string{"l.yaml": "apiVersion: v1\nkind: List\nitems:\n- apiVersion: netboot.dev/v1alpha1\n  kind: Machine\n  metadata: {name: n1}\n  spec:\n    macAddresses: [01:00:00:00:00:00]\n"},
			want: []string{`l.yaml:8:20: Machine default/n1: spec.macAddresses[0]: Invalid value: "01:00:00:00:00:00": ` +
				`this is a multicast or the zero address, which no interface can have: use the one printed by ip link or on the machine's label`},
		},
		"JSON with tabs": {
			files: map[string]string{"m.json": "{\n\t\"apiVersion\": \"netboot.dev/v1alpha1\", \"kind\": \"Machine\",\n\t\"metadata\": {\"name\": \"n1\"},\n\t\"spec\": {\"macAddresses\": [\"" + good + "\"],\n\t\t\"bootID\": 1}\n}\n"},
			want: []string{
				`m.json:5:3: Machine default/n1: spec.bootID: Invalid value: "integer": spec.bootID in body must be of type string: "integer"`,
				"m.json:1:1: Machine default/n1: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
			},
		},
		"kinds that do not belong here": {
			files: map[string]string{"x.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\nreplicas: 3\n---\njust text\n---\n# nothing\n---\n" +
				strings.Replace(machine("n1", good), "v1alpha1", "v1", 1)},
			want: []string{
				`x.yaml:2:1: Deployment default/a: kind: Invalid value: "Deployment": not expected of apps/v1 here: put Machine and BootProfile (netboot.dev/v1alpha1), ConfigMap and Secret (v1) into this folder`,
				"x.yaml:5:1: kind: Required value: a manifest needs apiVersion and kind",
				"x.yaml:7:1: kind: Required value: a manifest needs apiVersion and kind",
				`x.yaml:12:1: Machine default/n1: kind: Invalid value: "Machine": not expected of netboot.dev/v1 here: put Machine and BootProfile (netboot.dev/v1alpha1), ConfigMap and Secret (v1) into this folder`,
			},
		},
		"a ConfigMap with a misspelt field": {
			files: map[string]string{"c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndate: {a: b}\n"},
			want:  []string{"c.yaml:4:1: ConfigMap default/a: date: Forbidden: unknown field"},
		},
		"a ConfigMap with a bad name": {
			files: map[string]string{"c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: A_b}\n"},
			want: []string{`c.yaml:3:12: ConfigMap default/A_b: metadata.name: Invalid value: "A_b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', ` +
				`and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`},
		},
		"a file that is too large": {
			files: map[string]string{"big.yaml": strings.Repeat("# nothing to see here\n", 200_000), "m.yaml": machine("n1", good)},
			want:  []string{"big.yaml: larger than 3145728 bytes: split it"},
			left:  []string{"n1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, tc.files)
			set, problems, err := newValidator(t).Load(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range problems {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.left, machineNames(set)); diff != "" {
				t.Errorf("machines in the Set (-want +got):\n%s", diff)
			}
		})
	}
}

func machineNames(set manifest.Set) (names []string) {
	for _, m := range set.Machines {
		names = append(names, m.Name)
	}
	return names
}

func TestLoadReturnsObjectsAsStored(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"a/m.yml": machine("n1", good) + "status: {bootID: forged}\n",
		"b.yaml": `apiVersion: v1
kind: List
items:
- apiVersion: netboot.dev/v1alpha1
  kind: BootProfile
  metadata: {name: debian, namespace: lab, creationTimestamp: "2026-01-02T03:04:05Z"}
  spec: {platforms: [{architecture: arm64, uki: {url: "http://mirror/uki.efi", insecureSkipVerify: true}}]}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: texts}
  data: {ks.cfg: "text\n"}
- apiVersion: v1
  kind: Secret
  metadata: {name: keys, labels: {a: b}}
  data: {a: aGVsbG8=}
  stringData: {b: word}
`,
		"kustomization.yaml":     "resources: [b.yaml]\n",
		"overlay/component.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n",
		"namespace.yaml":         "apiVersion: v1\nkind: Namespace\nmetadata: {name: lab}\n",
		"README.md":              "not: [yaml",
		".git/config.yaml":       "not: [yaml",
		".hidden.yaml":           "not: [yaml",
		"folder.yaml/n2.json":    "",
		"empty.yaml":             "---\n# nothing\n---\n",
	})
	set, problems, err := newValidator(t).Load(t.Context(), dir)
	if err != nil || len(problems) > 0 {
		t.Fatalf("Load() = %v, %v, want no problems", problems, err)
	}
	want := manifest.Set{
		Machines: []v1alpha1.Machine{{
			TypeMeta:   metav1.TypeMeta{APIVersion: "netboot.dev/v1alpha1", Kind: "Machine"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "n1", Generation: 1},
			Spec:       v1alpha1.MachineSpec{MACAddresses: []v1alpha1.MACAddress{good}, BootPolicy: v1alpha1.BootPolicyOnce, BootID: "1"},
			Status:     v1alpha1.MachineStatus{ObservedGeneration: -1},
		}},
		BootProfiles: []v1alpha1.BootProfile{{
			TypeMeta: metav1.TypeMeta{APIVersion: "netboot.dev/v1alpha1", Kind: "BootProfile"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "lab", Name: "debian", Generation: 1,
				CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))},
			Spec: v1alpha1.BootProfileSpec{
				Platforms: []v1alpha1.Platform{{
					Architecture: "arm64",
					UKI:          &v1alpha1.Artifact{URL: "http://mirror/uki.efi", InsecureSkipVerify: true},
				}},
				PayloadProtocol: v1alpha1.PayloadAuto,
				LocalBoot:       v1alpha1.LocalBootExit,
			},
			Status: v1alpha1.BootProfileStatus{ObservedGeneration: -1},
		}},
		ConfigMaps: []corev1.ConfigMap{{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "texts", Generation: 1},
			Data:       map[string]string{"ks.cfg": "text\n"},
		}},
		Secrets: []corev1.Secret{{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "keys", Labels: map[string]string{"a": "b"}, Generation: 1},
			Data:       map[string][]byte{"a": []byte("hello"), "b": []byte("word")},
		}},
		Files: map[string]string{
			"Machine default/n1":      "a/m.yml",
			"BootProfile lab/debian":  "b.yaml",
			"ConfigMap default/texts": "b.yaml",
			"Secret default/keys":     "b.yaml",
		},
	}
	if diff := cmp.Diff(want, set); diff != "" {
		t.Errorf("Load() (-want +got):\n%s", diff)
	}
}

func TestLoadFollowsLinksToFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"..2026/m.yaml": machine("n1", good)})
	link(t, "..2026", filepath.Join(dir, "..data"))
	link(t, "..data/m.yaml", filepath.Join(dir, "m.yaml"))
	link(t, "nowhere", filepath.Join(dir, "dangling.yaml"))

	set, problems, err := newValidator(t).Load(t.Context(), dir)

	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"n1"}, machineNames(set)); diff != "" {
		t.Errorf("machines (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]manifest.Problem{{File: "dangling.yaml", Message: "a link to a file that does not exist"}}, problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func link(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

func TestLoadNeedsItsFolder(t *testing.T) {
	_, _, err := newValidator(t).Load(t.Context(), filepath.Join(t.TempDir(), "none"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load() error = %v, want that the folder does not exist", err)
	}
}

func BenchmarkLoad(b *testing.B) {
	v, err := manifest.NewValidator()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "---\n%s", machine(fmt.Sprintf("n%d", i), fmt.Sprintf("52:54:00:aa:%02x:%02x", i>>8, i&0xff)))
	}
	if err := os.WriteFile(filepath.Join(dir, "m.yaml"), []byte(text.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		set, problems, err := v.Load(b.Context(), dir)
		if err != nil || len(problems) > 0 || len(set.Machines) != 1000 {
			b.Fatal(len(set.Machines), problems, err)
		}
	}
}
