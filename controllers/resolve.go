// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// A verdict is what was found out about a Machine: what it gets, and the conditions that say so.
type verdict struct {
	action          index.Action
	accepted        finding
	profileResolved finding
	rendered        finding
}

// object is what both kinds have.
type object interface {
	GetNamespace() string
	GetName() string
}

func keyOf(o object) index.Key { return index.Key(o.GetNamespace() + "/" + o.GetName()) }

// resolve decides what a Machine boots. profile is the BootProfile that it names, or nil when there is none of that
// name; from is what their references lead to. The entry is what the servers answer from; it is nil only when the Machine has no valid identity at all.
//
// It looks at nothing else: that an older Machine owns an identity is the index's to know and conflict's to tell.
func resolve(m *v1alpha1.Machine, profile *v1alpha1.BootProfile, from referents) (*index.Machine, verdict) {
	entry, accepted := identify(m)
	if entry == nil {
		return nil, verdict{
			action:          index.Refuse,
			accepted:        accepted,
			profileResolved: notTried(v1alpha1.ReasonInvalidSpec),
			rendered:        notTried(v1alpha1.ReasonNotRendered),
		}
	}

	compiled, resolved := resolveProfile(m, profile, from)
	v := verdict{accepted: accepted, profileResolved: resolved, rendered: notTried(v1alpha1.ReasonNotRendered)}
	if compiled != nil {
		entry.Profile = compiled
		entry.KernelArgs = render.MergeKernelArgs(argsOf(profile.Spec.KernelArgs), argsOf(m.Spec.KernelArgs))
		var faults []finding
		entry.Configs, faults = mergeConfigs(profile, m, from)
		entry.LocalBoot = index.LocalBoot(profile.Spec.LocalBoot)
		callback := false
		v.rendered, callback = dryRender(entry, faults)
		entry.CompleteOn = completesOn(m, callback)
	}
	if resolved.Reason == v1alpha1.ReasonNoProfile {
		v.rendered = yes(v1alpha1.ReasonRendered, "the machine boots from its own disk: there is nothing to render")
	}

	switch {
	case bootsLocally(m), resolved.Reason == v1alpha1.ReasonNoProfile:
		entry.Action = index.BootLocal
	case compiled == nil:
		entry.Action, entry.Refusal, entry.RefusalReason = index.Refuse, resolved.Message, resolved.Reason
	default:
		entry.Action = index.Netboot
	}
	v.action = entry.Action
	return entry, v
}

// notTried is the finding of a condition that an earlier one leaves without an answer.
func notTried(reason string) finding {
	return no(reason, "not tried: see the other conditions")
}

// completesOn says what completes a boot of m; callback: some text that it gets asks for the URL to call back.
func completesOn(m *v1alpha1.Machine, callback bool) string {
	switch {
	case m.Spec.CompleteOn != "":
		return string(m.Spec.CompleteOn)
	case callback:
		return string(v1alpha1.CompleteOnCallback)
	}
	return string(v1alpha1.CompleteOnPayloadServed)
}

// bootsLocally says whether the policy keeps the machine from its profile now.
func bootsLocally(m *v1alpha1.Machine) bool {
	switch m.Spec.BootPolicy {
	case v1alpha1.BootPolicyDisabled:
		return true
	case v1alpha1.BootPolicyContinuous:
		return false
	}
	return m.Status.BootID != "" && m.Status.BootID == m.Spec.BootID // Once, and done
}

// identify reads who the machine is. Schema and CEL checked all of it at apply; an object that was stored under an older
// schema may still hold what is refused today.
func identify(m *v1alpha1.Machine) (*index.Machine, finding) {
	entry := &index.Machine{
		Key:          keyOf(m),
		Created:      m.CreationTimestamp.Time,
		Name:         m.Name,
		Namespace:    m.Namespace,
		Hostname:     m.Spec.Hostname,
		SystemUUID:   strings.ToLower(m.Spec.SystemUUID),
		SerialNumber: m.Spec.SerialNumber,
		Architecture: index.Arch(m.Spec.Architecture),
		BootID:       m.Spec.BootID,
		Once:         m.Spec.BootPolicy != v1alpha1.BootPolicyContinuous && m.Spec.BootPolicy != v1alpha1.BootPolicyDisabled,
		Variables:    map[string]string{},
	}
	if m.Labels[LabelDiscovered] == "true" && m.Spec.ProfileRef == nil {
		// Anybody can have said so: it is kept for who enrols the machine, and takes nothing from another one until then.
		entry.Discovered, entry.SystemUUID, entry.SerialNumber = true, "", ""
	}
	if b := m.Status.LastBoot; b != nil && b.BootID == m.Spec.BootID {
		entry.Boots = int(m.Status.BootsSinceCompletion)
	}
	if entry.Hostname == "" {
		entry.Hostname = m.Name
	}
	for name, value := range m.Spec.Variables {
		entry.Variables[name] = string(value)
	}
	accepted := yes(v1alpha1.ReasonAccepted, "the spec is understood")
	for i, text := range m.Spec.MACAddresses {
		mac, err := index.ParseMAC(string(text))
		if err != nil {
			accepted = no(v1alpha1.ReasonInvalidSpec, "spec.macAddresses[%d]: %v", i, err)
			continue
		}
		if !slices.Contains(entry.MACs, mac) {
			entry.MACs = append(entry.MACs, mac)
		}
	}
	if len(entry.MACs) == 0 {
		return nil, accepted
	}
	return entry, accepted
}

// resolveProfile finds out whether the machine can use its profile. The first result is nil when it can't.
func resolveProfile(m *v1alpha1.Machine, profile *v1alpha1.BootProfile, from referents) (*index.Profile, finding) {
	if m.Spec.ProfileRef == nil {
		return nil, yes(v1alpha1.ReasonNoProfile, "spec.profileRef is not set: the machine boots from its own disk")
	}
	name := m.Spec.ProfileRef.Name
	if profile == nil {
		return nil, no(v1alpha1.ReasonProfileNotFound,
			"BootProfile %q does not exist in namespace %q; create it or change spec.profileRef", name, m.Namespace)
	}
	compiled, accepted := compile(profile, from)
	if compiled == nil {
		return nil, no(v1alpha1.ReasonProfileNotAccepted, "BootProfile %q is not accepted: %s", name, accepted.Message)
	}
	arch := index.Arch(m.Spec.Architecture)
	if compiled.Platform(arch) == nil {
		have := make([]string, 0, len(compiled.Platforms))
		for i := range compiled.Platforms {
			have = append(have, string(compiled.Platforms[i].Architecture))
		}
		return nil, no(v1alpha1.ReasonArchitectureNotInProfile,
			"BootProfile %q has no platform for spec.architecture %q, only for %s; add one or change spec.architecture",
			name, arch, strings.Join(have, ", "))
	}
	return compiled, yes(v1alpha1.ReasonProfileResolved, "BootProfile %q is found and has what the machine needs", name)
}

func argsOf(args []v1alpha1.KernelArgument) []string {
	out := make([]string, 0, len(args))
	for _, a := range args {
		out = append(out, string(a))
	}
	return out
}

// dryRender renders what the machine could ask for: the configuration of every loader, on the machine's architecture or
// on each of the profile's, and the configs and the seed that are served. faults say which configs can't be had: they come
// first, and what only follows from them is not told. callback says whether one of them asks for the URL by which a machine
// says that its boot is completed; where not all of them could be looked at, it may be so.
func dryRender(entry *index.Machine, faults []finding) (f finding, callback bool) {
	trial := *entry
	trial.Action = index.Netboot
	request := render.Request{
		ServerURL: "http://192.0.2.1:8080", TFTPServer: "192.0.2.1", Over: render.HTTP, // RFC 5737: nobody's address
		Token: func(_ *index.Machine, scope string) (string, error) {
			callback = callback || scope == render.CallbackScope(render.CallbackComplete)
			return "TOKEN", nil
		},
	}
	if len(faults) > 0 {
		messages := make([]string, 0, len(faults))
		for _, f := range faults {
			messages = append(messages, f.Message)
		}
		return no(faults[0].Reason, "%s", strings.Join(messages, "; ")), true
	}
	var problems []string
	tell := func(err error) {
		// Unsupported is what a loader can never do, such as PXELINUX with a UKI: others do it.
		if err != nil && !errors.Is(err, errors.ErrUnsupported) && !slices.Contains(problems, err.Error()) {
			problems = append(problems, err.Error())
		}
	}
	for i := range entry.Profile.Platforms {
		platform := &entry.Profile.Platforms[i]
		if entry.Architecture != "" && entry.Architecture != platform.Architecture {
			continue
		}
		request.Architecture = platform.Architecture
		if _, err := render.KernelArgs(&trial, request); err != nil {
			tell(err) // each format would say the same
			continue
		}
		for _, format := range render.Formats() {
			_, err := render.Render(format, &trial, request)
			tell(err)
		}
	}
	for i := range entry.Configs {
		_, _, err := render.ConfigText(&trial, entry.Configs[i].Name, request)
		tell(err)
	}
	if len(problems) > 0 {
		return no(v1alpha1.ReasonTemplateError, "%s", strings.Join(problems, "; ")), true
	}
	return yes(v1alpha1.ReasonRendered, "the configurations of PXELINUX, GRUB and iPXE render"), callback
}

// conflict says which identity of m an older machine owns, and which machine that is; empty when m has all of its own.
// rivals may hold machines that share nothing with m, and m itself.
func conflict(m *v1alpha1.Machine, rivals []v1alpha1.Machine) string {
	mine, _ := identify(m)
	if mine == nil {
		return ""
	}
	var winner *index.Machine
	var field string
	for i := range rivals {
		theirs, _ := identify(&rivals[i])
		if theirs == nil || theirs.Key == mine.Key || !theirs.Precedes(mine) {
			continue
		}
		shared := sharedIdentity(mine, theirs)
		if shared == "" || winner != nil && winner.Precedes(theirs) {
			continue
		}
		winner, field = theirs, shared
	}
	if winner == nil {
		return ""
	}
	if mine.Discovered && !winner.Discovered {
		return fmt.Sprintf("%s belongs to Machine %q, and this one was only discovered; delete it", field, winner.Key)
	}
	return fmt.Sprintf("%s already belongs to Machine %q, which is older; remove it from one of the two", field, winner.Key)
}

func sharedIdentity(a, b *index.Machine) string {
	for _, mac := range a.MACs {
		if slices.Contains(b.MACs, mac) {
			return "spec.macAddresses: " + mac.String()
		}
	}
	if a.SystemUUID != "" && a.SystemUUID == b.SystemUUID {
		return "spec.systemUUID: " + a.SystemUUID
	}
	if a.SerialNumber != "" && a.SerialNumber == b.SerialNumber {
		return "spec.serialNumber: " + a.SerialNumber
	}
	return ""
}
