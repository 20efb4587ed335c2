// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/netboot-operator/netboot-operator/test/bench/measure"
)

// marks are those of docs/benchmarks.md.
func marks() measure.Marks {
	return measure.Marks{Begin: "<!-- results -->\n", End: "<!-- end of results -->\n"}
}

// A report is all that was measured, and where.
type report struct {
	quick  bool
	rounds int
	header string
	tables []*measure.Table
}

// describe notes the machine and the versions.
func (r *report) describe(ctx context.Context, subjects []*subject) {
	var b strings.Builder
	kind := fmt.Sprintf("Medians of %d rounds", r.rounds)
	if r.quick {
		kind = "Quick sizes, one round: to see that it works, not to compare"
	}
	fmt.Fprintf(&b, "%s, %s. In brackets: times the best peer's figure in the same rows.\n\n", kind, time.Now().UTC().Format(time.DateOnly))
	fmt.Fprintf(&b, "- Machine: %s; net.core.rmem_default %s, rmem_max %s\n", measure.Machine(),
		cmp.Or(strings.TrimSpace(measure.Slurp("/proc/sys/net/core/rmem_default")), "?"),
		cmp.Or(strings.TrimSpace(measure.Slurp("/proc/sys/net/core/rmem_max")), "?"))
	fmt.Fprintf(&b, "- CPU times: %s\n- Servers: ", measure.CPUTimes("the ended children of in.tftpd"))
	for i, s := range subjects {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (%s)", s.name, s.version(ctx))
	}
	b.WriteString("\n")
	r.header = b.String()
}

func (r *report) markdown() string {
	parts := []string{r.header}
	for _, t := range r.tables {
		parts = append(parts, t.Markdown())
	}
	return strings.Join(parts, "\n")
}

// problems names what went wrong with our own servers.
func (r *report) problems() error {
	var all []error
	for _, t := range r.tables {
		all = append(all, t.Problems())
	}
	return errors.Join(all...)
}
