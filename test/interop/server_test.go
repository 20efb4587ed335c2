// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package interop

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/tftp"
)

// serveCommand makes of the test's program a server, with options that examples/directory has no flags for.
const serveCommand = "serve"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveCommand {
		if err := serve(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serve serves files of random bytes, whose names are their sizes, until SIGTERM.
func serve(args []string) error {
	flags := flag.NewFlagSet(serveCommand, flag.ContinueOnError)
	address := flags.String("address", ":69", "")
	ports := flags.String("ports", "shared", "")
	fragments := flags.Bool("allow-fragments", false, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p, err := tftp.ParsePorts(*ports)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return tftp.ListenAndServe(ctx, *address, tftp.HandlerFunc(open), tftp.Options{
		Ports: p, AllowFragments: *fragments,
		ShutdownGrace: time.Second, // clients that the test has ended don't say goodbye
	})
}

func open(_ context.Context, r *tftp.Request) (*tftp.Body, error) {
	size, err := strconv.Atoi(r.Name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", os.ErrNotExist, err)
	}
	return tftp.Bytes(random(size)), nil
}

// random returns size bytes without a pattern.
func random(size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(b)
	return b
}

// serve starts a server with these flags, and waits until it answers at the address.
func (h host) serve(t *testing.T, client host, address netip.Addr, flags ...string) {
	t.Helper()
	h.start(t, self(t), append([]string{serveCommand}, flags...)...)
	client.await(t, address)
}

// self returns the program that the test is.
func self(t *testing.T) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// await waits until the server at an address answers.
func (h host) await(t *testing.T, address netip.Addr) {
	t.Helper()
	conn := h.listen(t, address)
	b := make([]byte, 1024)
	for deadline := time.Now().Add(patience); ; {
		request := []byte("\x00\x01there is no such file\x00octet\x00")
		if _, err := conn.WriteToUDPAddrPort(request, netip.AddrPortFrom(address, 69)); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, _, err := conn.ReadFromUDPAddrPort(b)
		switch {
		case err == nil:
			return
		case !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().After(deadline):
			t.Fatalf("no answer from %v: %v", address, err)
		}
	}
}

// fill writes files of random bytes, whose names are their sizes.
func fill(t *testing.T, folder string, sizes []int) {
	t.Helper()
	b := random(slices.Max(sizes))
	for _, n := range sizes {
		if err := os.WriteFile(filepath.Join(folder, strconv.Itoa(n)), b[:n], 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
