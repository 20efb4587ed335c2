// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package faults

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// why returns what kubectl netboot why prints for a Machine, which must tell the cause.
func (s *server) why(ctx context.Context, key, cause string) (string, error) {
	plugin, err := filepath.Abs("../../bin/kubectl-netboot")
	if err != nil {
		return "", err
	}
	namespace, name, _ := strings.Cut(key, "/")
	args := append(slices.Clip(s.enter), plugin, "why", name, "--namespace", namespace, "--server", "http://"+s.metrics)
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	switch {
	case err != nil:
		return "", fmt.Errorf("kubectl netboot why %s: %w: %s", name, err, out)
	case cause != "" && (!strings.Contains(string(out), "\nCause: "+cause) || !strings.Contains(string(out), "\nWhat to do:")):
		return "", fmt.Errorf("kubectl netboot why %s does not name the cause %s and what to do:\n%s", name, cause, out)
	case cause == "" && strings.Contains(string(out), "\nCause: "):
		return "", fmt.Errorf("kubectl netboot why %s names a cause:\n%s", name, out)
	}
	return string(out), nil
}
