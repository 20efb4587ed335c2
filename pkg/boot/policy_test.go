// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/ledger"
	"github.com/netboot-operator/netboot-operator/pkg/token"
)

// installer is a machine that is told where to call back.
const installer = 0x61

const installerUUID = "b1b2c3d4-e5f6-4788-99aa-bbccddeeff61"

// reporting starts a site with a machine, lab/installer, that may call back, and returns the URLs that it is told.
func reporting(t *testing.T, l boot.Ledger, edits ...func(*boot.Options)) *site {
	t.Helper()
	ring, err := token.New(token.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ring.Use(token.NewKey())
	s := newLab(t, append(edits, func(o *boot.Options) { o.Tokens, o.Ledger = ring, l })...)
	s.index.Put(s.installer("1", index.Netboot, true))
	return s
}

func (s *site) installer(bootID string, action index.Action, once bool) *index.Machine {
	return &index.Machine{
		Key: "lab/installer", Name: "installer", Namespace: "lab", Hostname: "installer", MACs: []index.MAC{mac(installer)},
		SystemUUID: installerUUID, BootID: bootID, Once: once, Action: action, Profile: s.index.Profile("lab/debian"),
		KernelArgs: []string{"done={{ .CompleteURL }}", "failed={{ .FailedURL }}", "log={{ .LogURL }}"},
		Configs:    []index.Config{{Name: "kickstart", Template: "reboot\n"}, {Name: "log", Template: "a config of this name\n"}},
		CompleteOn: string(attempt.CompleteOnCallback),
	}
}

// told returns the path of a URL in the kernel arguments of lab/installer.
func (s *site) told(t *testing.T, argument string) string {
	t.Helper()
	_, text := s.askHTTP(t, "", by("/pxelinux.cfg/01-%s", installer))
	_, rest, found := strings.Cut(text, argument+"=http://"+s.http.String())
	if !found {
		t.Fatalf("no %s in %q", argument, text)
	}
	return strings.Fields(rest)[0]
}

// TestPolicy asks by each route and loader, over each server, before and after all that decides whether a machine boots its
// profile.
func TestPolicy(t *testing.T) {
	const kernel, disk = "/artifacts/sha256/", "# machine lab/installer, profile lab/debian\n"
	routes := []struct{ loader, name string }{
		{"PXELINUX", by("pxelinux.cfg/01-%s", installer)},
		{"PXELINUX, by UUID", "pxelinux.cfg/" + installerUUID},
		{"PXELINUX, in a folder", by("boot/pxelinux.cfg/01-%s", installer)},
		{"GRUB", by("grub/grub.cfg-01-%s", installer)},
		{"GRUB, signed", "EFI/debian/grub.cfg-" + mac(installer).String()},
		{"GRUB, as Cobbler names it", "grub/system/" + mac(installer).String()},
		{"iPXE", by("ipxe/%s/boot.ipxe", installer)},
		{"iPXE, flat", by("%s.ipxe", installer)},
		{"iPXE, as Foreman names it", by("pxelinux.cfg/01-%s.ipxe", installer)},
	}
	policies := map[string]func(s *site, bootID string) *index.Machine{
		"Once":       func(s *site, id string) *index.Machine { return s.installer(id, index.Netboot, true) },
		"Continuous": func(s *site, id string) *index.Machine { return s.installer(id, index.Netboot, false) },
		"Disabled":   func(s *site, id string) *index.Machine { return s.installer(id, index.BootLocal, false) },
	}
	boots := func(n int) func(t *testing.T, s *site, l *ledger.Ledger) {
		return func(t *testing.T, _ *site, l *ledger.Ledger) {
			t.Helper()
			for i := range n {
				wantNil(t, l.Begin(ledger.Boot{Machine: "lab/installer", BootID: "1"}, time.Unix(int64(60*i), 0)))
			}
		}
	}
	counted := func(t *testing.T, s *site, _ *ledger.Ledger) {
		t.Helper()
		m := *s.index.Machine("lab/installer")
		m.Boots = ledger.MaxBoots
		s.index.Put(&m)
	}
	calls := func(argument string) func(t *testing.T, s *site, l *ledger.Ledger) {
		return func(t *testing.T, s *site, _ *ledger.Ledger) {
			t.Helper()
			if m := s.index.Machine("lab/installer"); m.Action == index.BootLocal {
				return // nobody tells it where to call
			}
			if status, _, body := s.do(t, "", http.MethodPost, s.told(t, argument), nil); status != http.StatusOK {
				t.Fatalf("POST: %d %q", status, body)
			}
		}
	}
	files := func(t *testing.T, s *site, l *ledger.Ledger) {
		t.Helper()
		m := *s.index.Machine("lab/installer")
		m.CompleteOn = string(attempt.CompleteOnPayloadServed)
		s.index.Put(&m)
		wantNil(t, l.Complete(ledger.Boot{Machine: m.Key, BootID: m.BootID}, "PayloadServed", time.Now()))
	}
	states := map[string]struct {
		happened  func(t *testing.T, s *site, l *ledger.Ledger)
		thenID    string // the bootID afterwards; empty: the same
		wantBoots string // the policies that boot the profile then
		wantTexts string // and those that get texts for the installer
	}{
		"at first":               {wantBoots: "Once Continuous", wantTexts: "Once Continuous"},
		"after two boots":        {happened: boots(2), wantBoots: "Once Continuous", wantTexts: "Once Continuous"},
		"in the third boot":      {happened: boots(3), wantBoots: "Once Continuous", wantTexts: "Once Continuous"}, // read once more
		"after three boots":      {happened: counted, wantBoots: "Continuous", wantTexts: "Once Continuous"},
		"after four boots":       {happened: boots(4), wantBoots: "Continuous", wantTexts: "Once Continuous"}, // two pods at once
		"released":               {happened: boots(3), thenID: "2", wantBoots: "Once Continuous", wantTexts: "Once Continuous"},
		"completed by callback":  {happened: calls("done"), wantBoots: "Continuous", wantTexts: "Continuous"},
		"completed by its files": {happened: files, wantBoots: "Continuous", wantTexts: "Once Continuous"}, // the installer begins
		"armed again":            {happened: calls("done"), thenID: "2", wantBoots: "Once Continuous", wantTexts: "Once Continuous"},
		"failed by callback":     {happened: calls("failed"), wantBoots: "Once Continuous", wantTexts: "Once Continuous"},
		"after a line to be log": {happened: calls("log"), wantBoots: "Once Continuous", wantTexts: "Once Continuous"},
	}
	for policy, machine := range policies {
		for state, tc := range states {
			t.Run(policy+" "+state, func(t *testing.T) {
				l, err := ledger.Open("")
				if err != nil {
					t.Fatal(err)
				}
				s := reporting(t, l)
				s.index.Put(machine(s, "1"))
				if tc.happened != nil {
					tc.happened(t, s, l)
				}
				if tc.thenID != "" {
					s.index.Put(machine(s, tc.thenID))
				}
				wantBoots, wantTexts := strings.Contains(tc.wantBoots, policy), strings.Contains(tc.wantTexts, policy)
				for _, v := range s.visitors("") {
					for _, route := range routes {
						got, text := v.ask(t, route.name)
						if got != served || strings.Contains(text, kernel) != wantBoots || !strings.Contains(text, disk) {
							t.Errorf("%s, %s %s: %s %q; want that it boots the profile: %v", v.over, route.loader, route.name, got, text, wantBoots)
						}
					}
					if got, text := v.ask(t, mac(installer).Hyphens()+"/overlays/vc4.dtbo"); (got == served) != wantBoots {
						t.Errorf("%s, a file below the MAC address: %s %q", v.over, got, text)
					}
					kernelFile := "artifacts/" + string(s.index.Profile("lab/debian").Platforms[0].Kernel.ID()) + "/linux"
					if got, text := v.ask(t, kernelFile); got != served || text != kernelText {
						t.Errorf("%s, the kernel, which a boot may just be fetching: %s %q", v.over, got, text)
					}
				}
				if got, text := s.askHTTP(t, "", fmt.Sprintf("/ipxe?mac=%s", mac(installer))); got != served || strings.Contains(text, kernel) != wantBoots {
					t.Errorf("iPXE's query: %s %q", got, text)
				}
				if got, text := s.askHTTP(t, "", "/m/lab/installer/kickstart"); (got == served) != wantTexts {
					t.Errorf("a text for the installer: %s %q", got, text)
				}
			})
		}
	}
}

// Machines that are in no Machine boot the default profile, and nothing else is theirs.
func TestDefaultProfile(t *testing.T) {
	s := newLab(t, func(o *boot.Options) { o.DefaultProfile = "lab/debian" })
	for _, v := range s.visitors("") {
		for _, format := range []string{"pxelinux.cfg/01-%s", "grub.cfg-01-%s", "ipxe/%s/boot.ipxe"} {
			if got, text := v.ask(t, by(format, unknown)); got != served || !strings.Contains(text, "/artifacts/sha256/") {
				t.Errorf("%s %s: %s %q", v.over, format, got, text)
			}
		}
		if got, text := v.ask(t, mac(unknown).Hyphens()+"/overlays/vc4.dtbo"); got != notFound {
			t.Errorf("%s: %s %q", v.over, got, text)
		}
		if got, text := v.ask(t, by("pxelinux.cfg/01-%s", refused)); got != notFound || !strings.Contains(text, `"gone"`) {
			t.Errorf("%s, a Machine without its profile: %s %q", v.over, got, text)
		}
	}
	s.index.DeleteProfile("lab/debian")
	if got, text := s.askTFTP(t, "", by("pxelinux.cfg/01-%s", unknown)); got != notFound {
		t.Errorf("without the profile: %s %q", got, text)
	}
}

// A failing ledger is one whose disk takes nothing.
type failingLedger struct{ *ledger.Ledger }

func (failingLedger) Completed(*index.Machine, time.Time) error { return errors.New("no space left") }

func (failingLedger) Failed(*index.Machine, string, time.Time) error {
	return errors.New("no space left")
}

func TestCallbacks(t *testing.T) {
	good, err := ledger.Open("")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		method, path string // {done}, {failed}, {log}: the URL that the machine was told
		kind, body   string
		ledger       boot.Ledger
		wantStatus   int
		wantBody     string
		wantLog      []string
	}{
		"completed":            {"POST", "{done}", "", "", good, 200, "ok\n", []string{`"Machine reports"`, `"callback"="complete"`}},
		"completed, once more": {"POST", "{done}", "", "", good, 200, "ok\n", nil},
		"cloud-init's phone_home": {
			"POST", "{done}", "application/x-www-form-urlencoded", "pub_key_rsa=ssh-rsa+AAAA&instance_id=i-1&hostname=n", good, 200, "ok\n",
			[]string{`"callback"="complete"`, `"message"=""`},
		},
		"failed": {
			"POST", "{failed}", "application/x-www-form-urlencoded", "message=no+disk%0awas+found", good, 200, "ok\n",
			[]string{`"callback"="failed"`, `"message"="no disk was found"`},
		},
		"a line for the log": {
			"POST", "{log}", "text/plain", "partitions are made\x1b[0m", good, 200, "ok\n",
			[]string{`"callback"="log"`, `"message"="partitions are made[0m"`},
		},
		"as long as it may be":       {"POST", "{log}", "", strings.Repeat("x", 64<<10), good, 200, "ok\n", nil},
		"too long":                   {"POST", "{log}", "", strings.Repeat("x", 64<<10+1), good, 413, "the body is larger than 64 KiB\n", nil},
		"a disk that takes nothing":  {"POST", "{done}", "", "", failingLedger{good}, 503, "not noted: try again\n", []string{"no space left"}},
		"a failure on such a disk":   {"POST", "{failed}", "", "", failingLedger{good}, 503, "not noted: try again\n", nil},
		"GET":                        {"GET", "{done}", "", "", good, 405, "only POST is answered here\n", nil},
		"HEAD":                       {"HEAD", "{done}", "", "", good, 405, "", nil},
		"GET of a config named so":   {"GET", "{log}", "", "", good, 200, "a config of this name\n", nil},
		"without a token":            {"POST", "/m/lab/installer/complete", "", "", good, 403, "Machine lab/installer: the URL holds no token: only the one in the machine's boot config does\n", nil},
		"with nonsense":              {"POST", "/m/lab/installer/t/nonsense/complete", "", "", good, 403, "Machine lab/installer: the token is not one: the URL was cut or changed on its way\n", nil},
		"with the token of the log":  {"POST", "{log:complete}", "", "", good, 403, "Machine lab/installer: the token is for another machine, bootID or config, or its key is gone\n", nil},
		"another machine's":          {"POST", "{done:n7}", "", "", good, 403, "Machine lab/n7: the token is for another machine, bootID or config, or its key is gone\n", nil},
		"nobody's":                   {"POST", "{done:n99}", "", "", good, 405, "only GET and HEAD are answered here\n", nil},
		"to something else":          {"POST", "/m/lab/installer/kickstart", "", "", good, 405, "only GET and HEAD are answered here\n", nil},
		"to a boot configuration":    {"POST", "/ipxe", "", "", good, 405, "only GET and HEAD are answered here\n", nil},
		"DELETE, which nobody needs": {"DELETE", "{done}", "", "", good, 405, "only GET and HEAD are answered here\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := reporting(t, tc.ledger)
			s.index.Put(s.installer("1", index.Netboot, false)) // so that it is told again after it was completed
			path := tc.path
			for _, argument := range []string{"done", "failed", "log"} {
				path = strings.Replace(path, "{"+argument+"}", s.told(t, argument), 1)
			}
			path = strings.Replace(path, "{log:complete}", strings.TrimSuffix(s.told(t, "log"), "log")+"complete", 1)
			for _, other := range []string{"n7", "n99"} {
				path = strings.Replace(path, "{done:"+other+"}", strings.Replace(s.told(t, "done"), "/installer/", "/"+other+"/", 1), 1)
			}
			r, err := http.NewRequestWithContext(t.Context(), tc.method, "http://"+s.http.String()+path, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", tc.kind)
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			status, header, body := readResponse(t, resp)
			if status != tc.wantStatus || body != tc.wantBody {
				t.Errorf("%d %q, want %d %q", status, body, tc.wantStatus, tc.wantBody)
			}
			if got := header.Get("Allow"); status == http.StatusMethodNotAllowed && got == "" {
				t.Error("405 without Allow")
			}
			if got := header.Get("Retry-After"); status == http.StatusServiceUnavailable && got == "" {
				t.Error("503 without Retry-After")
			}
			if tc.wantLog != nil {
				s.log.wantLine(t, tc.wantLog...)
			}
		})
	}
	if e := good.Entry(ledger.Boot{Machine: "lab/installer", BootID: "1"}); e.Completed.IsZero() || e.By != "Callback" || e.Message != "no disk was found" {
		t.Errorf("the ledger has %+v", e)
	}
}
