#!/usr/bin/env bash
# usage: scripts/pictures.sh [OUT] (make pictures)
#
# Takes pictures into OUT, by default docs: graphs.png, panels of the dashboard as Prometheus draws
# them, and top.png, the program's top. It runs the demo on ports of its own, with more traffic, for
# six minutes, and ends all of it. docs/page.png is taken by a test, of a made-up world:
# SCREENSHOTS=docs go test -run TestPageInABrowser ./status, and page-light.png renamed
set -euo pipefail
. "$(dirname "$0")/lib.sh"

out=${1:-docs}
export EXPORTER_PORT=9380 PROMETHEUS_PORT=9392 RSYNC_PORT=9373
export SETTINGS="RSYNCD_EXPORTER_CLIENT_GROUPS=mirrors=127.0.0.8/29;homes=127.0.0.16/28"
minutes=6

work=$(mktemp -d)
demo=
pulls=()

stop_all() {
	local status=$? pull
	trap '' INT TERM
	for pull in "${pulls[@]}"; do kill "$pull" 2>/dev/null || true; done
	tmux -S "$work/tmux" kill-server 2>/dev/null || true
	[ -z "$demo" ] || { kill "$demo" 2>/dev/null || true; wait "$demo" || true; }
	rm -rf "$work"
	exit "$status"
}

demo_runs() {
	kill -0 "$demo" 2>/dev/null ||
		{ tail -n 20 "$work/demo.out" >&2; fail "the demo has ended; above are its last words"; }
	grep -q 'making traffic on' "$work/demo.out"
}

# pull KIB SECONDS begins a pull that is so slow, from one of 24 addresses, and is cut off after so many seconds.
pull() {
	local from=127.0.0.$((RANDOM % 24 + 8))
	timeout "$2" rsync -a --address="$from" --bwlimit="$1" \
		"rsync://127.0.0.1:$RSYNC_PORT/mirror/" "$work/pull.$RANDOM$RANDOM" >/dev/null 2>&1 &
	pulls+=($!)
}

# backup begins a backup that takes half a minute.
backup() {
	head -c 200000 /dev/urandom >"$work/archive.tar"
	RSYNC_PASSWORD=demo rsync --address=127.0.0.33 --bwlimit=6 "$work/archive.tar" \
		"rsync://alice@127.0.0.1:$RSYNC_PORT/backup/" >/dev/null 2>&1 &
	pulls+=($!)
}

# wave makes pulls that become more and fewer again, once every two minutes. Some are cut off.
wave() {
	local many=$((SECONDS % 120 / 10)) i
	[ "$many" -le 6 ] || many=$((12 - many))
	for ((i = 0; i < many; i++)); do pull $((RANDOM % 40 + 10)) $((RANDOM % 30 + 4)); done
	sleep 5
}

screen() { tmux -u -S "$work/tmux" capture-pane -p "$@"; }
top_shows() { [ "$(screen | grep -c running)" -ge 5 ] && screen | grep -q "alice.*running\|running.*alice"; }

picture_top() {
	local i
	for i in 6 5 4 3; do pull "$i" 60; sleep 3; done
	backup
	LC_ALL=C.UTF-8 tmux -u -S "$work/tmux" -f /dev/null new-session -d -x 110 -y 18 \
		"TERM=screen-256color bin/rsyncd_exporter top --url=http://127.0.0.1:$EXPORTER_PORT"
	wait_until 30 top_shows || { screen >&2; fail "top doesn't show five running sessions; above is what it shows"; }
	screen -e | "$work/pictures" terminal "$out/top.png"
	say "wrote $out/top.png"
}

scripts/deps.sh go modules rsync prometheus tmux chromium
make --no-print-directory build
go build -o "$work/pictures" ./internal/pictures
trap stop_all EXIT
trap 'exit 130' INT TERM
EXPORTER=$repo/bin/rsyncd_exporter scripts/demo.sh >"$work/demo.out" 2>&1 &
demo=$!
wait_until 180 demo_runs || fail "the demo makes no traffic after three minutes"
say "making traffic for $minutes minutes"
until [ "$SECONDS" -ge $((minutes * 60)) ]; do
	demo_runs
	wave
done
"$work/pictures" graphs "http://127.0.0.1:$PROMETHEUS_PORT" "$out/graphs.png"
say "wrote $out/graphs.png"
picture_top
