#!/bin/sh
# coverage.sh BUILD: lines of the library and the program that the tests ran, a file a row.
cd "$1" || exit 1
find . -name '*.gcda' ! -path './tests/*' ! -path './gen/*' | sort | while read -r f; do
	gcov -n "$f" 2>/dev/null | sed -n "/File '\(lib\|ops\|march\|cli\)\/.*\.c'/{N;s/File '\(.*\)'\nLines executed:\([0-9.]*\)% of \([0-9]*\)/\2 \3 \1/p}"
done | sort -n | awk '{ printf "%6.1f%% of %5d  %s\n", $1, $2, $3; n += $2; c += $1 * $2 / 100 } END { printf "%6.1f%% of %5d  all\n", 100 * c / n, n }'
