// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/live"
	"github.com/netboot-operator/netboot-operator/pkg/tftp"
	"github.com/netboot-operator/netboot-operator/test/controlplane"
)

// now is when the commands of tests are typed.
func now() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

// patienceOfTests bounds every wait for something that takes milliseconds on an idle computer.
const patienceOfTests = 2 * time.Minute

// A lab is a real API server with the objects of testdata/lab.yaml, and two pods: the way to these is made up, as no kubelet
// runs any; all else is answered by the API server.
type lab struct {
	url        string // of what stands before the API server
	tftp, http uint16 // ports of the real server on 127.0.0.1, which is the node worker-a
	instance   string // of the server there

	mu   sync.Mutex
	pods map[string]http.Handler // what the metrics address of a pod answers, by the pod's name; none: no such way
}

var suite packageServer //nolint:gochecknoglobals // one API server for the package, as controlplane documents

// A packageServer is the API server, and the lab, of all tests. The lab ends with the process.
type packageServer struct {
	controlplane.Server

	once sync.Once
	lab  *lab // nil: it did not start
}

func TestMain(m *testing.M) { os.Exit(suite.Run(m)) }

// newLab returns the lab, which all tests share.
func newLab(t *testing.T) *lab {
	t.Helper()
	config := suite.Config(t)
	suite.once.Do(func() { suite.lab = startLab(t, config) })
	if suite.lab == nil {
		t.Fatal("the lab did not start")
	}
	return suite.lab
}

func startLab(t *testing.T, config *rest.Config) *lab {
	t.Helper()
	l := &lab{instance: strings.Repeat("ABCD234567", 3)[:26]}
	l.serve(t)
	l.apply(t, controlplane.Client(t, config))
	l.proxy(t, config)
	l.pods = map[string]http.Handler{
		"netboot-operator-x7k2p": l.podA(t),
		"netboot-operator-m4d9q": l.podB(t),
	}
	return l
}

// serve runs the real servers.
func (l *lab) serve(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	handler := boot.New(boot.Options{Index: index.New(), Instance: l.instance})
	transfers, err := tftp.New(handler, tftp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	conns, err := tftp.Listen(ctx, "127.0.0.1:0", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range conns {
		go func() { _ = transfers.Serve(ctx, conn) }() // until the process ends
	}
	web := httptest.NewServer(handler)
	l.tftp = conns[0].LocalAddr().(*net.UDPAddr).AddrPort().Port()
	l.http = web.Listener.Addr().(*net.TCPAddr).AddrPort().Port()
}

// apply makes the objects, and writes their status.
func (l *lab) apply(t *testing.T, c client.Client) {
	t.Helper()
	text, err := os.ReadFile("testdata/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte(":TFTP"), []byte(":"+strconv.Itoa(int(l.tftp))))
	text = bytes.ReplaceAll(text, []byte(":HTTP"), []byte(":"+strconv.Itoa(int(l.http))))
	documents := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var o unstructured.Unstructured
		if err := documents.Decode(&o.Object); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		status := o.Object["status"]
		delete(o.Object, "status")
		if err := c.Create(t.Context(), &o); err != nil {
			t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
		if status == nil {
			continue
		}
		o.Object["status"] = status
		if err := c.Status().Update(t.Context(), &o, &client.SubResourceUpdateOptions{
			UpdateOptions: client.UpdateOptions{Raw: &metav1.UpdateOptions{FieldValidation: metav1.FieldValidationStrict}},
		}); err != nil {
			t.Fatalf("status of %s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

var rePodProxy = regexp.MustCompile(`^/api/v1/namespaces/netboot-system/pods/(?:http:)?([^/:]+):8081/proxy(/.*)$`)

// proxy puts a server before the API server that knows the way to pods, and writes its kubeconfig.
func (l *lab) proxy(t *testing.T, config *rest.Config) {
	t.Helper()
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := rePodProxy.FindStringSubmatch(r.URL.Path)
		if to == nil || r.Header.Get("Impersonate-User") != "" { // whether a user may is for the API server to say
			forward.ServeHTTP(w, r)
			return
		}
		l.mu.Lock()
		pod := l.pods[to[1]]
		l.mu.Unlock()
		if pod == nil { // as the API server answers when the node does not
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			_ = json.NewEncoder(w).Encode(&metav1.Status{
				TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: http.StatusServiceUnavailable,
				Reason: metav1.StatusReasonServiceUnavailable, Message: "error trying to reach service: dial tcp: connect: connection refused",
			})
			return
		}
		r.URL.Path = to[2]
		pod.ServeHTTP(w, r)
	}))
	l.url = front.URL
}

// kubeconfig writes a kubeconfig for the lab with two users: admin, and alice, who may do nothing.
func (l *lab) kubeconfig(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, []byte(`{apiVersion: v1, kind: Config, current-context: admin,
clusters: [{name: lab, cluster: {server: "`+l.url+`"}}], users: [{name: admin, user: {}}, {name: alice, user: {as: alice}}],
contexts: [{name: admin, context: {cluster: lab, user: admin, namespace: lab}}, {name: alice, context: {cluster: lab, user: alice, namespace: lab}}]}`,
	), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// tells answers as the metrics address of a netboot.
func tells(t *testing.T, transfers live.Transfers, attempts live.Attempts) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	for path, told := range map[string]any{live.TransfersPath: transfers, live.AttemptsPath: attempts} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(told) })
	}
	return mux
}

func at(text string) time.Time {
	t, err := time.Parse(time.TimeOnly, text)
	if err != nil {
		panic(err)
	}
	return time.Date(2026, 11, 23, t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

func (l *lab) podA(t *testing.T) http.Handler {
	t.Helper()
	return tells(t, live.Transfers{Node: "worker-a", Instance: l.instance, Time: now(), Items: []live.Transfer{
		{
			Client: "192.0.2.107:2071", Machine: "lab/node-07", File: "grubnetx64.efi.signed", Protocol: "TFTP",
			Bytes: 2_000_000, Size: 2_502_784, StartTime: at("11:59:59"), Retransmits: 3, RoundTripMicroseconds: 410,
		},
		{
			Client: "192.0.2.108:50122", Machine: "lab/node-08", File: "artifacts/sha256/4e234498d911/initrd.gz", Protocol: "HTTP",
			Bytes: 31_457_280, Size: 40_073_216, StartTime: at("11:59:58"),
		},
	}}, live.Attempts{Node: "worker-a", Time: now(), Items: []live.Attempt{
		{
			MACAddress: "52:54:00:aa:bb:13", ClientIP: "192.0.2.113", StartTime: at("11:58:00"), LastTime: at("11:58:09"), Stage: "Loader",
			Firmware: "UEFI", Loader: "GRUB", Bytes: 2_503_000, Over: true, Cause: "UnknownMachine",
			Message:  "No Machine has MAC address 52:54:00:aa:bb:13. Machine lab/node-03 has 52:54:00:aa:bb:03, which differs in one digit: digit 11 is 0 there and 1 here.",
			Evidence: []string{"the loader asked for the configuration of 52:54:00:aa:bb:13", "the nearest known address is 52:54:00:aa:bb:03 of Machine lab/node-03"},
			Steps: []live.Step{
				{
					Time: at("11:58:00"), Stage: "Loader", Name: "grubnetx64.efi.signed", Protocol: "TFTP", Outcome: "served", Bytes: 2_502_784,
					Size: 2_502_784, DurationMilliseconds: 700, Times: 1,
				},
				{
					Time: at("11:58:02"), Stage: "Config", Name: "grub/grub.cfg-52:54:00:aa:bb:13", Protocol: "TFTP", Outcome: "refused", Size: -1,
					Reason: "no Machine has MAC address 52:54:00:aa:bb:13", Times: 1,
				},
			},
		},
	}})
}

func (l *lab) podB(t *testing.T) http.Handler {
	t.Helper()
	return tells(t, live.Transfers{Node: "worker-b", Instance: "OTHER", Time: now(), Items: []live.Transfer{
		{
			Client: "192.0.2.104:2070", Machine: "lab/node-04", File: "artifacts/sha256/4e234498d911/initrd.gz", Protocol: "TFTP",
			Bytes: 20_973_216, Size: 40_073_216, StartTime: at("11:59:57"), RoundTripMicroseconds: 230,
		},
	}}, live.Attempts{Node: "worker-b", Time: now(), Items: []live.Attempt{
		{
			Machine: "lab/node-04", MACAddress: "52:54:00:aa:bb:04", ClientIP: "192.0.2.104", StartTime: at("11:59:50"), LastTime: at("11:59:58"),
			Stage: "Initrd", Action: "Netboot", Firmware: "BIOS", Architecture: "amd64", Loader: "PXELINUX", Bytes: 29_000_000,
		},
	}})
}

// A result is what a command line came to.
type result struct {
	stdout, stderr string
	code           int
}

// kubectl types "kubectl netboot ARGS".
func (l *lab) kubectl(t *testing.T, args ...string) result {
	t.Helper()
	return typed(t, nil, append([]string{"--kubeconfig=" + l.kubeconfig(t)}, args...)...)
}

// typed runs a command line. terminal may be nil: none.
func typed(t *testing.T, terminal func() (int, int, bool), args ...string) result {
	t.Helper()
	var out, errs strings.Builder
	if terminal == nil {
		terminal = func() (int, int, bool) { return 0, 0, false }
	}
	p := &program{out: &out, err: &errs, now: now, terminal: terminal}
	ctx, cancel := context.WithTimeout(t.Context(), patienceOfTests)
	defer cancel()
	code := p.run(ctx, args)
	return result{out.String(), errs.String(), code}
}
