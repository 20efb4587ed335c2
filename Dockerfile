# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# The image for whoever has a container engine (BuildKit): docker buildx build --platform linux/amd64,linux/arm64 .
# `make image` makes the same one without. What the image is, beside its files, stands in hack/image/config.go, too: a test
# there compares.

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS program
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libcap2-bin && mkdir /empty
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETARCH
ARG VERSION=v0.1.0-dev
RUN hack/program.sh "$TARGETARCH" "$VERSION" /out/netboot && hack/licences.sh /out/netboot /out/usr/share/doc/netboot-operator
# Last, since writing to a file takes its capabilities away; COPY keeps them.
RUN setcap cap_net_bind_service+ep /out/netboot

# The loaders are for the machines that boot, whatever the node is: all of them are in each image.
FROM --platform=$BUILDPLATFORM debian:bookworm-slim AS loaders
COPY hack/loaders.sh hack/loaders.txt /src/hack/
RUN /src/hack/loaders.sh /out

FROM gcr.io/distroless/static:nonroot
COPY --from=loaders /out/tree/ /
COPY --from=program --chown=65532:65532 /empty/ /run/netboot/
COPY --from=program --chown=65532:65532 /empty/ /var/lib/netboot-operator/
COPY --from=program /out/ /
ARG VERSION=v0.1.0-dev
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="netboot-operator" \
      org.opencontainers.image.description="Boots machines over the network as Kubernetes objects say: TFTP, HTTP and boot loaders in one program" \
      org.opencontainers.image.url="https://github.com/netboot-operator/netboot-operator" \
      org.opencontainers.image.source="https://github.com/netboot-operator/netboot-operator" \
      org.opencontainers.image.documentation="https://github.com/netboot-operator/netboot-operator/tree/main/docs" \
      org.opencontainers.image.vendor="The netboot-operator Authors" \
      org.opencontainers.image.licenses="Apache-2.0 AND GPL-2.0-or-later AND GPL-3.0-or-later AND BSD-2-Clause AND MPL-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
WORKDIR /
USER 65532:65532
ENTRYPOINT ["/netboot"]
