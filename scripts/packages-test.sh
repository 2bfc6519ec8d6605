#!/usr/bin/env bash
# usage: scripts/packages-test.sh DIST
#
# Tests the packages in DIST, which scripts/packages.sh has written for linux/amd64 and others:
#   - two systems are built elsewhere again, with an empty cache, and have the same bytes
#   - lintian, rpmlint, man, zsh and fish take what is theirs
#   - links between the documents lead somewhere
#   - in a clean Debian under a real systemd (systemd-nspawn), README's first recipe and docs/packages.md
#     are followed word by word; an upgrade under traffic loses nothing; removing and purging leave nothing
#   - the .rpm is installed and erased
# It takes root, ten minutes the first time, and the network for Debian's packages. SUITE=trixie
# takes another Debian than bookworm.
set -euo pipefail
dist=$(realpath "${1:?usage: scripts/packages-test.sh DIST}")
. "$(dirname "$0")/lib.sh"

suite=${SUITE:-bookworm}
roots=$repo/build/roots
arch=$(dpkg --print-architecture)
leader= # the machine's first process
nspawn= # the process that keeps the machine

[ "$(id -u)" = 0 ] || fail "installing packages in clean systems takes root: run it as root"
scripts/deps.sh debootstrap systemd-nspawn

# clean_root NAME PACKAGE... makes $roots/NAME, a Debian of the fewest packages and these.
clean_root() {
	local name=$1 root=$roots/$1
	shift
	[ "$(cat "$root.packages" 2>/dev/null)" != "$suite $*" ] || return 0
	say "making a clean $suite for $name (minutes, once)"
	rm -rf --one-file-system "$root"
	mkdir -p "$roots"
	{
		debootstrap --variant=minbase "$suite" "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" &&
			cp /etc/resolv.conf "$root/etc/" && DEBIAN_FRONTEND=noninteractive chroot "$root" \
			apt-get install -y --no-install-recommends "$@" &&
				rm -rf "$root/debootstrap" "$root"/var/cache/apt/archives/*.deb
	} >"$root.log" 2>&1 || {
		tail -n 5 "$root.log" >&2
		fail "no clean $suite can be made; above are the last words of debootstrap or apt-get:" \
			"check the network, or set DEBIAN_MIRROR"
	}
	# As Debian's installer leaves it.
	echo clean >"$root/etc/hostname"
	printf '127.0.0.1\tlocalhost\n::1\tlocalhost\n' >"$root/etc/hosts"
	echo "$suite $*" >"$root.packages"
}

# within ROOT COMMAND... runs the command in a root directory, without network.
within() {
	local root=$1
	shift
	systemd-nspawn --quiet --directory="$root" --register=no --keep-unit --private-network --as-pid2 --pipe \
		--setenv=DEBIAN_FRONTEND=noninteractive -- "$@"
}

# boot NAME starts a machine on a copy of the clean Debian, with the .deb files in /root.
boot() {
	local root=$work/$1
	cp -a "$roots/debian" "$root"
	cp "$dist"/*.deb "$root/root/" # of every architecture, as in dist/
	systemd-nspawn --quiet --directory="$root" --boot --register=no --keep-unit --private-network --console=pipe \
		</dev/null >"$work/$1.log" 2>&1 &
	nspawn=$!
	wait_until 60 booted || { cat "$work/$1.log" >&2; fail "systemd didn't start the machine; above is what it said"; }
}

booted() {
	leader=$(awk '{ print $1 }' "/proc/$nspawn/task/$nspawn/children" 2>/dev/null) && [ "$leader" ] &&
		[ "$(machine systemctl is-system-running --wait 2>/dev/null)" = running ]
}

# machine COMMAND... runs the command in the machine.
machine() {
	nsenter --target "$leader" --all --wdns=/root -- \
		env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@"
}

halt() {
	[ -n "$nspawn" ] || return 0
	kill -s KILL "$leader" 2>/dev/null || true
	wait "$nspawn" 2>/dev/null || true
	nspawn=
}

tear_down() {
	local status=$?
	if [ "$status" != 0 ]; then
		say "what the last command said, and the machine's journal:" >&2
		cat "$work/said" >&2 || true
		[ -z "$nspawn" ] || machine journalctl --no-pager --lines=20 >&2 || true
	fi
	halt
	rm -rf --one-file-system "$work"
	exit "$status"
}

# recipe FILE HEADING prints the commands of the first block below a heading.
recipe() {
	local commands
	commands=$(awk -v heading="$2" '
		/^#+ / { here = $0 ~ "^#+ " heading "$" }
		here && /^```/ { if (block++) exit; next }
		here && block' "$1")
	[ -n "$commands" ] || fail "$1 has no commands below the heading \"$2\""
	printf '%s\n' "$commands"
}

# follow HEADING [FILE] types a recipe into the machine's shell, line by line. Whoever reads it waits for a
# daemon that has just been started, and types the line again.
follow() {
	local line file=${2:-docs/packages.md}
	say "following \"$1\" of $file"
	recipe "$file" "$1" >"$work/commands"
	while read -r -u 3 line; do
		wait_until 10 typed "$line" || fail "\"$1\": \"$line\" failed"
	done 3<"$work/commands"
}
typed() { machine sh -c "$1" >"$work/said" 2>&1; }

# value METRIC prints the sum of a metric's series, whose labels may be named as METRIC{a="b".
value() {
	machine curl -sS http://localhost:8080/metrics |
		awk -v metric="$1" '
			index($0, metric) == 1 && substr($0, length(metric) + 1, 1) ~ /[ {,}]/ { sum += $NF }
			END { print sum + 0 }'
}

# reaches METRIC VALUE waits until the metric has the value.
reaches() {
	wait_until 20 is_value "$1" "$2" || fail "$1 is $(value "$1"), and should be $2"
}
is_value() { [ "$(value "$1")" = "$2" ]; }

# a_daemon gives the machine an rsync daemon, as somebody has it who installs the exporter.
a_daemon() {
	machine sh -e <<-'COMMANDS' >"$work/said" 2>&1
		mkdir -p /srv/pub
		head -c 100000 /dev/urandom >/srv/pub/file
		printf '%s\n' 'use chroot = yes' 'transfer logging = yes' '[pub]' 'path = /srv/pub' >/etc/rsyncd.conf
		systemctl enable --now rsync
	COMMANDS
	daemon_listens
}

# daemon_listens looks instead of connecting: a connection to rsyncd would be counted.
daemon_listens() {
	wait_until 20 machine grep -q ':0369 0*:0000 0A ' /proc/net/tcp || fail "the rsync daemon doesn't listen"
}

# sessions NUMBER pulls so often from the daemon.
sessions() {
	machine sh -ec '
		for n in $(seq "$1"); do
			rsync -a rsync://localhost/pub/ "/tmp/pulled.$n/"
			rm -r "/tmp/pulled.$n"
		done' sh "$1"
}

# files lists what the machine has, but for what each installation changes.
files() {
	machine find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /run -o -path /var/log \
		-o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /root \) -prune -o -print |
			grep -Ev '^/etc/(passwd|group|shadow|gshadow)-$' | sort
	machine ls -d /run/rsyncd_exporter /var/log/rsyncd_exporter /var/log/private 2>/dev/null || true
}

test_reproducible() {
	say "building linux/$arch and freebsd/arm64 again elsewhere, with an empty cache"
	mkdir "$work/elsewhere" "$work/cache"
	tar --exclude=./build --exclude=./bin --exclude=./dist --create . | tar --extract --directory "$work/elsewhere"
	chmod -R go-rwx "$work/elsewhere"
	(
		umask 077
		TZ=Asia/Tokyo GOCACHE=$work/cache \
			"$work/elsewhere/scripts/packages.sh" "$work/again" "linux/$arch" freebsd/arm64 >/dev/null
	)
	(cd "$work/again" && grep -v ' SHA256SUMS$' SHA256SUMS) | while read -r sum file; do
		grep -qxF "$sum  $file" "$dist/SHA256SUMS" ||
			fail "$file has other bytes when it is built elsewhere: compare $dist/$file (diffoscope)"
	done
	(cd "$dist" && sha256sum --quiet --check SHA256SUMS)
}

# copy_packages puts the packages into the root directory where they are looked at.
copy_packages() {
	rm -rf "$roots/checks/root/packages"
	mkdir "$roots/checks/root/packages"
	cp "$deb" "$rpm" packaging/rpmlint.toml "$roots/checks/root/packages/"
}

test_contents() {
	local root=$roots/checks
	say "lintian, rpmlint, man, zsh and fish"
	copy_packages
	within "$root" sh -ex -c '
		cd /root/packages
		lintian --allow-root --fail-on error,warning *.deb
		rpmlint --config rpmlint.toml *.rpm
		rpm -qp --qf "%{NAME} %{LICENSE}\n" *.rpm
		dpkg-deb -x *.deb root
		test -z "$(cd root/usr/lib/systemd/system && ls | grep -v "^rsyncd_exporter")" # none of rsync
		gunzip -c root/usr/share/man/man1/rsyncd_exporter.1.gz >rsyncd_exporter.1
		test -z "$(LC_ALL=C.UTF-8 man --warnings -l rsyncd_exporter.1 2>&1 >/dev/null)"
		zsh -n root/usr/share/zsh/vendor-completions/_rsyncd_exporter
		fish_completes() {
			fish -c "source root/usr/share/fish/vendor_completions.d/rsyncd_exporter.fish; complete -C \"$1\""
		}
		fish_completes "rsyncd_exporter who --dir" | grep -q "^--direction"
		fish_completes "rsyncd_exporter who --direction=" | grep receive
		fish_completes "rsyncd_exporter rep" | grep -q "^report"
	' >"$work/said" 2>&1 || fail "a package has a fault"
	zsh_completes "$root" || fail "zsh doesn't complete the option"
	tar --list --verbose --file "$(echo "$dist"/rsyncd_exporter-*-freebsd-arm64.tar.gz)" >"$work/said"
	grep -q '^-rwxr-xr-x .*/deploy/freebsd/rsyncd_exporter$' "$work/said" ||
		fail "FreeBSD's tarball has no script for rc.d"
}

# test_links looks whether each link between documents leads somewhere, where the packages and a tarball put them.
test_links() {
	local page target version
	say "links between the documents"
	version=$(dpkg-deb --field "$deb" Version)
	rm -rf "$work/unpacked"
	mkdir "$work/unpacked" "$work/unpacked"/{deb,tar}
	dpkg-deb -x "$deb" "$work/unpacked/deb"
	tar --extract --directory "$work/unpacked/tar" --file "$dist/rsyncd_exporter-$version-linux-$arch.tar.gz"
	find "$work/unpacked" -name '*.md' | while read -r page; do
		{ grep -o '](\(\.\./\)*[A-Za-z][^):]*)' "$page" || true; } | sed 's/^](//; s/)$//; s/#.*//' |
			while read -r target; do
				[ -e "${page%/*}/$target" ] || fail "${page#"$work/unpacked/"} links to $target, which isn't there"
			done
	done
}

# zsh_completes ROOT presses Tab in a real zsh, and waits until the terminal shows the option whole.
zsh_completes() {
	cat >"$1/root/packages/tab" <<-'ZSH'
		zmodload zsh/zpty
		zpty z zsh -f -i
		zpty -w z 'PS1=; fpath=(/root/packages/root/usr/share/zsh/vendor-completions $fpath)'
		zpty -w z 'autoload -U compinit; compinit -D -u'
		zpty -n -w z $'rsyncd_exporter who --dire\t'
		zpty -r z shown '*--direction*'
		found=$?
		print -r -- "$shown"
		exit $found
	ZSH
	within "$1" timeout 60 zsh -f /root/packages/tab >"$work/said" 2>&1
}

test_first_recipe() {
	boot recipe
	a_daemon
	follow Start README.md
	grep -q '^rsync_connections_total' "$work/said" || fail "README's last command shows no counter"
	reaches 'rsync_executions_total{direction="send",host="",module="pub"' 1
	machine systemd-analyze security --threshold=16 --no-pager rsyncd_exporter.service >"$work/said" ||
		fail "too exposed"
	! machine systemctl --failed --quiet --no-legend | grep . || fail "above are units that failed"
	follow Settings
	wrong_settings
	follow Addresses
	machine curl -sSf http://127.0.0.1:9150/metrics >"$work/said" || fail "the metrics didn't move"
	follow 'Syslog over TCP and TLS'
	machine bash -c 'echo "<30>Nov 30 12:00:00 far rsyncd[9]: connect from a (192.0.2.1)" >/dev/tcp/127.0.0.1/5514'
	wait_until 20 machine sh -c '
		curl -sS http://127.0.0.1:9150/metrics | grep -q "^rsync_connections_total{host=\"far\"} 1"' ||
		fail "a message over TCP isn't counted"
	halt
}

# wrong_settings has systemd give up, and follows what helps then.
wrong_settings() {
	say "settings that are wrong: nobody waits for the exporter, and it comes back"
	machine sh -c 'echo RSYNCD_EXPORTER_MAX_SERIES=many >>/etc/default/rsyncd_exporter'
	! machine systemctl restart rsyncd_exporter >"$work/said" 2>&1 || fail "the exporter started with a wrong setting"
	wait_until 30 machine systemctl --quiet is-failed rsyncd_exporter.socket rsyncd_exporter-http.socket ||
		fail "systemd hasn't given up, and daemons wait for the exporter"
	sessions 1
	machine sed -i /MAX_SERIES=many/d /etc/default/rsyncd_exporter
	follow 'When it has failed to start'
	daemon_listens
	sessions 1
	reaches 'rsync_executions_total{direction="send",host="",module="pub"' 2
	follow 'The /dev/log of a daemon'
	grep -qxF 'tmpfs[/rsyncd_exporter/log]' "$work/said" || fail "the daemon's /dev/log is another one"
}

test_journald() {
	boot journald
	a_daemon
	machine sh -ec '
		apt-get -q install -y ./rsyncd-exporter_*_$(dpkg --print-architecture).deb
		systemctl enable --now rsyncd_exporter' >"$work/said" 2>&1
	sessions 1
	reaches rsync_connections_total 0
	follow 'journald forwards'
	sessions 20
	reaches rsync_connections_total 20
	reaches 'rsync_sessions_total{direction="send",host="",module="pub",outcome="ok"' 20
	say "where a syslog daemon is enabled, the socket stays its own"
	machine systemctl stop rsyncd_exporter-journald.socket
	machine ln -s /dev/null /etc/systemd/system/syslog.service
	machine systemctl start rsyncd_exporter-journald.socket
	! machine systemctl --quiet is-active rsyncd_exporter-journald.socket ||
		fail "rsyncd_exporter-journald.socket took the syslog daemon's socket"
	halt
}

# traffic pulls until /run/enough is there, and notes in /run/sessions how often.
traffic() {
	machine sh -c '
		n=0
		while [ ! -e /run/enough ]; do
			rsync -a rsync://localhost/pub/ /tmp/x/ && n=$((n + 1)) || exit 1
			rm -r /tmp/x
			echo $n >/run/sessions.new
			mv /run/sessions.new /run/sessions
		done'
}
have_run() { [ "$(machine cat /run/sessions 2>/dev/null || echo 0)" -ge "$1" ]; }

test_upgrade() {
	local before ran version
	version=$(dpkg-deb --field "$deb" Version)+next
	VERSION=$version scripts/packages.sh "$work/dist" "linux/$arch"
	boot upgrade
	mkdir "$work/upgrade/root/next"
	cp "$work"/dist/*.deb "$work/upgrade/root/next/"
	a_daemon
	machine systemctl disable --quiet --now apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer
	files >"$work/before"
	say "installing: nothing runs that isn't asked for"
	machine sh -ec 'apt-get -q install -y ./rsyncd-exporter_*_$(dpkg --print-architecture).deb' >"$work/said" 2>&1
	! machine sh -c '
		systemctl list-units --plain --no-legend --state=active "rsyncd_exporter*"
		ls /etc/systemd/system/*/rsyncd_exporter* 2>/dev/null' | grep . ||
		fail "the installation started or enabled what is above"
	machine systemctl enable --quiet --now rsyncd_exporter
	machine install -D -m 644 -t /etc/systemd/system/rsync.service.d \
		/usr/share/doc/rsyncd-exporter/deploy/systemd/rsync.service.d/rsyncd_exporter.conf
	machine sh -ec 'cp /usr/share/doc/rsyncd-exporter/deploy/environment/mirror.env /etc/default/rsyncd_exporter-mirror
		systemctl enable --quiet --now rsyncd_exporter@mirror.socket rsyncd_exporter@mirror.service'
	machine sh -ec '
		systemctl daemon-reload
		systemctl restart rsync
		echo RSYNCD_EXPORTER_MODULES=pub,other >>/etc/default/rsyncd_exporter
		systemctl restart rsyncd_exporter'
	daemon_listens
	say "upgrading under traffic"
	traffic &
	ran=$!
	wait_until 60 have_run 10 || fail "no traffic"
	before=$(machine cat /run/sessions)
	machine sh -ec 'apt-get -q install -y ./next/rsyncd-exporter_*.deb' >"$work/said" 2>&1 || fail "the upgrade failed"
	wait_until 60 have_run "$(($(machine cat /run/sessions) + 10))" || fail "no traffic after the upgrade"
	machine touch /run/enough
	wait "$ran" || fail "a session failed during the upgrade"
	ran=$(machine cat /run/sessions)
	say "$ran sessions, $before of them before the upgrade"
	reaches rsync_connections_total "$ran"
	reaches 'rsync_executions_total{direction="send",host="",module="pub"' "$ran"
	reaches 'rsync_sessions_total{direction="send",host="",module="pub",outcome="ok"' "$ran"
	reaches "rsyncd_exporter_build_info" 1
	runs_version 8080 "$version"
	runs_version 9151 "$version" # rsyncd_exporter@mirror
	machine curl -sS http://localhost:8080/metrics | grep 'module="other"' >"$work/said" ||
		fail "the upgrade lost what /etc/default/rsyncd_exporter said"
	test_removal
	halt
}

# runs_version PORT VERSION looks which version serves there.
runs_version() {
	machine curl -sS "http://localhost:$1/metrics" | grep '^rsyncd_exporter_build_info' |
		grep -F "version=\"$2\"" >"$work/said" ||
		fail "it isn't $2 that serves port $1"
}

# logged_to_journald looks for a session in the journal: those that the exporter saw are not there.
logged_to_journald() { machine journalctl --quiet --identifier=rsyncd | grep -q 'rsync on pub/'; }

test_removal() {
	say "removing: settings and state stay, nothing runs"
	machine sh -ec 'apt-get -q remove -y rsyncd-exporter' >"$work/said" 2>&1
	! machine systemctl list-units --plain --no-legend --state=active 'rsyncd_exporter*' | grep . ||
		fail "above is what still runs"
	machine sh -ec 'test -e /etc/default/rsyncd_exporter; ls /var/lib/private/rsyncd_exporter/*' >/dev/null ||
		fail "removing took settings or state"
	say "the daemon does without, and logs to the machine's /dev/log again"
	machine systemctl restart rsync
	daemon_listens
	sessions 1
	wait_until 10 logged_to_journald || fail "what the daemon logs reaches nobody"
	say "installing again, and purging while it runs"
	machine sh -ec '
		apt-get -q install -y ./rsyncd-exporter_*_$(dpkg --print-architecture).deb
		systemctl enable --quiet --now rsyncd_exporter' >"$work/said" 2>&1
	[ "$(value rsync_connections_total)" = "$ran" ] || fail "the counters didn't survive the removal"
	machine sh -ec 'apt-get -q purge -y rsyncd-exporter' >"$work/said" 2>&1
	machine rm -r /etc/systemd/system/rsync.service.d /etc/default/rsyncd_exporter-mirror
	files >"$work/after"
	diff "$work/before" "$work/after" || fail "above is what a purge leaves (>) or takes (<)"
	machine getent passwd rsyncd_exporter | grep ':/usr/sbin/nologin$' >"$work/said" ||
		fail "the user is gone, so another one may get its number and files"
	machine grep -q '^rsyncd_exporter:!' /etc/shadow || fail "the user may log in"
}

test_rpm() {
	local root=$roots/checks
	say "installing and erasing the .rpm"
	copy_packages
	within "$root" sh -ex -c '
		cd /root/packages
		! rpm --query rsyncd-exporter || rpm --erase rsyncd-exporter # what an interrupted test has left
		rm -f /etc/default/rsyncd_exporter*
		rpm --install --nodeps *.rpm
		rpm --verify --nodeps rsyncd-exporter
		rsyncd_exporter version
		getent passwd rsyncd_exporter
		systemctl enable rsyncd_exporter rsyncd_exporter@mirror.socket
		test -e /etc/systemd/system/sockets.target.wants/rsyncd_exporter.socket
		test -e /etc/systemd/system/sockets.target.wants/rsyncd_exporter@mirror.socket
		echo "# changed" >>/etc/default/rsyncd_exporter
		rpm --erase rsyncd-exporter
		test -z "$(ls -d /etc/systemd/system/*.wants/rsyncd_exporter* 2>/dev/null)"
		test ! -e /usr/bin/rsyncd_exporter
		test -e /etc/default/rsyncd_exporter.rpmsave
		rm /etc/default/rsyncd_exporter.rpmsave
	' >"$work/said" 2>&1 || fail "rpm has failed"
}

deb=$(echo "$dist"/*_"$arch".deb)
rpm=$(echo "$dist"/*."$(uname -m)".rpm)
[ -e "$deb" ] && [ -e "$rpm" ] || fail "$dist has no packages for $arch: run \"make packages\""
clean_root debian systemd systemd-sysv rsync curl
clean_root checks systemd lintian rpm rpmlint zsh fish man-db
work=$(mktemp -d "$repo/build/.packages-test.XXXXXX")
trap tear_down EXIT
tests=${TESTS:-reproducible contents links first_recipe journald upgrade rpm}
for test in $tests; do
	"test_$test"
done
say "the packages are as they should be"
