// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

func TestPresenceName(t *testing.T) {
	for name, tc := range map[string]struct {
		pod  string
		want string // empty: any name that is allowed
	}{
		"a pod":                 {"netboot-x7k2p", "netboot-operator-netboot-x7k2p"},
		"a host in upper case":  {"Rack12.Example.COM", "netboot-operator-rack12-example-com"},
		"no letter at its ends": {"_x_", "netboot-operator-x"},
		"too long":              {strings.Repeat("x", 300), presencePrefix + strings.Repeat("x", 253-len(presencePrefix))},
		"this computer":         {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := presenceName(tc.pod)
			if err != nil || tc.want != "" && got != tc.want {
				t.Errorf("presenceName(%q) = %q, %v, want %q", tc.pod, got, err, tc.want)
			}
			if problems := validation.IsDNS1123Subdomain(got); len(problems) > 0 {
				t.Errorf("%q can't be the name of an object: %v", got, problems)
			}
		})
	}
	one, _ := presenceName("")
	if other, _ := presenceName(""); one == other {
		t.Errorf("two processes on one computer are both called %q", one)
	}
}

func TestHoldingsAreBounded(t *testing.T) {
	some := holdings{"u1": {Fetching: true, Received: 3, Bytes: 7}, "2": {Cached: true, Bytes: 7}, "3": {Reason: "X", Message: `"y"`}}
	text, left := encodeHoldings(some)
	if diff := cmp.Diff(some, decodeHoldings(text)); diff != "" || left != 0 {
		t.Errorf("%d left; encoded (-) and decoded (+) differ:\n%s", left, diff)
	}
	if decodeHoldings("something else") != nil || decodeHoldings("") != nil {
		t.Error("what can't be read is not nothing")
	}

	const artifacts = 10_000
	many := holdings{}
	for i := range artifacts {
		many[shortID(fmt.Sprintf("%020d", i))] = holding{Cached: true, Bytes: 1 << 40}
	}
	many["fffff"] = holding{Reason: "X", Message: "what is missing comes first"}
	text, left = encodeHoldings(many)
	decoded := decodeHoldings(text)
	if len(text) > maxHoldings || len(decoded)+left != len(many) || decoded["fffff"].Reason == "" {
		t.Errorf("%d bytes with %d artifacts, %d left; the one that failed: %v", len(text), len(decoded), left, decoded["fffff"])
	}
	if len(decoded) < 3000 {
		t.Errorf("only %d artifacts fit", len(decoded))
	}
}

// TestPodsExpireByOurClock has pods whose clocks are wrong, and one that is gone.
func TestPodsExpireByOurClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []map[shortID]bool
		w := &podWatch{
			timing: defaultTiming(), pods: map[string]*podSeen{}, known: true,
			changed: func(_ context.Context, artifacts map[shortID]bool) { changes = append(changes, artifacts) },
		}
		lease := func(name string, renewed time.Time, text string) *coordinationv1.Lease {
			return &coordinationv1.Lease{
				ObjectMeta: metav1.ObjectMeta{Name: presencePrefix + name, Annotations: map[string]string{holdingsAnnotation: text}},
				Spec:       coordinationv1.LeaseSpec{RenewTime: new(metav1.NewMicroTime(renewed))},
			}
		}
		start := time.Now()
		slow, gone := start.Add(-time.Hour), start
		w.saw(t.Context(), lease("slow", slow, `{"a":{"cached":true}}`))
		w.saw(t.Context(), lease("gone", gone, ""))
		for range 5 {
			<-time.After(10 * time.Second) // virtual time
			slow = slow.Add(10 * time.Second)
			w.saw(t.Context(), lease("slow", slow, `{"a":{"cached":true}}`))
			w.saw(t.Context(), lease("gone", gone, "")) // somebody else wrote to it
		}
		var names []string
		for _, l := range w.expired() {
			names = append(names, l.Name)
		}
		if diff := cmp.Diff([]string{presencePrefix + "gone"}, names); diff != "" {
			t.Errorf("expired: want (-), got (+):\n%s", diff)
		}
		if len(changes) != 2 {
			t.Errorf("%d changes, want the 2 of new pods: a renewal is none", len(changes))
		}

		w.saw(t.Context(), lease("slow", slow, `{"a":{"cached":true},"b":{"fetching":true}}`))
		w.lost(t.Context(), lease("gone", gone, ""))
		if diff := cmp.Diff([]map[shortID]bool{{"b": true}, nil}, changes[2:]); diff != "" {
			t.Errorf("changes: want (-), got (+):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]holdings{"slow": {"a": {Cached: true}, "b": {Fetching: true}}}, w.holdings()); diff != "" {
			t.Errorf("pods: want (-), got (+):\n%s", diff)
		}
		w.forget()
		if w.holdings() != nil {
			t.Error("after its term the leader still knows pods")
		}
	})
}

// fickle is a store that is always further than before.
type fickle struct{ received atomic.Int64 }

func (*fickle) Keep(index.Key, []*index.Artifact) {}

func (f *fickle) State(index.ID) artifact.State {
	return artifact.State{Fetching: true, Received: f.received.Add(1), Total: 1 << 40}
}

// counter is an API server that counts what is written to it.
type counter struct {
	client.Client
	applied, deleted int
	down             bool
}

func (c *counter) Apply(context.Context, runtime.ApplyConfiguration, ...client.ApplyOption) error {
	c.applied++
	if c.down {
		return errors.New("the API server is away")
	}
	return nil
}

func (c *counter) Delete(context.Context, client.Object, ...client.DeleteOption) error {
	c.deleted++
	return nil
}

func TestPresenceIsPaced(t *testing.T) {
	for name, tc := range map[string]struct {
		every    time.Duration // a fetch starts or ends; 0: none does
		down     bool
		min, max int // writes in 100 s
	}{
		"nothing happens: it renews":         {min: 10, max: 12},
		"something now and then":             {every: 20 * time.Second, min: 10, max: 17},
		"all the time":                       {every: time.Millisecond, min: 90, max: 106},
		"the API server is away: it retries": {down: true, min: 50, max: 51},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api, events := &counter{down: tc.down}, NewArtifactEvents(logr.Discard())
				pulls := newPulls(&fickle{}, events.wake)
				pulls.Keep("lab/linux", []*index.Artifact{{URLs: []string{"http://m/k"}}})
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
				defer cancel()
				if tc.every > 0 {
					go func() {
						for wait(ctx, tc.every) {
							events.ArtifactStarted(&index.Artifact{})
						}
					}()
				} else {
					<-events.changed
				}
				p := &presence{client: api, name: "x", pulls: pulls, changed: events.changed, timing: defaultTiming(), log: logr.Discard()}
				if err := p.run(ctx); err != nil {
					t.Fatal(err)
				}
				if api.applied < tc.min || api.applied > tc.max {
					t.Errorf("%d writes, want %d to %d", api.applied, tc.min, tc.max)
				}
				if api.deleted != 1 {
					t.Errorf("at its end the Lease is deleted %d times, want once", api.deleted)
				}
			})
		})
	}
}
