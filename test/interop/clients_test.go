// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package interop

import (
	"crypto/sha256"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	pin "github.com/pin/tftp/v3"
)

// rollOver is the size, in bytes, of a file of more blocks of 512 bytes than there are numbers for them.
const rollOver = 65536*512 + 77

// A client is one of others, used in one way.
type client struct {
	fetch fetch
	// noEmpty is set for one that takes a tsize of 0 for an error.
	noEmpty bool
	// wire is set for one that asks for netascii and writes it down as it comes.
	wire bool
}

// A fetch has a client on a host fetch a file of the server's into the file out.
type fetch func(t *testing.T, h host, file, out string)

// clients are those whose words SERVER, FILE and OUT stand for what to fetch.
func clients() map[string]client {
	return map[string]client{
		"curl":                  {fetch: program("curl -sS -o OUT tftp://SERVER/FILE"), noEmpty: true},
		"curl, blksize 1468":    {fetch: program("curl -sS --tftp-blksize 1468 -o OUT tftp://SERVER/FILE"), noEmpty: true},
		"curl, blksize 8192":    {fetch: program("curl -sS --tftp-blksize 8192 -o OUT tftp://SERVER/FILE"), noEmpty: true},
		"curl, no options":      {fetch: program("curl -sS --tftp-no-options -o OUT tftp://SERVER/FILE")},
		"curl, netascii":        {fetch: program("curl -sS --use-ascii -o OUT tftp://SERVER/FILE"), noEmpty: true, wire: true},
		"tftp-hpa":              {fetch: program("tftp -m binary SERVER -c get FILE OUT")},
		"tftp-hpa, netascii":    {fetch: program("tftp -m ascii SERVER -c get FILE OUT")},
		"atftp":                 {fetch: atftp()},
		"atftp, windowsize":     {fetch: atftp("windowsize 16")},
		"atftp, all options":    {fetch: atftp("windowsize 16", "blksize 1428", "tsize", "timeout 3", "multicast disable")},
		"busybox":               {fetch: program("busybox tftp -g -r FILE -l OUT SERVER")},
		"busybox, blksize 1468": {fetch: program("busybox tftp -g -b 1468 -r FILE -l OUT SERVER")},
		"pin":                   {fetch: library("octet", func(*pin.Client) {})},
		"pin, netascii":         {fetch: library("netascii", func(*pin.Client) {})},
		"pin, blksize 1468":     {fetch: library("octet", func(c *pin.Client) { c.SetBlockSize(1468) })},
		"pin, all options":      {fetch: library("netascii", func(c *pin.Client) { c.SetBlockSize(1428); c.RequestTSize(true) })},
		"pin, tsize":            {fetch: library("octet", func(c *pin.Client) { c.RequestTSize(true) })},
	}
}

// program is a client with a command line.
func program(line string) fetch { return command(strings.Fields(line)...) }

// atftp is that with options, each a name and perhaps a value.
func atftp(options ...string) fetch {
	words := []string{"atftp"}
	for _, o := range options {
		words = append(words, "--option", o)
	}
	return command(append(words, "--get", "--remote-file", "FILE", "--local-file", "OUT", "SERVER")...)
}

func command(words ...string) fetch {
	return func(t *testing.T, h host, file, out string) {
		t.Helper()
		names, words := strings.NewReplacer("SERVER", server4, "FILE", file, "OUT", out), slices.Clone(words)
		for i := range words {
			words[i] = names.Replace(words[i])
		}
		h.run(t, "", words[0], words[1:]...)
	}
}

// library is the client of pin/tftp.
func library(mode string, set func(*pin.Client)) fetch {
	return func(t *testing.T, h host, file, out string) {
		t.Helper()
		h.inside(t, func() error {
			c, err := pin.NewClient(net.JoinHostPort(server4, "69"))
			if err != nil {
				return err
			}
			c.SetTimeout(time.Second)
			set(c)
			from, err := c.Receive(file, mode)
			if err != nil {
				return err
			}
			to, err := os.Create(out)
			if err != nil {
				return err
			}
			if _, err := from.WriteTo(to); err != nil {
				return err
			}
			return to.Close()
		})
	}
}

// The clients of others get the bytes of the file, whatever they ask with.
func TestClients(t *testing.T) {
	for name, tc := range map[string]struct {
		serve func(t *testing.T, server host, folder string)
		sizes []int // of the files, in bytes
	}{
		"shared port, the example": {
			func(t *testing.T, server host, folder string) {
				t.Helper()
				server.start(t, build(t, "../../examples/directory"), "-dir", folder)
			},
			[]int{0, 1, 511, 512, 513, 1467, 1468, 1469, 10 * 1468, 16 * 1468, 64<<10 + 1, 5 << 20, rollOver},
		},
		"ports of their own": {
			func(t *testing.T, server host, _ string) {
				t.Helper()
				server.start(t, self(t), serveCommand, "-ports", "ephemeral")
			},
			[]int{0, 512, 16 * 1468, 64<<10 + 1, 5 << 20},
		},
		"a range of ports": {
			func(t *testing.T, server host, _ string) {
				t.Helper()
				server.start(t, self(t), serveCommand, "-ports", "7000-7009")
			},
			[]int{0, 512, 16 * 1468, 64<<10 + 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, h := newLink(t, 1500)
			folder := t.TempDir()
			fill(t, folder, tc.sizes)
			tc.serve(t, server, folder)
			h.await(t, netip.MustParseAddr(server4))
			for name, c := range clients() {
				t.Run(name, func(t *testing.T) {
					for _, size := range tc.sizes {
						c.check(t, h, size)
					}
				})
			}
		})
	}
}

// check fetches a file of random bytes, whose name is its size.
func (c client) check(t *testing.T, h host, size int) {
	t.Helper()
	if c.noEmpty && size == 0 {
		return
	}
	out := filepath.Join(t.TempDir(), "out")
	c.fetch(t, h, strconv.Itoa(size), out)
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want := random(size)
	if c.wire {
		want = []byte(strings.NewReplacer("\n", "\r\n", "\r", "\r\x00").Replace(string(want)))
	}
	if sha256.Sum256(got) != sha256.Sum256(want) {
		t.Errorf("%d bytes came of %d, or they are others", len(got), len(want))
	}
}
