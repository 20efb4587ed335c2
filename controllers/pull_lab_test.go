// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/token"
	"github.com/netboot-operator/netboot-operator/test/controlplane"
)

// patience bounds every wait for something that takes milliseconds on an idle computer.
const patience = 3 * time.Minute

var server controlplane.Server //nolint:gochecknoglobals // one API server for the package, as controlplane documents

func TestMain(m *testing.M) { os.Exit(server.Run(m)) }

// A lab is a namespace of a real API server, with pods in it that share nothing but that: each has the controllers, an index
// and an artifact store of its own.
type lab struct {
	t         *testing.T
	client    client.Client
	namespace string
	timing    timing
	setup     func(*Pod) // of the next pod that is started; nil: as it is
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, client: controlplane.Client(t, server.Config(t))}
	l.namespace = controlplane.Namespace(t, l.client)
	l.timing = timing{renew: 100 * time.Millisecond, lasts: 20 * time.Second, coalesce: 5 * time.Millisecond, progress: 20 * time.Millisecond, step: 1}
	return l
}

// A pod is what one netboot process is, without its servers.
type pod struct {
	dir    string // of its store
	events *ArtifactEvents
	end    func() // as SIGTERM would
}

// start starts a pod and waits until its index is filled. dir is that of its store.
func (l *lab) start(name, dir string) *pod {
	l.t.Helper()
	p := &pod{dir: dir, events: NewArtifactEvents(logr.Discard())}
	store, err := artifact.New(artifact.Options{Dir: dir, Observer: p.events, RetryAfter: 50 * time.Millisecond})
	if err != nil {
		l.t.Fatal(err)
	}
	tokens, err := token.New(token.Options{TTL: time.Hour, Registerer: prometheus.NewRegistry()})
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.t.Context()))
	filled, ended := make(chan struct{}), make(chan error, 1)
	setup := &Pod{
		Name: name, Index: index.New(), Artifacts: store, Changed: p.events, Namespace: l.namespace, Watched: l.namespace, Tokens: tokens,
		Filled: sync.OnceFunc(func() { close(filled) }),
		timing: l.timing,
	}
	if l.setup != nil {
		l.setup(setup)
	}
	go func() { ended <- l.follow(ctx, setup) }()
	p.end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			l.t.Errorf("pod %s ended with %v", name, err)
		}
		if err := store.Close(); err != nil {
			l.t.Errorf("store of pod %s: %v", name, err)
		}
	})
	l.t.Cleanup(p.end)
	select {
	case <-filled:
	case <-time.After(patience):
		l.t.Fatalf("pod %s is not ready", name)
	}
	return p
}

// follow runs managers of a pod, one after the other, as a process does: after an outage another one goes on. For a lab, a request
// that takes longer than its short time between two renewals is one, too.
func (l *lab) follow(ctx context.Context, setup *Pod) error {
	for ctx.Err() == nil {
		mgr, err := l.manager()
		if err == nil {
			err = setup.Setup(ctx, mgr)
		}
		if err == nil {
			if err := mgr.Start(ctx); !errors.Is(err, ErrStale) {
				return err
			}
			continue
		}
		if !apiServerAway(err) {
			return err
		}
		select {
		case <-time.After(l.timing.renew):
		case <-ctx.Done():
		}
	}
	return nil
}

// manager returns one that watches the lab's namespace.
func (l *lab) manager() (ctrl.Manager, error) {
	config := server.Config(l.t)
	config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Logger: logr.Discard(),
		Cache:      cache.Options{DefaultNamespaces: map[string]cache.Config{l.namespace: {}}},
		Client:     client.Options{FieldOwner: "netboot-operator", FieldValidation: "Strict"},
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: ctrlconfig.Controller{SkipNameValidation: new(true)},
	})
}

// breakStore takes the disk away below a store.
func breakStore(t *testing.T, dir string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("nothing in %s: %v", dir, err)
	}
	for _, name := range found {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o600); err != nil { // a file where a folder must be
			t.Fatal(err)
		}
	}
}

// An upstream is a real HTTP server of files that are their own names, repeated. It sends half of a file, and the rest when it
// is told to.
type upstream struct {
	*httptest.Server
	requests atomic.Int64
	down     atomic.Bool
	gate     chan struct{} // nil: open; else each item lets one answer go on
}

const fileSize = 256 << 10

func content(name string) string {
	return strings.Repeat(name+" ", fileSize/len(name)+1)[:fileSize]
}

func newUpstream(t *testing.T, gate chan struct{}) *upstream {
	t.Helper()
	u := &upstream{gate: gate}
	closed := make(chan struct{})
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.requests.Add(1)
		if u.down.Load() {
			http.Error(w, "not today", http.StatusNotFound) // for good, as far as a client can tell
			return
		}
		body := content(path.Base(r.URL.Path))
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write([]byte(body[:len(body)/2])) // the client is gone, or not: it tells
		_ = http.NewResponseController(w).Flush()
		if u.gate != nil {
			select {
			case <-u.gate:
			case <-r.Context().Done():
				return
			case <-closed:
				return
			}
		}
		_, _ = w.Write([]byte(body[len(body)/2:])) // as above
	}))
	t.Cleanup(u.Close)
	t.Cleanup(func() { close(closed) })
	return u
}

// artifact returns what a spec says of a file.
func (u *upstream) artifact(name string) v1alpha1.Artifact {
	sum := sha256.Sum256([]byte(content(name)))
	return v1alpha1.Artifact{URL: u.URL + "/" + name, SHA256: hex.EncodeToString(sum[:])}
}

// profile makes a BootProfile with a kernel and initrds.
func (l *lab) profile(name string, u *upstream, kernel string, initrds ...string) *v1alpha1.BootProfile {
	l.t.Helper()
	p := &v1alpha1.BootProfile{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: l.namespace},
		Spec:       v1alpha1.BootProfileSpec{Platforms: []v1alpha1.Platform{{Architecture: "amd64", Kernel: new(u.artifact(kernel))}}},
	}
	for _, initrd := range initrds {
		p.Spec.Platforms[0].Initrds = append(p.Spec.Platforms[0].Initrds, u.artifact(initrd))
	}
	if err := l.client.Create(l.t.Context(), p); err != nil {
		l.t.Fatal(err)
	}
	return p
}

// eventually waits until check returns "", and fails with what it returned last.
func (l *lab) eventually(check func() string) {
	l.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		problem := check()
		if problem == "" {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("after %v still: %s", patience, problem)
		}
		<-tick.C
	}
}

// tells waits until a profile's status says what is wanted: "ArtifactsReady's status and reason | artifactsCached | of each
// artifact state and pods". It returns the message of ArtifactsReady.
func (l *lab) tells(p *v1alpha1.BootProfile, want string) string {
	l.t.Helper()
	var message string
	l.eventually(func() string {
		if err := l.client.Get(l.t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
			return err.Error()
		}
		c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionArtifactsReady)
		if c == nil {
			return "no ArtifactsReady"
		}
		message = c.Message
		parts := []string{fmt.Sprintf("%s %s | %s |", c.Status, c.Reason, p.Status.ArtifactsCached)}
		for _, a := range p.Status.Artifacts {
			parts = append(parts, string(a.State), a.Pods)
		}
		got := strings.Join(parts, " ")
		if got == want && c.ObservedGeneration == p.Generation {
			return ""
		}
		return fmt.Sprintf("%s tells %q (%s), want %q", p.Name, got, message, want)
	})
	return message
}

// reasons watches a profile, until it is asked what reasons of ArtifactsReady it saw: one for each write.
func (l *lab) reasons(p *v1alpha1.BootProfile) func() []string {
	l.t.Helper()
	c, err := client.NewWithWatch(server.Config(l.t), client.Options{Scheme: controlplane.Scheme(l.t)})
	if err != nil {
		l.t.Fatal(err)
	}
	w, err := c.Watch(l.t.Context(), &v1alpha1.BootProfileList{}, client.InNamespace(l.namespace), &client.ListOptions{
		Raw: &metav1.ListOptions{ResourceVersion: p.ResourceVersion},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	number := func(version string) uint64 {
		n, err := strconv.ParseUint(version, 10, 64)
		if err != nil {
			l.t.Error(err)
		}
		return n
	}
	var seen []string
	name := p.Name
	last := make(chan uint64) // the version up to which to watch
	var watching sync.WaitGroup
	watching.Go(func() {
		until, version := uint64(math.MaxUint64), uint64(0)
		for version < until {
			select {
			case until = <-last:
			case e, open := <-w.ResultChan():
				if !open {
					return
				}
				if q, ok := e.Object.(*v1alpha1.BootProfile); ok && q.Name == name {
					version = number(q.ResourceVersion)
					if c := meta.FindStatusCondition(q.Status.Conditions, v1alpha1.ConditionArtifactsReady); c != nil {
						seen = append(seen, c.Reason)
					}
				}
			}
		}
	})
	return func() []string {
		last <- number(p.ResourceVersion) // of the last look at it
		watching.Wait()
		w.Stop()
		return seen
	}
}

// notes returns the Events about an object as "REASON NOTE".
func (l *lab) notes(o client.Object) []string {
	l.t.Helper()
	var list eventsv1.EventList
	if err := l.client.List(l.t.Context(), &list, client.InNamespace(l.namespace)); err != nil {
		l.t.Fatal(err)
	}
	var notes []string
	for _, e := range list.Items {
		if e.Regarding.Name == o.GetName() {
			count := int32(1)
			if e.Series != nil {
				count = e.Series.Count
			}
			for range count {
				notes = append(notes, e.Reason+" "+e.Note)
			}
		}
	}
	return notes
}

// hasEvents waits until as many Events with the given reason are there, and fails if there are more.
func (l *lab) hasEvents(o client.Object, reason string, want int) {
	l.t.Helper()
	l.eventually(func() string {
		notes, got := l.notes(o), 0
		for _, note := range notes {
			if strings.HasPrefix(note, reason+" ") {
				got++
			}
		}
		if got > want {
			l.t.Fatalf("%d Events %s about %s, want %d:\n%s", got, reason, o.GetName(), want, strings.Join(notes, "\n"))
		}
		if got < want {
			return fmt.Sprintf("%d Events %s about %s, want %d", got, reason, o.GetName(), want)
		}
		return ""
	})
}
