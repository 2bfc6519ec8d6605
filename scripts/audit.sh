#!/usr/bin/env bash
# usage: scripts/audit.sh
#
# Looks for what is known to be wrong with the program's code and with what it is made of:
#   - the modules are those of go.sum, and go.mod has no line too many or too few
#   - licences: docs/dependencies.md is up to date, and each allows passing the program on
#   - gosec: every finding is mended, or waived with a reason; every waiver is needed
#   - govulncheck: no known vulnerability that the program reaches, in its source and in the binary
# It goes on after a failure, says all of them, and fails if there was one. govulncheck asks
# vuln.go.dev, or what GOVULNDB says. Where that doesn't answer, the same database is made of the
# newest golang.org/x/vulndb that GOPROXY has, which may be some days older.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=()
program=./cmd/rsyncd_exporter

# tool NAME prints the path of a program that tools/go.mod pins. It is built once.
tool() { go -C tools tool -n "$1"; }

modules() {
	local dir
	for dir in . internal/dashboard internal/kubernetes tools; do
		go -C "$dir" mod tidy -diff || { echo "$dir/go.mod is not tidy: run \"go mod tidy\" in $dir" >&2; return 1; }
	done
	go mod verify
}

# packages_of SYSTEM prints the directories of our packages that are in the program.
packages_of() {
	GOOS=$1 go list -deps -f '{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}' "$program"
}

security() {
	local system gosec findings=()
	gosec=$(tool gosec)
	for system in linux freebsd darwin; do
		# gosec's own status says only whether it has found anything.
		packages_of "$system" |
			GOOS=$system CGO_ENABLED=0 xargs "$gosec" -quiet -no-fail -fmt=json -track-suppressions \
			-nosec-require-rules -nosec-require-justification -out "$work/gosec-$system.json" >"$work/log" 2>&1 &&
			[ -s "$work/gosec-$system.json" ] ||
				{ cat "$work/log" >&2; echo "gosec doesn't work; above is why" >&2; return 1; }
		findings+=("$work/gosec-$system.json")
	done
	go run ./internal/waivers tools/gosec-waivers.txt "${findings[@]}"
}

# database prints the URL of a database of vulnerabilities that is made of a module.
database() {
	local module=golang.org/x/vulndb version dir
	version=$(cd / && go list -m -f '{{.Version}}' "$module@latest") || return 1
	dir=$(cd / && go mod download -json "$module@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
	[ -d "$dir/data/osv" ] || return 1
	(cd / && go run "$module/cmd/indexdb@$version" -vulns "$dir/data/osv" -out "$work/vulndb") || return 1
	echo "    the database of vulnerabilities is that of ${version:7:8}, from $module@$version" >&2
	echo "file://$work/vulndb"
}

# vulnerabilities is 3 where govulncheck has found something, as govulncheck is, and 1 where it
# could not look.
vulnerabilities() {
	local status=0 govulncheck db=()
	govulncheck=$(tool govulncheck)
	CGO_ENABLED=0 go build -trimpath -o "$work/rsyncd_exporter" "$program"
	"$govulncheck" "$program" >"$work/log" 2>&1 || status=$?
	if [ $status != 0 ] && [ $status != 3 ]; then
		echo "    ${GOVULNDB:-vuln.go.dev} doesn't answer: $(tail -n 1 "$work/log")" >&2
		db=(-db "$(database)") || [ ${#db[@]} = 2 ]
		[ "${db[1]}" ] || {
			echo "no database of vulnerabilities can be had, neither from ${GOVULNDB:-vuln.go.dev} nor from GOPROXY;" \
				"above is what was tried: set GOVULNDB to a mirror, or look at the network" >&2
			return 1
		}
		status=0
		"$govulncheck" "${db[@]}" "$program" >"$work/log" 2>&1 || status=$?
	fi
	[ $status = 0 ] || { grep -v '^ *#\([2-9]\|[1-9][0-9]\)' "$work/log" >&2; advice; return $status; }
	"$govulncheck" "${db[@]}" -mode=binary "$work/rsyncd_exporter" >"$work/log" 2>&1 ||
		{ cat "$work/log" >&2; return 3; }
}

# advice says what helps against findings in the standard library.
advice() {
	! grep -q 'Standard library' "$work/log" ||
		echo "The Go that builds is $(go env GOVERSION). Where \"Fixed in\" names a newer one," \
			"put that into RELEASE_GO of the Makefile." >&2
}

# examine TEXT COMMAND runs one of the checks.
examine() {
	say "$1"
	"$2" >"$work/out" || { cat "$work/out" >&2; failed+=("$1"); }
}

licences() { go run ./internal/dependencies check; }

examine 'go mod tidy, go mod verify' modules
examine 'licences' licences
examine 'gosec, and its waivers' security
examine 'govulncheck, source and binary' vulnerabilities
for what in "${failed[@]}"; do
	printf 'audit.sh: %s: failed; above is why\n' "$what" >&2
done
[ ${#failed[@]} = 0 ]
