// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/token"
)

// guarded starts a site with two machines, lab/s1 and lab/s2, whose configs need tokens.
func guarded(t *testing.T, keys ...token.Key) *site {
	t.Helper()
	ring, err := token.New(token.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) > 0 {
		ring.Use(keys...)
	}
	s := newLab(t, func(o *boot.Options) { o.Tokens = ring })
	for n, name := range map[byte]string{0x51: "s1", 0x52: "s2"} {
		s.index.Put(guardedMachine(s.index.Profile("lab/debian"), n, name))
	}
	return s
}

func guardedMachine(profile *index.Profile, n byte, name string) *index.Machine {
	return &index.Machine{
		Key: index.Key("lab/" + name), Name: name, Namespace: "lab", Hostname: name, MACs: []index.MAC{mac(n)}, BootID: "2",
		Action: index.Netboot, Profile: profile,
		KernelArgs: []string{`inst.ks={{ .ConfigURL "ks" }}`, "ds=nocloud;s={{ .SeedURL }}"},
		Configs: []index.Config{
			{Name: "ks", Template: "rootpw of {{ .Machine.Name }}\n", Token: true, Secret: true},
			{Name: "user-data", Template: "#cloud-config\nhostname: {{ .Machine.Name }}\n", Token: true},
			{Name: "open", Template: "for all\n"},
			{Name: "seed", Template: "a config of this name\n", Token: true},
			{Name: "links", Template: `{{ .ConfigURL "ks" }}`},
			{Name: "gone", Token: true, Unavailable: `Secret "keys" does not exist`},
		},
	}
}

func TestTokens(t *testing.T) {
	key := token.NewKey()
	s := guarded(t, token.NewKey(), key)
	sign := func(machine, bootID, scope string, lasts time.Duration) string {
		return token.Sign(key, token.Claim{Machine: machine, BootID: bootID, Scope: scope}, time.Now().Add(lasts))
	}
	ks, seed := sign("lab/s1", "2", "config/ks", time.Minute), sign("lab/s1", "2", "seed", time.Minute)

	const wrong = "Machine lab/s1: the token is for another machine, bootID or config, or its key is gone\n"
	for name, tc := range map[string]struct {
		path       string
		wantStatus int
		wantBody   string
	}{
		"a config":                    {"/m/lab/s1/t/" + ks + "/ks", 200, "rootpw of s1\n"},
		"a config, twice a slash":     {"/m/lab/s1/t//" + ks + "/ks", 200, "rootpw of s1\n"},
		"without":                     {"/m/lab/s1/ks", 403, "Machine lab/s1: the URL holds no token: only the one in the machine's boot config does\n"},
		"of another machine":          {"/m/lab/s1/t/" + sign("lab/s2", "2", "config/ks", time.Minute) + "/ks", 403, wrong},
		"of an older bootID":          {"/m/lab/s1/t/" + sign("lab/s1", "1", "config/ks", time.Minute) + "/ks", 403, wrong},
		"of another config":           {"/m/lab/s1/t/" + ks + "/user-data", 403, wrong},
		"of the seed for a config":    {"/m/lab/s1/t/" + seed + "/user-data", 403, wrong},
		"of the config seed":          {"/m/lab/s1/t/" + seed + "/seed", 403, wrong},
		"expired":                     {"/m/lab/s1/t/" + sign("lab/s1", "2", "config/ks", -time.Minute) + "/ks", 403, "Machine lab/s1: the token has expired: the machine gets another when it asks for its boot config\n"},
		"nonsense":                    {"/m/lab/s1/t/nonsense/ks", 403, "Machine lab/s1: the token is not one: the URL was cut or changed on its way\n"},
		"in the query":                {"/m/lab/s1/ks?t=something", 403, "Machine lab/s1: the URL holds no token: only the one in the machine's boot config does\n"},
		"a config for all":            {"/m/lab/s1/open", 200, "for all\n"},
		"a config for all, and one":   {"/m/lab/s1/t/nonsense/open", 200, "for all\n"},
		"no such config":              {"/m/lab/s1/t/" + ks + "/kickstart", 404, "Machine lab/s1 has no config \"kickstart\"\n"},
		"no such machine":             {"/m/lab/s9/t/" + ks + "/ks", 404, "no such name\n"},
		"no config named":             {"/m/lab/s1/t/" + ks, 404, "no such name\n"},
		"more below a config":         {"/m/lab/s1/t/" + ks + "/ks/more", 404, "no such name\n"},
		"a config that can't be had":  {"/m/lab/s1/t/" + sign("lab/s1", "2", "config/gone", time.Minute) + "/gone", 502, "Machine lab/s1: config \"gone\" can't be had; see its condition Rendered\n"},
		"the same, without":           {"/m/lab/s1/gone", 403, "Machine lab/s1: the URL holds no token: only the one in the machine's boot config does\n"},
		"a seed's user-data":          {"/m/lab/s1/t/" + seed + "/seed/user-data", 200, "#cloud-config\nhostname: s1\n"},
		"a seed's meta-data":          {"/m/lab/s1/t/" + seed + "/seed/meta-data", 200, "instance-id: \"lab-s1-2\"\nlocal-hostname: \"s1\"\n"},
		"a seed's vendor-data":        {"/m/lab/s1/t/" + seed + "/seed/vendor-data", 200, ""},
		"a seed's network-config":     {"/m/lab/s1/t/" + seed + "/seed/network-config", 404, "Machine lab/s1 has no config \"network-config\"\n"},
		"a seed has no other files":   {"/m/lab/s1/t/" + seed + "/seed/ks", 404, "no such name\n"},
		"a seed without":              {"/m/lab/s1/seed/meta-data", 403, "Machine lab/s1: the URL holds no token: only the one in the machine's boot config does\n"},
		"a seed by a config's":        {"/m/lab/s1/t/" + ks + "/seed/user-data", 403, wrong},
		"a seed by another machine's": {"/m/lab/s1/t/" + sign("lab/s2", "2", "seed", time.Minute) + "/seed/user-data", 403, wrong},
	} {
		t.Run(name, func(t *testing.T) {
			status, header, body := s.do(t, "", "GET", tc.path, nil)
			if status != tc.wantStatus || body != tc.wantBody {
				t.Errorf("GET: %d %q, want %d %q", status, body, tc.wantStatus, tc.wantBody)
			}
			if got := header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control: %q", got)
			}
			if got := header.Get("Referrer-Policy"); status == http.StatusOK && got != "no-referrer" {
				t.Errorf("Referrer-Policy: %q", got)
			}
			if status, _, _ := s.do(t, "", "HEAD", tc.path, nil); status != tc.wantStatus {
				t.Errorf("HEAD: %d, want %d", status, tc.wantStatus)
			}
			if status, _, body := s.do(t, "", "POST", tc.path, nil); status != http.StatusMethodNotAllowed || strings.Contains(body, "rootpw") {
				t.Errorf("POST: %d %q", status, body)
			}
			if got, text := s.askTFTP(t, "", tc.path); got != notFound || text != "no such name" {
				t.Errorf("TFTP: %s %q", got, text)
			}
		})
	}
	s.log.wantLine(t, `"Refused"`, `"status"=403`, `"file"="m/lab/s1/t/-/ks"`, "another machine, bootID or config")
	s.log.wantLine(t, `"Served"`, `"file"="m/lab/s1/t/-/seed/user-data"`)
	for _, secret := range []string{ks, seed, "rootpw"} {
		if s.log.has(secret) {
			t.Errorf("the log tells %q:\n%s", secret, strings.Join(s.log.lines, "\n"))
		}
	}
}

// TestTokensInConfigurations follows the URLs that a machine is given by each loader's configuration, and by a config.
func TestTokensInConfigurations(t *testing.T) {
	s := guarded(t, token.NewKey())
	follow := func(text, name string) string {
		t.Helper()
		_, rest, _ := strings.Cut(text, "http://"+s.http.String())
		path, _, _ := strings.Cut(rest, name)
		_, _, body := s.do(t, "", "GET", path+name, nil)
		return body
	}
	for _, file := range []string{"/pxelinux.cfg/01-52-54-00-aa-bb-51", "/grub.cfg-52:54:00:aa:bb:51", "/ipxe?mac=52-54-00-aa-bb-51"} {
		_, _, text := s.do(t, "", "GET", file, nil)
		_, args, _ := strings.Cut(text, "inst.ks=")
		if got := follow(args, "/ks"); got != "rootpw of s1\n" {
			t.Errorf("%s: its config is %q", text, got)
		}
		_, args, _ = strings.Cut(text, "ds=nocloud;s=")
		if got := follow(strings.Replace(args, "/seed/", "/seed/user-data", 1), "/seed/user-data"); got != "#cloud-config\nhostname: s1\n" {
			t.Errorf("%s: its seed is %q", text, got)
		}
	}
	_, _, text := s.do(t, "", "GET", "/m/lab/s1/links", nil)
	if got := follow(text, "/ks"); got != "rootpw of s1\n" {
		t.Errorf("%s: the config is %q", text, got)
	}

	// A new bootID ends what the old one opened.
	m := guardedMachine(s.index.Profile("lab/debian"), 0x51, "s1")
	m.BootID = "3"
	s.index.Put(m)
	if got := follow(text, "/ks"); !strings.Contains(got, "for another machine, bootID or config") {
		t.Errorf("after a new bootID: %q", got)
	}
}

// TestWithoutAKey serves all that needs none.
func TestWithoutAKey(t *testing.T) {
	s := guarded(t)
	some := token.Sign(token.NewKey(), token.Claim{Machine: "lab/s1", BootID: "2", Scope: "config/ks"}, time.Now().Add(time.Hour))
	const later = "Machine lab/s1: the key that signs tokens is not there yet; see the log of the server\n"
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/m/lab/s1/t/" + some + "/ks":        {503, later},
		"/m/lab/s1/ks":                       {503, later},
		"/m/lab/s1/seed/user-data":           {503, later},
		"/m/lab/s1/links":                    {503, later},
		"/pxelinux.cfg/01-52-54-00-aa-bb-51": {503, later},
		"/m/lab/s1/open":                     {200, "for all\n"},
		"/m/lab/n7/kickstart":                {200, "network --hostname=n7\n"},
		"/pxelinux.0":                        {200, "pxelinux.0"},
		"/pxelinux.cfg/01-52-54-00-aa-bb-ff": {404, "no Machine has MAC address 52:54:00:aa:bb:ff\n"},
		s.index.Profile("lab/debian").Platforms[0].Kernel.Path(): {200, kernelText},
	} {
		if status, _, body := s.do(t, "", "GET", path, nil); status != want.status || body != want.body {
			t.Errorf("GET %s: %d %q, want %d %q", path, status, body, want.status, want.body)
		}
	}
	if got, text := s.askTFTP(t, "", "pxelinux.cfg/01-52-54-00-aa-bb-51"); got != unavailable || text+"\n" != later {
		t.Errorf("TFTP: %s %q", got, text)
	}
}
