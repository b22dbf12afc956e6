#!/bin/sh
# run.sh BUILD SECONDS: builds each fuzz target against BUILD/libhbcc.a (clang) and runs it from its corpus.
set -eu
TOP=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=$1
for src in "$TOP"/tests/fuzz/fuzz_*.c; do
	name=$(basename "$src" .c)
	clang -std=c11 -D_GNU_SOURCE -DHB_LIBFUZZER -g -O1 -fsanitize=address,undefined,fuzzer -fno-sanitize-recover=all -I"$TOP" -I"$BUILD/gen" \
		-o "$BUILD/$name" "$src" "$BUILD/libhbcc.a" $(pkg-config --libs libprotobuf-c zlib yaml-0.1 jansson) -lm -lpthread
	mkdir -p "$BUILD/found-$name"
	"$BUILD/$name" -max_total_time="$2" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 "$BUILD/found-$name" "$TOP/tests/fuzz/corpus_${name#fuzz_}" 2>&1 | tail -n 12
done
