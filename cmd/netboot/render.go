// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netboot-operator/netboot-operator/api/manifest"
	"github.com/netboot-operator/netboot-operator/controllers"
	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
	"github.com/netboot-operator/netboot-operator/pkg/token"
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
	request, err := o.request()
	if err != nil {
		return err
	}
	addresses, err := o.addresses()
	if err != nil {
		return err
	}
	x, err := o.load(cmd)
	if err != nil {
		return err
	}
	var tokens noTokens
	file, err := boot.New(boot.Options{Index: x, Addresses: addresses, Tokens: &tokens}).Open(cmd.Context(), request)
	if err != nil {
		return err
	}
	_, err = io.Copy(cmd.OutOrStdout(), file)
	if tokens.asked {
		fmt.Fprintln(cmd.ErrOrStderr(), "netboot: the servers put a token in the place of "+tokenHere+": it takes a key that only they have")
	}
	return errors.Join(err, file.Close())
}

// tokenHere stands in URLs for the token that only a server can make.
const tokenHere = "TOKEN"

// noTokens puts tokenHere in the place of tokens. It opens nothing, and is used by one goroutine.
type noTokens struct{ asked bool }

// Sign implements boot.Tokens.
func (n *noTokens) Sign(token.Claim) (string, error) {
	n.asked = true
	return tokenHere, nil
}

// Check implements boot.Tokens.
func (*noTokens) Check(token.Claim, string) error { return token.ErrNoKey }

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

// request is the one that the loader itself would send.
func (o *renderOptions) request() (*boot.Request, error) {
	mac, err := index.ParseMAC(o.mac)
	if err != nil {
		return nil, usagef("--mac=%s: %w", o.mac, err)
	}
	format, err := render.ParseFormat(o.as)
	if err != nil {
		return nil, usagef("--as=%s: must be pxelinux, grub or ipxe", o.as)
	}
	over := choose(o.over == "", choose(format == render.IPXE, "http", "tftp"), o.over)
	if over != "http" && over != "tftp" {
		return nil, usagef("--over=%s: must be tftp or http", o.over)
	}
	if !slices.Contains([]string{"", "amd64", "arm64", "arm", "riscv64"}, o.arch) {
		return nil, usagef("--arch=%s: must be amd64, arm64, arm or riscv64", o.arch)
	}
	request := &boot.Request{Over: render.Transport(strings.ToUpper(over))}
	switch format {
	case render.PXELINUX:
		request.Name = "pxelinux.cfg/01-" + mac.Hyphens()
	case render.GRUB:
		request.Name = "grub/grub.cfg-" + mac.String()
	case render.IPXE:
		request.Name = "MAC-" + mac.Hyphens() + ".ipxe"
	}
	request.Name = path.Join(o.arch, request.Name) // a folder tells it, as in GRUB's own request
	return request, nil
}

func (o *renderOptions) addresses() (boot.Addresses, error) {
	host, port, err := parseHostPort("server", o.server)
	if err != nil {
		return boot.Addresses{}, err
	}
	if host == "" {
		return boot.Addresses{}, usagef("--server is empty: must be HOST or HOST:PORT")
	}
	return boot.Addresses{AdvertiseHost: host, HTTPPort: cmp.Or(port, 80), TFTPPort: o.tftpPort}, nil
}
