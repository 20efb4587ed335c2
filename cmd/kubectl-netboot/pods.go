// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/pkg/boot"
)

// podLabels are those of netboot's pods, by chart and kustomize.
func podLabels() client.MatchingLabels {
	return client.MatchingLabels{"app.kubernetes.io/name": "netboot-operator"}
}

// A server is a pod that serves, or the one netboot that serves standalone.
type server struct {
	namespace, name     string // of the pod; empty: standalone
	node                string // empty: not known
	address             string // where machines reach it; empty: not known
	tftp, http, metrics uint16 // ports; 0: off
	advertise           string // --advertise-address
}

// String names the server for people.
func (v *server) String() string {
	if v.name == "" {
		return "netboot"
	}
	return "pod " + v.namespace + "/" + v.name
}

// The ports of a netboot whose flags say nothing else.
const (
	defaultTFTP    = 69
	defaultHTTP    = 8080
	defaultMetrics = 8081
)

// servers returns the pods that serve, in the order of their nodes; of node only, if that is not empty.
func (s *source) servers(ctx context.Context, node string) ([]server, error) {
	if s.standalone {
		return []server{{}}, nil
	}
	var list corev1.PodList
	if err := s.api.List(ctx, &list, podLabels(), client.InNamespace(s.pods)); err != nil {
		err = s.explain(err, access{verb: "list", resource: "pods", namespace: s.pods})
		if s.pods == "" {
			err = fmt.Errorf("%w; or name the namespace of netboot's pods with --operator-namespace", err)
		}
		return nil, err
	}
	var found []server
	for i := range list.Items {
		pod := &list.Items[i]
		if pod.Status.Phase == corev1.PodRunning && (node == "" || pod.Spec.NodeName == node) {
			found = append(found, serverOf(pod))
		}
	}
	slices.SortFunc(found, func(a, b server) int {
		return cmp.Or(strings.Compare(a.node, b.node), strings.Compare(a.namespace, b.namespace), strings.Compare(a.name, b.name))
	})
	return found, nil
}

func serverOf(pod *corev1.Pod) server {
	v := server{
		namespace: pod.Namespace, name: pod.Name, node: pod.Spec.NodeName, address: pod.Status.HostIP,
		tftp: defaultTFTP, http: defaultHTTP, metrics: defaultMetrics,
	}
	for i := range pod.Spec.Containers {
		for _, arg := range pod.Spec.Containers[i].Args {
			flag, value, _ := strings.Cut(arg, "=")
			switch flag {
			case "--tftp-bind-address":
				v.tftp = portOf(value, v.tftp)
			case "--http-bind-address":
				v.http = portOf(value, v.http)
			case "--metrics-bind-address":
				v.metrics = portOf(value, v.metrics)
			case "--advertise-address":
				v.advertise = value
			}
		}
	}
	return v
}

// portOf returns the port of ADDR:PORT, 0 of nothing, and otherwise of what can't be read.
func portOf(address string, otherwise uint16) uint16 {
	if address == "" {
		return 0
	}
	_, port, err := net.SplitHostPort(address)
	n, err2 := strconv.ParseUint(port, 10, 16)
	if err != nil || err2 != nil {
		return otherwise
	}
	return uint16(n)
}

// addresses returns what the server puts into URLs; ok is false when that is not known.
func (v *server) addresses() (a boot.Addresses, ok bool) {
	a = boot.Addresses{AdvertiseHost: v.address, HTTPPort: v.http, TFTPPort: v.tftp}
	if host, port, err := boot.ParseHostPort(v.advertise); v.advertise != "" && err == nil {
		a.AdvertiseHost, a.HTTPPort = host, cmp.Or(port, a.HTTPPort)
	}
	return a, a.AdvertiseHost != ""
}

// ask gets what a server tells at a path of its metrics address, by the API server's way to its pod.
func (s *source) ask(ctx context.Context, v *server, path string, into any) error {
	var text []byte
	var err error
	switch {
	case s.standalone:
		text, err = s.live.Get().AbsPath(path).DoRaw(ctx)
	case v.metrics == 0:
		return fmt.Errorf("%v on node %s has no metrics address", v, v.node)
	default:
		text, err = s.core.Pods(v.namespace).ProxyGet("http", v.name, strconv.Itoa(int(v.metrics)), path, nil).DoRaw(ctx)
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return s.explain(err, access{verb: "get", resource: "pods/proxy", namespace: v.namespace, name: v.name})
	}
	return nil
}

// An answer is what one server told.
type answer[T any] struct {
	server server
	told   T
	err    error
}

// askAll asks servers side by side. The error is for when none of them told anything.
func askAll[T any](ctx context.Context, s *source, servers []server, path string) ([]answer[T], error) {
	answers := make([]answer[T], len(servers))
	var asking sync.WaitGroup
	for i := range servers {
		asking.Go(func() {
			answers[i].server = servers[i]
			answers[i].err = s.ask(ctx, &servers[i], path, &answers[i].told)
		})
	}
	asking.Wait()
	var errs []error
	for i := range answers {
		if err := answers[i].err; err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 && len(errs) == len(answers) {
		return nil, errors.Join(errs...)
	}
	return answers, nil
}

// errNoServers says that no pod serves.
func (s *source) errNoServers(node string) error {
	where := "in any namespace"
	if s.pods != "" {
		where = "in namespace " + s.pods
	}
	if node != "" {
		where += " on node " + node
	}
	return fmt.Errorf("no pod of netboot-operator runs %s: install it, or correct --context and --operator-namespace", where)
}

// isAddress says whether a text is an IP address, and which.
func isAddress(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	return addr, err == nil
}
