// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// discovered returns the Machine of one who asked. It boots from its own disk until somebody enrols it.
func discovered(namespace string, s stranger) *v1alpha1.Machine {
	return &v1alpha1.Machine{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: "mac-" + s.id.MAC.Hyphens(), Labels: map[string]string{LabelDiscovered: "true"},
		},
		Spec: v1alpha1.MachineSpec{
			MACAddresses: []v1alpha1.MACAddress{v1alpha1.MACAddress(s.id.MAC.String())},
			SystemUUID:   s.id.UUID, SerialNumber: s.id.Serial,
			Architecture: v1alpha1.Architecture(s.arch),
			BootPolicy:   v1alpha1.BootPolicyDisabled,
		},
	}
}

var (
	rePlausibleUUID   = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	reUUIDPlaceholder = regexp.MustCompile(`^(0+|f+|(fe)+)$`)
	// reSerial is narrower than the API, which also takes what a person has typed.
	reSerial = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ./:_-]{2,62}[A-Za-z0-9]$`)
)

// plausibleUUID returns a UUID in lower case, or nothing if it may be that of many machines: a second one would then be taken
// for the first, and get what that boots.
func plausibleUUID(text string) string {
	uuid := strings.ToLower(text)
	placeholders := []string{ // that vendors forgot to replace
		"03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009",
		"12345678-1234-5678-90ab-cddeefaabbcc", "78563412-3412-7856-90ab-cddeefaabbcc",
	}
	if !rePlausibleUUID.MatchString(uuid) || reUUIDPlaceholder.MatchString(strings.ReplaceAll(uuid, "-", "")) || slices.Contains(placeholders, uuid) {
		return ""
	}
	return uuid
}

// plausibleSerial returns a serial number, or nothing if it may be that of many machines.
func plausibleSerial(text string) string {
	serial := strings.TrimSpace(text)
	if !reSerial.MatchString(serial) {
		return ""
	}
	same := strings.ToLower(serial)
	for _, word := range []string{"o.e.m", "oem", "default", "system", "serial", "none", "not ", "unknown", "n/a", "chassis", "empty", "invalid", "string"} {
		if strings.Contains(same, word) {
			return ""
		}
	}
	if strings.HasPrefix("0123456789", same) || strings.HasPrefix("123456789012", same) || strings.Trim(same, same[:1]) == "" {
		return ""
	}
	return serial
}

// discoveryRefusal is why an unknown machine does not become a Machine. The values are the complete set of the label reason.
type discoveryRefusal string

const (
	refusedLimit discoveryRefusal = "limit" // --max-discovered
	refusedQueue discoveryRefusal = "queue" // too many wait
	refusedAPI   discoveryRefusal = "api"   // the API server refuses it
)

// discoveryMetrics tell what became of unknown machines.
type discoveryMetrics struct {
	made    prometheus.Counter
	refused *prometheus.CounterVec
}

func newDiscoveryMetrics(registry prometheus.Registerer) (*discoveryMetrics, error) {
	m := &discoveryMetrics{
		made: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "netboot_discovered_machines_total",
			Help: "Machines that this process made of unknown ones that asked (--unknown-machines=Register).",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "netboot_discovered_machines_refused_total",
			Help: "Unknown machines that asked and did not become Machines, by reason.",
		}, []string{"reason"}),
	}
	for _, why := range []discoveryRefusal{refusedLimit, refusedQueue, refusedAPI} {
		m.refused.WithLabelValues(string(why))
	}
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.made, m.refused} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of discovery: %w", err)
		}
	}
	return m, nil
}

// isArch says whether the API knows an architecture by this name.
func isArch(arch index.Arch) bool {
	switch arch {
	case "amd64", "arm64", "386", "arm", "riscv64":
		return true
	}
	return false
}
