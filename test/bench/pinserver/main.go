// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command pinserver serves a folder with github.com/pin/tftp/v3, as its documentation shows it: for comparison.
//
// Usage: pinserver ADDR:PORT FOLDER
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/pin/tftp/v3"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: pinserver ADDR:PORT FOLDER")
		os.Exit(2)
	}
	dir := os.Args[2]
	server := tftp.NewServer(func(name string, to io.ReaderFrom) error { return send(filepath.Join(dir, filepath.Base(name)), to) }, nil)
	if err := server.ListenAndServe(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "pinserver: %v\n", err)
		os.Exit(1)
	}
}

func send(path string, to io.ReaderFrom) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	_, err = to.ReadFrom(file)          // it asks the file for its size, for tsize
	return err
}
