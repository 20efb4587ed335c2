// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCommandLinesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"unknown command":       {[]string{"show"}, `netboot: unknown command "show"; kubectl netboot --help lists them`},
		"unknown flag":          {[]string{"status", "--color"}, "netboot: unknown flag: --color"},
		"no kubeconfig":         {[]string{"status", "--kubeconfig", empty}, "netboot: no kubeconfig tells an API server: set KUBECONFIG or --kubeconfig; or ask a netboot that serves standalone, with --server=URL"},
		"server is no URL":      {[]string{"status", "--server=boot:8081"}, "netboot: --server=boot:8081: must be a URL such as http://127.0.0.1:8081"},
		"format":                {[]string{"status", "-o", "xml"}, "netboot: --output=xml: must be json, yaml, wide"},
		"wide story":            {[]string{"why", "web-01", "-o", "wide"}, "netboot: --output=wide: must be json, yaml"},
		"selector":              {[]string{"status", "-l", "a=b=c"}, "netboot: --selector=a=b=c: found '=', expected: ',' or 'end of string'"},
		"names and all":         {[]string{"status", "web-01", "-A"}, "netboot: status takes names of Machines or --all-namespaces and --selector, not both"},
		"why without a name":    {[]string{"why"}, "netboot: kubectl netboot why takes the name of a Machine, but got []"},
		"render without loader": {[]string{"render", "web-01"}, "netboot: --loader=: must be pxelinux, grub or ipxe"},
		"render of a MAC":       {[]string{"render", "web-01", "--loader=grub", "--mac=x"}, "netboot: --mac=x: "},
		"probe of nothing":      {[]string{"probe"}, "netboot: probe takes the name or address of a node: kubectl get nodes lists them"},
		"probe count":           {[]string{"probe", "192.0.2.1", "--count=0"}, "netboot: --count=0: outside 1-1000"},
		"probe timeout":         {[]string{"probe", "192.0.2.1", "--timeout=1h"}, "netboot: --timeout=1h0m0s: outside 1ms-1m"},
		"probe port":            {[]string{"probe", "192.0.2.1", "--tftp-port=99999"}, `netboot: invalid argument "99999" for "--tftp-port" flag`},
		"watch interval":        {[]string{"watch", "--interval=1ms"}, "netboot: --interval=1ms: must be 100ms at least"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := typed(t, nil, tc.args...)
			if got.code != exitUsage || got.stdout != "" || !strings.HasPrefix(got.stderr, tc.want) {
				t.Errorf("exit code %d, standard output %q, standard error:\n%s\nwant code %d and\n%s", got.code, got.stdout, got.stderr, exitUsage, tc.want)
			}
		})
	}
}

func TestNearestName(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{"web-1": "web-01", "WEB-02": "web-02", "wbe-01": "web-01", "database": "", "": ""} {
		if got := nearest(typed, []string{"web-01", "web-02", "storage-7"}); got != want {
			t.Errorf("nearest to %q is %q, want %q", typed, got, want)
		}
	}
}

func TestNumbersForPeople(t *testing.T) {
	t.Parallel()
	got := []string{
		size(0), size(1023), size(1024), size(1536), size(64 << 20), size(5 << 40), rate(0, time.Second), rate(1<<20, 0), rate(1<<20, time.Second/2),
		short(1234 * time.Nanosecond), short(12345 * time.Microsecond), short(1234 * time.Millisecond), short(61500 * time.Millisecond),
		bar(0, 100), bar(50, 100), bar(200, 100), bar(5, -1),
	}
	want := []string{
		"0 B", "1023 B", "1.0 KiB", "1.5 KiB", "64.0 MiB", "5.0 TiB", "-", "-", "2.0 MiB/s",
		"1µs", "12ms", "1.2s", "1m2s",
		"[....................]", "[##########..........]", "[####################]", "[????????????????????]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
