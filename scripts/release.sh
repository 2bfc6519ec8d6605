#!/usr/bin/env bash
# usage: VERSION=1.2.3 [DRY=1] scripts/release.sh
#
# Makes a release of what is committed, in this order:
#   1. the version: not tagged yet; the tree is clean; CHANGELOG.md has its section. Where there is
#      none, what stands under Unreleased becomes it, for you to read and commit
#   2. make test, unless it has passed on this very tree
#   3. make audit: go.mod, licences, gosec, govulncheck; deploy/kubernetes by Kubernetes' own code,
#      which make test doesn't compile
#   4. make packages: dist/ with tarballs, packages, SBOMs and SHA256SUMS
#   5. what dist/ has: every file in SHA256SUMS, a program that says its version and was built by the
#      Go of the release, an SBOM of each, and the same bytes from another directory and cache
#   6. the tag, with the section of CHANGELOG.md as its message; nothing is pushed
# With DRY=1 it does not stop at what is in the way of a release, but says all of it at the end.
# Then it runs no test, and changes neither CHANGELOG.md nor dist/ nor tags.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

version=${VERSION:-}
dry=${DRY:-}
dist=$repo/dist
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
in_the_way=0
export GOFLAGS=-buildvcs=false

# refuse TEXT... ends a release. A dry one goes on and remembers.
refuse() {
	[ "$dry" ] || fail "$@"
	printf 'release.sh: in the way: %s\n' "$*" >&2
	in_the_way=$((in_the_way + 1))
}

# section prints what CHANGELOG.md says of a version, without the heading.
section() {
	awk -v heading="## $1" '
		/^## / { inside = ($0 == heading || index($0, heading " ") == 1); next }
		inside' CHANGELOG.md
}

check_version() {
	[[ $version =~ ^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$ ]] ||
		fail "VERSION=\"$version\" is no version to release: write VERSION=1.2.3, without a v"
	! git rev-parse -q --verify "refs/tags/v$version" >/dev/null ||
		refuse "the tag v$version exists: a version is released once; take the next one"
	local changed
	changed=$(git status --porcelain)
	[ -z "$changed" ] || refuse "the tree has changes that are not committed: $(head -n 3 <<<"$changed" | tr '\n' ' ')"
}

check_changelog() {
	local date
	date=$(date +%F)
	if [ -z "$(section "$version" | tr -d '[:space:]')" ]; then
		[ "$(section Unreleased | tr -d '[:space:]')" ] ||
			{ refuse "CHANGELOG.md has no section \"## $version\" and nothing under \"## Unreleased\":" \
				"say what is new"; return 0; }
		[ "$dry" ] || sed -i "s/^## Unreleased\$/## $version - $date/" CHANGELOG.md
		refuse "CHANGELOG.md had no section \"## $version\": what stands under Unreleased becomes it;" \
			"read it, commit it, and release again"
		return 0
	fi
	grep -q "^## ${version//./\\.} - [0-9]\{4\}-[0-9][0-9]-[0-9][0-9]\$" CHANGELOG.md ||
		refuse "the heading of $version in CHANGELOG.md has no date: write \"## $version - $date\""
	[ -z "$(section Unreleased | tr -d '[:space:]')" ] ||
		refuse "CHANGELOG.md has something under \"## Unreleased\", which the release would not name:" \
			"move it to $version"
}

check_tests() {
	[ "$(cat build/tested 2>/dev/null)" != "$(git rev-parse 'HEAD^{tree}')" ] ||
		{ echo "    make test has passed on this tree"; return 0; }
	[ -z "$dry" ] || { echo "    make test has not passed on this tree: a release would run it"; return 0; }
	make --no-print-directory test || fail "make test failed; see above"
}

# check_dist looks whether the directory has what it should.
check_dist() {
	local program name missing
	(cd "$1" && sha256sum --quiet --check SHA256SUMS) || fail "SHA256SUMS is not that of the files beside it"
	missing=$(cd "$1" && comm -23 <(find . -type f ! -name SHA256SUMS -printf '%P\n' | sort) \
		<(awk '{ print $2 }' SHA256SUMS | sort))
	[ -z "$missing" ] || fail "SHA256SUMS lacks $missing"
	for name in "$1"/*.tar.gz; do
		[ -s "${name%.tar.gz}.cdx.json" ] || fail "${name##*/} has no SBOM beside it"
		tar --extract --to-stdout --file "$name" "$(basename "$name" .tar.gz)/rsyncd_exporter" >"$work/program"
		go version -m "$work/program" >"$work/built"
		grep -q ": $(go env GOVERSION)\$" "$work/built" ||
			fail "the program in ${name##*/} was not built by $(go env GOVERSION)"
		grep -q -F "main.version=$version " "$work/built" || grep -a -q -F "$version" "$work/program" ||
			fail "the program in ${name##*/} does not know that it is $version"
	done
	program=$work/program
	tar --extract --to-stdout --file "$1/rsyncd_exporter-$version-$(go env GOHOSTOS)-$(go env GOHOSTARCH).tar.gz" \
		"rsyncd_exporter-$version-$(go env GOHOSTOS)-$(go env GOHOSTARCH)/rsyncd_exporter" >"$program"
	chmod 755 "$program"
	"$program" version | grep -q -F "$version" || fail "the program says \"$("$program" version)\", and not $version"
}

# check_reproducible builds this machine's packages in another directory with an empty cache.
check_reproducible() {
	local platform
	platform=$(go env GOHOSTOS)/$(go env GOHOSTARCH)
	git clone -q --no-hardlinks . "$work/elsewhere/tree"
	GOCACHE=$work/cache VERSION=$version "$work/elsewhere/tree/scripts/packages.sh" "$work/again" "$platform" >/dev/null
	(cd "$work/again" && sha256sum -- *) | grep -v ' SHA256SUMS$' >"$work/again.sums"
	grep -q . "$work/again.sums" || fail "the second build wrote nothing"
	grep -F -x -v -f "$1/SHA256SUMS" "$work/again.sums" >"$work/differ" || return 0
	fail "built again in another directory, these are different: $(awk '{ print $2 }' "$work/differ" | tr '\n' ' ')"
}

write_tag() {
	{ printf 'rsyncd_exporter %s\n\n' "$version"; section "$version"; } |
		git tag -a "v$version" --cleanup=whitespace -F -
	say "released $version: dist/ has the files; publish them, and run \"git push origin v$version\""
}

say "the version and CHANGELOG.md"
check_version
check_changelog
say "tests"
check_tests
scripts/audit.sh || refuse "make audit failed; see above"
say "the manifests for Kubernetes"
go test -C internal/kubernetes -count=1 . || refuse "the manifests in deploy/kubernetes are wrong; see above"
[ -z "$dry" ] || dist=$work/dist
say "packages of $version, by $(go env GOVERSION)"
VERSION=$version scripts/packages.sh "$dist"
say "what is in the packages"
check_dist "$dist"
say "the same again from another directory"
if [ -z "$dry" ] || [ -z "$(git status --porcelain)" ]; then check_reproducible "$dist"; fi
[ "$in_the_way" = 0 ] || fail "$in_the_way things are in the way of $version; they are said above"
[ -z "$dry" ] || { say "nothing is in the way of $version"; exit 0; }
write_tag
