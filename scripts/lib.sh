# shellcheck shell=bash
# Functions that the scripts share. Bash scripts that have set -euo pipefail source this file. It
# changes to the repository's root.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
repo=$PWD
# Programs that deps.sh unpacked come last: the machine's own are preferred.
PATH=$PATH:/usr/sbin:/sbin:$repo/build/tools/bin

# say TEXT... tells what happens now.
say() { printf '==> %s\n' "$*"; }

# fail TEXT... ends the script with one sentence.
fail() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# listening PORT succeeds when something on this machine listens on the TCP port. It looks instead
# of connecting: a connection to rsyncd would be counted.
listening() {
	local files=(/proc/net/tcp)
	[ ! -e /proc/net/tcp6 ] || files+=(/proc/net/tcp6)
	grep -q ":$(printf %04X "$1") 0*:0000 0A " "${files[@]}"
}

# free_port NUMBER prints the first free port from it on.
free_port() {
	local port=$1
	while listening "$port"; do port=$((port + 1)); done
	echo "$port"
}

# http_get HOST PORT PATH prints the body of an HTTP answer, and fails unless its status is 200.
# Fresh machines have no curl.
http_get() {
	local status line
	{
		exec 7<>"/dev/tcp/$1/$2" || return 1
	} 2>/dev/null
	printf 'GET %s HTTP/1.0\r\nHost: %s:%s\r\n\r\n' "$3" "$1" "$2" >&7
	read -r -t 60 _ status _ <&7 2>/dev/null || { exec 7>&-; return 1; }
	while read -r -t 60 line <&7 && [ "$line" != $'\r' ]; do :; done
	cat <&7
	exec 7>&-
	[ "$status" = 200 ]
}

# graph_url PORT EXPRESSION prints the URL at which the Prometheus on 127.0.0.1 draws the expression
# over the last five minutes. The expression is URL-encoded. Debian's Prometheus has only the old
# console, under /classic, and from 2.53 on answers 404 for /graph.
graph_url() {
	local page=/graph
	! http_get 127.0.0.1 "$1" /classic/graph >/dev/null || page=/classic/graph
	echo "http://127.0.0.1:$1$page?g0.expr=$2&g0.tab=0&g0.range_input=5m"
}

# wait_until SECONDS COMMAND... polls the command until it succeeds; fails after so many seconds.
wait_until() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.2
	done
}

# value PORT METRIC LABEL prints the sum of the series of a metric that have a label.
value() {
	http_get 127.0.0.1 "$1" /metrics | awk -v metric="$2" -v label="$3" \
		'index($0, metric) == 1 && index($0, label) && /^[^#]/ { sum += $NF } END { printf "%.0f\n", sum }'
}
has() { [ "$(value "$1" "$2" "$3")" = "$4" ]; }

# want PORT NAME METRIC LABEL NUMBER waits until an exporter has counted so much.
want() {
	wait_until 180 has "$1" "$3" "$4" "$5" || fail "$2: $3{$4} is $(value "$1" "$3" "$4") after three minutes, want $5"
}
