// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command crictl is what kind calls of the tool of that name in the nodes that hack/kind makes: "crictl inspecti IMAGE", and
// "crictl images" when it collects logs.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func run(args []string) error {
	conn, err := grpc.NewClient("unix:///run/containerd/containerd.sock", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // only answers were read
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	images := cri.NewImageServiceClient(conn)
	switch {
	case len(args) == 2 && args[0] == "inspecti":
		answer, err := images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: args[1]}})
		if err != nil {
			return err
		}
		image := answer.GetImage()
		if image == nil {
			return fmt.Errorf("no such image %q present", args[1])
		}
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"status": map[string]any{
			"id": image.GetId(), "repoTags": image.GetRepoTags(), "repoDigests": image.GetRepoDigests(),
			"size": strconv.FormatUint(image.GetSize(), 10),
		}})
	case len(args) == 1 && args[0] == "images":
		answer, err := images.ListImages(ctx, &cri.ListImagesRequest{})
		if err != nil {
			return err
		}
		for _, image := range answer.GetImages() {
			fmt.Println(image.GetRepoTags(), image.GetId(), image.GetSize())
		}
		return nil
	}
	return fmt.Errorf("%q: only \"inspecti IMAGE\" and \"images\" are known here", args)
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "crictl:", err)
		os.Exit(1)
	}
}
