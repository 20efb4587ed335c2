// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/netboot-operator/netboot-operator/pkg/live"
)

// watchOptions are the flags of kubectl netboot watch.
type watchOptions struct {
	output

	once, boots bool
	interval    time.Duration
}

const minInterval = 100 * time.Millisecond

func newWatch(p *program) *cobra.Command {
	o := &watchOptions{}
	cmd := &cobra.Command{
		Use:   "watch [MACHINE...]",
		Short: "Show the files that are on their way to machines, as they come",
		Long: "Show the files that are on their way to machines, from all of netboot's pods: with bars that move on a terminal, else a line\n" +
			"for each change. --boots shows who boots, also clients that no Machine is known of. Names of Machines (of the namespace) leave out the others.",
		Args: arguments(0, -1, "names of Machines"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), p, args) },
	}
	o.addFlag(cmd)
	cmd.Flags().BoolVar(&o.once, "once", false, "show it once, and end")
	cmd.Flags().BoolVar(&o.boots, "boots", false, "show the boots of late instead of files")
	cmd.Flags().DurationVar(&o.interval, "interval", time.Second, "`TIME` between two looks")
	return cmd
}

// A picture is what watch prints: what goes on at one moment.
type picture struct {
	Time      time.Time      `json:"time"`
	Servers   []watched      `json:"servers"`
	Transfers []liveTransfer `json:"transfers,omitzero"`
	Boots     []liveBoot     `json:"boots,omitzero"` // --boots
}

// A watched is a server that was asked.
type watched struct {
	Namespace string `json:"namespace,omitempty"` // of the pod; empty: standalone
	Pod       string `json:"pod,omitempty"`
	Node      string `json:"node,omitempty"`
	Error     string `json:"error,omitempty"` // why it told nothing
}

// A liveTransfer is a file on its way, with the node that sends it.
type liveTransfer struct {
	live.Transfer

	Node           string `json:"node"`
	BytesPerSecond int64  `json:"bytesPerSecond"` // since the picture before, or since it began; 0: not known
}

// A liveBoot is the latest boot of a client, with the node that serves it.
type liveBoot struct {
	live.Attempt

	Node string `json:"node"`
}

func (o *watchOptions) run(ctx context.Context, p *program, names []string) error {
	if err := o.check(); err != nil {
		return err
	}
	if o.interval < minInterval {
		return usagef("--interval=%v: must be %v at least", o.interval, minInterval)
	}
	s, err := p.open()
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, name := range names {
		if _, err := s.machine(ctx, name); err != nil {
			return err
		}
		wanted[s.namespace+"/"+name] = true
	}
	w := &watcher{source: s, boots: o.boots, wanted: wanted, begun: map[transferKey]transferMark{}}
	if o.once {
		now, err := w.look(ctx)
		if err != nil {
			return err
		}
		return o.print(p.out, now, func(out io.Writer) { now.table(out) })
	}
	return o.follow(ctx, p, w)
}

// follow shows one picture after the other until ctx ends.
func (o *watchOptions) follow(ctx context.Context, p *program, w *watcher) error {
	tick := time.NewTicker(o.interval)
	defer tick.Stop()
	show := o.shower(p)
	for looked := false; ; looked = true {
		now, err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !looked:
			return err // more than a moment's trouble
		case err != nil:
			fmt.Fprintln(p.err, "netboot:", err)
		default:
			if err := show(now); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// shower returns what shows one picture after the other.
func (o *watchOptions) shower(p *program) func(*picture) error {
	switch o.format {
	case "json":
		lines := json.NewEncoder(p.out)
		return func(now *picture) error { return lines.Encode(now) }
	case "yaml":
		return func(now *picture) error {
			text, err := yaml.Marshal(now)
			if err == nil {
				_, err = fmt.Fprintf(p.out, "---\n%s", text)
			}
			return err
		}
	}
	if _, _, ok := p.terminal(); ok {
		s := screen{out: p.out, size: p.terminal}
		return s.show
	}
	l := log{out: p.out, said: map[string]string{}}
	return l.show
}

// A transferKey tells transfers apart.
type transferKey struct {
	node, client, file string
	begun              int64
}

// A transferMark is how far a transfer was, by the clock of its server.
type transferMark struct {
	at    time.Time
	bytes int64
}

// A watcher makes pictures.
type watcher struct {
	source *source
	boots  bool
	wanted map[string]bool // NAMESPACE/NAME of Machines; empty: all
	begun  map[transferKey]transferMark
}

// look asks all servers. The error says that none could be asked.
func (w *watcher) look(ctx context.Context) (*picture, error) {
	servers, err := w.source.servers(ctx, "")
	if err != nil {
		return nil, err
	}
	if len(servers) == 0 {
		return nil, w.source.errNoServers("")
	}
	if w.boots {
		answers, err := askAll[live.Attempts](ctx, w.source, servers, live.AttemptsPath)
		if err != nil {
			return nil, err
		}
		return w.mergeBoots(answers), nil
	}
	answers, err := askAll[live.Transfers](ctx, w.source, servers, live.TransfersPath)
	if err != nil {
		return nil, err
	}
	return w.mergeTransfers(answers), nil
}

// add notes a server that was asked.
func (now *picture) add(v *server, node string, at time.Time, err error) {
	seen := watched{Namespace: v.namespace, Pod: v.name, Node: cmp.Or(node, v.node)}
	if err != nil {
		seen.Error = err.Error()
	}
	if at.After(now.Time) {
		now.Time = at
	}
	now.Servers = append(now.Servers, seen)
}

// mergeTransfers puts together what all servers told. In an upgrade two pods share a node's address, and one process answers for
// both: it counts once.
func (w *watcher) mergeTransfers(answers []answer[live.Transfers]) *picture {
	now := &picture{Servers: []watched{}, Transfers: []liveTransfer{}}
	marks, heard := map[transferKey]transferMark{}, map[string]bool{}
	for i := range answers {
		a := &answers[i]
		now.add(&a.server, a.told.Node, a.told.Time, a.err)
		if a.err != nil || a.told.Instance != "" && heard[a.told.Instance] {
			continue
		}
		heard[a.told.Instance] = true
		for _, t := range a.told.Items {
			key := transferKey{a.told.Node, t.Client, t.File, t.StartTime.UnixNano()}
			mark := transferMark{a.told.Time, t.Bytes}
			marks[key] = mark
			if len(w.wanted) > 0 && !w.wanted[t.Machine] {
				continue
			}
			before, known := w.begun[key]
			if !known {
				before = transferMark{at: t.StartTime}
			}
			now.Transfers = append(now.Transfers, liveTransfer{Transfer: t, Node: a.told.Node, BytesPerSecond: speed(before, mark)})
		}
	}
	w.begun = marks
	slices.SortStableFunc(now.Transfers, func(a, b liveTransfer) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime), strings.Compare(a.Node, b.Node), strings.Compare(a.Client, b.Client), strings.Compare(a.File, b.File))
	})
	return now
}

// speed returns bytes in a second between two moments; 0 if there was no time between them.
func speed(before, now transferMark) int64 {
	took := now.at.Sub(before.at)
	if took <= 0 || now.bytes <= before.bytes {
		return 0
	}
	return int64(float64(now.bytes-before.bytes) / took.Seconds())
}

// mergeBoots puts together what all servers told, the latest boot last. Of a Machine or client that several served, the one
// that heard of it last counts.
func (w *watcher) mergeBoots(answers []answer[live.Attempts]) *picture {
	now := &picture{Servers: []watched{}, Boots: []liveBoot{}}
	latest := map[string]liveBoot{}
	for i := range answers {
		a := &answers[i]
		now.add(&a.server, a.told.Node, a.told.Time, a.err)
		for _, b := range a.told.Items {
			if len(w.wanted) > 0 && !w.wanted[b.Machine] {
				continue
			}
			key := cmp.Or(b.Machine, b.MACAddress, b.ClientIP)
			if before, known := latest[key]; !known || before.LastTime.Before(b.LastTime) {
				latest[key] = liveBoot{Attempt: b, Node: a.told.Node}
			}
		}
	}
	for _, b := range latest {
		now.Boots = append(now.Boots, b)
	}
	slices.SortFunc(now.Boots, func(a, b liveBoot) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime), strings.Compare(a.Machine, b.Machine), strings.Compare(a.ClientIP, b.ClientIP),
			strings.Compare(a.MACAddress, b.MACAddress))
	})
	return now
}
