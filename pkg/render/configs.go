// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// SeedScope is what a token for a machine's seed opens: all files of it.
const SeedScope = "seed"

// ConfigScope returns what a token for one of a machine's configs opens. It is never SeedScope.
func ConfigScope(name string) string { return "config/" + name }

// The files of a seed, as cloud-init's data source NoCloud asks for them; each is the config of that name.
const (
	seedUserData      = "user-data"
	seedMetaData      = "meta-data"
	seedVendorData    = "vendor-data"
	seedNetworkConfig = "network-config"
)

// SeedFiles returns the names of all files that a seed may have.
func SeedFiles() []string {
	return []string{seedMetaData, seedUserData, seedVendorData, seedNetworkConfig}
}

// SeedNeedsToken says whether a machine's seed is for holders of a token only: if one of its files is.
func SeedNeedsToken(m *index.Machine) bool {
	for _, name := range SeedFiles() {
		if c := Config(m, name); c != nil && c.Token {
			return true
		}
	}
	return false
}

// Config returns the machine's config of that name, or nil.
func Config(m *index.Machine, name string) *index.Config {
	for i := range m.Configs {
		if m.Configs[i].Name == name {
			return &m.Configs[i]
		}
	}
	return nil
}

// findConfig returns a config that can be had.
func findConfig(m *index.Machine, name string) (*index.Config, error) {
	switch c := Config(m, name); {
	case c == nil:
		return nil, &classified{fmt.Sprintf("no config %q; add it to the profile's or the machine's configs", name), fs.ErrNotExist}
	case c.Unavailable != "":
		return nil, fmt.Errorf("config %q: %s", name, c.Unavailable)
	default:
		return c, nil
	}
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
		return "", "", fmt.Errorf("machine %s: config %q: %w", m.Key, name, explain(c, err))
	}
	return text, cmp.Or(c.ContentType, "text/plain; charset=utf-8"), nil
}

// SeedText returns a file of the machine's seed: its config of that name. Without one, meta-data tells instance-id and
// local-hostname and vendor-data is empty; any other is an error that wraps [fs.ErrNotExist].
func SeedText(m *index.Machine, name string, r Request) (text, contentType string, err error) {
	const yaml = "text/yaml; charset=utf-8"
	if Config(m, name) == nil {
		switch name {
		case seedMetaData:
			// A new instance-id makes cloud-init run once more: a machine that is installed anew is a new instance.
			id := m.Namespace + "-" + m.Name + "-" + m.BootID
			return "instance-id: " + quoteJSON(id) + "\nlocal-hostname: " + quoteJSON(m.Hostname) + "\n", yaml, nil
		case seedVendorData:
			return "", yaml, nil
		}
	}
	return ConfigText(m, name, r)
}

// SeedURL returns the URL of the machine's seed, with a slash at the end as cloud-init wants it.
func (d *data) SeedURL() (string, error) {
	if _, err := findConfig(d.m, seedUserData); err != nil {
		return "", err
	}
	return d.url(SeedNeedsToken(d.m), SeedScope, "seed/")
}

// ConfigURL returns the URL of one of the machine's configs.
func (d *data) ConfigURL(name string) (string, error) {
	c, err := findConfig(d.m, name)
	if err != nil {
		return "", err
	}
	return d.url(c.Token, ConfigScope(name), name)
}

// url returns the URL of what is below the machine's own path.
func (d *data) url(needsToken bool, scope, name string) (string, error) {
	server, err := d.ServerURL()
	if err != nil {
		return "", err
	}
	path := server + "/m/" + d.m.Namespace + "/" + d.m.Name + "/"
	if !needsToken {
		return path + name, nil
	}
	if d.r.Token == nil {
		return "", errors.New("tokens can't be made here")
	}
	token, err := d.r.Token(d.m, scope)
	if err != nil {
		return "", err
	}
	return path + "t/" + token + "/" + name, nil
}

// reLine finds the line in an error of text/template.
var reLine = regexp.MustCompile(`^template: [^:]*:([0-9]+):`)

// explain returns an error of the text's template for those who may see it: of a text from a Secret it tells where the
// fault is, and quotes nothing.
func explain(c *index.Config, err error) error {
	from := ""
	if c.Source != "" {
		from = c.Source + ": "
	}
	bound, isBound := errors.AsType[boundError](err)
	switch {
	case !c.Secret:
		return fmt.Errorf("%s%w", from, err)
	case isBound:
		return fmt.Errorf("%s%w", from, bound)
	}
	text := from + "the template has an error"
	if line := reLine.FindStringSubmatch(err.Error()); line != nil {
		text += " in line " + line[1]
	}
	return &classified{text + "; it is not shown, since the text is a secret", hidden{err}}
}

// hidden keeps what kind of error another one is, and nothing of its text.
type hidden struct{ err error }

func (hidden) Error() string          { return "not shown" }
func (h hidden) Is(target error) bool { return errors.Is(h.err, target) }
