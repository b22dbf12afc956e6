#!/bin/bash
# bench.sh BUILD: times hbcc beside ONNX Runtime (where ORT_DIR names a folder that has
# onnxruntime-node) on the models of HBCC_SHARED, in turn, and prints ratios of medians.
set -u
TOP=$(cd "$(dirname "$0")/.." && pwd)
HBCC=$(cd "$1" && pwd)/hbcc
SHARED=${HBCC_SHARED:-$TOP/../shared}
[ -d "$SHARED/models" ] || { echo "bench: no models at '$SHARED'"; exit 0; }
RUNS=${RUNS:-20}
ort_median() {	# MODEL THREADS INPUT...
	local model=$1 threads=$2
	shift 2
	node "$SHARED/tools/ort-run.mjs" "$model" "$@" --runs "$RUNS" --threads "$threads" 2>/dev/null |
		sed -n 's/.*median[^0-9]*\([0-9.]*\).*/\1/p' | head -n 1
}
printf '%-20s %8s %12s %12s %8s\n' model threads 'hbcc ms' 'ort ms' 'ort/hbcc'
for dir in "$SHARED"/models/*/; do
	m=$(basename "$dir")
	in=() args=()
	for f in "$dir"sample_0/in_*.npy; do
		[ -f "$f" ] || continue
		in+=("$f")
		args+=(--input "$f")
	done
	[ ${#in[@]} -gt 0 ] || continue
	for threads in 1 2; do
		a=$("$HBCC" run "$dir/model.onnx" "${args[@]}" --jobs $threads --bench "$RUNS" 2>/dev/null | sed -n 's/.*"median_ms": *\([0-9.]*\).*/\1/p')
		b=
		[ -n "${ORT_DIR:-}" ] && b=$(ort_median "$dir/model.onnx" $threads "${in[@]}")
		awk -v m="$m" -v t=$threads -v a="${a:-0}" -v b="${b:-0}" 'BEGIN {
			printf "%-20s %8d %12s %12s %8s\n", m, t, a ? a : "-", b ? b : "-", a && b ? sprintf("%.2f", b / a) : "-" }'
	done
done
