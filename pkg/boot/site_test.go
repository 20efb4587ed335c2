// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	client "github.com/pin/tftp/v3"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/tftp"
)

// A site is a Handler behind both servers, on sockets of the loopback interface.
type site struct {
	index    *index.Index
	upstream *upstream
	http     netip.AddrPort
	tftp     netip.AddrPort
	local    string // the folder in which all that is on disk lies; no answer may hold its name
	files    string // the folder of file URLs
	log      *journal
	handler  *boot.Handler
}

// newSite starts a site with the loaders given by their paths, each of which holds its own path. When the test ends, it
// stops and has left no goroutine behind.
func newSite(t *testing.T, loaders []string, edits ...func(*boot.Options)) *site {
	t.Helper()
	wantNoLeak(t)

	s := &site{index: index.New(), upstream: newUpstream(t), local: t.TempDir(), log: &journal{}}
	s.files = filepath.Join(s.local, "files")
	for _, path := range loaders {
		write(t, path, s.local, "loaders", path)
	}
	write(t, "secret", s.local, "secret") // beside the loaders
	write(t, "secret", s.files, "secret")

	store, err := artifact.New(artifact.Options{Dir: filepath.Join(s.local, "cache"), FilesDir: s.files})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { wantNil(t, store.Close()) })

	options := boot.Options{Index: s.index, Artifacts: store, Log: s.log.logger()}
	if len(loaders) > 0 {
		folder, err := boot.OpenLoaders(filepath.Join(s.local, "loaders"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { wantNil(t, folder.Close()) })
		options.Loaders = folder
	}

	web, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s.http, s.tftp = netip.MustParseAddrPort(web.Addr().String()), netip.MustParseAddrPort(conn.LocalAddr().String())
	options.Addresses = boot.Addresses{HTTPPort: s.http.Port(), TFTPPort: s.tftp.Port()}
	for _, edit := range edits {
		edit(&options)
	}
	handler := boot.New(options)
	s.handler = handler

	server := &httptest.Server{Listener: web, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)

	files, err := tftp.New(handler, tftp.Options{Log: s.log.logger(), Observe: handler.Transferred})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- files.Serve(ctx, conn) }()
	t.Cleanup(func() {
		stop()
		wantNil(t, <-ended)
	})
	return s
}

// wantNoLeak fails the test unless, after all that was started later has ended, no more goroutines run than now.
func wantNoLeak(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		if !eventually(func() bool { return runtime.NumGoroutine() <= before }) {
			stacks := make([]byte, 1<<20)
			t.Errorf("%d goroutines run, %d did before:\n%s", runtime.NumGoroutine(), before,
				stacks[:runtime.Stack(stacks, true)])
		}
	})
}

// patience bounds the wait for what takes milliseconds, but where others have all the processors.
const patience = 2 * time.Minute

// eventually waits until a condition holds. It returns false when that takes longer than patience.
func eventually(holds func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

func wantNil(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, content string, path ...string) {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// verdict is what becomes of a request, whichever server it was sent to.
type verdict string

const (
	served      verdict = "served"
	notFound    verdict = "not found"   // 404, ERROR 1
	unavailable verdict = "unavailable" // 502, ERROR 0 with a reason
	fault       verdict = "fault"       // 500, ERROR 0 "internal error"
)

// A visitor is a client of one of the servers.
type visitor struct {
	over string
	ask  func(t *testing.T, name string) (verdict, string)
}

// visitors returns a client of each server. Both ask from the address from; empty: from any.
func (s *site) visitors(from string) []visitor {
	return []visitor{
		{"TFTP", func(t *testing.T, name string) (verdict, string) { t.Helper(); return s.askTFTP(t, from, name) }},
		{"HTTP", func(t *testing.T, name string) (verdict, string) { t.Helper(); return s.askHTTP(t, from, name) }},
	}
}

func (s *site) askTFTP(t *testing.T, from, name string) (verdict, string) {
	t.Helper()
	c, err := client.NewClient(s.tftp.String())
	if err != nil {
		t.Fatal(err)
	}
	if from != "" {
		wantNil(t, c.SetLocalAddr(from))
	}
	c.SetBlockSize(1428)
	transfer, err := c.Receive(name, "octet")
	if err != nil {
		return tftpVerdict(t, err)
	}
	var body bytes.Buffer
	if _, err := transfer.WriteTo(&body); err != nil {
		t.Fatalf("TFTP: %s: %v", name, err)
	}
	return served, body.String()
}

// tftpVerdict reads the client's text for an ERROR packet.
func tftpVerdict(t *testing.T, err error) (verdict, string) {
	t.Helper()
	_, text, _ := strings.Cut(err.Error(), "code: ")
	number, message, _ := strings.Cut(text, ", message: ")
	message = strings.TrimSuffix(message, "\x00") // the packet's; this client shows it
	switch {
	case number == "1":
		return notFound, message
	case number == "0" && message == "internal error":
		return fault, message
	case number == "0":
		return unavailable, message
	}
	t.Fatalf("TFTP: %v: no such answer is expected", err)
	return "", ""
}

func (s *site) askHTTP(t *testing.T, from, name string) (verdict, string) {
	t.Helper()
	status, _, body := s.do(t, from, http.MethodGet, "/"+strings.TrimPrefix(name, "/"), nil)
	switch status {
	case http.StatusOK:
		return served, body
	case http.StatusNotFound:
		return notFound, strings.TrimSuffix(body, "\n")
	case http.StatusBadGateway:
		return unavailable, strings.TrimSuffix(body, "\n")
	case http.StatusInternalServerError:
		return fault, strings.TrimSuffix(body, "\n")
	}
	t.Fatalf("HTTP: %s: status %d %q: no such answer is expected", name, status, body)
	return "", ""
}

// do sends an HTTP request. Redirects are not followed.
func (s *site) do(t *testing.T, from, method, target string, header http.Header) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.http.String()+target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	dialer := &net.Dialer{}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	// A RoundTripper follows no redirects.
	resp, err := (&http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	return readResponse(t, resp)
}

// raw sends bytes to the HTTP server as they are.
func (s *site) raw(t *testing.T, request string) (int, http.Header, string) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.http.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	wantNil(t, conn.SetDeadline(time.Now().Add(patience)))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return readResponse(t, resp)
}

func readResponse(t *testing.T, resp *http.Response) (int, http.Header, string) {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	wantNil(t, resp.Body.Close())
	return resp.StatusCode, resp.Header, string(body)
}

// An upstream is a mirror that has some files and counts what it is asked.
type upstream struct {
	url      string
	requests atomic.Int64

	mu    sync.Mutex
	files map[string]string // content by path
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{files: map[string]string{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.requests.Add(1)
		u.mu.Lock()
		content, ok := u.files[r.URL.Path]
		u.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, content)
	}))
	t.Cleanup(server.Close)
	u.url = server.URL
	return u
}

// has puts a file upstream and returns its artifact.
func (u *upstream) has(path, content string) index.Artifact {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.files[path] = content
	return index.Artifact{Field: `BootProfile "lab/debian" ` + path, URLs: []string{u.url + path}, SHA256: digest(content)}
}

func digest(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// A journal keeps what is logged.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) logger() logr.Logger {
	return funcr.New(func(_, line string) {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.lines = append(j.lines, line)
	}, funcr.Options{})
}

// wantLine fails the test unless a line with all of these parts is logged soon.
func (j *journal) wantLine(t *testing.T, parts ...string) {
	t.Helper()
	if !eventually(func() bool { return j.has(parts...) }) {
		j.mu.Lock()
		defer j.mu.Unlock()
		t.Errorf("no line with all of %q is logged, but:\n%s", parts, strings.Join(j.lines, "\n"))
	}
}

func (j *journal) has(parts ...string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
lines:
	for _, line := range j.lines {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue lines
			}
		}
		return true
	}
	return false
}

// mac returns the MAC address of the machine with that number, 52:54:00:aa:bb:NN.
func mac(n byte) index.MAC { return index.MAC{0x52, 0x54, 0x00, 0xaa, 0xbb, n} }

// The machines of a lab, by the last byte of their MAC address.
const (
	armed   = 7    // boots lab/debian
	refused = 8    // its profile is missing
	done    = 9    // boots its disk
	silent  = 0x0a // boots its disk, and shall be told nothing
	broken  = 0x0b // its configuration does not render
	local   = 0x0c // boots its disk by lab/debian's localBoot
	unknown = 0xff // is nobody's

	machineUUID        = "a1b2c3d4-e5f6-4788-99aa-bbccddeeff00"
	machineUUIDSwapped = "d4c3b2a1-f6e5-8847-99aa-bbccddeeff00"

	kernelText = "not really a kernel"
	initrdText = "not really an initrd"
	shimText   = "not really a shim"
)

// newLab starts a site with a profile, lab/debian, and a machine of each kind.
func newLab(t *testing.T, edits ...func(*boot.Options)) *site {
	t.Helper()
	s := newSite(t, []string{"pxelinux.0", "grubnetx64.efi.signed", "amd64/ipxe.efi", "boot/image.iso"}, edits...)
	profile := s.debian()
	s.index.PutProfile(profile)
	for _, m := range lab(profile) {
		s.index.Put(m)
	}
	return s
}

func (s *site) debian() *index.Profile {
	return &index.Profile{
		Key: "lab/debian", Name: "debian", Namespace: "lab",
		Platforms: []index.Platform{{
			Architecture: "amd64", LoaderBIOS: "pxelinux.0", LoaderUEFI: "grubnetx64.efi.signed", Kernel: new(s.upstream.has("/linux", kernelText)),
			Initrds: []index.Artifact{s.upstream.has("/initrd.gz", initrdText)},
		}},
		Files: []index.File{
			{Path: "shimx64.efi", Artifact: s.upstream.has("/download/4711", shimText)},
			{Path: "overlays/vc4.dtbo", Artifact: s.upstream.has("/vc4.dtbo", "overlay")},
			{Path: "boot.img", Artifact: s.upstream.has("/boot.img", "debian's image")},
		},
	}
}

func lab(profile *index.Profile) []*index.Machine {
	machine := func(n byte, name string, action index.Action) *index.Machine {
		return &index.Machine{
			Key: index.Key("lab/" + name), Name: name, Namespace: "lab", Hostname: name, MACs: []index.MAC{mac(n)},
			Action: action, Profile: profile, BootID: "1",
		}
	}
	n7 := machine(armed, "n7", index.Netboot)
	n7.SystemUUID, n7.SerialNumber, n7.KernelArgs = machineUUID, "SN-7", []string{"quiet"}
	n7.Configs = []index.Config{
		{Name: "kickstart", Template: "network --hostname={{ .Machine.Hostname }}\n"},
		{Name: "ignition", ContentType: "application/json", Template: `{"from":"{{ .ServerURL }}"}`},
		{Name: "faulty", Template: "{{ .Machine.Variables.missing }}"},
		{Name: "absent", Unavailable: `Secret "lab/keys" does not exist`},
	}
	n8 := machine(refused, "n8", index.Refuse)
	n8.Profile, n8.Refusal = nil, `BootProfile "gone" does not exist`
	n9 := machine(done, "n9", index.BootLocal)
	n9.Profile = nil
	n10 := machine(silent, "n10", index.BootLocal)
	n10.LocalBoot = index.LocalNotFound
	n11 := machine(broken, "n11", index.Netboot)
	n11.KernelArgs = []string{"rack={{ .Machine.Variables.rack }}"}
	n12 := machine(local, "n12", index.BootLocal)
	n12.LocalBoot = index.LocalSanBoot
	return []*index.Machine{n7, n8, n9, n10, n11, n12}
}

// by returns the name by which a loader asks for a machine's configuration.
func by(format string, n byte) string { return fmt.Sprintf(format, mac(n).Hyphens()) }
