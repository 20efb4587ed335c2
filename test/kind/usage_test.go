// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build kind

package kind

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// A usage is what the processes of our pods take, the greater of two nodes.
type usage struct {
	when           string
	resident, peak int     // MiB
	cpu            float64 // of one processor, over a while
	processes      int
	workingSet     int // MiB, as the kubelet counts it; 0: it has not counted
}

// measureFor is how long the use of a processor is looked at.
const measureFor = 5 * time.Second

// measure notes what our processes take now.
func (c *cluster) measure(t *testing.T, when string) {
	t.Helper()
	begun, before := time.Now(), map[string]int{}
	for _, n := range c.workers {
		before[n.name] = c.processes(t, n).ticks
	}
	select {
	case <-time.After(measureFor):
	case <-t.Context().Done():
		return
	}
	u := usage{when: when}
	for _, n := range c.workers {
		const ticksPerSecond = 100
		p := c.processes(t, n)
		u.cpu = max(u.cpu, float64(p.ticks-before[n.name])/ticksPerSecond/time.Since(begun).Seconds())
		u.processes, u.resident, u.peak = max(u.processes, p.count), max(u.resident, p.resident>>10), max(u.peak, p.peak>>10)
		u.workingSet = max(u.workingSet, c.workingSet(t, n))
	}
	c.usage = append(c.usage, u)
}

// The processes of our pods on a node: how many, their time on processors together, and the greatest memory of one, in KiB.
type processes struct{ count, ticks, resident, peak int }

func (c *cluster) processes(t *testing.T, n node) (p processes) {
	t.Helper()
	// One of them may end while it is looked at.
	const look = `for pid in $(pgrep -f "` + serving + `"); do cat /proc/$pid/stat /proc/$pid/status; done 2>/dev/null; true`
	for line := range strings.Lines(onNode(t, n.name, "sh", "-c", look)) {
		number := func(field int) int {
			n, _ := strconv.Atoi(strings.Fields(line)[field]) // all are numbers, by proc(5)
			return n
		}
		switch {
		case strings.Contains(line, "(netboot)"):
			p.count++
			p.ticks += number(13) + number(14) // user and system
		case strings.HasPrefix(line, "VmRSS:"):
			p.resident = max(p.resident, number(1))
		case strings.HasPrefix(line, "VmHWM:"):
			p.peak = max(p.peak, number(1))
		}
	}
	return p
}

// workingSet asks the kubelet of a node what our pod has, which is what its limit is compared with.
func (c *cluster) workingSet(t *testing.T, n node) (most int) {
	t.Helper()
	out, err := try(t.Context(), "kubectl", "get", "--raw", "/api/v1/nodes/"+n.name+"/proxy/stats/summary", "--request-timeout=5s")
	if err != nil {
		return 0 // the API server is away
	}
	var summary struct {
		Pods []struct {
			PodRef struct{ Namespace string }
			Memory struct{ WorkingSetBytes int }
		}
	}
	if err := json.Unmarshal([]byte(out), &summary); err != nil {
		t.Fatal(err)
	}
	for _, pod := range summary.Pods {
		if pod.PodRef.Namespace == namespace {
			most = max(most, pod.Memory.WorkingSetBytes>>20)
		}
	}
	return most
}

// printUsage prints what was measured: requests and limits in the chart's values follow from it.
func (c *cluster) printUsage(t *testing.T) {
	t.Helper()
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "of one pod, the greater of two\tresident MiB\tpeak MiB\tworking set MiB\tCPU\tprocesses on the node")
	for _, u := range c.usage {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%.3f\t%d\n", u.when, u.resident, u.peak, u.workingSet, u.cpu, u.processes)
	}
	_ = w.Flush() // into memory
	t.Logf("memory and CPU\n%s", table.String())
}

// thousand has 1000 Machines served.
func (c *cluster) thousand(t *testing.T) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1                // kubectl would take minutes
	ctrl.SetLogger(logr.Discard()) // else the client says that there is none
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	api, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	var group errgroup.Group
	group.SetLimit(8)
	for i := range 1000 {
		group.Go(func() error {
			return api.Create(t.Context(), &v1alpha1.Machine{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("many-%04d", i)},
				Spec: v1alpha1.MachineSpec{
					MACAddresses: []v1alpha1.MACAddress{v1alpha1.MACAddress(fmt.Sprintf("52:54:01:00:%02x:%02x", i>>8, i&255))},
					ProfileRef:   &v1alpha1.ProfileReference{Name: "debian-installer"},
					Variables:    map[string]v1alpha1.VariableValue{"rack": "r12"},
				},
			})
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	made := time.Since(begun)
	for _, n := range c.workers {
		eventually(t, "the last of 1000 Machines on "+n.name, patience, func() error {
			if got := c.get(t, n, "pxelinux.cfg/01-52-54-01-00-03-e7"); !strings.Contains(got, "DEFAULT netboot") {
				return fmt.Errorf("%s", got)
			}
			return nil
		})
	}
	t.Logf("1000 Machines: made in %v, the last one was served %v after the begin",
		made.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
	c.measure(t, "1000 Machines, just made")
}
