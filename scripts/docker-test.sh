#!/usr/bin/env bash
# usage: scripts/docker-test.sh
#
# Builds the Dockerfiles and runs deploy/docker-compose.yml, under its own project name and on its
# own ports, until Prometheus shows a rate; then the stacks of deploy/docker, with the same images. The
# containers, networks, volumes and images that it made are removed however it ends. The images that
# these build on stay.
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

tear_down() {
	local status=$? app
	trap '' INT TERM
	if [ "$status" != 0 ]; then
		compose ps >&2 || true
		compose logs --no-color --tail=20 >&2 || true
	fi
	app=$(image app 2>/dev/null) || true
	say "removing containers, networks, volumes and images of $project"
	compose down --volumes --rmi local --remove-orphans --timeout 10 >/dev/null 2>&1 || true
	docker image rm "$app" >/dev/null 2>&1 || true # where it is left without a name
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
image() { docker inspect --format '{{.Image}}' "$(container "$1")"; }
health() { docker inspect --format '{{.State.Health.Status}}' "$(container "$1")"; }
healthy() { [ "$(health "$1")" = healthy ]; }
rate_shows() {
	docker exec "$(container prometheus)" promtool query instant http://localhost:9090 "$rate > 0" 2>/dev/null |
		grep -q '=>'
}

check_health() {
	local service
	for service in app rsyncd prometheus; do
		wait_until 180 healthy "$service" || fail "$service is $(health "$service") after three minutes"
	done
	say "app, rsyncd and prometheus are healthy"
}

check_rate() {
	say "waiting until Prometheus shows $rate above 0"
	wait_until 120 rate_shows || fail "Prometheus shows no rate after two minutes"
	docker exec "$(container prometheus)" promtool query instant http://localhost:9090 "$rate"
}

check_metrics() {
	http_get 127.0.0.1 "$EXPORTER_PORT" /metrics >build/docker-metrics ||
		fail "the exporter doesn't answer on the published port $EXPORTER_PORT"
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

# confined SERVICE CAPABILITY... checks that a service has a read-only root and no more than these
# capabilities, by what the engine was told and by what the kernel says of each of its processes.
confined() {
	local service=$1 id pid allowed=0 has
	shift
	id=$(container "$service")
	[ "$(docker inspect "$id" \
		--format '{{with .HostConfig}}{{.ReadonlyRootfs}} {{.CapDrop}} {{.CapAdd}} {{.SecurityOpt}}{{end}}')" = \
		"true [ALL] [$*] [no-new-privileges:true]" ] || fail "$service isn't confined to \"$*\""
	[ "$(docker inspect --format '{{.HostConfig.PidsLimit}}' "$id")" -ge 64 ] ||
		fail "$service may have any number of processes"
	! docker inspect --format '{{range .Mounts}}{{if .RW}}{{.Type}} {{.Name}}{{"\n"}}{{end}}{{end}}' "$id" |
		grep -v -e '^$' -e "^volume ${project}_" ||
		fail "$service writes to something that is no named volume; above is what"
	# capabilities(7) has the numbers.
	[ "$*" = "" ] || allowed=$((1 << 6 | 1 << 7 | 1 << 18)) # CAP_SETGID, CAP_SETUID, CAP_SYS_CHROOT
	for pid in $(docker top "$id" -eo pid | sed 1d); do
		has=$(sed -n 's/^CapBnd:[[:space:]]*/0x/p' "/proc/$pid/status" 2>/dev/null) || continue # it has ended
		[ -z "$has" ] || [ "$((has & ~allowed))" = 0 ] || fail "process $pid of $service may get the capabilities $has"
	done
}

check_confinement() {
	local id uids
	id=$(container app)
	confined app
	confined rsyncd SETGID SETUID SYS_CHROOT
	confined prometheus
	uids=$(docker top "$id" -eo uid,pid | awk 'NR > 1 { print $1 }' | sort -u)
	[ "$uids" = 65532 ] || fail "the exporter's processes have the users \"$uids\", not 65532"
	say "the exporter runs as user 65532, read-only, without capabilities; its image has" \
		"$(docker image inspect --format '{{.Size}}' "$(image app)") bytes"
}

# check_labels checks what the image says about itself, and that the program says the same.
check_labels() {
	local labels said
	labels=$(docker image inspect "$(image app)" \
		--format '{{range $k, $v := .Config.Labels}}{{$k}}={{$v}}{{"\n"}}{{end}}')
	for said in "title=rsyncd_exporter" "licenses=Apache-2.0" "version=$VERSION" "revision=$REVISION"; do
		grep -qxF "org.opencontainers.image.$said" <<<"$labels" || fail "the image has no label $said, in: $labels"
	done
	docker exec "$(container app)" /rsyncd_exporter version | grep -qF "$VERSION" ||
		fail "the program isn't version $VERSION"
}

# check_profile checks the part of the stack that needs --profile grafana. Its image comes from a
# registry, so it is not run here.
check_profile() {
	compose --profile grafana config >build/docker-grafana.yml ||
		fail "the stack with --profile grafana isn't valid; above is why"
	grep -q '^    image: grafana/grafana:' build/docker-grafana.yml ||
		fail "the stack with --profile grafana has no Grafana: see build/docker-grafana.yml"
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
VERSION=1.2.3-test REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)
export EXPORTER_PORT PROMETHEUS_PORT RSYNC_PORT VERSION REVISION
trap tear_down EXIT
trap 'exit 130' INT TERM
check_profile
say "building the images of deploy/docker-compose.yml"
build_images || { listed_twice && build_images; } || {
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
check_labels
EXPORTER_IMAGE=$(image app) RSYNCD_IMAGE=$(image rsyncd) scripts/docker-recipes-test.sh
check_stop
