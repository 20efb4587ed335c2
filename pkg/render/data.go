// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"

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

// The callbacks: what a machine tells of its boot by a POST.
const (
	CallbackComplete = "complete" // it is completed
	CallbackFailed   = "failed"   // it has failed
	CallbackLog      = "log"      // a line for the log
)

// Callbacks returns the names of all callbacks.
func Callbacks() []string { return []string{CallbackComplete, CallbackFailed, CallbackLog} }

// CallbackScope returns what a token for one of a machine's callbacks opens: who may write to the log need not be able to
// say that the boot is completed.
func CallbackScope(name string) string { return "callback/" + name }

// CompleteURL returns the URL that the machine posts to when its boot is completed.
func (d *data) CompleteURL() (string, error) { return d.callback(CallbackComplete) }

// FailedURL returns the URL that the machine posts to when its boot has failed.
func (d *data) FailedURL() (string, error) { return d.callback(CallbackFailed) }

// LogURL returns the URL that the machine posts lines for the log to.
func (d *data) LogURL() (string, error) { return d.callback(CallbackLog) }

func (d *data) callback(name string) (string, error) { return d.url(true, CallbackScope(name), name) }
