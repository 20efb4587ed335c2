// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package repo_test

import (
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/netboot-operator/netboot-operator/controllers"
	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/ledger"
	"github.com/netboot-operator/netboot-operator/pkg/tftp"
	configtoken "github.com/netboot-operator/netboot-operator/pkg/token"
	"github.com/netboot-operator/netboot-operator/pkg/web"
)

var update = flag.Bool("update", false, "write docs/metrics.md") //nolint:gochecknoglobals // a flag of the test binary

// registerAll makes one of everything that has metrics.
func registerAll(t *testing.T, registry *prometheus.Registry) {
	t.Helper()
	store, err := artifact.New(artifact.Options{Dir: t.TempDir(), Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := controllers.NewSnapshot(controllers.SnapshotOptions{Registerer: registry}); err != nil {
		t.Fatal(err)
	}
	book, err := ledger.Open("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := controllers.NewBootReporter(controllers.BootReporterOptions{Ledger: book, Registerer: registry}); err != nil {
		t.Fatal(err)
	}
	if _, err := controllers.NewIndexMetrics(index.New(), registry); err != nil {
		t.Fatal(err)
	}
	if _, err := controllers.NewDiscovery("", 1, logr.Discard(), registry); err != nil {
		t.Fatal(err)
	}
	if _, err := attempt.NewRecorder(attempt.Options{Index: index.New()}, registry, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := tftp.New(tftp.HandlerFunc(nil), tftp.Options{Registerer: registry}); err != nil {
		t.Fatal(err)
	}
	if _, err := web.New(http.NotFoundHandler(), web.Options{Registerer: registry}); err != nil {
		t.Fatal(err)
	}
	if _, err := configtoken.New(configtoken.Options{Registerer: registry}); err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := certificate(t)
	if _, err := web.LoadCertificate(certFile, keyFile, logr.Discard(), registry); err != nil {
		t.Fatal(err)
	}
}

// withoutHead returns the lines of a table, to go on with another.
func withoutHead(table string) string {
	return strings.TrimPrefix(table, "| metric | type | labels | meaning |\n|---|---|---|---|\n")
}

// certificate writes a certificate and its key into files.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("tls.crt", "CERTIFICATE", pair.Certificate[0]), write("tls.key", "PRIVATE KEY", key)
}

// TestMetricsAreDocumented compares docs/metrics.md with the metrics and with the comments of the labels' values.
func TestMetricsAreDocumented(t *testing.T) {
	registry := prometheus.NewRegistry()
	registerAll(t, registry)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	tables, values := map[string]string{}, map[string][]string{}
	for _, f := range families {
		part := strings.Split(f.GetName(), "_")[1]
		if tables[part] == "" {
			tables[part] = "| metric | type | labels | meaning |\n|---|---|---|---|\n"
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
			for _, m := range f.GetMetric() {
				for _, other := range m.GetLabel() {
					if other.GetName() == l.GetName() {
						key := f.GetName() + " " + l.GetName()
						values[key] = append(values[key], other.GetValue())
					}
				}
			}
		}
		tables[part] += fmt.Sprintf("| `%s` | %s | %s | %s |\n",
			f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	meanings := func(head, series, file, typeName string) string {
		lines := []string{"| " + head + " | meaning |\n|---|---|\n"}
		for _, v := range commented(t, file, typeName) {
			lines = append(lines, "| `"+v[0]+"` | "+v[1]+" |\n")
		}
		table := strings.Join(lines, "")
		for _, v := range values[series] {
			if !strings.Contains(table, "| `"+v+"` |") {
				t.Errorf("%s has the value %q, and %s doesn't say what it means", series, v, file)
			}
		}
		return table
	}
	reasons := []string{"| reason | meaning |\n|---|---|\n"}
	for _, r := range []struct {
		value string
		err   error
	}{
		{"missing", configtoken.ErrMissing}, {"malformed", configtoken.ErrMalformed},
		{"wrong", configtoken.ErrWrong}, {"expired", configtoken.ErrExpired},
	} {
		reasons = append(reasons, "| `"+r.value+"` | "+r.err.Error()+" |\n")
	}
	want := fmt.Sprintf(metricsPage, tables["tftp"],
		meanings("outcome", "netboot_tftp_requests_total outcome", "pkg/tftp/handler.go", "Outcome"),
		strings.Replace(meanings("reason", "netboot_tftp_dropped_total reason", "pkg/tftp/limits.go", "dropReason"), "meaning", "the packet", 1),
		tables["http"]+withoutHead(tables["https"]),
		tables["artifact"],
		meanings("result", "netboot_artifact_fetches_total result", "pkg/artifact/metrics.go", "fetchResult"),
		tables["config"], strings.Join(reasons, ""),
		tables["boot"],
		meanings("outcome", "netboot_boot_attempts_total outcome", "pkg/attempt/boot.go", "ending"),
		meanings("result", "netboot_boot_status_writes_total result", "controllers/boot_metrics.go", "bootResult"),
		tables["discovered"],
		meanings("reason", "netboot_discovered_machines_refused_total reason", "controllers/discovery_machine.go", "discoveryRefusal"),
		tables["index"],
		tables["snapshot"]+withoutHead(tables["serving"])+withoutHead(tables["api"]))
	for part := range tables {
		switch part {
		case "tftp", "http", "https", "artifact", "config", "boot", "discovered", "index", "snapshot", "serving", "api":
		default:
			t.Errorf("the page has no place for netboot_%s_...", part)
		}
	}
	file := filepath.Join("..", "docs", "metrics.md")
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/metrics.md differs; run go test ./test -run TestMetricsAreDocumented -update (-want +got):\n%s", diff)
	}
}

const metricsPage = `<!-- Written by go test ./test -run TestMetricsAreDocumented -update; the words are comments of the code. -->

# Metrics

At "/metrics", beside those of controller-runtime and of Go. All series are there from the start, as 0. No label holds an
address, a URL or the name of a file: those are in the log, which has a line for each transfer. The chart brings
[alerts](alerts.md) that are made of them, and a dashboard.

## TFTP

%s
### How requests end

The label "outcome". The first three are no failures.

%s
### What is met with silence

The label "reason". A client over a limit is not refused, for an ERROR would end its boot: it repeats its request in a second
or four and gets in then. The limits are [flags](flags.md#netboot-serve).

%s
## HTTP

Those of certificates are there when HTTPS is on.

%s
## Artifacts

What is fetched, and the cache that it is kept in: [artifacts](artifacts.md).

%s
### How fetches end

The label "result". All but the first are the reasons of condition ArtifactsReady, too.

%s
## Configs with a token

%s
The label "reason":

%s
## Boots

Requests of one machine are put together into boots: how far each came, and what stopped it ([causes](causes.md)). The status
of the Machine tells the latest.

%s
### How boots end

The label "outcome".

%s
### How a boot gets into the status

The label "result".

%s
## Unknown machines

Those are there with --unknown-machines=Register.

%s
The label "reason":

%s
## The index

What this process knows of the API server, or of its folder of manifests, and answers from.

%s
## The API server

What these mean in an outage, and what to do: [operations](operations.md).

%s`

// commented returns the values of the constants of a type, each with the comment beside it. Where a constant is a number,
// its value is the string that a table in the same file has for it.
func commented(t *testing.T, file, typeName string) (all [][2]string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", file), nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if pair, ok := n.(*ast.KeyValueExpr); ok {
			key, isName := pair.Key.(*ast.Ident)
			value, isText := pair.Value.(*ast.BasicLit)
			if isName && isText && value.Kind == token.STRING {
				names[key.Name], _ = strconv.Unquote(value.Value) // the parser has seen that it can be read
			}
		}
		return true
	})
	for _, d := range parsed.Decls {
		block, ok := d.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST {
			continue
		}
		if first, ok := block.Specs[0].(*ast.ValueSpec).Type.(*ast.Ident); !ok || first.Name != typeName {
			continue
		}
		for _, spec := range block.Specs {
			constant := spec.(*ast.ValueSpec)
			value := names[constant.Names[0].Name]
			if len(constant.Values) > 0 {
				if text, ok := constant.Values[0].(*ast.BasicLit); ok && text.Kind == token.STRING {
					value, _ = strconv.Unquote(text.Value) // see above
				}
			}
			if value != "" {
				all = append(all, [2]string{value, strings.TrimSpace(constant.Comment.Text())})
			}
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no constants of type %s", file, typeName)
	}
	return all
}
