#!/usr/bin/env bash
# usage: scripts/demo.sh (make demo)
#
# Runs a real rsync daemon, the exporter and Prometheus on this machine, with traffic, until
# interrupted. Variables:
#   EXPORTER_PORT=8080 PROMETHEUS_PORT=9090 RSYNC_PORT=8730   where they listen, on 127.0.0.1 only
#   ONCE=1                                                    end as soon as Prometheus shows a rate
#   EXPORTER=path                                             an exporter that is built already
#   SETTINGS="NAME=VALUE ..."                                 more settings of the exporter
# It stops everything that it starts. Everything that it writes is in one temporary directory, which
# it removes.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

exporter_port=${EXPORTER_PORT:-8080}
prometheus_port=${PROMETHEUS_PORT:-9090}
rsync_port=${RSYNC_PORT:-8730}
rate='sum(rate(rsync_executions_total[1m]))'

exporter=${EXPORTER:-}
dir=   # the temporary directory
log=   # where the daemon logs and the exporter reads: a unix socket, or a file
made=0 # sessions that traffic has made
declare -A pid=()
started=()

# stop_all ends what was started, last first, and removes the directory. It runs however the script
# ends.
stop_all() {
	local status=$? i name
	trap '' INT TERM
	for ((i = ${#started[@]} - 1; i >= 0; i--)); do
		name=${started[i]}
		kill "${pid[$name]}" 2>/dev/null || continue
		wait_until 10 gone "${pid[$name]}" || kill -KILL "${pid[$name]}" 2>/dev/null || true
		wait "${pid[$name]}" 2>/dev/null || true
	done
	[ -z "$dir" ] || rm -rf "$dir"
	[ ${#started[@]} = 0 ] || say "stopped ${started[*]}"
	exit "$status"
}

# gone PID succeeds when the process has ended (a zombie has).
gone() { ! grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$1/status"; }

# start NAME COMMAND... runs the command in the background, and keeps its output in case it fails.
start() {
	local name=$1
	shift
	"$@" >"$dir/$name.out" 2>&1 </dev/null &
	pid[$name]=$!
	started+=("$name")
}

# ready NAME COMMAND... waits until the command succeeds, as long as the program lives.
ready() {
	local name=$1 end=$((SECONDS + 120))
	shift
	until "$@" >/dev/null 2>&1; do
		if gone "${pid[$name]}" || [ "$SECONDS" -ge "$end" ]; then
			tail -n 20 "$dir/$name.out" >&2
			fail "$name did not start; above are its last words"
		fi
		sleep 0.2
	done
}

check_ports() {
	local variable port
	for variable in EXPORTER_PORT:$exporter_port PROMETHEUS_PORT:$prometheus_port RSYNC_PORT:$rsync_port; do
		port=${variable#*:}
		[[ $port =~ ^[1-9][0-9]{0,4}$ ]] || fail "${variable%:*} is \"$port\", which is no port number"
		! listening "$port" || fail "port $port is in use: choose another one with ${variable%:*}=…"
	done
}

make_files() {
	dir=$(mktemp -d "${TMPDIR:-/tmp}/rsyncd-demo.XXXXXX")
	chmod 755 "$dir"
	mkdir -p "$dir"/modules/{mirror,incoming,backup} "$dir"/client "$dir"/prometheus
	chmod 777 "$dir"/modules/{incoming,backup} # the sessions of a daemon run by root are nobody's
	head -c 300000 /dev/urandom >"$dir/modules/mirror/release.iso"
	head -c 5000 /dev/urandom >"$dir/modules/mirror/README"
	(umask 077 && echo alice:demo >"$dir/secrets")
	sed "s#/srv/rsync#$dir/modules#; s#/etc/rsyncd/#$dir/#; s#/run/#$dir/#" \
		rsyncd.conf.example >"$dir/rsyncd.conf"
	sed "s/app:8080/127.0.0.1:$exporter_port/; s/scrape_interval: .*/scrape_interval: 2s/" \
		deploy/prometheus/prometheus.yml >"$dir/prometheus.yml"
	cp deploy/prometheus/rsyncd_exporter.rules.yml "$dir/"
}

# choose_log chooses the unix socket, or a file if a user can't give the daemon its own /dev/log.
choose_log() {
	local why
	log=$dir/log
	if ! why=$(scripts/own-mounts true 2>&1); then
		[ "$(id -u)" != 0 ] || fail "$why"
		say "the daemon logs to a file: only root can give it a private /dev/log here (a chroot, or no user namespaces)"
		log=$dir/rsyncd.log
	fi
}

start_exporter() {
	local input=LISTEN_UNIXGRAM settings
	[ "$log" = "$dir/log" ] || input=FILE
	read -ra settings <<<"${SETTINGS:-}"
	if [ -z "$exporter" ]; then
		say "building the exporter (the first time takes a minute or more)"
		exporter=$dir/rsyncd_exporter
		go build -buildvcs=false -o "$exporter" ./cmd/rsyncd_exporter ||
			fail "the exporter can't be built; above is why"
	fi
	say "starting the exporter: it reads $log and serves metrics on port $exporter_port"
	# An empty environment, since a setting that happens to be around would change the demo.
	start exporter env -i PATH="$PATH" \
		RSYNCD_EXPORTER_LISTEN_UDP=off \
		RSYNCD_EXPORTER_"$input"="$log" \
		RSYNCD_EXPORTER_RSYNCD_CONF="$dir/rsyncd.conf" \
		RSYNCD_EXPORTER_HTTP_LISTEN="127.0.0.1:$exporter_port" \
		RSYNCD_EXPORTER_EXPECT="backup@alice<26h,backup@bob<26h" \
		"${settings[@]}" "$exporter"
	ready exporter http_get 127.0.0.1 "$exporter_port" /-/ready
}

start_rsyncd() {
	# Without lookups, as nobody but this machine is to see traffic, its name server included.
	local overrides=(--dparam="lock file=$dir/rsyncd.lock" --dparam="reverse lookup=no")
	local wrapper=(scripts/with-dev-log "$log")
	[ "$(id -u)" = 0 ] || overrides+=(--dparam="use chroot=no") # only root may
	if [ "$log" = "$dir/log" ]; then
		say "starting rsync --daemon on port $rsync_port with rsyncd.conf.example;" \
			"its own private /dev/log leads to that socket"
	else
		say "starting rsync --daemon on port $rsync_port with rsyncd.conf.example, and that file as its log"
		wrapper=()
		overrides+=(--dparam="log file=$log")
	fi
	start rsyncd "${wrapper[@]}" \
		rsync --daemon --no-detach --config="$dir/rsyncd.conf" \
		--address=127.0.0.1 --port="$rsync_port" "${overrides[@]}"
	ready rsyncd listening "$rsync_port"
}

start_prometheus() {
	say "starting Prometheus on port $prometheus_port with deploy/prometheus/prometheus.yml"
	start prometheus prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/prometheus" \
		--web.listen-address="127.0.0.1:$prometheus_port" --log.level=warn
	ready prometheus http_get 127.0.0.1 "$prometheus_port" /-/ready
}

# traffic makes one round of sessions: those that must work, and those that must fail.
traffic() {
	local url=rsync://127.0.0.1:$rsync_port
	rm -rf "$dir/client/mirror"
	head -c 20000 /dev/urandom >"$dir/client/photo.jpg"
	transfer -a "$url/mirror/" "$dir/client/mirror" || fail "a pull failed; above is why"
	transfer -a "$dir/client/photo.jpg" "$url/incoming/" || fail "a push failed; above is why"
	RSYNC_PASSWORD=demo transfer -a "$dir/client/photo.jpg" "rsync://alice@127.0.0.1:$rsync_port/backup/" ||
		fail "a backup failed; above is why"
	! transfer -a "$url/mirror/no-such-file" "$dir/client/" 2>/dev/null ||
		fail "the pull of a file that doesn't exist worked"
	! RSYNC_PASSWORD=wrong transfer -a "$dir/client/photo.jpg" \
		"rsync://alice@127.0.0.1:$rsync_port/backup/" 2>/dev/null ||
		fail "a wrong password worked"
	! transfer -a "$url/no-such-module/" "$dir/client/" 2>/dev/null || fail "a module that doesn't exist worked"
}

# transfer runs an rsync client, which makes one session.
transfer() {
	made=$((made + 1))
	rsync --timeout=60 --contimeout=60 "$@"
}

# rate_shows succeeds when Prometheus' answer to the rate of sessions is above 0.
rate_shows() { promtool query instant "http://127.0.0.1:$prometheus_port" "$rate > 0" | grep -q '=>'; }

await_rate() {
	local end=$((SECONDS + 180))
	say "making traffic (pulls, pushes, a missing file, a wrong password, a wrong module) until $rate is above 0"
	until rate_shows; do
		[ "$SECONDS" -lt "$end" ] || fail "Prometheus shows no rate after three minutes:" \
			"see http://127.0.0.1:$exporter_port/metrics while \"make demo\" runs"
		traffic
		sleep 1
	done
	promtool query instant "http://127.0.0.1:$prometheus_port" "$rate"
}

# sum NAME prints the sum of a metric's series.
sum() {
	http_get 127.0.0.1 "$exporter_port" /metrics |
		awk -v name="$1" '$1 ~ "^" name "({|$)" { sum += $NF } END { print sum + 0 }'
}

all_settled() { [ "$(sum rsync_sessions_total)" = "$made" ]; }

# show_counters waits until all sessions are over for the exporter too: after the last line of each
# it waits two seconds.
show_counters() {
	wait_until 180 all_settled ||
		fail "the exporter counts $(sum rsync_sessions_total) sessions three minutes after the last of $made"
	[ "$(sum rsync_connections_total)" = "$made" ] ||
		fail "the exporter counts $(sum rsync_connections_total) connections; $made were made"
	say "what the exporter counted of $made sessions"
	http_get 127.0.0.1 "$exporter_port" /metrics | grep -E '^rsync_[a-z_]+_total[{ ]' |
		grep -vE '^rsync_messages_total| 0$' || true
}

# show_who shows a session while it goes on. The pull is slow, and is over when the demo goes on. On a
# busy machine it is over before who has seen it, and there is another one.
show_who() {
	local end=$((SECONDS + 120)) pull=
	say "who is connected: rsyncd_exporter who --url=http://127.0.0.1:$exporter_port (top refreshes it)"
	until env -i "$exporter" who --url="http://127.0.0.1:$exporter_port" >"$dir/who" &&
		grep -q '^running ' "$dir/who"; do
		[ "$SECONDS" -lt "$end" ] || fail "who shows no session while pulls go on"
		if [ -z "$pull" ] || gone "$pull"; then
			[ -z "$pull" ] || wait "$pull" || fail "the slow pull failed; above is why"
			rm -f "$dir/client/slow.iso"
			transfer -a --bwlimit=100 "rsync://127.0.0.1:$rsync_port/mirror/release.iso" "$dir/client/slow.iso" &
			pull=$!
			made=$((made + 1)) # the shell in the background has counted its own
		fi
		sleep 0.2
	done
	cat "$dir/who"
	wait "$pull" || fail "the slow pull failed; above is why"
}

show_urls() {
	local rate='sum%20by%20(module,%20direction)%20(rate(rsync_executions_total%5B1m%5D))'
	cat <<-URLS
		the page    http://127.0.0.1:$exporter_port/
		metrics     http://127.0.0.1:$exporter_port/metrics
		Prometheus  $(graph_url "$prometheus_port" "$rate")
		rsyncd      rsync rsync://127.0.0.1:$rsync_port/
	URLS
}

check_ports
scripts/deps.sh go modules rsync prometheus
trap stop_all EXIT
trap 'exit 0' INT TERM # the usual end of a demo
make_files
choose_log
start_exporter
start_rsyncd
start_prometheus
await_rate
show_who
show_counters
show_urls
[ "${ONCE:-}" != 1 ] || exit 0
say "making traffic on; Ctrl-C ends everything"
while :; do
	traffic
	sleep 2
done
