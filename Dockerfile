# A small image with reeve, git and OpenTofu, all built from source:
#
#   docker build -t reeve --build-arg VERSION="$(git describe --tags --always)" \
#     --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" .
#   docker run --init --name reeve -v reeve:/data \
#     -e REEVE_REPOSITORY_URL=https://git.example.com/acme/infrastructure.git reeve
#   docker exec reeve reeve get resources
#
# Terraform and Pulumi are not in it, nor other versions of OpenTofu. They are installed into
# the volume, where they stay:
#
#   docker exec reeve reeve engine install 'pulumi@~>3.200'
#
# Pulumi comes with its language hosts, and programs in YAML need no more; for those in other
# languages build an image on this one with node, python3 or go in it.
#
# Two builds of one commit give the same files: base images by exact tag, Debian
# packages from a snapshot of the archive, Go programs without paths, build ids
# or stamps. --init gives the container a first process that collects what ended
# programs of engines leave behind.

FROM golang:1.26.8-bookworm AS build
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-buildvcs=false REEVE_TOOL_CACHE=/tools
WORKDIR /src

COPY go.mod go.sum ./
RUN go mod download

# The engine changes seldom and takes longest, so it has a layer of its own that
# depends on its recipe alone.
COPY internal/tool/ internal/tool/
RUN mkdir -p /out \
 && cp "$(go run ./internal/tool/cmd/reeve-tools ensure tofu)" /out/tofu

COPY schema/ schema/
COPY gitsource/ gitsource/
COPY reconciler/ reconciler/
COPY internal/ internal/
COPY examples/ examples/
COPY cmd/ cmd/
ARG VERSION=dev
RUN go build -trimpath -ldflags "-s -w -buildid= -X main.version=${VERSION}" -o /out/reeve ./cmd/reeve


FROM debian:bookworm-20260824-slim
ARG SNAPSHOT=20260824T000000Z
# BuildKit sets the times of the image's files to this.
ARG SOURCE_DATE_EPOCH=0
RUN set -eu; \
    rm -f /etc/apt/sources.list.d/debian.sources; \
    for suite in "debian ${SNAPSHOT} bookworm" "debian ${SNAPSHOT} bookworm-updates" "debian-security ${SNAPSHOT} bookworm-security"; do \
      set -- $suite; \
      echo "deb [check-valid-until=no] http://snapshot.debian.org/archive/$1/$2 $3 main" >> /etc/apt/sources.list; \
    done; \
    apt-get update; \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates git openssh-client; \
    apt-get clean; \
    rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/ldconfig/aux-cache; \
    install -d -o 65532 -g 65532 -m 0700 /data

COPY --from=build /out/ /usr/local/bin/
COPY LICENSE NOTICE /usr/share/doc/reeve/

# Nobody in particular, by number, so that Kubernetes can tell that it is not root.
USER 65532:65532
ENV HOME=/data REEVE_DATA_DIR=/data REEVE_ENGINE_TOFU=/usr/local/bin/tofu REEVE_ENGINE_DEFAULT=tofu
WORKDIR /data
VOLUME /data

# The API, where REEVE_LISTEN says so: 127.0.0.1:7468 by default, which is inside
# the container only. Other addresses need a token.
EXPOSE 7468

ENTRYPOINT ["reeve"]
CMD ["serve"]
