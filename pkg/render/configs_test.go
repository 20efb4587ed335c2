// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

func configs(all ...index.Config) func(*index.Machine) {
	return func(m *index.Machine) { m.Configs = all }
}

// tokens answers with a token that tells what it is for.
func tokens(r *render.Request) {
	r.Token = func(m *index.Machine, scope string) (string, error) {
		return strings.NewReplacer("/", "_").Replace("TOKEN-" + string(m.Key) + "-" + m.BootID + "-" + scope), nil
	}
}

var errNoKey = errors.New("no key")

func TestURLs(t *testing.T) {
	secret := index.Config{Name: "ks", Template: "x", Token: true}
	open := index.Config{Name: "user-data", Template: "x"}
	for name, tc := range map[string]struct {
		machine  *index.Machine
		template string
		request  render.Request
		want     string
		wantErr  string
		wantIs   error
	}{
		"a config for all": {
			machine: machine(configs(open)), template: `{{ .ConfigURL "user-data" }}`, request: request(),
			want: "http://192.0.2.1:8080/m/lab/n7/user-data",
		},
		"a config with a token": {
			machine: machine(configs(secret)), template: `{{ .ConfigURL "ks" }}`, request: request(tokens),
			want: "http://192.0.2.1:8080/m/lab/n7/t/TOKEN-lab_n7-1-config_ks/ks",
		},
		"a config with a token where none can be made": {
			machine: machine(configs(secret)), template: `{{ .ConfigURL "ks" }}`, request: request(),
			wantErr: "tokens can't be made here",
		},
		"a config with a token while there is no key": {
			machine: machine(configs(secret)), template: `{{ .ConfigURL "ks" }}`, request: request(func(r *render.Request) {
				r.Token = func(*index.Machine, string) (string, error) { return "", errNoKey }
			}),
			wantErr: "no key", wantIs: errNoKey,
		},
		"a config that can't be had": {
			machine:  machine(configs(index.Config{Name: "ks", Unavailable: `Secret "keys" does not exist`})),
			template: `{{ .ConfigURL "ks" }}`, request: request(tokens),
			wantErr: `config "ks": Secret "keys" does not exist`,
		},
		"a seed for all": {
			machine: machine(configs(open)), template: `{{ .SeedURL }}`, request: request(),
			want: "http://192.0.2.1:8080/m/lab/n7/seed/",
		},
		"a seed of which one file needs a token": {
			machine:  machine(configs(open, index.Config{Name: "network-config", Token: true})),
			template: `{{ .SeedURL }}`, request: request(tokens),
			want: "http://192.0.2.1:8080/m/lab/n7/t/TOKEN-lab_n7-1-seed/seed/",
		},
		"a config called seed is not the seed": {
			machine:  machine(configs(index.Config{Name: "seed", Token: true})),
			template: `{{ .ConfigURL "seed" }}`, request: request(tokens),
			want: "http://192.0.2.1:8080/m/lab/n7/t/TOKEN-lab_n7-1-config_seed/seed",
		},
		"a seed without user-data": {
			machine: machine(configs(secret)), template: `{{ .SeedURL }}`, request: request(tokens),
			wantErr: `no config "user-data"`, wantIs: fs.ErrNotExist,
		},
		"HTTP is off": {
			machine: machine(configs(open)), template: `{{ .SeedURL }}`, request: render.Request{TFTPServer: "192.0.2.1"},
			wantErr: "HTTP is off", wantIs: errors.ErrUnsupported,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.machine.Configs = append(tc.machine.Configs, index.Config{Name: "text", Template: tc.template})
			got, _, err := render.ConfigText(tc.machine, "text", tc.request)
			if got != tc.want || (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("ConfigText() = %q, %v; want %q, %q", got, err, tc.want, tc.wantErr)
			}
			if tc.wantIs != nil && !errors.Is(err, tc.wantIs) {
				t.Errorf("the error is not %v", tc.wantIs)
			}
		})
	}
}

// TestSeedInEachFormat passes a seed's URL to the kernel: its ";" means something to GRUB's shell.
func TestSeedInEachFormat(t *testing.T) {
	m := machine(configs(index.Config{Name: "user-data", Template: "x", Token: true}), func(m *index.Machine) {
		m.KernelArgs = []string{"autoinstall", "ds=nocloud;s={{ .SeedURL }}"}
	})
	want := "autoinstall ds=nocloud;s=http://192.0.2.1:8080/m/lab/n7/t/TOKEN-lab_n7-1-seed/seed/ BOOTIF=01-52-54-00-aa-bb-01"
	for format, read := range map[render.Format]func(string) (reading, error){
		render.PXELINUX: readPXELINUX, render.GRUB: readGRUB, render.IPXE: readIPXE,
	} {
		text, err := render.Render(format, m, request(tokens))
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(string(text))
		if err != nil || got.cmdline != want {
			t.Errorf("%s: the kernel gets %q, %v; want %q", format, got.cmdline, err, want)
		}
	}
}

func TestSeedText(t *testing.T) {
	for name, tc := range map[string]struct {
		configs  []index.Config
		file     string
		want     string
		wantType string
		wantIs   error
	}{
		"meta-data of its own making": {
			file: "meta-data", want: "instance-id: \"lab-n7-1\"\nlocal-hostname: \"n7.example.com\"\n", wantType: "text/yaml; charset=utf-8",
		},
		"meta-data of the profile": {
			configs: []index.Config{{Name: "meta-data", Template: "instance-id: {{ .BootID }}\n"}},
			file:    "meta-data", want: "instance-id: 1\n", wantType: "text/plain; charset=utf-8",
		},
		"user-data": {
			configs: []index.Config{{Name: "user-data", Template: "#cloud-config\nhostname: {{ .Machine.Name }}\n", ContentType: "text/cloud-config"}},
			file:    "user-data", want: "#cloud-config\nhostname: n7\n", wantType: "text/cloud-config",
		},
		"no user-data":      {file: "user-data", wantIs: fs.ErrNotExist},
		"no vendor-data":    {file: "vendor-data", wantType: "text/yaml; charset=utf-8"},
		"no network-config": {file: "network-config", wantIs: fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			got, contentType, err := render.SeedText(machine(configs(tc.configs...)), tc.file, request())
			if got != tc.want || contentType != tc.wantType || !errors.Is(err, tc.wantIs) {
				t.Errorf("SeedText() = %q, %q, %v; want %q, %q, %v", got, contentType, err, tc.want, tc.wantType, tc.wantIs)
			}
		})
	}
}

// TestSecretTextsAreNotQuoted has a fault of each kind in a text from a Secret.
func TestSecretTextsAreNotQuoted(t *testing.T) {
	const secret = "hunter2"
	for name, tc := range map[string]struct {
		template string
		want     string // at the end
	}{
		"it does not parse":         {"a\n{{ " + secret + " }", "has an error in line 2; it is not shown, since the text is a secret"},
		"an unknown function":       {"a\nb\n{{ " + secret + " . }}", "has an error in line 3; it is not shown, since the text is a secret"},
		"an unknown key":            {`{{ .Machine.Variables.` + secret + ` }}`, "has an error in line 1; it is not shown, since the text is a secret"},
		"an unknown config":         {`{{ .ConfigURL "` + secret + `" }}`, "has an error in line 1; it is not shown, since the text is a secret"},
		"a function that refuses":   {`{{ printf "%999d` + secret + `" 1 }}`, "has an error in line 1; it is not shown, since the text is a secret"},
		"a value of the wrong kind": {`{{ indent "` + secret + `" "x" }}`, "has an error in line 1; it is not shown, since the text is a secret"},
		"it calls another":          {`{{ define "` + secret + `" }}{{ end }}{{ template "` + secret + `" }}`, "templates can't call others: no template and block actions"},
		"it does too much":          {`{{ range 1000000000 }}` + secret + `{{ end }}`, "the template does too much; use fewer loops and shorter texts"},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine(configs(index.Config{Name: "ks", Template: tc.template, Secret: true, Source: `Secret "keys" key "ks"`}))
			_, _, err := render.ConfigText(m, "ks", request())
			if err == nil {
				t.Fatal("no error")
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if strings.Contains(e.Error(), secret) {
					t.Errorf("the error quotes the secret: %v", e)
				}
			}
			if text := err.Error(); !strings.HasPrefix(text, `machine lab/n7: config "ks": Secret "keys" key "ks": `) || !strings.HasSuffix(text, tc.want) {
				t.Errorf("error = %q, want %q at its end", text, tc.want)
			}
			m.Configs[0].Secret = false
			if _, _, err := render.ConfigText(m, "ks", request()); err == nil {
				t.Error("it is no error when the text is no secret")
			}
		})
	}
}

// FuzzSecretTexts: whatever stands in a text from a Secret, and wherever in it the secret is, no error tells it.
func FuzzSecretTexts(f *testing.F) {
	f.Add("{{ ", " }}")
	f.Add(`{{ .Machine.Variables.`, ` }}`)
	f.Add(`{{ printf "%`, `" 1 | quoteIPXE }}`)
	f.Add(`{{ define "`, `" }}`)
	f.Add(`{{ "`, `" | index .Machine.MACs }}`)
	f.Add("a\n{{/* ", "")
	f.Add(`{{ .ConfigURL "`, `" }}{{ .SeedURL }}`)
	f.Fuzz(func(t *testing.T, before, after string) {
		m := machine(configs(index.Config{Name: "ks", Template: before + "hunter2" + after, Secret: true}))
		if _, _, err := render.ConfigText(m, "ks", request()); err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error tells the secret: %v", err)
		}
	})
}
