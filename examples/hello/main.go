// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Hello is a dynamic TFTP server: each client gets a text of its own.
//
//	go run ./examples/hello -address 127.0.0.1:6969
//	curl tftp://127.0.0.1:6969/any/name
package main

import (
	"context"
	"flag"
	"fmt"
	"log"

	"github.com/netboot-operator/netboot-operator/pkg/tftp"
)

func main() {
	address := flag.String("address", ":69", "`ADDR:PORT` to serve at")
	flag.Parse()
	log.Fatal(tftp.ListenAndServe(context.Background(), *address, tftp.HandlerFunc(greet), tftp.Options{}))
}

func greet(_ context.Context, r *tftp.Request) (*tftp.Body, error) {
	return tftp.Text(fmt.Sprintf("hello %v, this is %q\n", r.Client.Addr(), r.Name)), nil
}
