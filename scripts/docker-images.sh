#!/usr/bin/env bash
# usage: scripts/docker-images.sh
#
# Provides the images that the Dockerfiles and deploy/docker-compose.yml build on. Those that the
# engine has are used, others are pulled. If no registry can be reached, stand-ins are made of what
# this machine has: Debian by debootstrap (which takes root), its Go, its module cache and its
# Prometheus. Stand-ins carry the label rsyncd_exporter.stand-in; to remove them:
#   docker image rm $(docker image ls -q --filter label=rsyncd_exporter.stand-in)
set -euo pipefail
. "$(dirname "$0")/lib.sh"

debian=debian:bookworm-slim
golang=golang:1.26-bookworm
prometheus=$(sed -n 's/.*PROMETHEUS_IMAGE:-\(.*\)}.*/\1/p' deploy/docker-compose.yml)
label=rsyncd_exporter.stand-in
context= # a directory for what stand-ins are made of; its name starts with a dot, so that go ./... passes it by

# wanted IMAGE VERSION succeeds when a stand-in must be made: the image is neither here nor to be
# had, or is a stand-in of other contents.
wanted() {
	local have
	if have=$(docker image inspect "$1" 2>/dev/null \
		--format "{{with .Config.Labels}}{{index . \"$label\"}}{{end}}"); then
		[ -n "$have" ] && [ "$have" != "$2" ]
		return
	fi
	say "pulling $1"
	! docker pull -q "$1" 2>"$context/pull" || return 1
	say "$1 can't be pulled ($(tail -n 1 "$context/pull")): making a stand-in from what this machine has"
}

# build IMAGE VERSION makes a stand-in of the Dockerfile on standard input and $context/files.
build() {
	cat >"$context/files/Dockerfile"
	docker build -q --label "$label=$2" -t "$1" "$context/files" >/dev/null 2>"$context/build" || {
		cat "$context/build" >&2
		fail "the stand-in for $1 can't be built; above is why"
	}
	rm -rf "$context/files"
	mkdir "$context/files"
}

debian_stand_in() {
	local version=bookworm
	wanted "$debian" "$version" || return 0
	[ "$(id -u)" = 0 ] ||
		fail "no registry can be reached and debootstrap takes root: run this as root, or pull $debian first"
	scripts/deps.sh debootstrap
	debootstrap --variant=minbase bookworm "$context/debian" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" \
		>"$context/log" 2>&1 || {
		tail -n 5 "$context/log" >&2
		fail "debootstrap failed; above are its last words: check the network, or set DEBIAN_MIRROR"
	}
	cp /etc/apt/trusted.gpg.d/* "$context/debian/etc/apt/trusted.gpg.d/" 2>/dev/null || true
	rm -rf "$context"/debian/var/cache/apt/archives/*.deb "$context"/debian/var/lib/apt/lists/*
	tar -C "$context/debian" -c . | docker import -c "LABEL $label=$version" -c 'CMD ["bash"]' - "$debian" >/dev/null
	rm -rf "$context/debian"
}

golang_stand_in() {
	local version
	version=$(cat <(go version) go.sum | sha256sum | cut -c 1-16)
	wanted "$golang" "$version" || return 0
	go mod download
	cp -rL "$(go env GOROOT)" "$context/files/go"
	rm -rf "$context"/files/go/{api,doc,misc,test} # Go's own tests: a third of its files
	find "$context/files/go/src" -depth -name testdata -exec rm -rf {} +
	cp -r "$(go env GOMODCACHE)/cache/download" "$context/files/modules"
	cp /etc/ssl/certs/ca-certificates.crt "$context/files/"
	# As the real one sets them, but that this machine's module cache is asked before the proxy, which a container
	# may not reach.
	build "$golang" "$version" <<-DOCKERFILE
		FROM $debian
		COPY ca-certificates.crt /etc/ssl/certs/
		COPY go /usr/local/go
		COPY modules /modules
		ENV GOPATH=/go GOTOOLCHAIN=local
		ENV PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		ENV GOPROXY=file:///modules,https://proxy.golang.org,direct
		WORKDIR /go
	DOCKERFILE
}

prometheus_stand_in() {
	local version
	scripts/deps.sh prometheus
	version=$(promtool --version 2>&1 | head -n 1 | awk '{ print $3 }')+pages
	wanted "$prometheus" "$version" || return 0
	cp -L "$(program_file prometheus)" "$context/files/prometheus"
	cp -L "$(program_file promtool)" "$context/files/promtool"
	copy_pages "$context/files/web"
	# The user, the directories and the command line of the real one.
	build "$prometheus" "$version" <<-DOCKERFILE
		FROM $debian
		COPY prometheus promtool /bin/
		COPY web /usr/share/prometheus/web/
		RUN mkdir -p /etc/prometheus /prometheus && chown 65534:65534 /prometheus
		USER nobody
		WORKDIR /prometheus
		EXPOSE 9090
		ENTRYPOINT ["/bin/prometheus"]
		CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
	DOCKERFILE
}

# copy_pages DIRECTORY copies the templates, scripts and fonts of Debian's Prometheus, which its
# links lead to. Others have them within the program.
copy_pages() {
	local root
	mkdir "$1"
	for root in "$repo/build/tools/root" ""; do
		if [ -d "$root/usr/share/prometheus/web" ]; then
			cp -rL "$root/usr/share/prometheus/web/." "$1/"
			return
		fi
	done
}

# program_file PROGRAM prints the path of the program itself, even if PATH leads to a wrapper that
# deps.sh has written.
program_file() {
	local path=$repo/build/tools/root/usr/bin/$1
	[ -x "$path" ] || path=$(command -v "$1")
	echo "$path"
}

docker info >/dev/null 2>&1 || fail "no Docker engine answers \"docker info\": start one, or leave the Docker test out"
mkdir -p build
context=$(mktemp -d build/.docker.XXXXXX)
trap 'rm -rf "$context"' EXIT
mkdir "$context/files"
debian_stand_in
golang_stand_in
prometheus_stand_in
