#!/usr/bin/env bash
# usage: scripts/packages.sh DIST [OS/ARCH...]
#
# Writes what is released into DIST, which it empties first: tarballs for each system, a .deb and a
# .rpm for each Linux, an SBOM (CycloneDX) of each program, and SHA256SUMS. Two runs on one commit
# with one version of Go give the same bytes, wherever the tree is. VERSION= overrides what git says,
# and MAINTAINER="NAME <ADDRESS>" is whom the packages name.
set -euo pipefail
dist=$(realpath -m "${1:?usage: scripts/packages.sh DIST [OS/ARCH...]}")
. "$(dirname "$0")/lib.sh"
shift
[ $# -gt 0 ] || set -- {linux,freebsd,darwin}/{amd64,arm64}

work= # what packages are made of; its name starts with a dot, so that go ./... passes it by
export LC_ALL=C TZ=UTC CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOAMD64=v1 GOARM64=v8.0
umask 022

# version prints what git says in a form that Debian and rpm both take: 1.2.0 at the tag v1.2.0,
# 1.2.0+3.gabc1234 three commits behind it, and 0.0~git20261130.abc1234 where there is no tag.
version() {
	local said
	if said=$(git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null); then
		said=${said#v}
		said=${said/-g/.g} said=${said//-/+}
		echo "$said"
		return
	fi
	echo "0.0~git$(git log -1 --format=%cd --date=format:%Y%m%d).$(git describe --always --dirty=+dirty)"
}

VERSION=${VERSION:-$(version)}
[[ $VERSION =~ ^[0-9][A-Za-z0-9.+~]*$ ]] ||
	fail "VERSION=\"$VERSION\" can't be a package's: it begins with a digit and has only letters, digits, and . + ~"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
MAINTAINER=${MAINTAINER:-rsyncd_exporter maintainers <maintainers@rsyncd-exporter.invalid>}
export VERSION SOURCE_DATE_EPOCH MAINTAINER

# program OS ARCH builds $work/rsyncd_exporter-OS-ARCH.
program() {
	GOOS=$1 GOARCH=$2 go build -trimpath -o "$work/rsyncd_exporter-$1-$2" \
		-ldflags "-s -w -buildid= -X main.version=$VERSION -X main.revision=$revision" ./cmd/rsyncd_exporter
}

# generated fills $work/share with what the program itself prints.
generated() {
	local form native=$work/rsyncd_exporter-native
	go build -trimpath -o "$native" -ldflags "-X main.version=$VERSION" ./cmd/rsyncd_exporter
	mkdir "$work/share"
	for form in man bash zsh fish environment; do
		"$native" help --$form >"$work/share/$form"
	done
	go run ./internal/dependencies licences |
		sed '/TERMS AND CONDITIONS FOR USE, REPRODUCTION/,/END OF TERMS AND CONDITIONS/c\
   (the terms as in the file LICENSE, and on Debian systems in /usr/share/common-licenses/Apache-2.0)' \
			>"$work/share/THIRD-PARTY-LICENSES"
}

# documents DIRECTORY copies there what people read, with the links between them intact.
documents() {
	mkdir -p "$1"
	git ls-files -z --cached --others --exclude-standard -- \
		README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md rsyncd.conf.example docs deploy |
		tar --null --files-from=- --create |
		tar --extract --no-same-owner --no-same-permissions --directory "$1"
	cp LICENSE "$work/share/THIRD-PARTY-LICENSES" "$1"
	# Whoever has checked the tree out may have had another umask.
	find "$1" -type f -exec chmod 644 {} +
	find "$1" -type f \( -name '*.sh' -o -path '*/deploy/freebsd/*' \) -exec chmod 755 {} +
}

# leads_to DIRECTORY FILE NAME has the documents link to a file by the name that it has in a package.
leads_to() { find "$1" -name '*.md' -exec sed -i "s|](\(\(\.\./\)*\)${2//./\\.})|](\1$3)|" {} +; }

# archive DIRECTORY FILE packs the directory, which is below $work.
archive() {
	tar --create --directory "$work" --sort=name --owner=0 --group=0 --numeric-owner --format=gnu \
		--mtime="@$SOURCE_DATE_EPOCH" "$1" | gzip -9n >"$2"
}

# tarball OS ARCH makes the tarball of one system.
tarball() {
	local name=rsyncd_exporter-$VERSION-$1-$2
	documents "$work/$name"
	mkdir "$work/$name"/{man,completion}
	cp "$work/rsyncd_exporter-$1-$2" "$work/$name/rsyncd_exporter"
	cp "$work/share/man" "$work/$name/man/rsyncd_exporter.1"
	cp "$work/share/bash" "$work/$name/completion/rsyncd_exporter.bash"
	cp "$work/share/zsh" "$work/$name/completion/_rsyncd_exporter"
	cp "$work/share/fish" "$work/$name/completion/rsyncd_exporter.fish"
	cp "$work/share/environment" "$work/$name/rsyncd_exporter.default"
	archive "$name" "$dist/$name.tar.gz"
}

# root ARCH fills $work/root-ARCH with what both packages have.
root() {
	local root=$work/root-$1 unit
	mkdir -p "$root"/usr/{bin,lib/systemd/system,lib/sysusers.d}
	cp "$work/rsyncd_exporter-linux-$1" "$root/usr/bin/rsyncd_exporter"
	for unit in deploy/systemd/rsyncd_exporter*.{service,socket}; do # rsync's own are recipes
		sed 's|/usr/local/bin/|/usr/bin/|' "$unit" >"$root/usr/lib/systemd/system/${unit##*/}"
	done
	install -m 644 packaging/sysusers.conf "$root/usr/lib/sysusers.d/rsyncd-exporter.conf"
}

# package_documents fills $work/doc-deb and $work/doc-rpm, and makes nfpm's configuration. nfpm takes
# the documents of an .rpm one by one only.
package_documents() {
	local doc=$work/doc-deb/usr/share/doc/rsyncd-exporter
	documents "$doc"
	find "$doc" -type f -exec chmod 644 {} +
	mkdir -p "$work/doc-deb/usr/share/man/man1"
	gzip -9n <"$work/share/man" >"$work/doc-deb/usr/share/man/man1/rsyncd_exporter.1.gz"
	gzip -9n "$doc/CHANGELOG.md"
	mv "$doc/CHANGELOG.md.gz" "$doc/changelog.gz"
	leads_to "$doc" CHANGELOG.md changelog.gz
	cat packaging/copyright "$work/share/THIRD-PARTY-LICENSES" >"$doc/copyright"
	rm "$doc/THIRD-PARTY-LICENSES"
	cp -r "$work/doc-deb" "$work/doc-rpm"
	rm "$doc/LICENSE" # Debian has it in /usr/share/common-licenses, as copyright says
	leads_to "$doc" LICENSE copyright
	cp "$work/changelog.Debian.gz" "$doc"
	{
		cat packaging/nfpm.yaml
		find "$work/doc-rpm" -type f -printf '  - {src: "doc-rpm/%P", dst: "/%P", type: doc, packager: rpm}\n' | sort
	} >"$work/nfpm.yaml"
}

# debian_changelog makes the changelog that Debian's policy wants of a package.
debian_changelog() {
	printf '%s\n\n  * Version %s. changelog.gz says what is new.\n\n -- %s  %s\n' \
		"rsyncd-exporter ($VERSION) unstable; urgency=medium" "$VERSION" \
		"$MAINTAINER" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" |
			gzip -9n >"$work/changelog.Debian.gz"
}

# packages ARCH makes the .deb and the .rpm.
packages() {
	local packager
	root "$1"
	for packager in deb rpm; do
		(
			cd "$work" &&
				ARCH=$1 "$work/nfpm" package --config "$work/nfpm.yaml" --packager $packager --target "$dist/"
		) >"$work/log" ||
			{ cat "$work/log" >&2; fail "nfpm can't make the .$packager; above is why"; }
	done
}

# sbom OS ARCH lists the modules that are in the program.
sbom() {
	"$work/cyclonedx-gomod" bin -json -noserial -notimestamp -std -version "$VERSION" \
		-output "$dist/rsyncd_exporter-$VERSION-$1-$2.cdx.json" "$work/rsyncd_exporter-$1-$2" 2>"$work/log" ||
		{ cat "$work/log" >&2; fail "the SBOM can't be made; above is why"; }
}

rm -rf "$dist"
mkdir -p "$dist" build
work=$(mktemp -d "$repo/build/.packages.XXXXXX")
trap 'rm -rf "$work"' EXIT
revision=$(git describe --always --dirty=-modified --abbrev=40 --exclude '*')
for tool in github.com/goreleaser/nfpm/v2/cmd/nfpm github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod; do
	go -C tools build -trimpath -ldflags '-s -w -buildid=' -o "$work/${tool##*/}" "$tool"
done
cp -r packaging "$work/packaging"
generated
debian_changelog
package_documents
for platform; do
	os=${platform%/*} arch=${platform#*/}
	say "packing $platform"
	program "$os" "$arch"
	tarball "$os" "$arch"
	sbom "$os" "$arch"
	[ "$os" != linux ] || packages "$arch"
done
(cd "$dist" && sha256sum -- * >"$work/sums" && mv "$work/sums" SHA256SUMS)
