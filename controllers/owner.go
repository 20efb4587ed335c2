// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// owners are what objects that a pod makes belong to. Kubernetes removes them with their owner, so that an operator that is
// uninstalled leaves none behind, although its pods may no longer delete anything by then. The zero value owns nothing.
type owners struct {
	account []metav1.OwnerReference // the ServiceAccount, for what all pods share
	pod     []metav1.OwnerReference // this pod, for its own
}

// findOwners reads the names and UIDs of this pod and its ServiceAccount from the token that the pod talks to the API server
// with: they need no permission there. A process without such a token, or one for another namespace, has no owners.
func findOwners(config *rest.Config, namespace string) (owners, error) {
	if config.BearerTokenFile == "" {
		return owners{}, nil
	}
	token, err := os.ReadFile(config.BearerTokenFile)
	if err != nil {
		return owners{}, fmt.Errorf("find out what owns the operator's objects: %w", err)
	}
	return ownersIn(string(token), namespace), nil
}

// ownersIn reads a token. One that is none of Kubernetes' for pods names no owners.
func ownersIn(token, namespace string) (o owners) {
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) != 3 {
		return o
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return o
	}
	type named struct {
		Name string    `json:"name"`
		UID  types.UID `json:"uid"`
	}
	var claims struct {
		Kubernetes struct {
			Namespace string `json:"namespace"`
			Account   named  `json:"serviceaccount"`
			Pod       named  `json:"pod"`
		} `json:"kubernetes.io"`
	}
	if err := json.Unmarshal(text, &claims); err != nil || claims.Kubernetes.Namespace != namespace {
		return o // an owner in another namespace would be taken for one that is gone
	}
	reference := func(kind string, n named) []metav1.OwnerReference {
		if n.Name == "" || n.UID == "" {
			return nil
		}
		return []metav1.OwnerReference{{APIVersion: "v1", Kind: kind, Name: n.Name, UID: n.UID}}
	}
	o.account, o.pod = reference("ServiceAccount", claims.Kubernetes.Account), reference("Pod", claims.Kubernetes.Pod)
	return o
}

// An ownedLock is a lock whose Lease has owners.
type ownedLock struct {
	resourcelock.Interface
	client          client.Client
	namespace, name string
	owners          []metav1.OwnerReference
}

// Create makes the Lease, and has the lock that is wrapped read it: that is what it updates later.
func (l *ownedLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	ctx, cancel := context.WithTimeout(ctx, renewDeadline)
	defer cancel()
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: l.name, OwnerReferences: l.owners},
		Spec:       resourcelock.LeaderElectionRecordToLeaseSpec(&record),
	}
	if err := l.client.Create(ctx, lease); err != nil {
		return err
	}
	_, _, err := l.Get(ctx)
	return err
}
