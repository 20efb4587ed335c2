#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Writes every generated file: deep copies, CRDs and RBAC (for the chart, too), the pages of API and metrics.
set -euo pipefail
cd "$(dirname "$0")/.."
gen() { go tool -modfile=tools.mod controller-gen "$@"; }
gen object:headerFile=hack/boilerplate.go.txt paths=./api/...
gen crd paths=./api/... output:crd:dir=config/crd/bases
gen rbac:roleName=netboot-operator paths=./controllers/... output:rbac:dir=config/rbac
cp config/crd/bases/*.yaml charts/netboot-operator/files/crds/
cp config/rbac/role.yaml charts/netboot-operator/files/rbac/
go tool -modfile=tools.mod crd-ref-docs --log-level=ERROR --source-path=api/v1alpha1 --config=hack/api-docs.yaml \
  --renderer=markdown --output-path=docs/api.md
go test ./test -run 'TestMetricsAreDocumented|TestCausesAreDocumented|TestLoadersAreDocumented|TestChartValuesAreDocumented' -update >/dev/null
