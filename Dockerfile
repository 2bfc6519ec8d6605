# The exporter as an image: one static program and nothing else.
#   docker build -t rsyncd_exporter --build-arg VERSION=$(git describe --tags --always) \
#     --build-arg REVISION=$(git rev-parse HEAD) .
ARG GO_IMAGE=golang:1.26-bookworm

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" \
        -o /rsyncd_exporter ./cmd/rsyncd_exporter \
    && mkdir /empty

# scratch rather than distroless: the program is static, has the time zones in it, and serving makes
# no TLS connection of its own, so that it needs no CA list (who, top and backups take --ca-file).
# What isn't there can't age, and there is no second image to trust.
FROM scratch
ARG VERSION=devel
ARG REVISION=
LABEL org.opencontainers.image.title="rsyncd_exporter" \
      org.opencontainers.image.description="Prometheus exporter for rsync daemons" \
      org.opencontainers.image.url="https://github.com/rsyncd-exporter/rsyncd_exporter" \
      org.opencontainers.image.source="https://github.com/rsyncd-exporter/rsyncd_exporter" \
      org.opencontainers.image.documentation="https://github.com/rsyncd-exporter/rsyncd_exporter/blob/main/docs/install.md" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /rsyncd_exporter /rsyncd_exporter
# For a unix socket on a volume (LISTEN_UNIXGRAM=/run/log-socket/log): a new volume takes its owner
# from the directory.
COPY --from=build --chown=65532:65532 /empty /run/log-socket
# And for the state on another (STATE_DIR=/var/lib/rsyncd_exporter).
COPY --from=build --chown=65532:65532 /empty /var/lib/rsyncd_exporter
USER 65532:65532
# It listens on all of the container's own addresses, since it is meant for UDP from other hosts.
# Syslog over UDP is not authenticated: publish the port to a network that you trust, or not at all.
ENV RSYNCD_EXPORTER_LISTEN_UDP=:5514
EXPOSE 8080/tcp 5514/udp
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["/rsyncd_exporter", "healthcheck"]
ENTRYPOINT ["/rsyncd_exporter"]
