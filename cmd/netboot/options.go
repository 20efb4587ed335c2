// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/token"
)

// serveOptions are the flags of netboot serve, one field each.
type serveOptions struct {
	manifests        string
	namespace        string
	kubeconfig       string
	tftpBindAddress  string
	httpBindAddress  string
	metricsAddress   string
	advertiseAddress string
	dataDir          string
	snapshotAfter    time.Duration
	runtimeDir       string
	loadersDir       string
	filesDir         string
	configTokenTTL   time.Duration
	shutdownGrace    time.Duration
	logFormat        string
	verbosity        int
	tftp             tftpOptions
	artifacts        artifactOptions
	http             httpOptions
	boots            bootOptions
}

const (
	defaultDataDir           = "/var/lib/netboot-operator"
	metricsAddressStandalone = "127.0.0.1:8081"
	metricsAddressCluster    = ":8081"
	maxShutdownGrace         = time.Hour
	defaultSnapshotAfter     = 10 * time.Second
	maxSnapshotAfter         = time.Hour
)

func (o *serveOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.manifests, "manifests", "",
		"serve Machines and BootProfiles from the YAML files in `DIR`, without a cluster")
	flags.StringVar(&o.namespace, "namespace", "", "watch one `NAMESPACE` only (default: all)")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "",
		"`FILE` that tells the API server (default: $KUBECONFIG, the pod's service account, or ~/.kube/config)")
	flags.StringVar(&o.tftpBindAddress, "tftp-bind-address", "[::]:69", "`ADDR:PORT` of the TFTP server; empty turns it off")
	o.tftp.addFlags(flags)
	flags.StringVar(&o.httpBindAddress, "http-bind-address", "[::]:8080", "`ADDR:PORT` of the HTTP server; empty turns it off")
	o.http.addFlags(flags)
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", "",
		"`ADDR:PORT` of /metrics, /healthz and /readyz (default "+metricsAddressCluster+", with --manifests "+metricsAddressStandalone+")")
	flags.StringVar(&o.advertiseAddress, "advertise-address", "",
		"`HOST[:PORT]` to put into URLs (default: the address that the client asked)")
	flags.StringVar(&o.dataDir, "data-dir", defaultDataDir, "`DIR` for fetched artifacts, the snapshot and, with --manifests, status")
	flags.DurationVar(&o.snapshotAfter, "snapshot-after", defaultSnapshotAfter,
		"`TIME` that a start waits for an API server that does not answer before it serves from the snapshot in --data-dir")
	flags.StringVar(&o.runtimeDir, "runtime-dir", "",
		"`DIR` in memory for the life of this process; it then shares its ports with others of the same user, for upgrades (default: none)")
	o.artifacts.addFlags(flags)
	flags.StringVar(&o.loadersDir, "loaders-dir", "",
		"`DIR` of network boot programs (pxelinux.0, grubnetx64.efi.signed, ipxe.efi, ...); sub-folders by architecture allowed")
	flags.StringVar(&o.filesDir, "files-dir", "",
		"`DIR` that file:///NAME URLs are looked up in (default: the --manifests folder; without either, such URLs are refused)")
	o.boots.addFlags(flags)
	flags.DurationVar(&o.configTokenTTL, "config-token-ttl", token.DefaultTTL,
		"`TIME` that the token in the URL of a config lasts, from when the machine gets its boot configuration")
	flags.DurationVar(&o.shutdownGrace, "shutdown-grace", time.Minute, "`TIME` that running transfers get to end after SIGTERM")
	flags.StringVar(&o.logFormat, "log-format", "", "`FORMAT` of the log, text or json (default json, with --manifests text)")
	flags.IntVarP(&o.verbosity, "verbosity", "v", 0, "`LEVEL` of the log: 0 a line for each transfer, 1 also how it was agreed on")
}

// complete fills in defaults that depend on other flags, and refuses what can't be used.
func (o *serveOptions) complete() error {
	standalone := o.manifests != ""
	if o.metricsAddress == "" {
		o.metricsAddress = choose(standalone, metricsAddressStandalone, metricsAddressCluster)
	}
	if o.logFormat == "" {
		o.logFormat = choose(standalone, "text", "json")
	}
	if o.filesDir == "" {
		o.filesDir = o.manifests
	}
	for _, address := range []struct{ flag, value string }{
		{"tftp-bind-address", o.tftpBindAddress},
		{"http-bind-address", o.httpBindAddress},
		{"metrics-bind-address", o.metricsAddress},
	} {
		if err := checkBindAddress(address.flag, address.value); err != nil {
			return err
		}
	}
	for _, dir := range []struct{ flag, value string }{
		{"manifests", o.manifests}, {"loaders-dir", o.loadersDir}, {"files-dir", o.filesDir}, {"runtime-dir", o.runtimeDir},
	} {
		if err := checkFolder(dir.flag, dir.value); err != nil {
			return err
		}
	}
	switch {
	case standalone && o.namespace != "":
		return usagef("--namespace=%s: is for clusters; with --manifests every namespace in the folder is served", o.namespace)
	case standalone && o.kubeconfig != "":
		return usagef("--kubeconfig=%s: is for clusters; leave it out, or --manifests", o.kubeconfig)
	case o.tftpBindAddress == "" && o.httpBindAddress == "" && o.http.httpsBindAddress == "":
		return usagef("--tftp-bind-address, --http-bind-address and --https-bind-address are all empty: nothing would be served; set one of them")
	case o.dataDir == "":
		return usagef("--data-dir is empty: name a folder for fetched artifacts")
	case o.shutdownGrace < 0 || o.shutdownGrace > maxShutdownGrace:
		return usagef("--shutdown-grace=%v: outside 0s-%v", o.shutdownGrace, maxShutdownGrace)
	case o.snapshotAfter < 0 || o.snapshotAfter > maxSnapshotAfter:
		return usagef("--snapshot-after=%v: outside 0s-%v", o.snapshotAfter, maxSnapshotAfter)
	case o.configTokenTTL < token.MinTTL || o.configTokenTTL > token.MaxTTL:
		return usagef("--config-token-ttl=%v: outside %v-%v", o.configTokenTTL, token.MinTTL, token.MaxTTL)
	case o.logFormat != "text" && o.logFormat != "json":
		return usagef("--log-format=%s: must be text or json", o.logFormat)
	}
	if _, _, err := parseHostPort("advertise-address", o.advertiseAddress); err != nil {
		return err
	}
	if err := o.boots.complete(standalone, o.namespace); err != nil {
		return err
	}
	if err := o.http.complete(); err != nil {
		return err
	}
	if err := o.artifacts.complete(); err != nil {
		return err
	}
	return o.tftp.complete()
}

// shares says whether the ports are shared with other processes: it takes one that others may follow, as in a pod.
func (o *serveOptions) shares() bool { return o.runtimeDir != "" }

func choose(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}

func checkBindAddress(flag, value string) error {
	if value == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		return usagef("--%s=%s: must be ADDR:PORT, such as 0.0.0.0:8080, [::]:8080 or :8080", flag, value)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return usagef("--%s=%s: port %q is outside 0-65535", flag, value, port)
	}
	if host == "" || host == "localhost" {
		return nil
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return usagef("--%s=%s: %q is not an IP address of this host", flag, value, host)
	}
	return nil
}

func checkFolder(flag, value string) error {
	if value == "" {
		return nil
	}
	info, err := os.Stat(value)
	if err != nil {
		return usagef("--%s=%s: %w", flag, value, err)
	}
	if !info.IsDir() {
		return usagef("--%s=%s: is a file; name the folder", flag, value)
	}
	return nil
}

// parseHostPort splits HOST[:PORT]; port is 0 when it is not given, and so is host when value is empty.
func parseHostPort(flag, value string) (host string, port uint16, err error) {
	if value == "" {
		return "", 0, nil
	}
	if host, port, err = boot.ParseHostPort(value); err != nil {
		return "", 0, usagef("--%s=%s: %w", flag, value, err)
	}
	return host, port, nil
}
