// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// The forms of names that tell a MAC address.
const (
	byPXELINUX = "/bios/pxelinux.cfg/01-%s"
	byGRUB     = "/grub/grub.cfg-01-%s"
	byIPXE     = "MAC-%s.ipxe"
	byFolder   = "%s/"
)

// Both servers answer the same names in the same way, at once.
func TestBothServersAnswer(t *testing.T) {
	s := newLab(t)
	kernel := "/artifacts/sha256/" + digest(kernelText) + "/linux"

	for name, tc := range map[string]struct {
		ask      string
		want     verdict
		wantText string // what the answer holds; a refusal is it
	}{
		"PXELINUX by MAC address":   {by(byPXELINUX, armed), served, "KERNEL "},
		"PXELINUX names the kernel": {by(byPXELINUX, armed), served, kernel + "\n"},
		"PXELINUX by UUID": {
			"pxelinux.cfg/" + machineUUID, served, "# machine lab/n7, profile lab/debian\n",
		},
		"PXELINUX by UUID in SMBIOS's order": {
			"pxelinux.cfg/" + machineUUIDSwapped, served, "# machine lab/n7, profile lab/debian\n",
		},
		"GRUB by MAC address": {by(byGRUB, armed), served, kernel},
		"GRUB for all":        {"/grub/grub.cfg", served, "grub.cfg-$net_default_mac\"\n"},
		"iPXE by MAC address": {by(byIPXE, armed), served, kernel},
		"iPXE for all":        {"autoexec.ipxe", served, "chain --autofree "},

		"unknown to PXELINUX": {by(byPXELINUX, unknown), notFound, "no Machine has MAC address 52:54:00:aa:bb:ff"},
		"unknown to GRUB":     {by(byGRUB, unknown), notFound, "no Machine has MAC address 52:54:00:aa:bb:ff"},
		"unknown to iPXE":     {by(byIPXE, unknown), notFound, "no Machine has MAC address 52:54:00:aa:bb:ff"},
		"unknown by UUID": {
			"pxelinux.cfg/ffffffff-ffff-ffff-ffff-ffffffffffff", notFound,
			`no Machine has UUID "ffffffff-ffff-ffff-ffff-ffffffffffff"`,
		},
		"unknown by IP address": {"pxelinux.cfg/7F000001", notFound, "no machine is known by this name"},
		"tells nothing":         {"ipxe", notFound, "the request tells no MAC address, UUID or serial number"},

		"refused to PXELINUX": {by(byPXELINUX, refused), notFound, `Machine lab/n8: BootProfile "gone" does not exist`},
		"refused to GRUB":     {by(byGRUB, refused), notFound, `Machine lab/n8: BootProfile "gone" does not exist`},
		"refused to iPXE":     {by(byIPXE, refused), notFound, `Machine lab/n8: BootProfile "gone" does not exist`},
		"does not render": {
			by(byPXELINUX, broken), notFound,
			"Machine lab/n11: the pxelinux configuration does not render; see its condition Rendered",
		},

		"boots its disk by PXELINUX":             {by(byPXELINUX, done), served, "LOCALBOOT -1\n"},
		"boots its disk by GRUB":                 {by(byGRUB, done), served, "exit\n"},
		"boots its disk by iPXE":                 {by(byIPXE, done), served, "exit\n"},
		"boots its disk as the profile wants it": {by(byIPXE, local), served, "sanboot "},
		"boots its disk when told nothing": {
			by(byPXELINUX, silent), notFound, "Machine lab/n10 boots from its own disk",
		},
		"boots its disk when told nothing, by iPXE": {
			by(byIPXE, silent), notFound, "Machine lab/n10 boots from its own disk",
		},

		"a loader":                     {"pxelinux.0", served, "pxelinux.0"},
		"a loader below a prefix":      {`\boot\pxelinux.0`, served, "pxelinux.0"},
		"a loader in a folder":         {"ipxe.efi", served, "amd64/ipxe.efi"},
		"shim's second stage":          {"grubx64.efi", served, "grubnetx64.efi.signed"},
		"a loader that is not there":   {"bios/vesamenu.c32", notFound, `no loader or file is called "vesamenu.c32"`},
		"a folder":                     {"dtb/", notFound, "no such name"},
		"a folder of loaders":          {"amd64", notFound, `no loader or file is called "amd64"`},
		"out of the folder of loaders": {"../secret", notFound, `no loader or file is called "secret"`},

		"a profile's file":                {"/lab/debian/overlays/vc4.dtbo", served, "overlay"},
		"a profile's file at the top":     {"overlays/vc4.dtbo", served, "overlay"},
		"a profile's file below a prefix": {"/boot/overlays/vc4.dtbo", served, "overlay"},
		"a loader below the profile":      {"/lab/debian/grubx64.efi", served, "grubnetx64.efi.signed"},
		"nothing below the profile": {
			"/lab/debian/nothing", notFound, `BootProfile lab/debian has no file "nothing"`,
		},
		"the profile's program for UEFI":         {"/lab/debian/nbp.efi", served, "grubnetx64.efi.signed"},
		"the program of an architecture":         {"/lab/debian/x86_64/nbp.efi", served, "grubnetx64.efi.signed"},
		"the profile's program for BIOS":         {"/lab/debian/nbp.bios", served, "pxelinux.0"},
		"the program of another architecture":    {"/lab/debian/arm64/nbp.efi", notFound, `BootProfile lab/debian has no file "nbp.efi"`},
		"the machine's program for UEFI":         {by(byFolder, armed) + "nbp.efi", served, "grubnetx64.efi.signed"},
		"the machine's program after it is done": {by(byFolder, local) + "nbp.efi", notFound, "Machine lab/n12 boots from its own disk"},
		"a machine's file":                       {by(byFolder, armed) + "overlays/vc4.dtbo", served, "overlay"},
		"a machine's file that is not there": {
			by(byFolder, armed) + "start4.elf", notFound, `BootProfile lab/debian has no file "start4.elf"`,
		},
		"a file of a machine that is refused": {
			by(byFolder, refused) + "boot.img", notFound, `Machine lab/n8: BootProfile "gone" does not exist`,
		},
		"a file of a machine that is done": {
			by(byFolder, local) + "boot.img", notFound, "Machine lab/n12 boots from its own disk",
		},
		"a file of an unknown machine": {
			by(byFolder, unknown) + "boot.img", notFound, "no Machine has MAC address 52:54:00:aa:bb:ff",
		},
		"an artifact that no profile names": {
			"/artifacts/sha256/" + digest("other"), notFound, "no BootProfile names an artifact with this digest",
		},
	} {
		for _, v := range s.visitors("") {
			t.Run(name+" over "+v.over, func(t *testing.T) {
				got, text := v.ask(t, tc.ask)
				exact := tc.want == notFound
				if got != tc.want || !strings.Contains(text, tc.wantText) || exact && text != tc.wantText {
					t.Errorf("%s: %s %q, want %s %q", tc.ask, got, text, tc.want, tc.wantText)
				}
			})
		}
	}
}

// A payload is fetched from its mirror once, and then served by both servers from the disk.
func TestArtifactsAreFetchedOnce(t *testing.T) {
	s := newLab(t)
	large := strings.Repeat("0123456789abcdef", 16<<10)
	s.index.PutProfile(&index.Profile{Key: "lab/large", Files: []index.File{
		{Path: "initrd.img", Artifact: s.upstream.has("/initrd.img", large)},
	}})
	for range 2 {
		for _, v := range s.visitors("") {
			for ask, want := range map[string]string{
				"/artifacts/sha256/" + digest(kernelText) + "/linux":     kernelText,
				"/artifacts/sha256/" + digest(initrdText) + "/initrd.gz": initrdText,
				"/lab/debian/shimx64.efi":                                shimText,
				"/lab/large/initrd.img":                                  large,
			} {
				if got, text := v.ask(t, ask); got != served || text != want {
					t.Errorf("%s over %s: %s %.99q, want %.99q", ask, v.over, got, text, want)
				}
			}
		}
	}
	if got := s.upstream.requests.Load(); got != 4 {
		t.Errorf("the mirror was asked %d times for four files, want 4", got)
	}
}

func TestArtifactsOfADeletedProfileAreServedFromTheCache(t *testing.T) {
	s := newLab(t)
	kernel := "/artifacts/sha256/" + digest(kernelText) + "/linux"
	s.visitors("")[0].ask(t, kernel)
	s.index.DeleteProfile("lab/debian")

	for _, v := range s.visitors("") {
		if got, text := v.ask(t, kernel); got != served || text != kernelText {
			t.Errorf("what was fetched, over %s: %s %q, want %q", v.over, got, text, kernelText)
		}
		if got, text := v.ask(t, "/artifacts/sha256/"+digest(initrdText)+"/initrd.gz"); got != notFound {
			t.Errorf("what was not, over %s: %s %q, want %s", v.over, got, text, notFound)
		}
	}
}

// What can't be had is no "not found", so that the person at the console looks at the profile; our disk is not their
// business.
func TestArtifactsThatCanNotBeHad(t *testing.T) {
	s := newLab(t)
	other := s.upstream.has("/changed", "what the profile means")
	s.upstream.has("/changed", "what the mirror has now")
	for field, a := range map[string]*index.Artifact{
		"changed":  &other,
		"down":     {URLs: []string{"http://127.0.0.1:1/linux"}, SHA256: digest("down")},
		"missing":  {URLs: []string{s.upstream.url + "/missing"}, SHA256: digest("missing")},
		"file-url": {URLs: []string{"file:///../secret"}, SHA256: digest("file-url")},
	} {
		a.Field = `BootProfile "lab/p" ` + field
		s.index.PutProfile(&index.Profile{
			Key: index.Key("faulty/" + field), Files: []index.File{{Path: field, Artifact: *a}},
		})
	}

	for name, tc := range map[string]struct{ ask, want string }{
		"the mirror has something else": {
			"/faulty/changed/changed", `BootProfile "lab/p" changed can't be served: DigestMismatch`,
		},
		"the mirror is down": {
			"/faulty/down/down", `BootProfile "lab/p" down can't be served: UpstreamUnavailable`,
		},
		"the mirror does not have it": {
			"/faulty/missing/missing", `BootProfile "lab/p" missing can't be served: UpstreamUnavailable`,
		},
		"the URL leads out": {
			"/faulty/file-url/file-url", `BootProfile "lab/p" file-url can't be served: SourceNotAllowed`,
		},
		"by its digest": {
			"/artifacts/sha256/" + digest("down"), `BootProfile "lab/p" down can't be served: UpstreamUnavailable`,
		},
	} {
		for _, v := range s.visitors("") {
			t.Run(name+" over "+v.over, func(t *testing.T) {
				if got, text := v.ask(t, tc.ask); got != unavailable || text != tc.want {
					t.Errorf("%s: %s %q, want %s %q", tc.ask, got, text, unavailable, tc.want)
				}
			})
		}
	}
	s.log.wantLine(t, "Artifact can't be had", "answered 404 Not Found")
}

// An HTML page in the place of a file is no file: a mirror behind a login answers so.
func TestPagesAreNoArtifacts(t *testing.T) {
	s := newLab(t)
	page := s.upstream.has("/login", "<!DOCTYPE html><html><body>Log in</body></html>")
	page.Field, page.SHA256 = `BootProfile "lab/p" page`, ""
	s.index.PutProfile(&index.Profile{Key: "lab/p", Files: []index.File{{Path: "page", Artifact: page}}})
	for _, v := range s.visitors("") {
		const want = `BootProfile "lab/p" page can't be served: UnexpectedContent`
		if got, text := v.ask(t, "/lab/p/page"); got != unavailable || text != want {
			t.Errorf("over %s: %s %q, want %s %q", v.over, got, text, unavailable, want)
		}
	}
}

// A file at the top of the tree is one that a single profile has; below a profile's own path there is no doubt.
func TestFilesOfSeveralProfiles(t *testing.T) {
	s := newLab(t)
	s.index.PutProfile(&index.Profile{Key: "rack/other", Files: []index.File{
		{Path: "boot.img", Artifact: s.upstream.has("/other.img", "other's image")},
		{Path: "grubx64.efi", Artifact: s.upstream.has("/grub", "other's GRUB")},
		{Path: "only-other.bin", Artifact: s.upstream.has("/only-other.bin", "only other's")},
	}})
	for name, tc := range map[string]struct {
		ask      string
		want     verdict
		wantText string
	}{
		"below one profile":                       {"/lab/debian/boot.img", served, "debian's image"},
		"below the other":                         {"/rack/other/boot.img", served, "other's image"},
		"at the top, ambiguous":                   {"boot.img", notFound, `no loader or file is called "boot.img"`},
		"at the top, unambiguous":                 {"only-other.bin", served, "only other's"},
		"at the top, the folder of loaders first": {"grubx64.efi", served, "grubnetx64.efi.signed"},
		"another's, below a profile that has none": {
			"/lab/debian/only-other.bin", notFound, `BootProfile lab/debian has no file "only-other.bin"`,
		},
		"the loader, not another profile's, below a profile": {
			"/lab/debian/grubx64.efi", served, "grubnetx64.efi.signed",
		},
		"below a machine, of its profile": {by(byFolder, armed) + "boot.img", served, "debian's image"},
	} {
		for _, v := range s.visitors("") {
			t.Run(name+" over "+v.over, func(t *testing.T) {
				if got, text := v.ask(t, tc.ask); got != tc.want || text != tc.wantText {
					t.Errorf("%s: %s %q, want %s %q", tc.ask, got, text, tc.want, tc.wantText)
				}
			})
		}
	}
}

// PXELINUX asks for its default after its own name was refused. Whoever asked from that address before decides whether
// it boots the disk, as if nothing were wrong, or stops where a person can see why.
func TestDefaultAfterARefusal(t *testing.T) {
	const here, elsewhere = "127.0.0.1", "127.0.0.2"
	for name, tc := range map[string]struct {
		machine  byte
		from     string // where the default is asked for
		want     verdict
		wantText string
	}{
		"refused before":          {refused, here, notFound, `Machine lab/n8: BootProfile "gone" does not exist`},
		"refused, but to another": {refused, elsewhere, served, "LOCALBOOT -1\n"},
		"did not render before": {
			broken, here, notFound,
			"Machine lab/n11: the pxelinux configuration does not render; see its condition Rendered",
		},
		"did not render for another":   {broken, elsewhere, served, "LOCALBOOT -1\n"},
		"boots its disk":               {done, here, served, "LOCALBOOT -1\n"},
		"boots its disk, told nothing": {silent, here, notFound, "Machine lab/n10 boots from its own disk"},
		"boots the profile":            {armed, here, served, "LOCALBOOT -1\n"},
		"unknown":                      {unknown, here, served, "LOCALBOOT -1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range 2 {
				s := newLab(t)
				first, second := s.visitors(here)[i], s.visitors(tc.from)[i]
				first.ask(t, by(byPXELINUX, tc.machine))
				got, text := second.ask(t, "/bios/pxelinux.cfg/default")
				if got != tc.want || !strings.Contains(text, tc.wantText) {
					t.Errorf("over %s: %s %q, want %s %q", second.over, got, text, tc.want, tc.wantText)
				}
			}
		})
	}
}

func TestARefusalEndsWithItsCause(t *testing.T) {
	s := newLab(t)
	v := s.visitors("")[0]
	v.ask(t, by(byPXELINUX, refused))
	m := *s.index.Machine("lab/n8")
	m.Action, m.Refusal = index.BootLocal, ""
	s.index.Put(&m)
	if got, text := v.ask(t, "pxelinux.cfg/default"); got != served {
		t.Errorf("default after the machine was mended: %s %q, want it %s", got, text, served)
	}
}

// brokenArtifacts is a cache whose disk has failed.
type brokenArtifacts struct{}

func (brokenArtifacts) Open(context.Context, *index.Artifact) (*artifact.File, error) {
	return nil, errors.New("read /var/lib/netboot/cache: input/output error")
}

func (brokenArtifacts) OpenCached(index.ID) (*artifact.File, error) {
	return nil, errors.New("read /var/lib/netboot/cache: input/output error")
}

// Our own faults are logged, and what goes out is only that there was one.
func TestFaultsAreLoggedAndNotTold(t *testing.T) {
	s := newLab(t, func(o *boot.Options) { o.Artifacts = brokenArtifacts{} })
	for _, ask := range []string{
		"/artifacts/sha256/" + digest(kernelText), "/artifacts/sha256/" + digest("gone"), "/lab/debian/boot.img",
	} {
		for _, v := range s.visitors("") {
			if got, text := v.ask(t, ask); got != fault || text != "internal error" {
				t.Errorf("%s over %s: %s %q, want %s", ask, v.over, got, text, fault)
			}
		}
	}
	s.log.wantLine(t, "TFTP request failed", "input/output error")
	s.log.wantLine(t, "Request can't be answered", "input/output error")
}

// A link in the folder of loaders that leads out of it is our own fault, and nobody is told where it leads.
func TestLinksOutOfTheLoadersAreFaults(t *testing.T) {
	s := newLab(t)
	if err := os.Symlink(filepath.Join(s.local, "secret"), filepath.Join(s.local, "loaders", "out.efi")); err != nil {
		t.Fatal(err)
	}
	for _, v := range s.visitors("") {
		if got, text := v.ask(t, "out.efi"); got != fault || text != "internal error" {
			t.Errorf("over %s: %s %q, want %s", v.over, got, text, fault)
		}
	}
	s.log.wantLine(t, "TFTP request failed", "out.efi")
}

func TestRequestsAreLogged(t *testing.T) {
	s := newLab(t)
	for _, v := range s.visitors("") {
		v.ask(t, by(byPXELINUX, armed))
		v.ask(t, by(byPXELINUX, unknown))
		s.log.wantLine(t, `"msg"="Served"`, fmt.Sprintf(`"over"=%q`, v.over), mac(armed).Hyphens(), `"bytes"=`)
		s.log.wantLine(t, `"msg"="Refused"`, fmt.Sprintf(`"over"=%q`, v.over), mac(unknown).Hyphens(), `"reason"="no Machine has`)
	}
}

// The installer's texts are for HTTP only, where they can be guarded.
func TestTextsForTheInstaller(t *testing.T) {
	s := newLab(t)
	for name, tc := range map[string]struct {
		ask      string
		want     verdict
		wantText string
		wantType string
	}{
		"rendered for the machine": {
			"/m/lab/n7/kickstart", served, "network --hostname=n7\n", "text/plain; charset=utf-8",
		},
		"with its own type": {
			"/m/lab/n7/ignition", served, fmt.Sprintf(`{"from":"http://%v"}`, s.http), "application/json",
		},
		"does not render": {
			"/m/lab/n7/faulty", notFound, `Machine lab/n7: config "faulty" does not render; see its condition Rendered`, "",
		},
		"can't be had": {
			"/m/lab/n7/absent", unavailable, `Machine lab/n7: config "absent" can't be had; see its condition Rendered`, "",
		},
		"of another name":       {"/m/lab/n7/preseed", notFound, `Machine lab/n7 has no config "preseed"`, ""},
		"of an unknown machine": {"/m/lab/nobody/kickstart", notFound, "no such name", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got, text := s.askHTTP(t, "", tc.ask); got != tc.want || text != tc.wantText {
				t.Errorf("over HTTP: %s %q, want %s %q", got, text, tc.want, tc.wantText)
			}
			_, header, _ := s.do(t, "", "GET", tc.ask, nil)
			if diff := cmp.Diff(tc.wantType, header.Get("Content-Type")); tc.want == served && diff != "" {
				t.Errorf("Content-Type (-want +got):\n%s", diff)
			}
			if got, text := s.askTFTP(t, "", tc.ask); got != notFound || text != "no such name" {
				t.Errorf("over TFTP: %s %q, want %s", got, text, notFound)
			}
		})
	}
}

// Two profiles name the same content, and one of them does not know where it is: that must not be the other's trouble.
func TestDeadURLOfAnotherProfile(t *testing.T) {
	for name, order := range map[string][]index.Key{
		"the dead one first": {"tenant/dead", "rack/alive"},
		"the dead one last":  {"rack/alive", "tenant/dead"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newLab(t)
			alive := s.upstream.has("/alive", "the same content")
			dead := alive
			dead.URLs = []string{strings.Replace(alive.URLs[0], "/alive", "/nowhere", 1)}
			for _, key := range order {
				a := map[index.Key]index.Artifact{"tenant/dead": dead, "rack/alive": alive}[key]
				s.index.PutProfile(&index.Profile{Key: key, Platforms: []index.Platform{{Architecture: "amd64", Kernel: &a}}})
			}
			for _, v := range s.visitors("") {
				if got, text := v.ask(t, alive.Path()); got != served || text != "the same content" {
					t.Errorf("over %s: %s %q", v.over, got, text)
				}
			}
		})
	}
}

// The index learns of a machine's new profile before it learns of the profile itself: what the machine was told to fetch
// must be there all the same.
func TestArtifactOfTheMachineThatAsks(t *testing.T) {
	s := newLab(t)
	kernel := s.upstream.has("/new-kernel", "the new kernel")
	s.index.Put(&index.Machine{
		Key: "lab/new", MACs: []index.MAC{{0x52, 0x54, 0, 0xaa, 0xbb, 0x70}}, Action: index.Netboot,
		Profile: &index.Profile{Key: "lab/unheard-of", Platforms: []index.Platform{{Architecture: "amd64", Kernel: &kernel}}},
	})
	for _, v := range s.visitors("") {
		if got, text := v.ask(t, "pxelinux.cfg/01-52-54-00-aa-bb-70"); got != served {
			t.Fatalf("over %s: the configuration: %s %q", v.over, got, text)
		}
		if got, text := v.ask(t, kernel.Path()); got != served || text != "the new kernel" {
			t.Errorf("over %s: the kernel: %s %q", v.over, got, text)
		}
	}
}
