#!/usr/bin/env bash
# usage: scripts/seeded-bugs.sh [NAME...]
#
# Tests the tests: applies each patch of testdata/seeded-bugs, or those named, to a copy of the tree, runs the test that the patch says catches
# it, and expects that test to fail. Each patch is one mistake, and begins with two lines:
#
#	Bug: what it does
#	Caught-by: PACKAGE TEST
set -euo pipefail
. "$(dirname "$0")/lib.sh"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$repo"
git ls-files -z | xargs -0 cp --parents -t "$scratch"
ln -s "$repo/build" "$scratch/build" # the programs that tests run
cd "$scratch"

patches=()
if [ $# -eq 0 ]; then
	patches=("$repo"/testdata/seeded-bugs/*.patch)
fi
for name; do
	patches+=("$repo/testdata/seeded-bugs/${name%.patch}.patch")
done

missed=()
for patch in "${patches[@]}"; do
	name=$(basename "$patch" .patch)
	read -r package test < <(sed -n 's/^Caught-by: //p' "$patch") || fail "$name has no line \"Caught-by: PACKAGE TEST\""
	git apply -C1 "$patch" || fail "$name doesn't apply any more: make it anew for the code as it is"
	if go test -count=1 -timeout 10m -run "^$test\$" "$package" >out 2>&1; then
		missed+=("$name")
		say "$name: NOT caught by $test in $package"
	elif grep -q '^ *--- FAIL: ' out || grep -q '^panic: ' out; then
		say "$name: caught by $test"
	else
		cat out >&2
		fail "$name: $test can't be run (above is why)"
	fi
	git apply -C1 -R "$patch"
done
[ ${#missed[@]} -eq 0 ] || fail "no test catches ${missed[*]}"
say "${#patches[@]} seeded bugs, each caught"
