// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

//nolint:gochecknoglobals // flags of the test binary
var (
	bootingFlag = flag.Int("booting", 150, "machines of TestManyBoots")
	writesFlag  = flag.Int("writes", 20, "--status-writes-per-second of TestManyBoots")
)

// TestManyBoots boots many machines at once, each from its configuration to its callback. All of it must reach their status, with
// few writes, and never more of them in a second than allowed.
func TestManyBoots(t *testing.T) {
	c := newCluster(t)
	const kernel = "a kernel"
	profile := profileOf(c.namespace, upstream(t, contents(kernel)), digest(kernel))
	profile.Spec.KernelArgs = append(profile.Spec.KernelArgs, "done={{ .CompleteURL }}")
	c.create(profile)
	n := *bootingFlag
	address := func(i int) string { return fmt.Sprintf("52:54:01:%02x:%02x:%02x", i>>16&0xff, i>>8&0xff, i&0xff) }
	inParallel(n, func(i int) {
		m := machineOf(c.namespace, fmt.Sprintf("node-%05d", i), address(i))
		m.Spec.BootPolicy = v1alpha1.BootPolicyOnce
		if err := c.client.Create(t.Context(), m); err != nil {
			t.Error(err)
		}
	})
	s := start(t, append(c.flags(), fmt.Sprintf("--status-writes-per-second=%d", *writesFlag))...)
	for i := range n { // conditions of before are not to be counted
		var m v1alpha1.Machine
		key := client.ObjectKey{Namespace: c.namespace, Name: fmt.Sprintf("node-%05d", i)}
		eventually(t, func() string {
			if err := c.client.Get(t.Context(), key, &m); err != nil {
				return err.Error()
			}
			if len(m.Status.Conditions) == 0 {
				return m.Name + " has no conditions yet"
			}
			return ""
		})
	}
	before, idle := s.apiRequests(), s.resident()

	began := time.Now()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	reDone := regexp.MustCompile(`done=http://[^/]+(/\S+)`)
	reKernel := regexp.MustCompile(`http://[^/]+(/artifacts/\S+)`)
	var failed atomic.Int32
	inParallel(n, func(i int) {
		config, err := s.request(transport, http.MethodGet, "/ipxe?mac="+address(i))
		done, payload := reDone.FindStringSubmatch(config), reKernel.FindStringSubmatch(config)
		if err == nil && done != nil && payload != nil {
			if _, err = s.request(transport, http.MethodGet, payload[1]); err == nil {
				_, err = s.request(transport, http.MethodPost, done[1])
			}
		}
		if err != nil || done == nil || payload == nil {
			failed.Add(1)
			t.Errorf("machine %d: %v, configuration %q", i, err, config)
		}
	})
	booted := time.Since(began)
	peak := s.resident()
	for written := 0.0; s.metric("netboot_boot_status_queue_length") != 0 || s.booted(c) < n && failed.Load() == 0; {
		eventually(t, func() string { // as long as it goes on
			now := s.metric(`netboot_boot_status_writes_total{result="written"}`)
			if now == written {
				return fmt.Sprintf("%v writes are not enough for %d Machines, and no further one comes", now, n)
			}
			written = now
			return ""
		})
		peak = max(peak, s.resident())
	}
	took := time.Since(began)
	writes := s.metric(`netboot_boot_status_writes_total{result="written"}`)
	if most := float64(*writesFlag) * (took.Seconds() + 1); writes > most+float64(*writesFlag) {
		t.Errorf("%v writes in %v, more than %d in a second", writes, took, *writesFlag)
	}
	if dropped := s.metric("netboot_boot_events_dropped_total"); dropped != 0 {
		t.Errorf("%v events were dropped", dropped)
	}
	if least, most := float64(n), 5*float64(n); writes < least || writes > most {
		t.Errorf("%v writes for %d boots", writes, n)
	}
	t.Logf("%d boots in %v; all in the status after %v: %.2f writes a boot, %.1f writes and %.1f requests to the API server in a second; "+
		"resident %d MiB before, %d MiB at most", n, booted.Round(time.Millisecond), took.Round(time.Millisecond), writes/float64(n),
		writes/took.Seconds(), (s.apiRequests()-before)/took.Seconds(), idle>>10, peak>>10)
}

// inParallel calls f with all numbers below n, some at a time.
func inParallel(n int, f func(i int)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range 64 {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	workers.Wait()
}

// request sends one to the HTTP server; another status than 200 is an error.
func (s *service) request(transport *http.Transport, method, path string) (string, error) {
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.http+path, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, path, response.Status, body)
	}
	return string(body), err
}

// booted returns how many Machines' status tells that their boot is completed.
func (s *service) booted(c *cluster) (n int) {
	var all v1alpha1.MachineList
	if err := c.client.List(s.t.Context(), &all, client.InNamespace(c.namespace)); err != nil {
		s.t.Fatal(err)
	}
	for i := range all.Items {
		if all.Items[i].Status.BootID == all.Items[i].Spec.BootID {
			n++
		}
	}
	return n
}

// apiRequests returns how many requests the process has sent to the API server.
func (s *service) apiRequests() (n float64) {
	_, text := s.getHTTP(s.api, "/metrics")
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "rest_client_requests_total{") {
			var value float64
			if _, err := fmt.Sscan(line[strings.LastIndex(line, " ")+1:], &value); err == nil {
				n += value
			}
		}
	}
	return n
}
