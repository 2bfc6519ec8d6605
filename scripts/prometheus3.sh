#!/usr/bin/env bash
# usage: scripts/prometheus3.sh (make prometheus3)
#
# Builds the current Prometheus 3, which Debian doesn't have yet, from its Go module, and puts
# prometheus and promtool into build/prometheus3. What is there in this version isn't built again.
# It takes no npm: the pages stay away, the API is all there. Nothing is installed.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

module=github.com/prometheus/prometheus
module_version=v0.316.0
version=3.16.0 # the same, as Prometheus calls it

place=$repo/build/prometheus3

# there PROGRAM succeeds when it is there in this version.
there() { "$place/$1" --version 2>/dev/null | grep -q "^$1, version $version "; }

if there prometheus && there promtool; then
	say "Prometheus $version is there: build/prometheus3"
	exit 0
fi

scripts/deps.sh go
mkdir -p "$place" 2>/dev/null && [ -w "$place" ] ||
	fail "$place can't be written by $(id -un): remove it, or run \"make prometheus3\" as its owner"
exec 9>"$place/lock" # two runs at a time would build it twice
flock -n 9 || { say "another run builds it; waiting for that"; flock 9; }
! { there prometheus && there promtool; } || exit 0

say "fetching Prometheus $version and the Go modules that it needs, and building it in build/prometheus3: five to" \
	"fifteen minutes on two cores, once"
began=$SECONDS
# Without service discovery by clouds, whose client libraries take most of a full build. A build of
# its own under build/ is renamed when it is whole: an interrupted one leaves nothing that looks so.
flags=(-trimpath -tags remove_all_sd,netgo -ldflags "-s -w -X github.com/prometheus/common/version.Version=$version")
rm -rf "$place/new"
(cd / && CGO_ENABLED=0 GOBIN=$place/new nice -n 10 \
	go install "${flags[@]}" "$module/cmd/prometheus@$module_version" "$module/cmd/promtool@$module_version") ||
	fail "Prometheus $version can't be built; above is why: check the network and GOPROXY," \
		"that 3 GB of disk are free," \
		"and that \"go version\" is what its go.mod asks for"
mv -f "$place"/new/{prometheus,promtool} "$place"
rmdir "$place/new"
there prometheus && there promtool ||
	fail "what was built isn't Prometheus $version: it says \"$("$place/prometheus" --version 2>&1 | head -n 1)\""
say "built Prometheus $version in $((SECONDS - began)) s: build/prometheus3/prometheus and build/prometheus3/promtool"
