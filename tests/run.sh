#!/bin/sh
# run.sh BUILD [accept]: runs every test program and every command-line case.
# A case tests/cli/NAME.sh runs in an empty folder with HBCC (the program) and TOP
# (the sources) set; what it prints and its exit code are held against NAME.out,
# NAME.err and NAME.exit. `accept` rewrites those. Ends with the counts.
set -u
TOP=$(cd "$(dirname "$0")/.." && pwd)
BUILD=$(cd "$1" && pwd)
ACCEPT=${2:-}
HBCC=$BUILD/hbcc
HBCC_SHARED=${HBCC_SHARED:-$TOP/../shared}
export TOP HBCC HBCC_SHARED
passed=0 failed=0 skipped=0
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

if [ -z "$ACCEPT" ]; then
	for t in "$BUILD"/tests/unit/* "$BUILD"/tests/ops/* "$BUILD"/tests/ir/* "$BUILD"/tests/fault/* "$BUILD"/tests/conform/*; do
		case $t in *.d | *.o | *.dSYM) continue ;; esac
		[ -f "$t" ] && [ -x "$t" ] || continue
		if (cd "$TOP" && timeout 280 "$t") > "$WORK/log" 2>&1; then
			passed=$((passed + 1))
			s=$(grep -c '^\[  SKIPPED \] [a-z_0-9]*$' "$WORK/log")
			[ "$s" -gt 0 ] && { skipped=$((skipped + s)); grep '^\[  SKIPPED \]' "$WORK/log" | sort -u; }
		else
			failed=$((failed + 1))
			echo "FAILED $(basename "$t")"
			grep -v '\[       OK \]\|\[ RUN' "$WORK/log" | tail -n 30
		fi
	done
	# What the fuzzers start from and have found, replayed.
	for t in "$BUILD"/tests/fuzz/fuzz_*; do
		case $t in *.d | *.o | *.dSYM) continue ;; esac
		[ -f "$t" ] && [ -x "$t" ] || continue
		name=$(basename "$t")
		if (cd "$TOP" && timeout 120 "$t" "tests/fuzz/corpus_${name#fuzz_}") > "$WORK/log" 2>&1; then
			passed=$((passed + 1))
		else
			failed=$((failed + 1))
			echo "FAILED $name"
			tail -n 30 "$WORK/log"
		fi
	done
fi

# What the marches do with the plugin's operators stands in a table of the sources.
[ -z "$ACCEPT" ] || (cd "$TOP" && HBCC_ACCEPT=1 "$BUILD/tests/unit/march_operators" > "$WORK/log" 2>&1) || cat "$WORK/log"

for t in "$TOP"/tests/cli/*.sh; do
	[ -f "$t" ] || continue
	base=${t%.sh}
	name=$(basename "$base")
	dir=$WORK/$name
	mkdir "$dir"
	(cd "$dir" && timeout 120 sh "$t" > "$WORK/out" 2> "$WORK/err")
	code=$?
	if [ $code = 77 ]; then
		echo "SKIPPED $name: $(tail -n 1 "$WORK/err")"
		skipped=$((skipped + 1))
		rm -rf "$dir"
		continue
	fi
	echo $code > "$WORK/exit"
	ok=1
	for k in out err exit; do
		want=$base.$k
		[ -f "$want" ] || { want=$WORK/want; : > "$want"; [ $k = exit ] && echo 0 > "$want"; }
		cmp -s "$want" "$WORK/$k" && continue
		if [ -n "$ACCEPT" ]; then
			if [ ! -s "$WORK/$k" ] || { [ $k = exit ] && [ $code = 0 ]; }; then
				rm -f "$base.$k"
			else
				cp "$WORK/$k" "$base.$k"
			fi
			echo "accepted $name.$k"
		else
			ok=0
			echo "FAILED $name.$k"
			diff "$want" "$WORK/$k" | head -n 20
		fi
	done
	if [ $ok = 1 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
	rm -rf "$dir"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
