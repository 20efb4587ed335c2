// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

func newCheck() *cobra.Command {
	var dir string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "check ready|live --runtime-dir DIR",
		Short: "Ask the netboot serve of this container whether it is ready, or alive",
		Long: "Print what /readyz (ready) or /healthz (live) of the netboot serve with the same --runtime-dir says; exit code 1 if that is\n" +
			"not ok. It is the probe of a pod: pods that share a node's ports can't be told apart over the network.",
		RunE: func(cmd *cobra.Command, args []string) error {
			paths := map[string]string{"ready": "/readyz", "live": "/healthz"}
			if len(args) != 1 || paths[args[0]] == "" {
				return usagef("netboot check takes one argument, ready or live, but got %q", args)
			}
			if dir == "" {
				return usagef("--runtime-dir is not set: name the one of netboot serve")
			}
			return check(cmd.Context(), dir, paths[args[0]], timeout, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&dir, "runtime-dir", "", "`DIR` of the netboot serve to ask")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "`TIME` that it may take to answer")
	return cmd
}

// check asks at the socket for a path, and prints the answer.
func check(ctx context.Context, dir, path string, timeout time.Duration, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, healthSocket))
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://netboot"+path, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return explainDir(dir, err)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	if _, err := io.Copy(out, response.Body); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return errSaid
	}
	return nil
}
