// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"errors"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// data is what templates see.
type data struct {
	Machine struct {
		Name, Namespace, Hostname string
		MAC                       string // of the interface that boots; the first if the request does not tell
		MACs                      []string
		SystemUUID, SerialNumber  string // empty: none
		Architecture              string // empty: not known
		Variables                 map[string]string
	}
	Profile struct{ Name, Namespace string } // empty: no profile
	BootID  string

	m   *index.Machine
	r   Request
	mac index.MAC // of the interface that boots; zero: one of several
}

func newData(m *index.Machine, r Request) *data {
	d := &data{m: m, r: r, mac: r.MAC, BootID: m.BootID}
	if len(m.MACs) == 1 && d.mac.IsZero() {
		d.mac = m.MACs[0]
	}
	arch := cmp.Or(m.Architecture, r.Architecture)
	if m.Profile != nil {
		d.Profile.Name, d.Profile.Namespace = m.Profile.Name, m.Profile.Namespace
		if platform := m.Profile.Platform(arch); platform != nil {
			arch = platform.Architecture
		}
	}
	t := &d.Machine
	t.Name, t.Namespace, t.Hostname = m.Name, m.Namespace, m.Hostname
	if t.MAC = d.mac.String(); d.mac.IsZero() && len(m.MACs) > 0 {
		t.MAC = m.MACs[0].String()
	}
	for _, mac := range m.MACs {
		t.MACs = append(t.MACs, mac.String())
	}
	t.SystemUUID, t.SerialNumber = m.SystemUUID, m.SerialNumber
	t.Architecture = string(arch)
	t.Variables = m.Variables
	return d
}

// String keeps {{.}} from printing pointers.
func (d *data) String() string { return "machine " + string(d.m.Key) }

// ServerURL returns the URL of the HTTP server, without a trailing slash.
func (d *data) ServerURL() (string, error) {
	if d.r.ServerURL == "" {
		return "", errHTTPOff()
	}
	return d.r.ServerURL, nil
}

// CompleteURL, FailedURL and LogURL are reserved.
func (d *data) CompleteURL() (string, error) { return "", errNoCallbacks() }

// FailedURL is like CompleteURL.
func (d *data) FailedURL() (string, error) { return "", errNoCallbacks() }

// LogURL is like CompleteURL.
func (d *data) LogURL() (string, error) { return "", errNoCallbacks() }

func errNoCallbacks() error { return errors.New("callbacks are not served by this version") }
