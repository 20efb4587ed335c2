#!/usr/bin/env bash
# Writes every generated file: deep copies, CRDs, RBAC.
set -euo pipefail
cd "$(dirname "$0")/.."
gen() { go tool -modfile=tools.mod controller-gen "$@"; }
gen object:headerFile=hack/boilerplate.go.txt paths=./api/...
gen crd paths=./api/... output:crd:dir=config/crd/bases
