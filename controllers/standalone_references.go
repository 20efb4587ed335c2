// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/netboot-operator/netboot-operator/api/manifest"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// referable are the ConfigMaps and Secrets of a folder.
type referable struct {
	configMaps map[index.Key]*corev1.ConfigMap
	secrets    map[index.Key]*corev1.Secret
}

// newReferable returns those of set, and the last good version of what has problems now. files is told where they are.
func newReferable(set manifest.Set, before referable, files, oldFiles map[string]string, problems []manifest.Problem) referable {
	r := referable{map[index.Key]*corev1.ConfigMap{}, map[index.Key]*corev1.Secret{}}
	for i := range set.ConfigMaps {
		r.configMaps[keyOf(&set.ConfigMaps[i])] = &set.ConfigMaps[i]
	}
	for i := range set.Secrets {
		r.secrets[keyOf(&set.Secrets[i])] = &set.Secrets[i]
	}
	keepLastGood(kindConfigMap, r.configMaps, before.configMaps, files, oldFiles, problems)
	keepLastGood(kindSecret, r.secrets, before.secrets, files, oldFiles, problems)
	return r
}

// read returns what the references of one namespace lead to.
func (r referable) read(namespace string, refs []reference) referents {
	found := make(referents, len(refs))
	for _, to := range refs {
		key := index.Key(namespace + "/" + to.name)
		configMap, secret := r.configMaps[key], r.secrets[key]
		switch {
		case to.kind == kindConfigMap && configMap != nil:
			found[to] = fromConfigMap(configMap)
		case to.kind == kindSecret && secret != nil:
			found[to] = fromSecret(secret)
		default:
			found[to] = missing(namespace, to)
		}
	}
	return found
}
