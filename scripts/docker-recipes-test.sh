#!/usr/bin/env bash
# usage: EXPORTER_IMAGE=IMAGE RSYNCD_IMAGE=IMAGE scripts/docker-recipes-test.sh
#
# Runs the compose files of deploy/docker, as they are, with real daemons: what their exporters count
# must be what the clients did. docker-test.sh calls this with the images that it has built. All
# containers, networks and volumes are removed however it ends.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

project=rsyncd_exporter_recipes_$$
scratch=$(mktemp -d)

# compose RECIPE ARGUMENT... runs Docker compose, plug-in or program, on a file of deploy/docker.
compose() {
	local file=$1
	shift
	if docker compose version >/dev/null 2>&1; then
		docker compose -p "${project}_$file" -f "deploy/docker/$file.yml" "$@"
	else
		docker-compose -p "${project}_$file" -f "deploy/docker/$file.yml" "$@"
	fi
}

tear_down() {
	local status=$? file
	trap '' INT TERM
	for file in syslog-driver sidecars; do
		[ "$status" = 0 ] || compose "$file" logs --no-color --tail=20 >&2 || true
		compose "$file" down --volumes --timeout 5 >/dev/null 2>&1 &
	done
	docker rm -f "${project}_exporter" "${project}_rsyncd" "${project}_pods" >/dev/null 2>&1 || true
	wait
	rm -rf "$scratch"
	exit "$status"
}

listens() { docker exec "$1" grep -q ':0369 0*:0000 0A' /proc/net/tcp; }

# sessions CONTAINER MODULE lets clients make three that succeed, at the same time, and one that doesn't.
# It prints what the clients say they received.
sessions() {
	local container=$1 module=$2 i clients=()
	wait_until 60 listens "$container" || fail "rsyncd doesn't listen in $container"
	for i in 1 2 3; do
		docker exec "$container" sh -c "mkdir /tmp/$i; head -c 2000$i /dev/urandom >/tmp/$i/data
			RSYNC_PASSWORD=demo rsync -a --stats --no-h --timeout=60 /tmp/$i/ rsync://alice@localhost/$module/$i/" \
			>"$scratch/$container.$i" &
		clients+=($!)
	done
	for i in "${clients[@]}"; do wait "$i" || fail "a client in $container failed"; done
	! docker exec "$container" rsync -q rsync://localhost/no-such-module/ /tmp/x 2>/dev/null ||
		fail "a module that isn't there was let be pulled"
}

# sent CONTAINER prints what its clients sent.
sent() { cat "$scratch/$1".[123] | awk -F ': ' '/^Total bytes sent/ { sum += $2 } END { print sum }'; }

# check PORT NAME CONTAINER... compares an exporter with what the clients of these containers did.
check() {
	local port=$1 what=$2 wanted=0 got container
	shift 2
	for container; do wanted=$((wanted + $(sent "$container"))); done
	want "$port" "$what" rsync_sessions_total 'outcome="ok"' $((3 * $#))
	want "$port" "$what" rsync_connections_total '' $((4 * $#))
	want "$port" "$what" rsync_executions_total 'direction="receive"' $((3 * $#))
	want "$port" "$what" rsync_rejected_total 'reason="unknown_module"' $#
	want "$port" "$what" rsync_daemon_starts_total '' $#
	want "$port" "$what" rsync_messages_total 'kind="unrecognised"' 0
	want "$port" "$what" rsyncd_exporter_discarded_total '' 0
	got=$(value "$port" rsync_received_bytes_total '')
	# A client doesn't count up to 32 bytes of each session.
	[ "$got" -ge "$wanted" ] && [ "$got" -le $((wanted + 96 * $#)) ] ||
		fail "$what: $got bytes received, and the clients sent $wanted"
	say "$what: $((3 * $#)) sessions, $got bytes received"
}

container() { compose "$1" ps -q "$2"; }

# syslog_driver: both daemons send to one exporter, and their process ids overlap.
syslog_driver() {
	local mirror backup of_mirror
	mirror=$(container syslog-driver mirror) backup=$(container syslog-driver backup)
	sessions "$mirror" incoming &
	of_mirror=$! # "sessions" starts jobs of its own
	sessions "$backup" backup
	wait "$of_mirror"
	check "$EXPORTER_PORT" "docker's syslog driver" "$mirror" "$backup"
	want "$EXPORTER_PORT" "docker's syslog driver" rsync_executions_total 'module="incoming"' 3
	want "$EXPORTER_PORT" "docker's syslog driver" rsync_executions_total 'module="backup"' 3
}

sidecars() {
	local mirror backup of_mirror
	mirror=$(container sidecars mirror) backup=$(container sidecars backup)
	sessions "$mirror" incoming &
	of_mirror=$! # "sessions" starts jobs of its own
	sessions "$backup" backup
	wait "$of_mirror"
	check "$MIRROR_PORT" "the mirror's own exporter" "$mirror"
	check "$BACKUP_PORT" "the backups' own exporter" "$backup"
	want "$MIRROR_PORT" "the mirror's own exporter" rsync_executions_total 'module="backup"' 0
	want "$BACKUP_PORT" "the backups' own exporter" rsync_executions_total 'module="incoming"' 0
}

# unixgram: the engine writes to the exporter's socket. This is the command of docs/logging/containers.md.
unixgram() {
	local name=${project}_rsyncd port=$1
	mkdir -m 777 "$scratch/socket"
	docker run -d --name "${project}_exporter" -p "127.0.0.1:$port:8080" -v "$scratch/socket:/run/log-socket" \
		--read-only --cap-drop ALL \
		-e RSYNCD_EXPORTER_LISTEN_UNIXGRAM=/run/log-socket/log \
		-e RSYNCD_EXPORTER_SYSLOG_LOG_LINES=yes "$EXPORTER_IMAGE" >/dev/null
	wait_until 60 test -S "$scratch/socket/log" || fail "the exporter makes no socket"
	docker run -d --name "$name" --log-driver syslog --log-opt "syslog-address=unixgram://$scratch/socket/log" \
		--log-opt syslog-format=rfc5424micro --log-opt tag=rsyncd-mirror \
		"$RSYNCD_IMAGE" rsync --daemon --no-detach "--dparam=log file=/dev/stdout" >/dev/null
	sessions "$name" incoming
	check "$port" "docker's syslog driver to a unix socket" "$name"
}

# pod_logs runs the container of Kubernetes' DaemonSet, with its settings, on a log that is root's alone:
# root without capabilities must be able to read it, and to keep its state.
pod_logs() {
	local port=$1 name=${project}_pods log=$scratch/pods/prod_mirror-0_1234/rsyncd/0.log
	[ "$(id -u)" = 0 ] ||
		{ say "NOT TESTED: the DaemonSet's container, as only root makes files that are root's"; return; }
	mkdir -p "${log%/*}" "$scratch/state"
	install -m 600 testdata/forms/cri.log "$log"
	awk '$1 == "-" && $2 == "name:" && $3 ~ /^RSYNCD_EXPORTER_/ {
			name = $3; getline; sub(/^ *value: /, ""); gsub(/"/, ""); print name "=" $0
		}' \
		deploy/kubernetes/pod-logs/daemonset.yaml >"$scratch/env"
	docker run -d --name "$name" -p "127.0.0.1:$port:8080" --user 0:0 --read-only --cap-drop ALL \
		--security-opt no-new-privileges:true -m 96m \
		-v "$scratch/pods:/var/log/pods:ro" -v "$scratch/state:/var/lib/rsyncd_exporter" \
		--env-file "$scratch/env" "$EXPORTER_IMAGE" >/dev/null
	want "$port" "the DaemonSet's container" rsync_connections_total 'host="prod_mirror-0"' 6 # testdata/forms/truth.tsv
	want "$port" "the DaemonSet's container" rsyncd_exporter_state_ok '' 1
	say "the DaemonSet's container: root without capabilities reads what is root's"
}

[ -n "${EXPORTER_IMAGE:-}" ] && [ -n "${RSYNCD_IMAGE:-}" ] || fail "set EXPORTER_IMAGE and RSYNCD_IMAGE"
export EXPORTER_IMAGE RSYNCD_IMAGE
EXPORTER_PORT=$(free_port 9380)
SYSLOG_PORT=$(free_port 9381) # of TCP, which tells as much as can be told
MIRROR_PORT=$(free_port 9382)
BACKUP_PORT=$(free_port $((MIRROR_PORT + 1)))
export EXPORTER_PORT SYSLOG_PORT MIRROR_PORT BACKUP_PORT
trap tear_down EXIT
trap 'exit 130' INT TERM
say "the recipes of deploy/docker"
compose syslog-driver up -d >"$scratch/up" 2>&1 &
compose sidecars up -d >"$scratch/up2" 2>&1 ||
	{ cat "$scratch/up2" >&2; fail "deploy/docker/sidecars.yml doesn't start; above is why"; }
wait $! || { cat "$scratch/up" >&2; fail "deploy/docker/syslog-driver.yml doesn't start; above is why"; }
syslog_driver
sidecars
unixgram "$(free_port $((BACKUP_PORT + 1)))"
pod_logs "$(free_port $((BACKUP_PORT + 10)))"
