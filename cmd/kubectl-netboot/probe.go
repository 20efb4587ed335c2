// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/pkg/live"
)

// probeOptions are the flags of kubectl netboot probe.
type probeOptions struct {
	output

	tftp, http uint16 // ports; 0: as the node's pod has them
	count      int
	patience   time.Duration
	file       string
}

const maxProbes = 1000

func newProbe(p *program) *cobra.Command {
	o := &probeOptions{}
	cmd := &cobra.Command{
		Use:   "probe NODE",
		Short: "Ask a node's servers by TFTP and HTTP from here, and tell who answers and how fast",
		Long: "Ask a node's servers from here, as a machine would: by a real TFTP and a real HTTP request. NODE is the name of a Kubernetes\n" +
			"node or an IP address; with --server also any host, and the URL's own if it is left out.",
		Args: arguments(0, 1, "the name or address of a node"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), p, args) },
	}
	o.addFlag(cmd)
	flags := cmd.Flags()
	flags.Uint16Var(&o.tftp, "tftp-port", 0, "`PORT` of TFTP (default: that of the node's pod, or 69)")
	flags.Uint16Var(&o.http, "http-port", 0, "`PORT` of HTTP (default: that of the node's pod, or 8080)")
	flags.IntVar(&o.count, "count", 3, "`COUNT` of requests by each")
	flags.DurationVar(&o.patience, "timeout", time.Second, "`TIME` that an answer may take; a TFTP request is repeated twice after it")
	flags.StringVar(&o.file, "file", "", "also fetch the file `NAME`, such as grubnetx64.efi.signed: that large packets get through, too")
	return cmd
}

// A probeReport is what probe prints.
type probeReport struct {
	Node    string        `json:"node,omitempty"`
	Address string        `json:"address"`
	Probes  []probeResult `json:"probes"`
}

// A probeResult is what came of all requests by one protocol.
type probeResult struct {
	Protocol     string         `json:"protocol"`
	Address      string         `json:"address"` // HOST:PORT
	File         string         `json:"file,omitempty"`
	Sent         int            `json:"sent"`
	Answered     int            `json:"answered"`
	Microseconds latencies      `json:"microseconds"`
	Bytes        int64          `json:"bytes,omitempty"` // of the file
	Instance     string         `json:"instance,omitempty"`
	AnsweredBy   *probeAnswerer `json:"answeredBy,omitempty"` // unset: not known
	Error        string         `json:"error,omitempty"`
	WhatToDo     string         `json:"whatToDo,omitempty"`
}

// latencies are times from a request to its answer.
type latencies struct {
	Min    int64 `json:"min"`
	Median int64 `json:"median"`
	Max    int64 `json:"max"`
}

// A probeAnswerer is a pod that was seen to have a process.
type probeAnswerer struct {
	Namespace string `json:"namespace,omitempty"` // of the pod; empty: standalone
	Pod       string `json:"pod,omitempty"`
	Node      string `json:"node,omitempty"`
}

func (o *probeOptions) run(ctx context.Context, p *program, args []string) error {
	if err := o.check(); err != nil {
		return err
	}
	if o.count < 1 || o.count > maxProbes {
		return usagef("--count=%d: outside 1-%d", o.count, maxProbes)
	}
	if o.patience < time.Millisecond || o.patience > time.Minute {
		return usagef("--timeout=%v: outside 1ms-1m", o.patience)
	}
	s, target, err := o.target(ctx, p, args)
	if err != nil {
		return err
	}
	report := &probeReport{Node: target.node, Address: target.address}
	report.Probes = append(report.Probes, o.probe(ctx, overTFTP(), target.address, target.tftp, "")...)
	report.Probes = append(report.Probes, o.probe(ctx, overHTTP(), target.address, target.http, "")...)
	if o.file != "" {
		report.Probes = append(report.Probes, o.probe(ctx, overTFTP(), target.address, target.tftp, o.file)...)
		report.Probes = append(report.Probes, o.probe(ctx, overHTTP(), target.address, target.http, o.file)...)
	}
	if s != nil {
		name(ctx, s, report)
	}
	if err := o.print(p.out, report, report.tell); err != nil {
		return err
	}
	if slices.ContainsFunc(report.Probes, func(r probeResult) bool { return r.Answered < r.Sent }) {
		return errSaid
	}
	return nil
}

// target finds out what to ask. The source is nil where there is nobody to ask who that is.
func (o *probeOptions) target(ctx context.Context, p *program, args []string) (*source, server, error) {
	t := server{tftp: defaultTFTP, http: defaultHTTP}
	var s *source
	addr, direct := netipOf(args)
	switch {
	case p.standalone != "":
		opened, err := p.open()
		if err != nil {
			return nil, t, err
		}
		s = opened
		at, _ := url.Parse(p.standalone) // open has parsed it
		t.address = at.Hostname()
		if len(args) > 0 {
			t.address = args[0]
		}
	case len(args) == 0:
		return nil, t, usagef("probe takes the name or address of a node: kubectl get nodes lists them")
	case direct:
		t.address = addr
	default:
		opened, err := p.open()
		if err != nil {
			return nil, t, err
		}
		s = opened
		if t, err = s.node(ctx, args[0]); err != nil {
			return nil, t, err
		}
	}
	if o.tftp != 0 {
		t.tftp = o.tftp
	}
	if o.http != 0 {
		t.http = o.http
	}
	return s, t, nil
}

// netipOf returns the IP address that the first argument is.
func netipOf(args []string) (string, bool) {
	if len(args) == 0 {
		return "", false
	}
	addr, ok := isAddress(args[0])
	return addr.String(), ok
}

// node returns what serves on a Kubernetes node: where it is, and at which ports as far as its pod tells.
func (s *source) node(ctx context.Context, name string) (server, error) {
	t := server{node: name, tftp: defaultTFTP, http: defaultHTTP}
	var node corev1.Node
	if err := s.api.Get(ctx, client.ObjectKey{Name: name}, &node); apierrors.IsNotFound(err) {
		return t, s.noNode(ctx, name)
	} else if err != nil {
		err = s.explain(err, access{verb: "get", resource: "nodes", name: name})
		return t, fmt.Errorf("%w; or give the node's IP address instead of its name", err)
	}
	for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
		for _, a := range node.Status.Addresses {
			if a.Type == kind && t.address == "" {
				t.address = a.Address
			}
		}
	}
	if t.address == "" {
		return t, fmt.Errorf("node %s tells no IP address; give it instead of the name", name)
	}
	if servers, err := s.servers(ctx, name); err == nil && len(servers) > 0 { // else the ports are those of most
		t.tftp, t.http = servers[0].tftp, servers[0].http
	}
	return t, nil
}

// noNode says that no node has a name.
func (s *source) noNode(ctx context.Context, name string) error {
	var list corev1.NodeList
	var names []string
	if err := s.api.List(ctx, &list); err == nil { // else there is no hint
		for i := range list.Items {
			names = append(names, list.Items[i].Name)
		}
	}
	hint := "kubectl get nodes lists them; of a host that is none give the IP address"
	if near := nearest(name, names); near != "" {
		return fmt.Errorf("no node %q: did you mean %q? %s", name, near, hint)
	}
	return fmt.Errorf("no node %q: %s", name, hint)
}

// A protocol asks once for a file; an empty name means the one that tells who answers, whose text it returns.
type protocol struct {
	name string
	ask  func(ctx context.Context, address, file string, patience time.Duration) (text string, bytes int64, err error)
	help func(err error, file bool) string
}

// probe asks as often as wanted; a file only once. It returns nothing of a server that is off.
func (o *probeOptions) probe(ctx context.Context, by protocol, host string, port uint16, file string) []probeResult {
	if port == 0 {
		return nil
	}
	r := probeResult{Protocol: by.name, Address: net.JoinHostPort(host, strconv.Itoa(int(port))), File: file}
	count := o.count
	if file != "" {
		count = 1
	}
	var took []int64
	for range count {
		if ctx.Err() != nil {
			break
		}
		r.Sent++
		begun := time.Now()
		text, bytes, err := by.ask(ctx, r.Address, file, o.patience)
		if err != nil {
			r.Error, r.WhatToDo = o.problem(err), by.help(err, file != "")
			continue
		}
		r.Answered++
		took = append(took, time.Since(begun).Microseconds())
		r.Instance, r.Bytes = text, bytes
	}
	if slices.Sort(took); len(took) > 0 {
		r.Microseconds = latencies{Min: took[0], Median: took[len(took)/2], Max: took[len(took)-1]}
	}
	return []probeResult{r}
}

// problem says what came instead of an answer.
func (o *probeOptions) problem(err error) string {
	if network, ok := errors.AsType[net.Error](err); ok && network.Timeout() {
		return fmt.Sprintf("no answer within %v", o.patience)
	}
	return err.Error()
}

// name tells of each result who answered, as far as the servers can be asked.
func name(ctx context.Context, s *source, report *probeReport) {
	servers, err := s.servers(ctx, "")
	if err != nil {
		return
	}
	answers, err := askAll[live.Transfers](ctx, s, servers, live.TransfersPath)
	if err != nil {
		return
	}
	for i := range report.Probes {
		for _, a := range answers {
			if r := &report.Probes[i]; a.err == nil && r.Instance != "" && r.Instance == a.told.Instance {
				r.AnsweredBy = &probeAnswerer{Namespace: a.server.namespace, Pod: a.server.name, Node: a.told.Node}
			}
		}
	}
}

func (p *probeReport) tell(w io.Writer) {
	where := p.Address
	if p.Node != "" {
		where = p.Node + ", " + p.Address
	}
	fmt.Fprintf(w, "Node %s\n\n", where)
	rows := [][]string{{"BY", "ADDRESS", "FILE", "ANSWERS", "TOOK", "ANSWERED BY"}}
	for i := range p.Probes {
		r := &p.Probes[i]
		took := "-"
		if r.Answered > 0 {
			took = short(time.Duration(r.Microseconds.Median) * time.Microsecond)
		}
		file := "-"
		if r.File != "" {
			file = r.File
			if r.Answered > 0 {
				file += ", " + size(r.Bytes)
				took += ", " + rate(r.Bytes, time.Duration(r.Microseconds.Median)*time.Microsecond)
			}
		}
		rows = append(rows, []string{r.Protocol, r.Address, file, fmt.Sprintf("%d of %d", r.Answered, r.Sent), took, r.answerer(p.Node)})
	}
	table(w, "", rows)
	for i := range p.Probes {
		if r := &p.Probes[i]; r.Error != "" {
			fmt.Fprintf(w, "\n%s: %s\n", r.Protocol, r.Error)
			wrap(w, "  ", r.WhatToDo)
		}
	}
}

// answerer says who answered a request to a node.
func (r *probeResult) answerer(node string) string {
	by := r.AnsweredBy
	switch {
	case r.Answered == 0, r.File != "":
		return "-"
	case r.Instance == "":
		return "no netboot, or another version of it"
	case by == nil:
		return "process " + r.Instance
	case by.Pod == "":
		return "netboot on " + by.Node
	case node != "" && by.Node != node:
		return fmt.Sprintf("pod %s/%s on %s, which was not asked", by.Namespace, by.Pod, by.Node)
	}
	return fmt.Sprintf("pod %s/%s on %s", by.Namespace, by.Pod, by.Node)
}
