# make, or make help, says what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

STARTED := $(shell date +%s)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
FUZZ_CPU_MINUTES ?= 10
# What is released is built by this Go, fetched where it isn't here; "local" takes the one that is. It
# is the newest patch: make audit fails where an older one has holes that the program would have, too.
RELEASE_GO ?= go1.26.10
DATAGRAMS ?= 10000000
HOSTILE_NAMES ?= 10000
PROMETHEUS_RULE = deploy/kubernetes/prometheus-operator/prometheusrule.yaml

say = printf '==> %s\n'
# make cuts the text that or_fail is called with at its commas.
comma := ,
or_fail = || { printf 'make %s: %s\n' '$@' $(1)$(if $(2),$(comma)$(2))$(if $(3),$(comma)$(3)) >&2; exit 1; }

.PHONY: help deps go build test test-starts lint unit cross demo demo-once docker-test docker-test-if-engine
.PHONY: dependencies audit release packages packages-test prometheus3 alerts-live fuzz torture seeded-bugs dashboard kubernetes pictures bench bench-ingest bench-file bench-backlog bench-report bench-scaling clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

deps: ## provide the programs that tests and demo run, where they are missing (installs no service)
	@scripts/deps.sh

# Every target that needs Go looks first whether it is there and new enough.
go:
	@scripts/deps.sh go

build: go ## build bin/rsyncd_exporter, static
	@$(say) 'building bin/rsyncd_exporter $(VERSION)'
	@CGO_ENABLED=0 go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/rsyncd_exporter ./cmd/rsyncd_exporter

test: test-starts deps lint unit cross demo-once docker-test-if-engine ## everything that must pass: lint, tests, other systems, demo, Docker
	@$(say) "all tests passed, $$(( ($$(date +%s) - $(STARTED)) / 60 )) minutes"
	@[ -n "$$(git status --porcelain 2>&1)" ] || { mkdir -p build && git rev-parse 'HEAD^{tree}' >build/tested; } # for make release

test-starts:
	@$(say) 'everything: 15 to 25 minutes on two cores, and some to fetch what is missing the first time'

# Spelling is checked in texts and in comments, British and American alike.
lint: go ## formatting, go vet, staticcheck, links and spelling of the documents
	@$(say) 'gofmt, go vet, staticcheck, links, spelling'
	@unformatted=$$(gofmt -l $$(go list -f "{{.Dir}}" ./...) internal/dashboard internal/kubernetes); [ -z "$$unformatted" ] $(call or_fail,"not formatted (run gofmt -w): $$unformatted")
	@go vet ./... $(call or_fail,'go vet has findings; see above')
	@staticcheck=$$(go -C tools tool -n staticcheck) && { "$$staticcheck" ./... && cd internal/dashboard && "$$staticcheck" .; } \
		$(call or_fail,'staticcheck has findings; see above')
	@go vet -C internal/dashboard . $(call or_fail,'go vet has findings; see above')
	@go test ./internal/documents $(call or_fail,'the documents have findings; see above')
	@find . -type d \( -name .git -o -name build -o -name bin -o -name dist -o -name testdata \) -prune -o \
		-type f \( -name '*.go' -o -name '*.md' -o -name '*.sh' -o -name '*.conf' -o -name '*.example' -o -name '*.yml' \
		-o -name '*.tmpl' -o -name '*.service' -o -name '*.socket' -o -name Makefile \) -print0 \
		| xargs -0 "$$(go -C tools tool -n misspell)" -error $(call or_fail,'misspelt; see above')

dependencies: go ## write the tables of docs/dependencies.md anew
	@go run ./internal/dependencies write $(call or_fail,'docs/dependencies.md is not complete; see above')

audit: export GOTOOLCHAIN = $(RELEASE_GO)
audit: go ## go.mod, licences, gosec and govulncheck, on what is released; minutes the first time
	@scripts/audit.sh $(call or_fail,'not fit for a release; see above')

packages packages-test release: export GOTOOLCHAIN = $(RELEASE_GO)
release: go ## check everything, write dist/ and the tag, of VERSION=1.2.3; DRY=1 says all that is in its way, and writes no tag
	@VERSION='$(if $(filter command line environment,$(origin VERSION)),$(VERSION))' DRY='$(DRY)' scripts/release.sh $(call or_fail,'no release; see above')

# What has no goroutines has no races either, and takes five times as long to look for them. Most tests
# wait for other programs, so more of them run at once than there are processors.
PURE = ./rsynclog ./rsynclog/codes ./clients ./backups ./metrics ./receiver/syslog \
	./internal/documents ./internal/monitoring ./internal/dependencies ./internal/waivers ./internal/releasetest
TESTED = -vet=off -ldflags='-s -w' -p 3 -parallel 6 -timeout 60m -json

# lint has go vet's findings. go test takes no notice of files outside of a module, such as the shipped
# dashboard: -count=1 has its test run each time. Without GORACE each process of a test ends with a second of sleep.
unit: go ## go test on every package, with real rsync and syslog daemons, with -race where there are goroutines
	@$(say) 'go test ./...: the long part, ten to fifteen minutes on two cores; what has passed is not run again'
	@{ go test $(TESTED) $(PURE); go test -C internal/dashboard -count=1 $(TESTED) .; GORACE=atexit_sleep_ms=0 go test -race $(TESTED) \
		$$(go list ./... | grep -vxF "$$(go list $(PURE))"); } \
		| go run ./internal/testprogress $(call or_fail,'tests failed; see above')

cross: go ## build for the other systems
	@for platform in freebsd/amd64 darwin/arm64 linux/arm64; do \
		$(say) "building for $$platform"; \
		CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/} go build -o /dev/null ./cmd/rsyncd_exporter $(call or_fail,"it doesn't build for $$platform; see above"); \
	done

demo: ## rsync daemon, exporter and Prometheus with traffic, until Ctrl-C (EXPORTER_PORT=, PROMETHEUS_PORT=, RSYNC_PORT=, ONCE=1)
	@scripts/demo.sh

# On other ports than the demo's, which may be running, and than those of the tests, from 10000 on.
demo-once:
	@$(say) 'the demo, once'
	@ONCE=1 EXPORTER_PORT=9080 PROMETHEUS_PORT=9092 RSYNC_PORT=9873 scripts/demo.sh $(call or_fail,'the demo failed; see above')

docker-test: build ## build the image, run deploy/docker-compose.yml until Prometheus shows a rate, read a container's log; remove all of it
	@scripts/docker-test.sh
	@scripts/docker-logs-test.sh

docker-test-if-engine:
	@if docker info >/dev/null 2>&1; then \
		$(say) 'the image and the compose stack'; \
		scripts/docker-test.sh $(call or_fail,'the Docker test failed; see above'); \
		$(MAKE) --no-print-directory build; \
		scripts/docker-logs-test.sh $(call or_fail,'what is read of a container is not what its clients did; see above'); \
	else \
		$(say) 'NOT TESTED: the image and the compose stack, as no Docker engine answers "docker info" here'; \
	fi

packages: go ## write tarballs, .deb, .rpm, SBOMs and SHA256SUMS to dist/, to the byte the same from one commit (VERSION=, MAINTAINER=, RELEASE_GO=)
	@scripts/packages.sh dist $(call or_fail,'the packages cannot be made; see above')

packages-test: packages ## build dist/ again elsewhere and compare; install, upgrade and purge the packages in clean systems with a real systemd (as root)
	@scripts/packages-test.sh dist $(call or_fail,'the packages are not as they should be; see above')

prometheus3: go ## build the current Prometheus 3 under build/ (ten minutes, once), and see what it makes of the exporter, with which switches
	@scripts/prometheus3.sh
	@$(say) 'the real Prometheus 3: what is shipped for it, first events, native histograms, names of anybody'
	@go test -count=1 -v -run 'Prometheus3' ./cmd/rsyncd_exporter $(call or_fail,'Prometheus 3 makes something else of it; see above')
	@PROMETHEUS=build/prometheus3/prometheus go test -count=1 -run '^TestAlertsFire$$' ./internal/alertslive \
		$(call or_fail,'an alert has not fired in Prometheus 3, or a query has no data; see above')

alerts-live: deps ## provoke the condition of every alert and see it fire, with the rules as they are shipped: 75 minutes (PROMETHEUS=build/prometheus3/prometheus for that one; make test does it in a minute, with everything shortened)
	@$(say) 'every alert, as it is shipped: an hour and a quarter, mostly waiting'
	@ALERTS_LIVE=1 go test -count=1 -timeout 120m -v -run '^TestAlertsFire$$' ./internal/alertslive \
		$(call or_fail,'an alert has not fired, or for the wrong exporter, or a query has no data; see above')

fuzz: go ## run every fuzz target, FUZZ_CPU_MINUTES=10 each
	@seconds=$$(( $(FUZZ_CPU_MINUTES) * 60 / $$(nproc) )); \
	for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			$(say) "$$package $$target for $$seconds s on $$(nproc) processors"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime "$${seconds}s" -fuzzminimizetime 10x $$package \
				$(call or_fail,"$$target found something; the input is under testdata/fuzz of $$package"); \
		done; \
	done

torture: deps ## HOSTILE_NAMES=10000 hostile file names through a real rsync, as many paths, modules and users in proportion (SEED=n); thousands of connections, DATAGRAMS=10000000 over UDP, hundreds of restarts, kills and shutdowns; 100,000 histories of a followed file, 10,000 log rotations, 1,000 SIGKILLs, one at every system call that saves the state; ten minutes without the exporter
	@$(say) '$(HOSTILE_NAMES) hostile names'
	@HOSTILE_NAMES=$(HOSTILE_NAMES) go test -count=1 -timeout 60m -v -run '^TestHostileNames$$' ./cmd/rsyncd_exporter \
		$(call or_fail,'hostile names changed a count; see above, and play them again with the SEED that is printed')
	@$(say) 'thousands of connections and stalled handshakes'
	@ulimit -n 20000; TORTURE=1 go test -count=1 -timeout 60m ./receiver/stream -run 'ManyConnections|StalledHandshakes' \
		$(call or_fail,'see above; it takes 20000 open files')
	@$(say) '$(DATAGRAMS) datagrams at UDP sockets that are too small'
	@DATAGRAMS=$(DATAGRAMS) go test -count=1 -timeout 60m -v -run '^TestUDPTorture$$' ./receiver/datagram \
		$(call or_fail,'datagrams are missing, or counted twice; see above')
	@$(say) 'restarts, kills, shutdowns and idle connections'
	@TORTURE=1 go test -count=1 -timeout 60m -v -run '^Test(RestartsOnPassed|KillOnPassed|SigtermUnderFullLoad|IdleHTTP|IdleConnections|MoreNames)' ./cmd/rsyncd_exporter \
		$(call or_fail,'see above')
	@$(say) '100,000 random histories of a followed file, and of a pipeline that is saved and restored'
	@TORTURE=1 go test -count=1 -timeout 120m ./receiver/... ./pipeline -run 'Model|RestartsChangeNothing|NoCounterFalls|ReadLate|ShortcutsChange' \
		$(call or_fail,'lines are missing or counted twice; see above, and play it again with the SEED that is printed')
	@$(say) '10,000 rotations at 50,000 lines a second, with old writers alive'
	@TORTURE=1 go test -count=1 -timeout 60m -v -run '^TestRotationTorture$$' ./cmd/rsyncd_exporter \
		$(call or_fail,'lines are missing or counted twice; see above, and play it again with the SEED that is printed')
	@$(say) '1,000 SIGKILLs with rotations, and one at every system call that saves the state'
	@TORTURE=1 go test -count=1 -timeout 120m -v -run '^Test(Kill(Torture|AtEverySyscall|WithinAnAnswer)|StateOn.*)$$' ./cmd/rsyncd_exporter \
		$(call or_fail,'what two scrapers counted is not the truth; see above, and play it again with the SEED that is printed')
	@$(say) 'ten minutes without the exporter, with each forwarder that deploy has a file for'
	@TORTURE=1 go test -count=1 -timeout 30m -v -parallel 6 -run '^TestOutageWithEachForwarder$$' ./cmd/rsyncd_exporter \
		$(call or_fail,'messages are missing or counted twice; see above')

seeded-bugs: go ## make mistakes on purpose in copies of the tree and see each caught by a test, every time of ROUNDS=1 (JOBS= at once, by default one a processor)
	@scripts/seeded-bugs.sh $(call or_fail,'a mistake that no test sees; see above')

dashboard: go ## write the Grafana dashboard anew, after its code in internal/dashboard was changed
	@go run -C internal/dashboard . ../../deploy/grafana/dashboards/rsyncd_exporter.json

# Kubernetes' types and kustomize are 45 seconds of compiling on one core, so unit tests don't have them.
kubernetes: go ## write the PrometheusRule anew from deploy/prometheus, and check the manifests by Kubernetes' own code
	@$(say) 'writing $(PROMETHEUS_RULE); checking deploy/kubernetes'
	@{ printf '%s\n' '# Made by "make kubernetes" of deploy/prometheus/rsyncd_exporter.rules.yml: change it there.' \
		'apiVersion: monitoring.coreos.com/v1' 'kind: PrometheusRule' 'metadata:' '  name: rsyncd-exporter' 'spec:'; \
		sed -n '/^groups:/,$$s/^./  &/p' deploy/prometheus/rsyncd_exporter.rules.yml | sed 's/ *$$//'; } >$(PROMETHEUS_RULE)
	@go vet -C internal/kubernetes . $(call or_fail,'go vet has findings; see above')
	@staticcheck=$$(go -C tools tool -n staticcheck) && cd internal/kubernetes && "$$staticcheck" . $(call or_fail,'staticcheck has findings; see above')
	@go test -C internal/kubernetes -count=1 . $(call or_fail,'the manifests are wrong; see above')

pictures: ## take the pictures of panels and of top for the documents, of a demo with more traffic; ten minutes
	@scripts/pictures.sh

bench: go ## run every benchmark
	@go test -run '^$$' -bench . -benchmem ./...

bench-ingest: build ## what a received message costs, with and without shortcuts, compared with receivers that discard and with go-syslog's server (BENCH=-rounds=9)
	@$(say) 'measuring; leave the machine alone meanwhile'
	@go build -o build/ingestbench ./internal/ingestbench
	@build/ingestbench $(BENCH)

bench-file: go ## how fast a log file of 256 MiB is caught up with, with and without shortcuts, beside wc -l (BENCH=-mebibytes=5120 for the long run)
	@$(say) 'measuring on one core; leave the machine alone meanwhile'
	@go build -o build/filebench ./internal/filebench
	@build/filebench $(BENCH)

bench-backlog: build ## what messages and scrapes wait for while a backlog of 256 MiB is read, beside none (BENCH=-mebibytes=5120 for the long run)
	@$(say) 'measuring; leave the machine alone meanwhile'
	@go build -o build/backlogbench ./internal/backlogbench
	@build/backlogbench $(BENCH)

bench-report: build ## how fast a report of 2 million lines is made, beside wc -l, rsyncstats and mtail, and in how much memory (BENCH=-big for 2 GB with a million clients and paths)
	@scripts/deps.sh rsyncstats mtail
	@$(say) 'measuring; leave the machine alone meanwhile'
	@go build -o build/reportbench ./internal/reportbench
	@PATH="$$PATH:$(CURDIR)/build/tools/bin" build/reportbench $(BENCH)

bench-scaling: deps ## what ten to a thousand hosts cost, 600 sessions a second, and how fast rsyslog shares messages by host; three rounds
	@$(say) 'measuring; leave the machine alone meanwhile'
	@go test -run '^$$' -bench 'Hosts|SessionsAtARate|RelayByHost' -benchtime 1x -count 3 ./cmd/rsyncd_exporter

clean: ## remove what was built, and the unpacked programs
	@rm -rf bin build dist
