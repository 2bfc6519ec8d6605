#!/usr/bin/env bash
# usage: scripts/graph.sh [OUT.png] (make graph)
#
# Takes README.md's picture: what Prometheus draws of the demo's traffic. `make demo` must have been
# running for five minutes (PROMETHEUS_PORT=9090 says where).
set -euo pipefail
. "$(dirname "$0")/lib.sh"

out=${1:-docs/graph.png}
port=${PROMETHEUS_PORT:-9090}

scripts/deps.sh chromium
listening "$port" || fail "no Prometheus answers on port $port: run \"make demo\" in another terminal, and wait five minutes"
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
chromium --headless --no-sandbox --disable-gpu --disable-background-networking --user-data-dir="$profile" \
	--hide-scrollbars --window-size=1100,900 --virtual-time-budget=15000 --screenshot="$out" \
	"$(graph_url "$port" 'rate(rsync_executions_total%5B1m%5D)')" >/dev/null 2>&1 || fail "chromium took no picture of Prometheus on port $port"
say "wrote $out"
