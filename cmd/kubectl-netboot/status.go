// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/attempt"
)

// statusOptions are the flags of kubectl netboot status.
type statusOptions struct {
	output

	all      bool
	selector string
}

func newStatus(p *program) *cobra.Command {
	o := &statusOptions{output: output{wide: true}}
	cmd := &cobra.Command{
		Use:   "status [MACHINE...]",
		Short: "List Machines, how far each one's last boot came, and why it did not go on",
		Args:  arguments(0, -1, "names of Machines"),
		RunE:  func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), p, args) },
	}
	o.addFlag(cmd)
	cmd.Flags().BoolVarP(&o.all, "all-namespaces", "A", false, "Machines of all namespaces")
	cmd.Flags().StringVarP(&o.selector, "selector", "l", "", "`LABELS` that Machines must have, such as rack=r12")
	return cmd
}

// A statusList is what status prints.
type statusList struct {
	Items []machineStatus `json:"items"`
}

// A machineStatus is a line of the table.
type machineStatus struct {
	Namespace    string       `json:"namespace"`
	Name         string       `json:"name"`
	MACAddresses []string     `json:"macAddresses,omitempty"`
	Profile      string       `json:"profile,omitempty"`
	Policy       string       `json:"policy"`
	NextBoot     string       `json:"nextBoot,omitempty"`       // Netboot or BootLocal; empty: not known yet
	NextReason   string       `json:"nextBootReason,omitempty"` // as in the condition NetbootArmed
	Stage        string       `json:"stage,omitempty"`
	Action       string       `json:"action,omitempty"`
	UnderWay     bool         `json:"underWay"`
	LastBoot     *metav1.Time `json:"lastBoot,omitempty"` // when it began; unset: never seen
	ClientIP     string       `json:"clientIP,omitempty"`
	ServedBy     string       `json:"servedBy,omitempty"`
	Cause        string       `json:"cause,omitempty"`
	Message      string       `json:"message,omitempty"`
}

func (o *statusOptions) run(ctx context.Context, p *program, names []string) error {
	if err := o.check(); err != nil {
		return err
	}
	selector, err := labels.Parse(o.selector)
	if err != nil {
		return usagef("--selector=%s: %w", o.selector, err)
	}
	if len(names) > 0 && (o.all || o.selector != "") {
		return usagef("status takes names of Machines or --all-namespaces and --selector, not both")
	}
	s, err := p.open()
	if err != nil {
		return err
	}
	namespace := s.namespace
	if o.all {
		namespace = metav1.NamespaceAll
	}
	machines, err := s.machines(ctx, namespace, selector)
	if err != nil {
		return err
	}
	missing := error(nil)
	for _, name := range names {
		if !slices.ContainsFunc(machines, func(m v1alpha1.Machine) bool { return m.Name == name }) {
			fmt.Fprintln(p.err, "netboot:", s.noMachine(name, machines))
			missing = errSaid
		}
	}
	list := statusList{Items: []machineStatus{}}
	for i := range machines {
		if len(names) == 0 || slices.Contains(names, machines[i].Name) {
			list.Items = append(list.Items, statusOf(&machines[i]))
		}
	}
	if len(list.Items) == 0 && missing == nil {
		where := "in namespace " + namespace + "; -A looks in all"
		if o.all {
			where = "in any namespace"
		}
		fmt.Fprintln(p.err, "There are no such Machines", where)
	}
	if err := o.print(p.out, list, func(w io.Writer) { o.table(w, list.Items, p.now()) }); err != nil {
		return err
	}
	return missing
}

func statusOf(m *v1alpha1.Machine) machineStatus {
	out := machineStatus{Namespace: m.Namespace, Name: m.Name, Policy: policyOf(m)}
	for _, mac := range m.Spec.MACAddresses {
		out.MACAddresses = append(out.MACAddresses, string(mac))
	}
	if m.Spec.ProfileRef != nil {
		out.Profile = m.Spec.ProfileRef.Name
	}
	if c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionNetbootArmed); c != nil {
		out.NextReason, out.NextBoot = c.Reason, string(v1alpha1.BootActionBootLocal)
		if c.Status == metav1.ConditionTrue {
			out.NextBoot = string(v1alpha1.BootActionNetboot)
		}
	}
	if b := m.Status.LastBoot; b != nil {
		out.Stage, out.Action, out.UnderWay, out.LastBoot = b.Stage, string(b.Action), underWay(b), &b.StartTime
		out.ClientIP, out.ServedBy, out.Cause, out.Message = b.ClientIP, b.ServedBy, b.Cause, b.Message
	}
	return out
}

// policyOf returns the policy of a Machine; one that an API server did not fill in is the default.
func policyOf(m *v1alpha1.Machine) string {
	if m.Spec.BootPolicy == "" {
		return string(v1alpha1.BootPolicyOnce)
	}
	return string(m.Spec.BootPolicy)
}

// underWay says whether a boot may still go on.
func underWay(b *v1alpha1.LastBoot) bool {
	return b.EndTime == nil && b.Stage != string(attempt.StageDone)
}

func (o *statusOptions) table(w io.Writer, items []machineStatus, now time.Time) {
	if len(items) == 0 {
		return
	}
	heading := []string{"NAME", "PROFILE", "POLICY", "ARMED", "STAGE", "LAST-BOOT", "CAUSE"}
	if o.all {
		heading = slices.Insert(heading, 0, "NAMESPACE")
	}
	if o.format == "wide" {
		heading = append(heading, "REASON", "MAC", "CLIENT", "SERVED-BY")
	}
	rows := [][]string{heading}
	for i := range items {
		m := &items[i]
		last := "never seen"
		if m.LastBoot != nil {
			last = ago(now, m.LastBoot.Time) + " ago"
		}
		row := []string{m.Name, orDash(m.Profile), m.Policy, m.armed(), m.stage(), last, orDash(m.Cause)}
		if o.all {
			row = slices.Insert(row, 0, m.Namespace)
		}
		if o.format == "wide" {
			row = append(row, orDash(m.NextReason), orDash(strings.Join(m.MACAddresses, ",")), orDash(m.ClientIP), orDash(m.ServedBy))
		}
		rows = append(rows, row)
	}
	table(w, "", rows)
}

// armed says whether its next boot is one of its profile.
func (m *machineStatus) armed() string {
	switch m.NextBoot {
	case "":
		return "-"
	case string(v1alpha1.BootActionNetboot):
		return "True"
	}
	return "False"
}

// stage says how far the last boot came.
func (m *machineStatus) stage() string {
	switch {
	case m.Stage == "":
		return "-"
	case m.Action == string(v1alpha1.BootActionBootLocal):
		return "own disk"
	case m.UnderWay:
		return m.Stage + ", under way"
	}
	return m.Stage
}
