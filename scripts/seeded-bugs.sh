#!/usr/bin/env bash
# usage: [ROUNDS=n] [JOBS=n] scripts/seeded-bugs.sh [NAME...]
#
# Tests the tests: applies each patch of testdata/seeded-bugs, or those named, to a copy of the
# tree, and runs the test that the patch says catches it. The test must fail in each of ROUNDS runs,
# one by default: a mistake that is caught only now and then isn't caught. First each of these
# tests runs without a patch and must pass, since one that fails anyway catches nothing. JOBS
# patches are tried at the same time, by default as many as there are processors. Each patch is one
# mistake, and begins with two lines:
#
#	Bug: what it does
#	Caught-by: PACKAGE TEST
set -euo pipefail
. "$(dirname "$0")/lib.sh"

rounds=${ROUNDS:-1}
jobs=${JOBS:-$(nproc)}
for n in "$rounds" "$jobs"; do
	[[ $n =~ ^[1-9][0-9]*$ ]] || fail "ROUNDS=$rounds and JOBS=$jobs must be numbers from 1 on"
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for ((slot = 0; slot < jobs; slot++)); do
	mkdir "$scratch/$slot"
	git ls-files -z | xargs -0 cp --parents -t "$scratch/$slot"
	[ ! -e "$repo/build" ] || ln -s "$repo/build" "$scratch/$slot/build" # the programs that tests run
done

# compile PACKAGE makes $binary of its tests, without what only a debugger or vet wants.
compile() {
	binary=$scratch/$slot.test
	rm -f "$binary"
	go test -c -vet=off -ldflags='-s -w' -o "$binary" "$1" >"$scratch/$slot.out" 2>&1
}

# run PACKAGE TESTS runs those that match, where go test would run them.
run() {
	(cd "$1" && exec "$binary" -test.run "^($2)\$" -test.v -test.failfast -test.timeout 10m) >"$scratch/$slot.out" 2>&1
}

# wrong TEXT... notes why the whole fails, with the end of what was printed last.
wrong() {
	say "$*"
	printf '%s\n' "$*" >>"$scratch/wrong"
	tail -n "${tail:-20}" "$scratch/$slot.out" >&2
}

# passes PACKAGE sees the tests of that package pass without a patch.
passes() {
	local package=$1 tests test
	cd "$scratch/$slot"
	tests=$(sed -n "s|^$package ||p" "$scratch/catchers" | paste -sd '|')
	compile "$package" || { wrong "the tests of $package don't compile"; return; }
	run "$package" "$tests" || { tail=100 wrong "a test of $package fails without a seeded bug"; return; }
	for test in ${tests//|/ }; do
		grep -q "^--- PASS: $test " "$scratch/$slot.out" ||
			tail=0 wrong "$package has no test $test, or it is skipped here"
	done
}

# caught NAME applies a patch and sees each run of its test fail.
caught() {
	local name=$1 patch=$repo/testdata/seeded-bugs/$1.patch package test round missed=0 began=$SECONDS
	cd "$scratch/$slot"
	read -r package test < <(sed -n 's/^Caught-by: //p' "$patch")
	git apply -C1 "$patch" >"$scratch/$slot.out" 2>&1 ||
		{ wrong "$name doesn't apply any more: make it anew for the code as it is"; return; }
	if ! compile "$package"; then
		wrong "$name: it can't be compiled"
	else
		for ((round = 1; round <= rounds; round++)); do
			if run "$package" "$test"; then
				missed=$((missed + 1))
			elif ! grep -Eq '^ *--- FAIL: |^panic: |^fatal error: ' "$scratch/$slot.out"; then
				wrong "$name: $test can't be run"
			fi
		done
		if [ "$missed" -gt 0 ]; then
			tail=0 wrong "$name: NOT caught by $test in $package in $missed of $rounds runs"
		else
			say "$name: caught by $test ($((SECONDS - began)) s)"
		fi
	fi
	git apply -C1 -R "$patch"
}

# in_turn FUNCTION calls it with each line of standard input, several at a time, each in its own
# tree.
in_turn() {
	xargs -r -d '\n' -n 1 -P "$jobs" --process-slot-var=slot bash -euc "$1"' "$1"' "$1"
}

export repo scratch rounds
export -f say compile run wrong passes caught
names=("${@%.patch}")
if [ $# -eq 0 ]; then
	names=(testdata/seeded-bugs/*.patch)
	names=("${names[@]##*/}")
	names=("${names[@]%.patch}")
fi
for name in "${names[@]}"; do
	[ -e "testdata/seeded-bugs/$name.patch" ] || fail "there is no testdata/seeded-bugs/$name.patch"
	grep -Eq '^Caught-by: [^ ]+ [^ ]+$' "testdata/seeded-bugs/$name.patch" ||
		fail "$name has no line \"Caught-by: PACKAGE TEST\""
	sed -n 's/^Caught-by: //p' "testdata/seeded-bugs/$name.patch"
done | sort -u >"$scratch/catchers"
say "$(wc -l <"$scratch/catchers") tests without a seeded bug"
cut -d ' ' -f 1 "$scratch/catchers" | sort -u | in_turn passes
printf '%s\n' "${names[@]}" | in_turn caught
if [ -e "$scratch/wrong" ]; then
	fail "$(wc -l <"$scratch/wrong") things are wrong:"$'\n'"$(cat "$scratch/wrong")"
fi
say "${#names[@]} seeded bugs, each caught$([ "$rounds" -eq 1 ] || echo " $rounds times in a row")" \
	"in $(((SECONDS + 30) / 60)) minutes"
