// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const someDigest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func someProfile(edit ...func(*v1alpha1.BootProfile)) *v1alpha1.BootProfile {
	p := &v1alpha1.BootProfile{
		ObjectMeta: metav1.ObjectMeta{Name: "linux", Namespace: "lab", Generation: 3},
		Spec: v1alpha1.BootProfileSpec{
			Platforms: []v1alpha1.Platform{
				{Architecture: "amd64", Kernel: &v1alpha1.Artifact{URL: "http://mirror/amd64/linux", SHA256: someDigest}},
				{Architecture: "arm64", UKI: &v1alpha1.Artifact{URL: "http://mirror/arm64/linux.efi", InsecureSkipVerify: true}},
			},
			KernelArgs: []v1alpha1.KernelArgument{"console=tty0", "quiet"},
			LocalBoot:  v1alpha1.LocalBootSanBoot,
		},
	}
	for _, e := range edit {
		e(p)
	}
	return p
}

func someMachine(edit ...func(*v1alpha1.Machine)) *v1alpha1.Machine {
	m := &v1alpha1.Machine{
		ObjectMeta: metav1.ObjectMeta{Name: "n7", Namespace: "lab", Generation: 5},
		Spec: v1alpha1.MachineSpec{
			MACAddresses: []v1alpha1.MACAddress{"52-54-00-AA-BB-01"},
			ProfileRef:   &v1alpha1.ProfileReference{Name: "linux"},
			BootPolicy:   v1alpha1.BootPolicyOnce,
			BootID:       "1",
			KernelArgs:   []v1alpha1.KernelArgument{"console=ttyS0"},
		},
	}
	for _, e := range edit {
		e(m)
	}
	return m
}

func fromSecretKey(config, name, key string) v1alpha1.Config {
	return v1alpha1.Config{Name: config, SecretKeyRef: &v1alpha1.KeySelector{Name: name, Key: key}, Access: v1alpha1.ConfigAccessToken}
}

func fromConfigMapKey(config, name, key string) v1alpha1.Config {
	return v1alpha1.Config{Name: config, ConfigMapKeyRef: &v1alpha1.KeySelector{Name: name, Key: key}, Access: v1alpha1.ConfigAccessToken}
}

func TestResolve(t *testing.T) {
	const ok = "" // of a finding: True
	for name, tc := range map[string]struct {
		machine *v1alpha1.Machine
		profile *v1alpha1.BootProfile
		from    referents

		wantAction                              index.Action
		wantAccepted, wantProfile, wantRendered string // the reason, if it is not True
		wantRefusal                             string
		wantMessages                            []string
	}{
		"a machine boots its profile": {
			machine: someMachine(), profile: someProfile(),
			wantAction: index.Netboot,
		},
		"Once, and another boot is done: it boots": {
			machine: someMachine(func(m *v1alpha1.Machine) { m.Status.BootID = "0" }), profile: someProfile(),
			wantAction: index.Netboot,
		},
		"Once, and this boot is done: local": {
			machine: someMachine(func(m *v1alpha1.Machine) { m.Status.BootID = "1" }), profile: someProfile(),
			wantAction: index.BootLocal,
		},
		"Continuous boots although it is done": {
			machine: someMachine(func(m *v1alpha1.Machine) {
				m.Status.BootID, m.Spec.BootPolicy = "1", v1alpha1.BootPolicyContinuous
			}), profile: someProfile(),
			wantAction: index.Netboot,
		},
		"Disabled: local": {
			machine: someMachine(func(m *v1alpha1.Machine) { m.Spec.BootPolicy = v1alpha1.BootPolicyDisabled }), profile: someProfile(),
			wantAction: index.BootLocal,
		},
		"Disabled beats a profile that does not exist, and it is still told": {
			machine:    someMachine(func(m *v1alpha1.Machine) { m.Spec.BootPolicy = v1alpha1.BootPolicyDisabled }),
			wantAction: index.BootLocal, wantProfile: v1alpha1.ReasonProfileNotFound, wantRendered: v1alpha1.ReasonNotRendered,
		},
		"no profileRef: known, local": {
			machine:    someMachine(func(m *v1alpha1.Machine) { m.Spec.ProfileRef = nil }),
			wantAction: index.BootLocal,
		},
		"profile does not exist: refused": {
			machine:    someMachine(),
			wantAction: index.Refuse, wantProfile: v1alpha1.ReasonProfileNotFound, wantRendered: v1alpha1.ReasonNotRendered,
			wantRefusal:  `BootProfile "linux" does not exist in namespace "lab"; create it or change spec.profileRef`,
			wantMessages: []string{`BootProfile "linux" does not exist in namespace "lab"; create it or change spec.profileRef`},
		},
		"profile lacks the architecture: refused": {
			machine: someMachine(func(m *v1alpha1.Machine) { m.Spec.Architecture = "riscv64" }), profile: someProfile(),
			wantAction: index.Refuse, wantProfile: v1alpha1.ReasonArchitectureNotInProfile, wantRendered: v1alpha1.ReasonNotRendered,
			wantMessages: []string{`"riscv64", only for amd64, arm64`},
		},
		"profile is not accepted: refused": {
			machine: someMachine(), profile: someProfile(func(p *v1alpha1.BootProfile) { p.Spec.Platforms[0].Kernel = nil }),
			wantAction: index.Refuse, wantProfile: v1alpha1.ReasonProfileNotAccepted, wantRendered: v1alpha1.ReasonNotRendered,
			wantMessages: []string{"spec.platforms[0] has neither kernel nor uki"},
		},
		"an argument does not render: told, and refused by the servers when asked": {
			machine: someMachine(func(m *v1alpha1.Machine) { m.Spec.KernelArgs = []v1alpha1.KernelArgument{"x={{ .Machine.Rack }}"} }), profile: someProfile(),
			wantAction: index.Netboot, wantRendered: v1alpha1.ReasonTemplateError,
			wantMessages: []string{"x={{ .Machine.Rack }}"},
		},
		"an argument that one loader can't be told": {
			machine: someMachine(func(m *v1alpha1.Machine) { m.Spec.KernelArgs = []v1alpha1.KernelArgument{"x=${net0/ip}"} }), profile: someProfile(),
			wantAction: index.Netboot, wantRendered: v1alpha1.ReasonTemplateError,
		},
		"a config with a token renders, without a key": {
			machine: someMachine(func(m *v1alpha1.Machine) {
				m.Spec.Configs = []v1alpha1.Config{{Name: "ks", Template: new(`{{ .ConfigURL "ks" }}`), Access: v1alpha1.ConfigAccessToken}}
				m.Spec.KernelArgs = []v1alpha1.KernelArgument{`inst.ks={{ .ConfigURL "ks" }}`}
			}), profile: someProfile(),
			wantAction: index.Netboot,
		},
		"a config from a Secret that does not exist: told, whether or not anybody refers to it": {
			machine: someMachine(func(m *v1alpha1.Machine) { m.Spec.Configs = []v1alpha1.Config{fromSecretKey("ks", "keys", "ks")} }), profile: someProfile(),
			from:       referents{{kindSecret, "keys"}: missing("lab", reference{kindSecret, "keys"})},
			wantAction: index.Netboot, wantRendered: v1alpha1.ReasonSecretNotFound,
			wantMessages: []string{`Machine "n7" spec.configs[0].secretKeyRef: Secret "keys" does not exist in namespace "lab"; create it`},
		},
		"a config from a ConfigMap that lacks the key": {
			machine: someMachine(), profile: someProfile(func(p *v1alpha1.BootProfile) {
				p.Spec.Configs = []v1alpha1.Config{fromConfigMapKey("ks", "texts", "ks")}
			}),
			from:       referents{{kindConfigMap, "texts"}: {data: map[string][]byte{"kickstart": nil}}},
			wantAction: index.Netboot, wantRendered: v1alpha1.ReasonConfigMapKeyNotFound,
			wantMessages: []string{`BootProfile "linux" spec.configs[0].configMapKeyRef: ConfigMap "texts" has no key "ks"; add it`},
		},
		"a config of the machine takes the place of one that can't be had": {
			machine: someMachine(func(m *v1alpha1.Machine) {
				m.Spec.Configs = []v1alpha1.Config{{Name: "ks", Template: new("text")}}
			}),
			profile:    someProfile(func(p *v1alpha1.BootProfile) { p.Spec.Configs = []v1alpha1.Config{fromSecretKey("ks", "keys", "ks")} }),
			wantAction: index.Netboot,
		},
		"a config from a Secret does not render, and its text is not told": {
			machine: someMachine(func(m *v1alpha1.Machine) { m.Spec.Configs = []v1alpha1.Config{fromSecretKey("ks", "keys", "ks")} }), profile: someProfile(),
			from:       referents{{kindSecret, "keys"}: {data: map[string][]byte{"ks": []byte("rootpw hunter2\n{{ hunter2 }}")}}},
			wantAction: index.Netboot, wantRendered: v1alpha1.ReasonTemplateError,
			wantMessages: []string{`machine lab/n7: config "ks": Secret "keys" key "ks": the template has an error in line 2; it is not shown`},
		},
		"a seed without user-data": {
			machine: someMachine(func(m *v1alpha1.Machine) {
				m.Spec.KernelArgs = []v1alpha1.KernelArgument{"ds=nocloud;s={{ .SeedURL }}"}
			}), profile: someProfile(),
			wantAction: index.Netboot, wantRendered: v1alpha1.ReasonTemplateError,
			wantMessages: []string{`no config "user-data"; add it`},
		},
		"a config that does not render": {
			machine: someMachine(), profile: someProfile(func(p *v1alpha1.BootProfile) {
				p.Spec.Configs = []v1alpha1.Config{{Name: "ks", Template: new("{{ .Nothing }}"), Access: v1alpha1.ConfigAccessNetwork}}
			}),
			wantAction: index.Netboot, wantRendered: v1alpha1.ReasonTemplateError, wantMessages: []string{"ks"},
		},
		"one MAC address of two can't be read: the other still boots": {
			machine: someMachine(func(m *v1alpha1.Machine) { m.Spec.MACAddresses = append(m.Spec.MACAddresses, "nonsense") }), profile: someProfile(),
			wantAction: index.Netboot, wantAccepted: v1alpha1.ReasonInvalidSpec,
			wantMessages: []string{"spec.macAddresses[1]"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			entry, v := resolve(tc.machine, tc.profile, tc.from)
			if entry == nil || entry.Action != tc.wantAction || v.action != tc.wantAction {
				t.Fatalf("resolve() gives %+v, want action %s", entry, tc.wantAction)
			}
			if tc.wantRefusal != "" && entry.Refusal != tc.wantRefusal {
				t.Errorf("refusal is %q, want %q", entry.Refusal, tc.wantRefusal)
			}
			if entry.Action == index.Refuse && entry.Refusal == "" {
				t.Error("it is refused without saying why")
			}
			var messages []string
			for what, f := range map[string]struct {
				finding
				want string
			}{
				v1alpha1.ConditionAccepted:        {v.accepted, tc.wantAccepted},
				v1alpha1.ConditionProfileResolved: {v.profileResolved, tc.wantProfile},
				v1alpha1.ConditionRendered:        {v.rendered, tc.wantRendered},
			} {
				messages = append(messages, f.Message)
				switch {
				case f.Message == "":
					t.Errorf("%s says nothing", what)
				case f.want == ok && !f.ok(), f.want != ok && (f.ok() || f.Reason != f.want):
					t.Errorf("%s is %+v, want %q", what, f.finding, f.want)
				}
			}
			if all := strings.Join(messages, "\n"); strings.Contains(all, "hunter2") {
				t.Errorf("messages tell a secret: %s", all)
			}
			for _, want := range tc.wantMessages {
				if !strings.Contains(strings.Join(messages, "\n"), want) {
					t.Errorf("messages are %q, want %q in one", messages, want)
				}
			}
		})
	}
}

func TestResolveGivesNoEntryWithoutAnIdentity(t *testing.T) {
	entry, v := resolve(someMachine(func(m *v1alpha1.Machine) { m.Spec.MACAddresses = []v1alpha1.MACAddress{"x"} }), someProfile(), nil)
	if entry != nil || v.accepted.Reason != v1alpha1.ReasonInvalidSpec {
		t.Errorf("resolve() = %+v, %+v", entry, v)
	}
}

func TestEntryHoldsWhatTheObjectsSay(t *testing.T) {
	created := metav1.NewTime(time.Unix(1_700_000_000, 0))
	m := someMachine(func(m *v1alpha1.Machine) {
		m.CreationTimestamp = created
		m.Spec.SystemUUID = "A1B2C3D4-E5F6-4788-99AA-BBCCDDEEFF00"
		m.Spec.SerialNumber = "S-1"
		m.Spec.Architecture = "amd64"
		m.Spec.Variables = map[string]v1alpha1.VariableValue{"rack": "r12"}
		m.Spec.KernelArgs = []v1alpha1.KernelArgument{"console=ttyS0", "-quiet"}
		m.Spec.Configs = []v1alpha1.Config{{Name: "b", Template: new("machine's"), Access: v1alpha1.ConfigAccessNetwork}}
	})
	p := someProfile(func(p *v1alpha1.BootProfile) {
		p.Spec.Configs = []v1alpha1.Config{
			{Name: "a", Template: new("profile's a"), Access: v1alpha1.ConfigAccessNetwork, ContentType: "text/x"},
			{Name: "b", Template: new("profile's b"), Access: v1alpha1.ConfigAccessNetwork},
		}
	})
	compiled, _ := compile(p, nil)
	want := &index.Machine{
		Key: "lab/n7", Created: created.Time, Name: "n7", Namespace: "lab", Hostname: "n7",
		MACs:       []index.MAC{{0x52, 0x54, 0x00, 0xaa, 0xbb, 0x01}},
		SystemUUID: "a1b2c3d4-e5f6-4788-99aa-bbccddeeff00", SerialNumber: "S-1", Architecture: "amd64",
		Variables: map[string]string{"rack": "r12"}, BootID: "1", Once: true, CompleteOn: "PayloadServed",
		Action: index.Netboot, Profile: compiled, LocalBoot: index.LocalSanBoot,
		KernelArgs: []string{"console=ttyS0"},
		Configs: []index.Config{
			{Name: "a", ContentType: "text/x", Template: "profile's a"},
			{Name: "b", Template: "machine's"},
		},
	}
	got, _ := resolve(m, p, nil)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("resolve(): want (-), got (+):\n%s", diff)
	}
}

func TestCompile(t *testing.T) {
	file := func(name, digest string) v1alpha1.LoaderFile {
		return v1alpha1.LoaderFile{Name: v1alpha1.FilePath(name), Artifact: v1alpha1.Artifact{URL: "http://mirror/" + name, SHA256: digest}}
	}
	other := strings.Repeat("a", 64)
	for name, tc := range map[string]struct {
		edit        func(*v1alpha1.BootProfile)
		wantReason  string
		wantMessage string
		wantFiles   []string
	}{
		"what is served without a digest is named": {
			edit:        func(*v1alpha1.BootProfile) {},
			wantReason:  v1alpha1.ReasonAccepted,
			wantMessage: "insecureSkipVerify): spec.platforms[1].uki",
		},
		"loaders and files get their paths": {
			edit: func(p *v1alpha1.BootProfile) {
				p.Spec.Platforms[0].Loader = &v1alpha1.Loader{Files: []v1alpha1.LoaderFile{file("shimx64.efi", someDigest)}}
				p.Spec.Files = []v1alpha1.File{{Path: "overlays/x.dtbo", Artifact: v1alpha1.Artifact{URL: "http://mirror/x", SHA256: other}}}
			},
			wantReason: v1alpha1.ReasonAccepted,
			wantFiles:  []string{"shimx64.efi", "overlays/x.dtbo"},
		},
		"two platforms may share a loader": {
			edit: func(p *v1alpha1.BootProfile) {
				for i := range p.Spec.Platforms {
					p.Spec.Platforms[i].Loader = &v1alpha1.Loader{Files: []v1alpha1.LoaderFile{file("ipxe.efi", someDigest)}}
				}
			},
			wantReason: v1alpha1.ReasonAccepted,
			wantFiles:  []string{"ipxe.efi"},
		},
		"a URL of a registry must be one that can be asked": {
			edit: func(p *v1alpha1.BootProfile) {
				p.Spec.Files = []v1alpha1.File{{Path: "x", Artifact: v1alpha1.Artifact{
					URL: "http://mirror/x", Mirrors: []string{"oci://registry/Boot:1"}, SHA256: other,
				}}}
			},
			wantReason:  v1alpha1.ReasonInvalidSpec,
			wantMessage: `spec.files[0]: oci://registry/Boot:1: "Boot" is not the name of a repository`,
		},
		"two contents can't have one path": {
			edit: func(p *v1alpha1.BootProfile) {
				p.Spec.Platforms[0].Loader = &v1alpha1.Loader{Files: []v1alpha1.LoaderFile{file("ipxe.efi", someDigest)}}
				p.Spec.Platforms[1].Loader = &v1alpha1.Loader{Files: []v1alpha1.LoaderFile{file("ipxe.efi", other)}}
			},
			wantReason:  v1alpha1.ReasonInvalidSpec,
			wantMessage: `spec.platforms[1].loader.files[0].name: "ipxe.efi" is also the path of BootProfile "lab/linux" spec.platforms[0].loader.files[0]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			compiled, accepted := compile(someProfile(tc.edit), nil)
			if accepted.Reason != tc.wantReason || !strings.Contains(accepted.Message, tc.wantMessage) || accepted.ok() != (compiled != nil) {
				t.Fatalf("compile() = %+v, %+v, want %s %q", compiled, accepted, tc.wantReason, tc.wantMessage)
			}
			var files []string
			if compiled != nil {
				for _, f := range compiled.Files {
					files = append(files, f.Path)
				}
			}
			if diff := cmp.Diff(tc.wantFiles, files); diff != "" {
				t.Errorf("files: want (-), got (+):\n%s", diff)
			}
		})
	}
}

func TestConflict(t *testing.T) {
	at := func(seconds int64, name string, edit ...func(*v1alpha1.Machine)) v1alpha1.Machine {
		m := someMachine(edit...)
		m.Name, m.CreationTimestamp = name, metav1.NewTime(time.Unix(seconds, 0))
		return *m
	}
	uuid := func(m *v1alpha1.Machine) {
		m.Spec.MACAddresses = []v1alpha1.MACAddress{"52:54:00:00:00:99"}
		m.Spec.SystemUUID = "a1b2c3d4-e5f6-4788-99aa-bbccddeeff00"
	}
	strange := func(m *v1alpha1.Machine) {
		m.Labels, m.Spec.ProfileRef = map[string]string{LabelDiscovered: "true"}, nil
	}
	enrolled := func(m *v1alpha1.Machine) { m.Spec.ProfileRef = &v1alpha1.ProfileReference{Name: "debian"} }
	for name, tc := range map[string]struct {
		machine v1alpha1.Machine
		rivals  []v1alpha1.Machine
		want    string // empty: none
	}{
		"alone":                             {machine: at(2, "n7")},
		"it is no rival of its own":         {machine: at(2, "n7"), rivals: []v1alpha1.Machine{at(2, "n7")}},
		"the older one wins":                {machine: at(2, "n7"), rivals: []v1alpha1.Machine{at(1, "n8")}, want: `spec.macAddresses: 52:54:00:aa:bb:01 already belongs to Machine "lab/n8"`},
		"the older one does not lose":       {machine: at(1, "n7"), rivals: []v1alpha1.Machine{at(2, "n8")}},
		"of the same age, the name decides": {machine: at(1, "n7"), rivals: []v1alpha1.Machine{at(1, "n6")}, want: `"lab/n6"`},
		"of three, the oldest is named":     {machine: at(3, "n7"), rivals: []v1alpha1.Machine{at(2, "n8"), at(1, "n9")}, want: `"lab/n9"`},
		"a UUID counts as well":             {machine: at(3, "n7", func(m *v1alpha1.Machine) { m.Spec.SystemUUID = "A1B2C3D4-E5F6-4788-99AA-BBCCDDEEFF00" }), rivals: []v1alpha1.Machine{at(1, "n8", uuid)}, want: "spec.systemUUID"},
		"an older one that was discovered":  {machine: at(2, "n7"), rivals: []v1alpha1.Machine{at(1, "n8", strange)}},
		"one that was discovered loses":     {machine: at(1, "n7", strange), rivals: []v1alpha1.Machine{at(2, "n8")}, want: "only discovered; delete it"},
		"once it is enrolled it is as old as it is": {
			machine: at(2, "n7"), rivals: []v1alpha1.Machine{at(1, "n8", strange, enrolled)}, want: `"lab/n8", which is older`,
		},
		"a UUID that a stranger told": {
			machine: at(3, "n7", func(m *v1alpha1.Machine) { m.Spec.SystemUUID = "A1B2C3D4-E5F6-4788-99AA-BBCCDDEEFF00" }),
			rivals:  []v1alpha1.Machine{at(1, "n8", uuid, strange)},
		},
		"an older one with nothing shared": {machine: at(3, "n7"), rivals: []v1alpha1.Machine{at(1, "n8", uuid)}},
	} {
		t.Run(name, func(t *testing.T) {
			got := conflict(&tc.machine, tc.rivals)
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("conflict() = %q, want %q in it", got, tc.want)
			}
		})
	}
}

func TestMachineConditions(t *testing.T) {
	good := yes("Good", "good")
	bad := func(reason string) finding { return no(reason, "because of %s", reason) }
	artifacts := func(status metav1.ConditionStatus) *metav1.Condition {
		return &metav1.Condition{Type: v1alpha1.ConditionArtifactsReady, Status: status, Reason: "X", Message: "digest"}
	}
	for name, tc := range map[string]struct {
		verdict     verdict
		artifacts   *metav1.Condition
		wantReady   metav1.ConditionStatus
		wantReason  string
		wantStalled bool
	}{
		"all is well":                      {verdict{index.Netboot, good, good, good}, nil, metav1.ConditionTrue, v1alpha1.ReasonReady, false},
		"not accepted":                     {verdict{index.Refuse, bad("A"), bad("P"), bad("R")}, nil, metav1.ConditionFalse, "A", true},
		"profile not resolved":             {verdict{index.Refuse, good, bad("P"), bad("R")}, nil, metav1.ConditionFalse, "P", true},
		"not rendered":                     {verdict{index.Netboot, good, good, bad("R")}, nil, metav1.ConditionFalse, "R", true},
		"artifacts can't be had":           {verdict{index.Netboot, good, good, good}, artifacts(metav1.ConditionFalse), metav1.ConditionFalse, v1alpha1.ReasonArtifactsNotReady, false},
		"artifacts were not asked for yet": {verdict{index.Netboot, good, good, good}, artifacts(metav1.ConditionUnknown), metav1.ConditionTrue, v1alpha1.ReasonReady, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := someMachine()
			setMachineConditions(m, verdict{index.Refuse, bad("Z"), bad("Z"), bad("Z")}, nil) // what was before must not stay
			setMachineConditions(m, tc.verdict, tc.artifacts)
			ready, stalled := find(m.Status.Conditions, v1alpha1.ConditionReady), find(m.Status.Conditions, v1alpha1.ConditionStalled)
			if ready == nil || ready.Status != tc.wantReady || ready.Reason != tc.wantReason || ready.ObservedGeneration != m.Generation {
				t.Errorf("Ready is %+v, want %s %s", ready, tc.wantReady, tc.wantReason)
			}
			if (stalled != nil) != tc.wantStalled {
				t.Errorf("Stalled is %+v, want it: %v", stalled, tc.wantStalled)
			}
		})
	}
}

func find(conditions []metav1.Condition, conditionType string) *metav1.Condition {
	for i := range conditions {
		if conditions[i].Type == conditionType {
			return &conditions[i]
		}
	}
	return nil
}
