// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// compile turns a BootProfile into what the servers need. from is what referencesOfArtifacts lead to; without it nothing
// can be fetched that needs credentials. The finding is that of the condition Accepted; when it is not True the profile
// can't be used and the first result is nil.
func compile(p *v1alpha1.BootProfile, from referents) (*index.Profile, finding) {
	key := keyOf(p)
	out := &index.Profile{
		Key: key, Name: p.Name, Namespace: p.Namespace,
		Payload: index.Payload(p.Spec.PayloadProtocol), LocalBoot: index.LocalBoot(p.Spec.LocalBoot),
		KernelArgs: argsOf(p.Spec.KernelArgs),
	}
	if t := p.Spec.Templates; t != nil {
		out.Templates = index.Templates{PXELINUX: t.PXELINUX, GRUB: t.GRUB, IPXE: t.IPXE}
	}

	at := func(field string, args ...any) string {
		return fmt.Sprintf("BootProfile %q spec.%s", key, fmt.Sprintf(field, args...))
	}
	for i := range p.Spec.Platforms {
		platform := &p.Spec.Platforms[i]
		to := index.Platform{
			Architecture: index.Arch(platform.Architecture),
			Kernel:       artifactOrNil(platform.Kernel, at("platforms[%d].kernel", i), from),
			UKI:          artifactOrNil(platform.UKI, at("platforms[%d].uki", i), from),
			DeviceTree:   artifactOrNil(platform.DeviceTree, at("platforms[%d].deviceTree", i), from),
		}
		for j := range platform.Initrds {
			to.Initrds = append(to.Initrds, artifactFrom(&platform.Initrds[j], at("platforms[%d].initrds[%d]", i, j), from))
		}
		if to.Kernel == nil && to.UKI == nil {
			return nil, no(v1alpha1.ReasonInvalidSpec, "spec.platforms[%d] has neither kernel nor uki: set one of them", i)
		}
		if platform.Loader != nil {
			to.LoaderBIOS, to.LoaderUEFI = string(platform.Loader.BIOS), string(platform.Loader.UEFI)
			for j := range platform.Loader.Files {
				file := &platform.Loader.Files[j]
				field := fmt.Sprintf("platforms[%d].loader.files[%d]", i, j)
				if problem := addFile(out, string(file.Name), artifactFrom(&file.Artifact, at("%s", field), from)); problem != "" {
					return nil, no(v1alpha1.ReasonInvalidSpec, "spec.%s.name: %s", field, problem)
				}
			}
		}
		out.Platforms = append(out.Platforms, to)
	}
	for i := range p.Spec.Files {
		file := &p.Spec.Files[i]
		if problem := addFile(out, string(file.Path), artifactFrom(&file.Artifact, at("files[%d]", i), from)); problem != "" {
			return nil, no(v1alpha1.ReasonInvalidSpec, "spec.files[%d].path: %s", i, problem)
		}
	}
	if len(out.Platforms) == 0 {
		return nil, no(v1alpha1.ReasonInvalidSpec, "spec.platforms is empty: add the architecture to boot")
	}
	for _, a := range out.Artifacts() {
		for _, url := range a.URLs {
			if err := artifact.CheckURL(url); err != nil {
				_, field, _ := strings.Cut(a.Field, " spec.")
				return nil, no(v1alpha1.ReasonInvalidSpec, "spec.%s: %s: %v", field, url, err)
			}
		}
	}
	return out, yes(v1alpha1.ReasonAccepted, "%s", acceptedMessage(out))
}

// addFile gives a profile's tree one more file, or says why it can't: a loader and a file, or the loaders of two
// platforms, may have the same path only with the same content.
func addFile(p *index.Profile, path string, a index.Artifact) (problem string) {
	if other := p.File(path); other != nil {
		if other.ID() != a.ID() {
			return fmt.Sprintf("%q is also the path of %s with another content: rename one of them", path, other.Field)
		}
		return ""
	}
	p.Files = append(p.Files, index.File{Path: path, Artifact: a})
	return ""
}

// acceptedMessage names what boots without a digest: that is accepted, but nobody should overlook it.
func acceptedMessage(p *index.Profile) string {
	var unverified []string
	for _, a := range p.Artifacts() {
		if a.SHA256 == "" {
			_, field, _ := strings.Cut(a.Field, " spec.")
			unverified = append(unverified, "spec."+field)
		}
	}
	if len(unverified) == 0 {
		return "the spec is understood"
	}
	return "the spec is understood; served without a digest (insecureSkipVerify): " + strings.Join(unverified, ", ")
}

func artifactOrNil(a *v1alpha1.Artifact, field string, from referents) *index.Artifact {
	if a == nil {
		return nil
	}
	return new(artifactFrom(a, field, from))
}

func artifactFrom(a *v1alpha1.Artifact, field string, from referents) index.Artifact {
	return index.Artifact{
		Field: field, URLs: append([]string{a.URL}, a.Mirrors...), SHA256: a.SHA256,
		Credentials: credentialsFrom(a.SecretRef, from),
	}
}
