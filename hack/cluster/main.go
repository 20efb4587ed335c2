// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command cluster runs etcd and an API server with the CRDs installed until Ctrl-C, writes OUT/kubeconfig and prints what
// to type. KUBEBUILDER_ASSETS names the folder of the programs; hack/cluster.sh finds or builds it.
//
// Usage, in the top folder: hack/cluster.sh
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/netboot-operator/netboot-operator/config/crd"
)

// patience bounds the start and the stop of the servers.
const patience = time.Minute

func main() {
	out := flag.String("out", "build/cluster", "folder for the kubeconfig")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *out, os.Getenv("KUBEBUILDER_ASSETS")); err != nil {
		fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, out, binaries string) (err error) {
	definitions, err := crd.Definitions()
	if err != nil {
		return err
	}
	env := &envtest.Environment{
		BinaryAssetsDirectory:    binaries,
		CRDs:                     definitions,
		ControlPlaneStartTimeout: patience,
		ControlPlaneStopTimeout:  patience,
	}
	defer func() { err = errors.Join(err, env.Stop()) }()
	if _, err := env.Start(); err != nil {
		return fmt.Errorf("start the API server: %w", err)
	}
	kubeconfig := filepath.Join(out, "kubeconfig")
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(kubeconfig, env.KubeConfig, 0o600); err != nil {
		return err
	}
	fmt.Printf(`
An API server with the CRDs of netboot-operator is running (Ctrl-C ends it). In another terminal, in this folder:

  export KUBECONFIG=$PWD/%[1]s PATH=$PATH:%[3]s
  kubectl apply -f %[2]s/manifests
  make build
  bin/netboot serve --kubeconfig %[1]s --files-dir %[2]s/files --loaders-dir %[2]s/loaders \
    --data-dir %[2]s/data --tftp-bind-address '[::]:6969'

and in a third one:

  export KUBECONFIG=$PWD/%[1]s PATH=$PATH:%[3]s
  kubectl get machines,bootprofiles -o wide
  kubectl describe machine node-01
  curl tftp://127.0.0.1:6969/pxelinux.cfg/01-52-54-00-aa-bb-01

`, kubeconfig, out, binaries)
	<-ctx.Done()
	return nil
}
