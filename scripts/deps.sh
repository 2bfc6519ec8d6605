#!/usr/bin/env bash
# usage: scripts/deps.sh [PROGRAM...]
#
# Provides the programs that the scripts and tests run: those named, or all but the ones for Docker
# and for make bench-report.
# What the machine has is used. Programs whose packages bring services (rsync, prometheus, rsyslog,
# syslog-ng, systemd) or much else (chromium) are unpacked from Debian's packages under build/tools
# and not installed. So no service starts, none is enabled, and rsyslog and syslog-ng, which exclude
# each other as packages, stand side by side. That works without root, too. Only the compiler, git
# and docker-compose are installed, which takes root.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

tools=$repo/build/tools
log=$tools/log

# is_there PROGRAM succeeds when the machine has the program or an earlier run unpacked it.
is_there() { command -v "$1" >/dev/null; }

# begin PROGRAM prepares for providing a missing program. It succeeds unless another run has
# provided it meanwhile.
locked=
begin() {
	is_there apt-get ||
		fail "$1 is missing, and this isn't a Debian machine: install it with your system's package manager"
	if [ -z "$locked" ]; then
		mkdir -p "$tools" 2>/dev/null && [ -w "$tools" ] ||
			fail "$1 is missing and $tools can't be written by $(id -un): remove it, or run \"make deps\" as its owner"
		exec 9>"$tools/lock" # two runs at a time would unpack over each other
		flock 9
		locked=yes
	fi
	! is_there "$1"
}

# unpacked PROGRAM PACKAGE PATH [SETTING [OPTION]] unpacks the package and the libraries that the
# machine lacks. It writes build/tools/bin/PROGRAM, which runs PATH. SETTING and OPTION tell the
# program where its own files are; "$root" in them stands for the place.
unpacked() {
	local program=$1 package=$2 path=$3 setting=${4:-} option=${5:-}
	! is_there "$program" || return 0
	begin "$program" || return 0
	say "unpacking Debian's $package under build/tools ($program is missing here)"
	[ -x "$tools/root$path" ] || unpack "$package"
	[ -x "$tools/root$path" ] || fail "Debian's $package has no $path: install $program by hand"
	write_wrapper "$program" "$path" "$setting" "$option"
}

# unpack PACKAGE [PATTERN] downloads and unpacks it and what it depends on that the machine lacks,
# or whose name matches the pattern.
unpack() {
	local package=$1 pattern=${2:-} debs deb
	fresh_lists
	debs=$(would_install "$package") || true
	[ -z "$pattern" ] ||
		debs="$debs $(would_install "$package" -o Dir::State::status=/dev/null | grep -E "$pattern")" || true
	debs=$(printf '%s\n' $debs "$package" | sort -u) # the package itself may be installed
	mkdir -p "$tools/debs" "$tools/root" "$tools/bin"
	# shellcheck disable=SC2086 # one word for each package
	(cd "$tools/debs" && apt_private download $debs) >>"$log" 2>&1 ||
		fail "Debian's $package can't be downloaded: check the network and /etc/apt/sources.list," \
			"or install it by hand (what apt said is in $log)"
	for deb in "$tools"/debs/*.deb; do
		dpkg-deb -x "$deb" "$tools/root"
		rm "$deb"
	done
}

# would_install PACKAGE [OPTION...] prints the packages that installing one would install.
would_install() {
	local package=$1
	shift
	apt_private "$@" install --simulate --no-install-recommends "$package" 2>>"$log" | awk '$1 == "Inst" { print $2 }'
}

# apt_private ARGUMENT... is apt-get with package lists of its own under build/. It takes no root
# and changes nothing.
apt_private() {
	apt-get -q -o Dir::State::Lists="$tools/apt/lists" -o Dir::Cache="$tools/apt/cache" \
		-o Dir::State::status=/var/lib/dpkg/status \
		-o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" "$@"
}

# fresh_lists fetches the package lists, once per run. A foreign source that fails doesn't matter:
# what is missing shows at the download.
lists_are_fresh=
fresh_lists() {
	[ -z "$lists_are_fresh" ] || return 0
	mkdir -p "$tools/apt/lists/partial" "$tools/apt/cache/archives/partial"
	apt_private update >>"$log" 2>&1 || true
	lists_are_fresh=yes
}

# prometheus_with_pages provides Prometheus with its console, whose JavaScript and fonts it looks
# for beside its pages. What earlier runs of this script unpacked had neither, and is replaced.
prometheus_with_pages() {
	local wrapper=$tools/bin/prometheus pages=/usr/share/prometheus/web
	[ ! -e "$wrapper" ] || grep -q web.local-assets "$wrapper" || rm -f "$wrapper"
	if ! is_there prometheus && begin prometheus; then
		say "unpacking Debian's prometheus with its pages under build/tools (prometheus is missing here)"
		unpack prometheus '^(libjs|fonts)-'
		[ -x "$tools/root/usr/bin/prometheus" ] && [ -e "$tools/root$pages/static/rickshaw/rickshaw.min.js" ] ||
			fail "Debian's prometheus lacks its program or pages: install it by hand (https://prometheus.io/download/)"
		write_wrapper prometheus /usr/bin/prometheus '' "--web.local-assets=\"\$root$pages\""
	fi
	unpacked promtool prometheus /usr/bin/promtool
}

# chromium_with_fonts provides Chromium with the fonts of its pages, even if the machine has others.
chromium_with_fonts() {
	! is_there chromium || return 0
	begin chromium || return 0
	say "unpacking Debian's chromium and fonts under build/tools (it is missing here; 210 MB at most, 800 MB unpacked)"
	unpack chromium '^(fontconfig-config|fonts-dejavu)'
	[ -x "$tools/root/usr/lib/chromium/chromium" ] && [ -e "$tools/root/etc/fonts/fonts.conf" ] ||
		fail "Debian's chromium lacks its program or fonts: install chromium by hand"
	write_wrapper chromium /usr/lib/chromium/chromium 'FONTCONFIG_SYSROOT="$root"' ''
}

# rsyslogd_tls provides rsyslogd with its TLS driver, which Debian packs apart. Both are unpacked
# even if the machine has rsyslog: the driver must be of the same build.
rsyslogd_tls() {
	local driver
	! is_there rsyslogd-tls || return 0
	begin rsyslogd-tls || return 0
	say "unpacking Debian's rsyslog and rsyslog-openssl under build/tools (rsyslogd-tls is missing here)"
	unpack rsyslog
	unpack rsyslog-openssl
	driver=$(echo "$tools"/root/usr/lib/*-linux-gnu/rsyslog/lmnsd_ossl.so)
	[ -e "$driver" ] ||
		fail "Debian's rsyslog-openssl has no lmnsd_ossl.so: install rsyslog with its OpenSSL driver by hand"
	write_wrapper rsyslogd-tls /usr/sbin/rsyslogd 'RSYSLOG_MODDIR="$(echo "$root"/usr/lib/*-linux-gnu/rsyslog)"' ''
}

# write_wrapper PROGRAM PATH SETTING OPTION writes the script that runs an unpacked program with the
# libraries unpacked beside it.
write_wrapper() {
	cat >"$tools/bin/$1" <<-WRAPPER
		#!/bin/sh
		# Written by scripts/deps.sh: runs an unpacked program with the libraries unpacked beside it.
		bin=\$(dirname "\$(readlink -f "\$0")")
		root=\$(dirname "\$bin")/root
		for dir in "\$root"/lib/*-linux-gnu "\$root"/usr/lib/*-linux-gnu "\$root"/usr/lib/*-linux-gnu/systemd \
			"\$root"/usr/lib/*-linux-gnu/pulseaudio "\$root"/usr/lib/syslog-ng; do
			LD_LIBRARY_PATH=\$dir\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
		done
		PATH=\$PATH:\$bin
		export LD_LIBRARY_PATH PATH $3
		exec "\$root$2" $4 "\$@"
	WRAPPER
	chmod 755 "$tools/bin/$1"
}

# installed PROGRAM PACKAGE... installs packages that bring no service.
installed() {
	local program=$1
	shift
	! is_there "$program" || return 0
	begin "$program" || return 0
	[ "$(id -u)" = 0 ] || fail "$program is missing and installing it takes root: run \"sudo apt-get install $*\""
	say "installing $* ($program is missing here)"
	apt_install "$@" || { apt-get -q update >>"$log" 2>&1 && apt_install "$@"; } ||
		fail "$* can't be installed: check the network and /etc/apt/sources.list (what apt said is in $log)"
}

apt_install() { DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$@" >>"$log" 2>&1; }

provide() {
	case $1 in
	go) new_enough_go ;;
	gcc) installed gcc build-essential ;;
	git) installed git git ca-certificates ;;
	ip) installed ip iproute2 ;;
	localhost) name_of_loopback ;;
	modules) modules ;;
	rsync) unpacked rsync rsync /usr/bin/rsync ;;
	prometheus | promtool) prometheus_with_pages ;;
	chromium) chromium_with_fonts ;;
	rsyslogd)
		unpacked rsyslogd rsyslog /usr/sbin/rsyslogd 'RSYSLOG_MODDIR="$(echo "$root"/usr/lib/*-linux-gnu/rsyslog)"'
		;;
	rsyslogd-tls) rsyslogd_tls ;;
	syslog-ng)
		unpacked syslog-ng syslog-ng-core /usr/sbin/syslog-ng '' \
			'--module-path="$(echo "$root"/usr/lib/syslog-ng/[0-9]*)"'
		;;
	openssl) unpacked openssl openssl /usr/bin/openssl ;;
	systemd-analyze)
		unpacked systemd-analyze systemd /usr/bin/systemd-analyze 'SYSTEMD_UNIT_PATH="$root/lib/systemd/system:"'
		;;
	mtail) unpacked mtail mtail /usr/bin/mtail ;;
	rsyncstats)
		installed perl perl
		unpacked rsyncstats rsync /usr/share/rsync/scripts/rsyncstats
		;;
	strace) unpacked strace strace /usr/bin/strace ;;
	tmux) unpacked tmux tmux /usr/bin/tmux ;;
	logrotate) unpacked logrotate logrotate /usr/sbin/logrotate ;;
	mandoc) unpacked mandoc mandoc /usr/bin/mandoc ;;
	busybox) unpacked busybox busybox /bin/busybox ;;
	inetd) unpacked inetd openbsd-inetd /usr/sbin/inetd ;;
	xinetd) unpacked xinetd xinetd /usr/sbin/xinetd ;;
	systemd-socket-activate) unpacked systemd-socket-activate systemd /usr/bin/systemd-socket-activate ;;
	lnav) unpacked lnav lnav /usr/bin/lnav ;;
	debootstrap)
		unpacked wget wget /usr/bin/wget
		unpacked debootstrap debootstrap /usr/sbin/debootstrap 'DEBOOTSTRAP_DIR="$root/usr/share/debootstrap"'
		;;
	systemd-nspawn) unpacked systemd-nspawn systemd-container /usr/bin/systemd-nspawn ;;
	docker-compose)
		docker compose version >/dev/null 2>&1 || installed docker-compose docker-compose
		;;
	*) fail "$1: not a program that this script knows" ;;
	esac
}

# new_enough_go looks whether Go is there and is what go.mod asks for. Where it is older but may
# fetch the right one (GOTOOLCHAIN=auto), it does.
new_enough_go() {
	local want have get="get it from https://go.dev/dl/ and put its bin directory first in PATH"
	want=$(sed -n 's/^toolchain go//p' go.mod) # at least; go itself heeds this line only where it may fetch
	is_there go || fail "Go ${want%.0} or later is missing: $get"
	have=$(GOTOOLCHAIN=local go env GOVERSION) ||
		fail "\"go env\" doesn't work (above is why): Go ${want%.0} or later is needed; $get"
	case $have in go[1-9]*) ;; *) return 0 ;; esac # a development version
	have=${have#go}
	[ "$(printf '%s\n' "$want" "$have" | sort -V | head -n 1)" != "$want" ] || return 0
	case $(cd / && go env GOTOOLCHAIN) in
	auto* | path* | *+auto)
		GOPROXY=off go version >/dev/null 2>&1 ||
			say "go.mod asks for Go $want and Go $have is here: it fetches that one (GOTOOLCHAIN=auto)"
		go version >/dev/null || fail "Go ${want%.0} or later is needed, Go $have is here and can't fetch it" \
			"(above is why): $get, or look at the network and GOPROXY"
		;;
	*) fail "Go ${want%.0} or later is needed and Go $have is here: $get$(may_fetch "$have")" ;;
	esac
}

# may_fetch VERSION prints what else can be done with a Go that could fetch a newer one but may not.
may_fetch() {
	[ "$(printf '%s\n' 1.21 "$1" | sort -V | head -n 1)" != 1.21 ] ||
		echo ', or set GOTOOLCHAIN=auto, with which this one fetches it'
}

# name_of_loopback checks that 127.0.0.1 is called localhost, which tests expect of what daemons
# log. debootstrap makes no /etc/hosts, and without it the address has no name.
name_of_loopback() {
	local name
	name=$(getent hosts 127.0.0.1 | awk '{ print $2 }') || true
	[ "$name" != localhost ] || return 0
	[ "$(id -u)" = 0 ] && [ ! -e /etc/hosts ] ||
		fail "127.0.0.1 is called \"$name\" here, and tests expect localhost:" \
			"let /etc/hosts begin with \"127.0.0.1 localhost\""
	say "writing /etc/hosts, which is missing here"
	printf '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n' >/etc/hosts
}

# modules fetches the Go modules that go.mod names, those of the tools among them, and those of the
# dashboard's module.
modules() {
	(export GOPROXY=off && download) >/dev/null 2>&1 && return 0
	say "fetching the Go modules of go.mod"
	download || fail "the Go modules can't be fetched (above is why):" \
		"check the network, GOPROXY, and that ca-certificates is installed"
}
download() { go mod download && go mod download -C internal/dashboard && go -C tools tool -n staticcheck >/dev/null; }

[ $# -gt 0 ] || set -- go gcc git ip localhost modules rsync prometheus rsyslogd rsyslogd-tls syslog-ng \
	openssl systemd-analyze systemd-socket-activate strace logrotate busybox inetd xinetd lnav tmux mandoc chromium
for program; do
	provide "$program"
done
