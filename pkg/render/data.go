// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"

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

// ConfigURL returns the URL of one of the machine's configs.
func (d *data) ConfigURL(name string) (string, error) {
	if _, err := findConfig(d.m, name); err != nil {
		return "", err
	}
	server, err := d.ServerURL()
	if err != nil {
		return "", err
	}
	return server + "/m/" + d.m.Namespace + "/" + d.m.Name + "/" + name, nil
}

// CompleteURL, FailedURL and LogURL are reserved.
func (d *data) CompleteURL() (string, error) { return "", errNoCallbacks() }

// FailedURL is like CompleteURL.
func (d *data) FailedURL() (string, error) { return "", errNoCallbacks() }

// LogURL is like CompleteURL.
func (d *data) LogURL() (string, error) { return "", errNoCallbacks() }

func errNoCallbacks() error { return errors.New("callbacks are not served by this version") }

// findConfig returns a config that can be had.
func findConfig(m *index.Machine, name string) (*index.Config, error) {
	for i := range m.Configs {
		c := &m.Configs[i]
		switch {
		case c.Name != name:
		case c.Unavailable != "":
			return nil, fmt.Errorf("config %q: %s", name, c.Unavailable)
		default:
			return c, nil
		}
	}
	return nil, &classified{fmt.Sprintf("no config %q; add it to the profile's or the machine's configs", name), fs.ErrNotExist}
}

// ConfigText returns one of the machine's texts for its installer, and its HTTP Content-Type. The error wraps
// [fs.ErrNotExist] when there is none of that name.
func ConfigText(m *index.Machine, name string, r Request) (text, contentType string, err error) {
	c, err := findConfig(m, name)
	if err == nil {
		err = r.check()
	}
	if err != nil {
		return "", "", fmt.Errorf("machine %s: %w", m.Key, err)
	}
	text, err = execute(name, c.Template, newData(m, r), maxText)
	if err != nil {
		return "", "", fmt.Errorf("machine %s: config %q: %w", m.Key, name, err)
	}
	return text, cmp.Or(c.ContentType, "text/plain; charset=utf-8"), nil
}
