#!/usr/bin/env bash
# usage: scripts/graph.sh [OUT.png] (make graph)
#
# Takes README.md's picture: what Prometheus draws of the demo's traffic. `make demo` must have been running for five minutes
# (PROMETHEUS_PORT=9090 says where), and chromium must be installed (apt-get install chromium).
set -euo pipefail
. "$(dirname "$0")/lib.sh"

out=${1:-docs/graph.png}
url="http://127.0.0.1:${PROMETHEUS_PORT:-9090}"
query='g0.expr=rate(rsync_executions_total%5B1m%5D)&g0.tab=0&g0.range_input=5m'

command -v chromium >/dev/null || fail "chromium is missing: apt-get install chromium"
listening "${PROMETHEUS_PORT:-9090}" || fail "no Prometheus answers at $url: run \"make demo\" in another terminal, and wait five minutes"
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
chromium --headless --no-sandbox --disable-gpu --disable-background-networking --user-data-dir="$profile" \
	--hide-scrollbars --window-size=1100,900 --virtual-time-budget=15000 --screenshot="$out" \
	"$url/classic/graph?$query" >/dev/null 2>&1 || fail "chromium took no picture of $url"
say "wrote $out"
