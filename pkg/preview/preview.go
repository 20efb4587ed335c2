// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package preview tells what a server would answer a machine that asks for its boot configuration, without a server and without
// a trace. It opens no artifacts and has no keys: where the servers put a token into a URL, it puts TokenHere.
package preview

import (
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/ledger"
	"github.com/netboot-operator/netboot-operator/pkg/render"
	"github.com/netboot-operator/netboot-operator/pkg/token"
)

// TokenHere stands in URLs for the token that only a server can make.
const TokenHere = "TOKEN"

// A Question is what a loader asks.
type Question struct {
	MAC          index.MAC        // of the interface that boots
	Loader       render.Format    // that asks
	Over         render.Transport // empty: HTTP for iPXE, else TFTP
	Architecture index.Arch       // that the loader tells; empty: none
	Addresses    boot.Addresses   // of the server that is asked
}

// An Answer is a boot configuration.
type Answer struct {
	Text   string
	Action index.Action // what it tells the machine to do
	Tokens bool         // TokenHere stands in it
}

// Architectures are those that a loader may tell.
func Architectures() []string { return []string{"amd64", "arm64", "arm", "riscv64"} }

// ParseTransport reads the name of a protocol in lower case; empty stays empty.
func ParseTransport(name string) (render.Transport, error) {
	switch name {
	case "":
		return "", nil
	case "tftp", "http":
		return render.Transport(strings.ToUpper(name)), nil
	}
	return "", errors.New("must be tftp or http")
}

// ParseArchitecture reads the name of an architecture; empty stays empty.
func ParseArchitecture(name string) (index.Arch, error) {
	if name != "" && !slices.Contains(Architectures(), name) {
		return "", errors.New("must be amd64, arm64, arm or riscv64")
	}
	return index.Arch(name), nil
}

// Ask returns what the machine would get, byte for byte but for tokens, from a server whose index is x and which knows nothing of
// boots that x does not tell. The error is a *boot.Refusal where the server would refuse.
func Ask(ctx context.Context, x *index.Index, q Question) (Answer, error) {
	memory, err := ledger.Open("") // in memory, so that it judges as the servers do
	if err != nil {
		return Answer{}, err
	}
	var tokens noTokens
	handler := boot.New(boot.Options{Index: x, Addresses: q.Addresses, Tokens: &tokens, Ledger: memory})
	file, err := handler.Open(ctx, q.request())
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = file.Close() }() // it was only read
	text, err := io.ReadAll(file)
	answer := Answer{Text: string(text), Tokens: tokens.asked}
	if m := x.Lookup(index.Identity{MAC: q.MAC}); m != nil {
		answer.Action, _ = memory.Action(m, 0)
	}
	return answer, err
}

// request is the one that the loader itself would send.
func (q *Question) request() *boot.Request {
	over := q.Over
	if over == "" {
		over = render.TFTP
		if q.Loader == render.IPXE {
			over = render.HTTP
		}
	}
	request := &boot.Request{Over: over}
	switch q.Loader {
	case render.PXELINUX:
		request.Name = "pxelinux.cfg/01-" + q.MAC.Hyphens()
	case render.GRUB:
		request.Name = "grub/grub.cfg-" + q.MAC.String()
	case render.IPXE:
		request.Name = "MAC-" + q.MAC.Hyphens() + ".ipxe"
	}
	request.Name = path.Join(string(q.Architecture), request.Name) // a folder tells it, as in GRUB's own request
	return request
}

// noTokens puts TokenHere in the place of tokens. It opens nothing, and is used by one goroutine.
type noTokens struct{ asked bool }

// Sign implements boot.Tokens.
func (n *noTokens) Sign(token.Claim) (string, error) {
	n.asked = true
	return TokenHere, nil
}

// Check implements boot.Tokens.
func (*noTokens) Check(token.Claim, string) error { return token.ErrNoKey }
