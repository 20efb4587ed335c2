// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/netboot-operator/netboot-operator/api/manifest"
	"github.com/netboot-operator/netboot-operator/controllers"
	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/preview"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// renderOptions are the flags of netboot render.
type renderOptions struct {
	manifests, mac, as, over, arch, server string
	tftpPort                               uint16
}

func newRender() *cobra.Command {
	o := &renderOptions{}
	cmd := &cobra.Command{
		Use:   "render -f DIR --mac MAC --as pxelinux|grub|ipxe",
		Short: "Print the boot configuration that a machine would get",
		Long: "Print, byte for byte, what netboot serve --manifests DIR answers to the machine with this MAC address;\n" +
			"but for the tokens in the URLs of configs, which only a server can make.\n" +
			"Why a machine gets no configuration goes to standard error, with exit code 1.",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.manifests, "filename", "f", "", "`DIR` of manifests")
	flags.StringVar(&o.mac, "mac", "", "`MAC` address of the interface that boots")
	flags.StringVar(&o.as, "as", "", "`LOADER` that asks: pxelinux, grub or ipxe")
	flags.StringVar(&o.over, "over", "", "`PROTOCOL` by which it asks, tftp or http (default: http for ipxe, else tftp)")
	flags.StringVar(&o.arch, "arch", "", "`ARCHITECTURE` that the loader tells: amd64, arm64, arm or riscv64 (default: it tells none)")
	flags.StringVar(&o.server, "server", "127.0.0.1:8080", "`HOST[:PORT]` of the HTTP server, for URLs; port 80 if there is none")
	flags.Uint16Var(&o.tftpPort, "tftp-port", 69, "`PORT` of the TFTP server on the same host, for URLs")
	return cmd
}

func (o *renderOptions) run(cmd *cobra.Command) error {
	question, err := o.question()
	if err != nil {
		return err
	}
	x, err := o.load(cmd)
	if err != nil {
		return err
	}
	answer, err := preview.Ask(cmd.Context(), x, question)
	if err != nil {
		return err
	}
	if answer.Tokens {
		fmt.Fprintln(cmd.ErrOrStderr(), "netboot: the servers put a token in the place of "+preview.TokenHere+": it takes a key that only they have")
	}
	_, err = io.WriteString(cmd.OutOrStdout(), answer.Text)
	return err
}

// load reads the manifests. Their problems go to standard error: they may be why the machine gets nothing.
func (o *renderOptions) load(cmd *cobra.Command) (*index.Index, error) {
	if o.manifests == "" {
		return nil, usagef("--filename is not set: name the folder of manifests")
	}
	if err := checkFolder("filename", o.manifests); err != nil {
		return nil, err
	}
	validator, err := manifest.NewValidator()
	if err != nil {
		return nil, err
	}
	x := index.New()
	source := &controllers.Standalone{Dir: o.manifests, Validator: validator, Index: x}
	problems, err := source.Load(cmd.Context())
	if err != nil {
		return nil, usagef("--filename=%s: %w", o.manifests, err)
	}
	for _, problem := range problems {
		fmt.Fprintln(cmd.ErrOrStderr(), problem)
	}
	return x, nil
}

// question is what the loader asks.
func (o *renderOptions) question() (q preview.Question, err error) {
	if q.MAC, err = index.ParseMAC(o.mac); err != nil {
		return q, usagef("--mac=%s: %w", o.mac, err)
	}
	if q.Loader, err = render.ParseFormat(o.as); err != nil {
		return q, usagef("--as=%s: must be pxelinux, grub or ipxe", o.as)
	}
	if q.Over, err = preview.ParseTransport(o.over); err != nil {
		return q, usagef("--over=%s: %w", o.over, err)
	}
	if q.Architecture, err = preview.ParseArchitecture(o.arch); err != nil {
		return q, usagef("--arch=%s: %w", o.arch, err)
	}
	host, port, err := parseHostPort("server", o.server)
	if err != nil {
		return q, err
	}
	if host == "" {
		return q, usagef("--server is empty: must be HOST or HOST:PORT")
	}
	q.Addresses = boot.Addresses{AdvertiseHost: host, HTTPPort: cmp.Or(port, 80), TFTPPort: o.tftpPort}
	return q, nil
}
