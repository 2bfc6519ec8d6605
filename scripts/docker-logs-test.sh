#!/usr/bin/env bash
# usage: scripts/docker-logs-test.sh
#
# A container runs rsync with "log file = /dev/stdout", as most images do. Two exporters read what
# reaches the host: one follows docker's json-file, the other has "docker logs -f -t" at its
# standard input. Both must count what the clients did. The first must also do so over a restart of
# the container, after which rsyncd's processes have the ids of earlier ones again. Container and
# image are removed however it ends.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

name=rsyncd_exporter_logs_test_$$
scratch=$(mktemp -d)
started=() # processes to stop

tear_down() {
	local status=$? pid
	trap '' INT TERM
	if [ "$status" != 0 ]; then
		docker logs "$name" 2>&1 | tail -n 40 >&2 || true
		tail -n 5 "$scratch"/*.said >&2 || true
	fi
	for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
	docker rm -f "$name" >/dev/null 2>&1 || true
	docker image rm "$name" >/dev/null 2>&1 || true
	rm -rf "$scratch"
	exit "$status"
}

# transfer ARGUMENT... runs a client, and adds what its --stats say to the sums.
sent=0 received=0
transfer() {
	docker exec -e RSYNC_PASSWORD=demo "$name" rsync -a --stats --no-h --timeout=60 "$@" >"$scratch/stats" ||
		fail "a client ended with code $?: rsync $*"
	# The client's view is the other one.
	sent=$((sent + $(sed -n 's/^Total bytes received: //p' "$scratch/stats")))
	received=$((received + $(sed -n 's/^Total bytes sent: //p' "$scratch/stats")))
}

# sessions makes five that succeed and one that doesn't.
sessions() {
	wait_until 60 docker exec "$name" grep -q ':0369 0*:0000 0A' /proc/net/tcp ||
		fail "rsyncd doesn't listen in the container"
	docker exec "$name" rm -rf /tmp/a /tmp/b /tmp/c
	transfer rsync://localhost/mirror/ /tmp/a
	transfer rsync://localhost/mirror/ /tmp/b
	transfer rsync://localhost/mirror/README /tmp/c
	transfer "/tmp/a/README" rsync://localhost/incoming/
	transfer "/tmp/a/release.iso" rsync://alice@localhost/backup/
	! docker exec "$name" rsync -q rsync://localhost/no-such-module/ /tmp/d 2>/dev/null ||
		fail "a module that isn't there was let be pulled"
}

# exporter PORT ARGUMENT... becomes one, for a job in the background.
exporter() {
	local port=$1
	shift
	exec bin/rsyncd_exporter --http-listen="127.0.0.1:$port" --listen-udp=off "$@" 2>"$scratch/$port.said"
}

# check PORT NAME ROUNDS compares one exporter with what the clients did in that many rounds.
check() {
	local port=$1 what=$2 rounds=$3 more direction
	want "$port" "$what" rsync_sessions_total 'outcome="ok"' $((5 * rounds))
	want "$port" "$what" rsync_connections_total '' $((6 * rounds))
	want "$port" "$what" rsync_executions_total '' $((5 * rounds))
	want "$port" "$what" rsync_daemon_starts_total '' "$rounds"
	want "$port" "$what" rsync_rejected_total 'reason="unknown_module"' "$rounds"
	for direction in sent received; do
		more=$(($(value "$port" "rsync_${direction}_bytes_total" '') - ${!direction}))
		# A client doesn't count up to 32 bytes of each session.
		[ "$more" -ge 0 ] && [ "$more" -le $((160 * rounds)) ] ||
			fail "$what: $more bytes $direction more than the clients counted, ${!direction}"
	done
	say "$what: $((6 * rounds)) connections, $((5 * rounds)) executions," \
		"$(value "$port" rsync_sent_bytes_total '') bytes sent"
}

docker info >/dev/null 2>&1 || fail "no Docker engine answers \"docker info\": start one, or leave the Docker test out"
[ -x bin/rsyncd_exporter ] || fail "bin/rsyncd_exporter is not there: run make build first"
scripts/docker-images.sh
trap tear_down EXIT
trap 'exit 130' INT TERM
say "starting rsyncd in a container, with /dev/stdout for its log file"
docker build -q -t "$name" -f deploy/rsyncd/Dockerfile . >/dev/null || fail "deploy/rsyncd/Dockerfile can't be built"
docker run -d --name "$name" --log-driver json-file "$name" sh -c '
	head -c 300000 /dev/urandom >/srv/rsync/mirror/release.iso
	head -c 5000 /dev/urandom >/srv/rsync/mirror/README
	sed -i "1i log file = /dev/stdout" /etc/rsyncd.conf # --log-file would be that of the global part alone
	exec rsync --daemon --no-detach' >/dev/null
file_port=$(free_port 9280)
log=$(docker inspect --format '{{.LogPath}}' "$name")
if [ -r "$log" ]; then
	exporter "$file_port" -p "$log" --file-start=beginning &
	started+=($!)
else
	say "NOT TESTED: docker's json-file, as $log is not for this user"
fi
stdin_port=$(free_port $((file_port + 1))) # the first may not listen yet
mkfifo "$scratch/logs"
exporter "$stdin_port" -p - <"$scratch/logs" &
started+=($!)
docker logs -f -t "$name" >"$scratch/logs" 2>&1 &
started+=($!)
sessions
check "$stdin_port" "docker logs -f -t" 1
docker restart -t 5 "$name" >/dev/null
sessions
[ ! -r "$log" ] || check "$file_port" "docker's json-file, over a restart" 2
