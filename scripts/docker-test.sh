#!/usr/bin/env bash
# usage: scripts/docker-test.sh
#
# Builds the Dockerfiles and runs deploy/docker-compose.yml, under its own project name and on its
# own ports, until Prometheus shows a rate. The containers, networks, volumes and images that it
# made are removed however it ends. The images that these build on stay.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

project=rsyncd_exporter_test_$$
rate='sum(rate(rsync_executions_total[1m]))'

# compose ARGUMENT... runs Docker compose, plug-in or program, on the stack under test.
compose() {
	if docker compose version >/dev/null 2>&1; then
		docker compose -p "$project" -f deploy/docker-compose.yml "$@"
	else
		docker-compose -p "$project" -f deploy/docker-compose.yml "$@"
	fi
}

# free_port NUMBER prints the first free port from it on.
free_port() {
	local port=$1
	while listening "$port"; do port=$((port + 1)); done
	echo "$port"
}

tear_down() {
	local status=$?
	trap '' INT TERM
	if [ "$status" != 0 ]; then
		compose ps >&2 || true
		compose logs --no-color --tail=20 >&2 || true
	fi
	say "removing containers, networks, volumes and images of $project"
	compose down --volumes --rmi local --remove-orphans --timeout 10 >/dev/null 2>&1 || true
	# The classic builder leaves its stages, which have the labels of the stand-ins that they begin with.
	docker image prune -f --filter label=rsyncd_exporter.stand-in >/dev/null || true
	exit "$status"
}

build_images() { compose build >build/docker-build.log 2>&1; }

# listed_twice succeeds when the build failed because the engine's file system listed a file of Go's
# twice, as fuse-overlayfs does once in many builds. Go says then that a name collides with itself.
listed_twice() {
	grep -Eq 'file name collision: "(.*)" and "\1"' build/docker-build.log || return 1
	say "the engine's file system listed a file twice: building once more"
}

container() { compose ps -q "$1"; }
health() { docker inspect --format '{{.State.Health.Status}}' "$(container "$1")"; }
healthy() { [ "$(health "$1")" = healthy ]; }
rate_shows() {
	docker exec "$(container prometheus)" promtool query instant http://localhost:9090 "$rate > 0" 2>/dev/null | grep -q '=>'
}

check_health() {
	local service
	for service in app rsyncd prometheus; do
		wait_until 60 healthy "$service" || fail "$service is $(health "$service") after a minute"
	done
	say "app, rsyncd and prometheus are healthy"
}

check_rate() {
	say "waiting until Prometheus shows $rate above 0"
	wait_until 120 rate_shows || fail "Prometheus shows no rate after two minutes"
	docker exec "$(container prometheus)" promtool query instant http://localhost:9090 "$rate"
}

check_metrics() {
	http_get 127.0.0.1 "$EXPORTER_PORT" /metrics >build/docker-metrics || fail "the exporter doesn't answer on the published port $EXPORTER_PORT"
	grep -q '^rsync_executions_total{.*module="mirror".*} [1-9]' build/docker-metrics ||
		fail "the module \"mirror\" has no session in rsync_executions_total: see build/docker-metrics"
	rm build/docker-metrics
}

# check_page looks whether Prometheus' page opens: the old console's or that of Prometheus 3.
check_page() {
	local page
	for page in /classic/graph /query; do
		! http_get 127.0.0.1 "$PROMETHEUS_PORT" "$page" >/dev/null || { say "Prometheus shows $page"; return 0; }
	done
	fail "Prometheus answers neither /classic/graph nor /query on the published port $PROMETHEUS_PORT"
}

check_loopback() {
	local service ports
	for service in app rsyncd prometheus; do
		ports=$(docker port "$(container "$service")" | awk '{ print $3 }')
		if [ -z "$ports" ] || grep -qv '^127\.0\.0\.1:' <<<"$ports"; then
			fail "$service is published on \"$ports\", not on loopback only"
		fi
	done
}

check_confinement() {
	local id uids
	id=$(container app)
	uids=$(docker top "$id" -eo uid,pid | awk 'NR > 1 { print $1 }' | sort -u)
	[ "$uids" = 65532 ] || fail "the exporter's processes have the users \"$uids\", not 65532"
	[ "$(docker inspect --format '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}' "$id")" = "true [ALL]" ] ||
		fail "the exporter's container isn't read-only without capabilities"
	say "the exporter runs as user 65532, read-only, without capabilities; its image has" \
		"$(docker image inspect --format '{{.Size}}' "$(docker inspect --format '{{.Image}}' "$id")") bytes"
}

# check_profile checks the part of the stack that needs --profile grafana. Its image comes from a
# registry, so it is not run here.
check_profile() {
	compose --profile grafana config >build/docker-grafana.yml || fail "the stack with --profile grafana isn't valid; above is why"
	grep -q '^    image: grafana/grafana:' build/docker-grafana.yml || fail "the stack with --profile grafana has no Grafana: see build/docker-grafana.yml"
	rm build/docker-grafana.yml
}

check_no_grafana() {
	[ -z "$(container grafana)" ] || fail "Grafana runs without --profile grafana"
}

check_stop() {
	local id code
	id=$(container app)
	docker stop -t 10 "$id" >/dev/null
	code=$(docker inspect --format '{{.State.ExitCode}}' "$id")
	[ "$code" = 0 ] || fail "the exporter ended with code $code when it was stopped"
}

scripts/deps.sh docker-compose
scripts/docker-images.sh
EXPORTER_PORT=$(free_port 9180)
PROMETHEUS_PORT=$(free_port 9192)
RSYNC_PORT=$(free_port 9883)
export EXPORTER_PORT PROMETHEUS_PORT RSYNC_PORT
trap tear_down EXIT
trap 'exit 130' INT TERM
check_profile
say "building the images of deploy/docker-compose.yml"
build_images || listed_twice && build_images || {
	tail -n 30 build/docker-build.log >&2
	fail "the images can't be built; above is why"
}
say "starting the stack as project $project"
compose up -d >/dev/null 2>build/docker-up.log || {
	cat build/docker-up.log >&2
	fail "the stack doesn't start; above is why"
}
check_health
check_no_grafana
check_rate
check_page
check_metrics
check_loopback
check_confinement
check_stop
