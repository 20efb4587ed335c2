// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/controllers"
	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/preview"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// renderOptions are the flags of kubectl netboot render.
type renderOptions struct {
	output

	loader, over, arch, mac, address string
	tftpPort                         uint16
	armed                            bool
}

func newRender(p *program) *cobra.Command {
	o := &renderOptions{}
	cmd := &cobra.Command{
		Use:   "render MACHINE --loader pxelinux|grub|ipxe",
		Short: "Print the boot configuration that a Machine would get now",
		Long: "Print, byte for byte, the boot configuration that a Machine would get now; but for the tokens in the URLs of configs,\n" +
			"which only a server can make. It asks no server and leaves no trace. Why it gets none goes to standard error, with exit code 1.",
		Args: arguments(1, 1, "the name of a Machine"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), p, args[0]) },
	}
	o.addFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.loader, "loader", "", "`LOADER` that asks: pxelinux, grub or ipxe")
	flags.StringVar(&o.over, "over", "", "`PROTOCOL` by which it asks, tftp or http (default: http for ipxe, else tftp)")
	flags.StringVar(&o.arch, "arch", "", "`ARCHITECTURE` that the loader tells: amd64, arm64, arm or riscv64 (default: it tells none)")
	flags.StringVar(&o.mac, "mac", "", "`MAC` address that it boots by (default: the Machine's first)")
	flags.StringVar(&o.address, "server-url", "", "`URL` of the HTTP server, such as http://boot.example.com:8080 (default: that of netboot's first pod)")
	flags.Uint16Var(&o.tftpPort, "tftp-port", 0, "`PORT` of the TFTP server there (default: that of the same pod, or 69)")
	flags.BoolVar(&o.armed, "armed", false, "as if no boot of its bootID had been completed or held: what a new bootID would get")
	return cmd
}

// A rendered is what render prints.
type rendered struct {
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Loader    string   `json:"loader"`
	Action    string   `json:"action"`
	Text      string   `json:"text"`
	Notes     []string `json:"notes,omitempty"`
}

func (o *renderOptions) run(ctx context.Context, p *program, name string) error {
	if err := o.check(); err != nil {
		return err
	}
	q, err := o.question()
	if err != nil {
		return err
	}
	s, err := p.open()
	if err != nil {
		return err
	}
	m, err := s.machine(ctx, name)
	if err != nil {
		return err
	}
	profile, err := s.profileOf(ctx, m)
	if err != nil {
		return err
	}
	if o.armed {
		m.Status.BootID, m.Status.BootsSinceCompletion = "", 0
	}
	entry := controllers.Preview(m, profile)
	if entry == nil {
		return fmt.Errorf("Machine %s/%s: spec.macAddresses has no address that can be used", m.Namespace, m.Name) //nolint:staticcheck // a kind's name
	}
	if err := o.chooseMAC(&q, entry); err != nil {
		return err
	}
	out := rendered{Namespace: m.Namespace, Name: m.Name, Loader: o.loader}
	out.Notes = append(out.Notes, o.notes(m)...)
	var note string
	if q.Addresses, note, err = o.addresses(ctx, s); err != nil {
		return err
	}
	x := index.New()
	x.Put(entry)
	answer, err := preview.Ask(ctx, x, q)
	if err != nil {
		return err
	}
	if answer.Tokens {
		out.Notes = append(out.Notes, "the servers put a token in the place of "+preview.TokenHere+": it takes a key that only they have")
	}
	if note != "" {
		out.Notes = append(out.Notes, note)
	}
	out.Text, out.Action = answer.Text, string(answer.Action)
	if o.format == "" {
		for _, note := range out.Notes {
			fmt.Fprintln(p.err, "netboot:", note)
		}
	}
	return o.print(p.out, out, func(w io.Writer) { fmt.Fprint(w, out.Text) })
}

// question is what the loader asks, but for what the Machine and the cluster tell.
func (o *renderOptions) question() (q preview.Question, err error) {
	if q.Loader, err = render.ParseFormat(o.loader); err != nil {
		return q, usagef("--loader=%s: must be pxelinux, grub or ipxe", o.loader)
	}
	if q.Over, err = preview.ParseTransport(o.over); err != nil {
		return q, usagef("--over=%s: %w", o.over, err)
	}
	if q.Architecture, err = preview.ParseArchitecture(o.arch); err != nil {
		return q, usagef("--arch=%s: %w", o.arch, err)
	}
	if o.mac == "" {
		return q, nil
	}
	if q.MAC, err = index.ParseMAC(o.mac); err != nil {
		return q, usagef("--mac=%s: %w", o.mac, err)
	}
	return q, nil
}

// chooseMAC takes the Machine's first address if none was given, and refuses one that is not the Machine's.
func (o *renderOptions) chooseMAC(q *preview.Question, entry *index.Machine) error {
	if o.mac == "" {
		q.MAC = entry.MACs[0]
		return nil
	}
	if slices.Contains(entry.MACs, q.MAC) {
		return nil
	}
	return usagef("--mac=%s: Machine %s does not have this address, but %v", o.mac, entry.Key, entry.MACs)
}

// notes say what else decides about a Machine's answer.
func (o *renderOptions) notes(m *v1alpha1.Machine) []string {
	var notes []string
	for _, kind := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionRendered} {
		if c := meta.FindStatusCondition(m.Status.Conditions, kind); c != nil && c.Status == metav1.ConditionFalse {
			notes = append(notes, fmt.Sprintf("%s is False, %s: %s", kind, c.Reason, c.Message))
		}
	}
	c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionNetbootArmed)
	if c == nil || o.armed {
		return notes
	}
	switch c.Reason {
	case v1alpha1.ReasonCompleted, v1alpha1.ReasonHeldBootLoop:
		notes = append(notes, c.Message+"; --armed shows what that gets")
	}
	return notes
}

// addresses are those of the server that is asked. note says where they come from, if that may not be right.
func (o *renderOptions) addresses(ctx context.Context, s *source) (a boot.Addresses, note string, err error) {
	a = boot.Addresses{AdvertiseHost: "SERVER", HTTPPort: defaultHTTP, TFTPPort: cmp.Or(o.tftpPort, defaultTFTP)}
	if o.address != "" {
		at := strings.TrimSuffix(strings.TrimPrefix(o.address, "http://"), "/")
		host, port, err := boot.ParseHostPort(at)
		if err != nil {
			return a, "", usagef("--server-url=%s: %w", o.address, err)
		}
		a.AdvertiseHost, a.HTTPPort = host, cmp.Or(port, 80)
		return a, "", nil
	}
	servers, err := s.servers(ctx, "")
	if err == nil && len(servers) > 0 {
		if of, ok := servers[0].addresses(); ok {
			of.TFTPPort = cmp.Or(o.tftpPort, of.TFTPPort)
			return of, fmt.Sprintf("URLs are those of node %s; each server names itself, or what --server-url says", servers[0].node), nil
		}
	}
	return a, "SERVER stands for the address of the server that is asked; --server-url names one", nil
}
