# `make` prints what there is. Everything that a target needs, it builds or installs itself.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
TOOL := go tool -modfile=tools.mod
FUZZTIME ?= 30s
GO_SOURCES := $(wildcard $(shell git ls-files -co --exclude-standard '*.go' go.mod go.sum 'config/crd/*'))

.PHONY: help
help: ## print this
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: bin/netboot bin/kubectl-netboot ## build bin/netboot and the kubectl plugin, bin/kubectl-netboot

bin/netboot: $(GO_SOURCES)
	CGO_ENABLED=0 go build -trimpath -o $@ ./cmd/netboot

bin/kubectl-netboot: $(GO_SOURCES)
	CGO_ENABLED=0 go build -trimpath -o $@ ./cmd/kubectl-netboot

.PHONY: run
run: bin/netboot ## serve the samples standalone, without root and without a cluster
	hack/run.sh

.PHONY: demo
demo: bin/netboot ## boot the sample machine in QEMU, its console on the screen (DEMO_ARGS="--expect TEXT": until TEXT shows)
	hack/demo.sh $(DEMO_ARGS)

.PHONY: test
test: ## all tests but those with firmware, with the race detector; builds an API server the first time
	hack/test.sh

.PHONY: e2e
e2e: bin/netboot ## boot real firmware in QEMU from a real API server, and serve real TFTP clients; needs root
	hack/e2e.sh

.PHONY: e2e-kind
e2e-kind: ## install in a real cluster, boot from it, upgrade it, take its API server away (E2E_KIND_ARGS=-full: all that is promised); needs root
	hack/e2e-kind.sh $(E2E_KIND_ARGS)

.PHONY: faults
faults: bin/netboot bin/kubectl-netboot ## break boots on purpose, and compare the causes that are named (FAULTS_ARGS="-runs 3 -table ../../docs/causes-tested.md": as in that page); needs root
	hack/assets.sh build/assets
	go test -tags e2e -count 1 -timeout 60m ./test/faults $(FAULTS_ARGS)

.PHONY: alerts
alerts: ## check the alerts of the chart with Prometheus' own promtool; needs Debian
	hack/alerts.sh

.PHONY: latency
latency: ## print the time from an edit by kubectl to what TFTP serves, median and worst of 50
	go test -count 1 -run TestApplyToServed -v ./cmd/netboot

.PHONY: bench
bench: ## benchmarks
	go test -run '^$$' -bench . -benchmem ./pkg/...

.PHONY: bench-tftp
bench-tftp: bin/netboot ## measure our TFTP server against five others (BENCH_ARGS=-quick: in two minutes); needs Debian and root
	hack/bench-tftp.sh $(BENCH_ARGS)

.PHONY: bench-http
bench-http: bin/netboot ## measure our HTTP server against nginx (BENCH_ARGS=-quick: to see that it works); needs Debian and root
	hack/bench-http.sh $(BENCH_ARGS)

.PHONY: upgrade-load
upgrade-load: ## three upgrades under 200 TFTP and 50 HTTP clients with 64 MiB each; ten minutes
	go test ./cmd/netboot -run 'TestUpgradeUnderLoad/one' -full-upgrade -v -timeout 40m

.PHONY: fuzz
fuzz: ## each fuzz test for FUZZTIME
	hack/fuzz.sh $(FUZZTIME)

.PHONY: soak
soak: ## 100000 hostile and broken TFTP sessions, with the race detector (`make test` has 20000)
	go test -race -count 1 -timeout 60m -run '^TestSoak$$' -v ./pkg/tftp -soak 100000

.PHONY: generate
generate: ## write the generated files
	hack/generate.sh

.PHONY: verify
verify: ## regenerate, tidy and format, and fail if that changes anything
	hack/verify.sh

.PHONY: lint
lint: ## static checks
	$(TOOL) golangci-lint run --build-tags e2e,kind ./...
	cd hack/image && go tool -modfile=../../tools.mod golangci-lint run --build-tags e2e ./...

.PHONY: cluster
cluster: ## a throwaway API server with the CRDs, to try things on; prints how
	hack/cluster.sh

.PHONY: image
image: ## the container image in build/image, without a container engine (VERSION=v1.2.3, PLATFORMS=linux/amd64,linux/arm64)
	VERSION=$(VERSION) PLATFORMS=$(PLATFORMS) hack/image.sh

.PHONY: sbom
sbom: ## the image and a list of what is in it, in build/image/sbom-ARCH.cdx.json (CycloneDX)
	VERSION=$(VERSION) PLATFORMS=$(PLATFORMS) hack/image.sh --sbom

.PHONY: image-test
image-test: ## run the image that `make image` left in build/image as a pod would; needs root
	cd hack/image && go test -count 1 -tags e2e -run '^TestRun$$' -v .

.PHONY: krew
krew: ## the kubectl plugin for krew in build/krew: archives and manifest (VERSION=v1.2.3)
	hack/krew.sh "$(or $(VERSION),v0.1.0-dev)" build/krew

.PHONY: clean
clean: ## remove what was built here
	rm -rf bin build
