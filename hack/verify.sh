#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Fails when a generated file, a go.mod or the formatting is not what the tools would write.
set -euo pipefail
cd "$(dirname "$0")/.."

# Compared with a copy and not with the last commit: so it also works before one.
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
git ls-files -z -co --exclude-standard | xargs -0 cp --parents -t "$before" 2>/dev/null || {
  echo "hack/verify.sh: a file that git knows is gone: commit its removal first" >&2
  exit 1
}
hack/generate.sh
for module in . hack/image; do
  (cd "$module" && go mod tidy && go fix ./...)
done
gofmt -w $(git ls-files -co --exclude-standard '*.go')

changed=$(git ls-files -co --exclude-standard | while read -r file; do
  cmp -s "$file" "$before/$file" || echo "$file"
done)
if [ -n "$changed" ]; then
  for file in $changed; do diff -u "$before/$file" "$file" || true; done
  printf 'hack/verify.sh: these files were not as the tools write them; they are now, commit them (make generate):\n%s\n' "$changed" >&2
  exit 1
fi
