// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	// Repository is where the image is published. Its name in archives begins so.
	repository = "ghcr.io/netboot-operator/netboot-operator"
	source     = "https://github.com/netboot-operator/netboot-operator"

	programPath = "/netboot"
	user        = "65532:65532" // a number, so that runAsNonRoot can be checked without /etc/passwd
)

// A release says which state of the project an image holds.
type release struct {
	version  string    // v1.2.3
	revision string    // the commit
	created  time.Time // of the commit: the same commit gives the same image
}

// labels returns what the image says of itself. The Dockerfile has the same ones.
func labels(r release) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":         "netboot-operator",
		"org.opencontainers.image.description":   "Boots machines over the network as Kubernetes objects say: TFTP, HTTP and boot loaders in one program",
		"org.opencontainers.image.url":           source,
		"org.opencontainers.image.source":        source,
		"org.opencontainers.image.documentation": source + "/tree/main/docs",
		"org.opencontainers.image.vendor":        "The netboot-operator Authors",
		// The program, then the loaders. /usr/share/doc has the texts.
		"org.opencontainers.image.licenses": "Apache-2.0 AND GPL-2.0-or-later AND GPL-3.0-or-later AND BSD-2-Clause AND MPL-2.0",
		"org.opencontainers.image.version":  r.version,
		"org.opencontainers.image.revision": r.revision,
		"org.opencontainers.image.created":  r.created.UTC().Format(time.RFC3339),
	}
}

func config(r release) v1.Config {
	return v1.Config{
		Entrypoint: []string{programPath},
		User:       user,
		WorkingDir: "/",
		Labels:     labels(r),
	}
}

// baseFiles returns what programs and the C libraries of debuggers expect of a system, and the folders that the program
// writes to: a volume that is new gets their owner and mode.
func baseFiles(r release) []file {
	text := func(name, content string) file {
		return file{name: name, mode: 0o644, modified: r.created, content: []byte(content)}
	}
	return []file{
		text("etc/passwd", "root:x:0:0:root:/:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"),
		text("etc/group", "root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n"),
		text("etc/nsswitch.conf", "hosts: files dns\n"), // without it Go asks DNS before /etc/hosts
		{name: "run/netboot/", mode: 0o750, owner: 65532, modified: r.created},
		{name: "var/lib/netboot-operator/", mode: 0o750, owner: 65532, modified: r.created},
	}
}
