// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// The kinds that our own refer to.
const (
	kindConfigMap = "ConfigMap"
	kindSecret    = "Secret"
)

// A reference names a ConfigMap or Secret in the namespace of the object that refers to it.
type reference struct{ kind, name string }

// String returns the reference for messages.
func (r reference) String() string { return fmt.Sprintf("%s %q", r.kind, r.name) }

// A referent is what a reference leads to. It never prints its data.
type referent struct {
	data  map[string][]byte
	fault *finding // why it can't be had; nil: data is there
}

// String keeps a referent from printing what may be a secret.
func (referent) String() string { return "REDACTED" }

// GoString is like String.
func (referent) GoString() string { return "REDACTED" }

// referents are what references lead to. What was not looked for is as good as not there.
type referents map[reference]referent

func fromConfigMap(o *corev1.ConfigMap) referent {
	data := make(map[string][]byte, len(o.Data)+len(o.BinaryData))
	for key, value := range o.Data {
		data[key] = []byte(value)
	}
	maps.Copy(data, o.BinaryData)
	return referent{data: data}
}

func fromSecret(o *corev1.Secret) referent { return referent{data: o.Data} }

func faulty(reason, format string, args ...any) referent {
	return referent{fault: new(no(reason, format, args...))}
}

// missing is the referent that does not exist.
func missing(namespace string, to reference) referent {
	return faulty(to.reasons().notFound, "%s does not exist in namespace %q; create it or correct the name", to, namespace)
}

func (s referents) get(to reference) referent {
	if found, ok := s[to]; ok {
		return found
	}
	return faulty(v1alpha1.ReasonSourceUnreadable, "%s was not looked for", to)
}

// value returns one key of what a reference leads to, or says why it can't be had.
func (s referents) value(to reference, key string) ([]byte, *finding) {
	from := s.get(to)
	if from.fault != nil {
		return nil, from.fault
	}
	value, ok := from.data[key]
	if !ok {
		return nil, new(no(to.reasons().keyNotFound, "%s has no key %q; add it or correct the key", to, key))
	}
	return value, nil
}

type referenceReasons struct{ notFound, keyNotFound string }

func (r reference) reasons() referenceReasons {
	if r.kind == kindSecret {
		return referenceReasons{v1alpha1.ReasonSecretNotFound, v1alpha1.ReasonSecretKeyNotFound}
	}
	return referenceReasons{v1alpha1.ReasonConfigMapNotFound, v1alpha1.ReasonConfigMapKeyNotFound}
}

// referencesOfConfigs returns what configs refer to.
func referencesOfConfigs(configs []v1alpha1.Config) []reference {
	var all []reference
	for i := range configs {
		if to, _ := referenceOf(&configs[i]); to != nil {
			all = append(all, *to)
		}
	}
	return all
}

// referenceOf returns where a config's text comes from, or nil if it brings its own; and which key it is there.
func referenceOf(c *v1alpha1.Config) (to *reference, key string) {
	switch {
	case c.ConfigMapKeyRef != nil:
		return &reference{kindConfigMap, c.ConfigMapKeyRef.Name}, c.ConfigMapKeyRef.Key
	case c.SecretKeyRef != nil:
		return &reference{kindSecret, c.SecretKeyRef.Name}, c.SecretKeyRef.Key
	}
	return nil, ""
}

// referencesOfArtifacts returns the Secrets that hold the credentials of a profile's artifacts.
func referencesOfArtifacts(p *v1alpha1.BootProfile) []reference {
	var all []reference
	add := func(artifacts ...*v1alpha1.Artifact) {
		for _, a := range artifacts {
			if a != nil && a.SecretRef != nil {
				all = append(all, reference{kindSecret, a.SecretRef.Name})
			}
		}
	}
	for i := range p.Spec.Platforms {
		platform := &p.Spec.Platforms[i]
		add(platform.Kernel, platform.UKI, platform.DeviceTree)
		for j := range platform.Initrds {
			add(&platform.Initrds[j])
		}
		if platform.Loader != nil {
			for j := range platform.Loader.Files {
				add(&platform.Loader.Files[j].Artifact)
			}
		}
	}
	for i := range p.Spec.Files {
		add(&p.Spec.Files[i].Artifact)
	}
	return unique(all)
}

// referencesOf returns what must be looked for to resolve a Machine. Either object may be nil.
func referencesOf(m *v1alpha1.Machine, p *v1alpha1.BootProfile) []reference {
	var all []reference
	if m != nil {
		all = append(all, referencesOfConfigs(m.Spec.Configs)...)
	}
	if p != nil {
		all = append(all, referencesOfConfigs(p.Spec.Configs)...)
		all = append(all, referencesOfArtifacts(p)...)
	}
	return unique(all)
}

func unique(all []reference) []reference {
	seen := map[reference]bool{}
	return slices.DeleteFunc(all, func(r reference) bool {
		again := seen[r]
		seen[r] = true
		return again
	})
}

// mergeConfigs puts the machine's configs in the place of the profile's with the same name, and the others after them. The
// findings say of which the text can't be had.
func mergeConfigs(p *v1alpha1.BootProfile, m *v1alpha1.Machine, from referents) ([]index.Config, []finding) {
	merged := make([]index.Config, 0, len(p.Spec.Configs)+len(m.Spec.Configs))
	faults := map[string]finding{} // by the config's name
	put := func(owner string, configs []v1alpha1.Config) {
		for i := range configs {
			c, fault := configFrom(&configs[i], fmt.Sprintf("%s spec.configs[%d]", owner, i), from)
			delete(faults, c.Name)
			if fault != nil {
				faults[c.Name] = *fault
			}
			if at := slices.IndexFunc(merged, func(other index.Config) bool { return other.Name == c.Name }); at >= 0 {
				merged[at] = c
			} else {
				merged = append(merged, c)
			}
		}
	}
	put(fmt.Sprintf("%s %q", kindBootProfile, p.Name), p.Spec.Configs)
	put(fmt.Sprintf("%s %q", kindMachine, m.Name), m.Spec.Configs)

	var all []finding
	for i := range merged {
		if fault, ok := faults[merged[i].Name]; ok {
			all = append(all, fault)
		}
	}
	return merged, all
}

// configFrom returns a config with its text. field is where it stands.
func configFrom(c *v1alpha1.Config, field string, from referents) (index.Config, *finding) {
	out := index.Config{Name: c.Name, ContentType: c.ContentType, Token: c.Access != v1alpha1.ConfigAccessNetwork}
	to, key := referenceOf(c)
	if to == nil {
		if c.Template != nil {
			out.Template = *c.Template
		}
		return out, nil
	}
	out.Secret = to.kind == kindSecret
	out.Source = fmt.Sprintf("%s key %q", to, key)
	value, fault := from.value(*to, key)
	if fault != nil {
		ref := "configMapKeyRef"
		if out.Secret {
			ref = "secretKeyRef"
		}
		told := no(fault.Reason, "%s.%s: %s", field, ref, fault.Message)
		out.Unavailable = told.Message
		return out, &told
	}
	out.Template = string(value)
	return out, nil
}

// The keys of a Secret with credentials. Those for user and password are the ones of the type kubernetes.io/basic-auth.
const (
	keyUsername    = corev1.BasicAuthUsernameKey
	keyPassword    = corev1.BasicAuthPasswordKey
	keyBearerToken = "bearerToken"
	keyCA          = "ca.crt"
)

// credentialsFrom returns what the servers of an artifact want to see. When that can't be had it says so to whoever
// fetches: what is in the cache already is served all the same.
func credentialsFrom(ref *v1alpha1.SecretReference, from referents) *index.Credentials {
	if ref == nil {
		return nil
	}
	to := reference{kindSecret, ref.Name}
	secret := from.get(to)
	if secret.fault != nil {
		return &index.Credentials{Unavailable: "secretRef: " + secret.fault.Message}
	}
	text := func(key string) string { // an editor's line end is no part of it
		return string(bytes.TrimRight(secret.data[key], "\r\n"))
	}
	c := &index.Credentials{
		Username:     text(keyUsername),
		Password:     text(keyPassword),
		BearerToken:  text(keyBearerToken),
		CA:           secret.data[keyCA],
		DockerConfig: secret.data[corev1.DockerConfigJsonKey],
	}
	if c.Equal(&index.Credentials{}) {
		c.Unavailable = fmt.Sprintf("secretRef: %s has none of the keys %s and %s, %s, %s, %s; add what the server wants",
			to, keyUsername, keyPassword, keyBearerToken, keyCA, corev1.DockerConfigJsonKey)
	}
	return c
}
