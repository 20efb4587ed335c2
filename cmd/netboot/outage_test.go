// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// A cable lies between netboot and the API server, and can be cut.
type cable struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: l, to: to}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			carrying.Go(func() { c.carry(from) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // it was open until now
		c.set(true)
		carrying.Wait()
	})
	return c
}

func (c *cable) carry(from net.Conn) {
	if c.isCut() {
		_ = from.Close() // the other end sees it
		return
	}
	to, err := net.Dial("tcp", c.to) //nolint:noctx // both ends are closed by set
	if err != nil {
		_ = from.Close() // the other end sees it
		return
	}
	c.mu.Lock()
	c.conns = append(c.conns, from, to)
	c.mu.Unlock()
	if c.isCut() {
		c.set(true)
	}
	var ways sync.WaitGroup
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		ways.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // ends when either end is closed
			_ = way[0].Close()
		})
	}
	ways.Wait()
}

func (c *cable) isCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut
}

// set cuts the cable, or mends it.
func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	if cut {
		for _, conn := range c.conns {
			_ = conn.Close() // it may be closed already
		}
		c.conns = nil
	}
}

// throughCable leads the operator's way to the API server through a cable.
func (c *cluster) throughCable() *cable {
	c.t.Helper()
	host, err := url.Parse(server.Config(c.t).Host)
	if err != nil {
		c.t.Fatal(err)
	}
	way := newCable(c.t, host.Host)
	config, err := clientcmd.LoadFromFile(c.operator)
	if err != nil {
		c.t.Fatal(err)
	}
	config.Clusters["test"].Server = "https://" + way.listener.Addr().String()
	if err := clientcmd.WriteToFile(*config, c.operator); err != nil {
		c.t.Fatal(err)
	}
	return way
}

// TestStartWaitsForTheAPIServer mends the way to the API server after netboot has tried it.
func TestStartWaitsForTheAPIServer(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.create(profileOf(c.namespace, upstream(t, contents("a kernel")), digest("a kernel")), machineOf(c.namespace, "node-01", mac1))
	way := c.throughCable()
	way.set(true)
	s := launch(t, c.flags()...)
	eventually(t, func() string {
		if strings.Contains(s.logged(), "Waiting for the API server") {
			return ""
		}
		return "it does not say that it waits"
	})
	way.set(false)
	s.waitUntilItServes()
	if config, err := s.getTFTP(name1); err != nil || !strings.Contains(config, "quiet") {
		t.Errorf("the machine gets %q, %v", config, err)
	}
}

// TestServingOutlivesTheAPIServer cuts the way to the API server for longer than a lease lasts.
func TestServingOutlivesTheAPIServer(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	profile, machine := profileOf(c.namespace, upstream(t, contents("a kernel")), digest("a kernel")), machineOf(c.namespace, "node-01", mac1)
	c.create(profile, machine)
	way := c.throughCable()
	s := c.serve()
	c.condition(machine, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)

	way.set(true)
	eventually(t, func() string {
		if config, err := s.getTFTP(name1); err != nil || !strings.Contains(config, "quiet") {
			t.Fatalf("without the API server, the machine gets %q, %v", config, err)
		}
		if strings.Contains(s.logged(), "This pod no longer reports") {
			return ""
		}
		return "the lease is not lost"
	})

	c.kubectl("patch", "bootprofile", "linux", "--type=merge", "-p", `{"spec":{"kernelArgs":["after"]}}`)
	c.kubectl("patch", "machine", "node-01", "--type=merge", "-p", `{"spec":{"kernelArgs":["x={{ .Nothing }}"]}}`)
	way.set(false)
	c.condition(machine, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonTemplateError)
	c.kubectl("patch", "machine", "node-01", "--type=merge", "-p", `{"spec":{"kernelArgs":[]}}`)
	eventually(t, func() string {
		if config, err := s.getTFTP(name1); err != nil || !strings.Contains(config, "APPEND after ") {
			return fmt.Sprintf("after the API server is back, the machine gets %q, %v", config, err)
		}
		return ""
	})
	c.condition(machine, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
}
