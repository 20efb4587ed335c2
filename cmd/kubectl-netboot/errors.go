// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// An access is what was asked of an API server, as a Role would allow it.
type access struct {
	verb, group, resource string
	namespace             string // empty: all, or none
	name                  string // empty: no certain one
}

// String says what is accessed.
func (a access) String() string {
	what := a.resource
	if a.group != "" {
		what += "." + a.group
	}
	text := a.verb + " " + what
	if a.name != "" {
		text += " " + a.name
	}
	switch {
	case a.resource == "nodes":
		return text
	case a.namespace == "":
		return text + " in all namespaces"
	}
	return text + " in namespace " + a.namespace
}

// role says what a role must hold that allows it.
func (a access) role() string {
	kind := "a Role"
	if a.namespace == "" {
		kind = "a ClusterRole"
	}
	return fmt.Sprintf("%s with {apiGroups: [%q], resources: [%s], verbs: [%s]}", kind, a.group, a.resource, a.verb)
}

// explain adds to what a source answered what to do.
func (s *source) explain(err error, a access) error {
	var network *net.OpError
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("you may not %v; that needs %s: %w", a, a.role(), err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s does not know you: log in, or correct the user in your kubeconfig: %w", s.where, err)
	case apierrors.IsNotFound(err) && s.standalone:
		return fmt.Errorf("%s tells nothing of Machines: --server wants the address that netboot serve --manifests has for "+
			"metrics, and logs as \"Serving metrics\": %w", s.where, err)
	case apierrors.IsNotFound(err) && a.verb == "list":
		return fmt.Errorf("%s has no %s.%s: install netboot-operator there, or choose another --context: %w", s.where, a.resource, a.group, err)
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded), apierrors.IsTimeout(err):
		return fmt.Errorf("%s can't be reached: %w", s.where, err)
	}
	return fmt.Errorf("%v: %w", a, err)
}

// nearest returns the name that one was probably meant to be; empty: none is near.
func nearest(name string, names []string) string {
	best, least := "", max(len(name)/3, 2)+1
	for _, other := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(other)); d < least {
			best, least = other, d
		}
	}
	return best
}

// distance returns how many letters must be put in, taken out or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
