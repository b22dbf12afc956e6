#!/bin/bash
# bench.sh BUILD: how fast hbcc is, measured.
#  - the float engine beside ONNX Runtime (where ORT_DIR names a folder that has onnxruntime-node), in turn on the same
#    files: the least median of ROUNDS rounds of RUNS runs, and the median of the rounds' ratios; 1 is parity;
#  - calibration beside the float engine, on one thread and two, and beside itself where only minima and maxima are
#    looked at: a sample's time by mse and by kl; peak memory at 10 and at 100 samples;
#  - import of a chain of 10,000 nodes beside 1,000, and of a model of 512 MB beside cat.
# Models are those of HBCC_SHARED and the networks of HBCC_TOPOLOGIES, a folder; where that is not set, they are
# made once under BUILD by make-topologies.py where python3 has torch. MODELS="name ..." takes some of them.
set -u
TOP=$(cd "$(dirname "$0")/.." && pwd)
BUILD=$(cd "$1" && pwd)
HBCC=$BUILD/hbcc
TOOL=$BUILD/tests/tools/bench
SHARED=${HBCC_SHARED:-$TOP/../shared}
RUNS=${RUNS:-20}
ROUNDS=${ROUNDS:-3}
NETWORKS="resnet18 resnet50 mobilenet_v2 efficientnet_b0 yolov8n"
WORK=$BUILD/bench
mkdir -p "$WORK"

median() {	# of the numbers on stdin
	sort -g | awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
least() {
	sort -g | head -n 1
}

# ---- networks ----
make_networks() {
	local python=$1 n
	mkdir -p "$WORK/topologies"
	for n in $NETWORKS; do
		[ -f "$WORK/topologies/$n.onnx" ] || "$python" "$SHARED/tools/make-topologies.py" "$WORK/topologies" "$n" > /dev/null 2>&1
	done
	[ -f "$WORK/topologies/efficientnet_b0.onnx" ] || "$python" - "$WORK/topologies/efficientnet_b0.onnx" > /dev/null 2>&1 <<- 'PYTHON'
		import sys, torch, torchvision
		torch.manual_seed(0)
		net = torchvision.models.efficientnet_b0(weights=None).eval()
		torch.onnx.export(net, torch.zeros(1, 3, 224, 224), sys.argv[1], opset_version=11, input_names=["data"])
	PYTHON
}
if [ -z "${HBCC_TOPOLOGIES:-}" ]; then
	HBCC_TOPOLOGIES=$WORK/topologies
	for python in python3 /usr/bin/python3; do
		"$python" -c 'import torch, torchvision' 2> /dev/null && { make_networks "$python"; break; }
	done
fi

# ---- the float engine ----
hbcc_median() {	# MODEL THREADS INPUT...
	local model=$1 threads=$2 args=() f
	shift 2
	for f in "$@"; do
		args+=(--input "$f")
	done
	"$HBCC" run "$model" "${args[@]}" --jobs "$threads" --bench "$RUNS" 2> /dev/null | sed -n 's/.*"median_ms": *\([0-9.]*\).*/\1/p'
}
ort_median() {
	local model=$1 threads=$2
	shift 2
	[ -n "${ORT_DIR:-}" ] || return
	node "$SHARED/tools/ort-run.mjs" "$model" "$@" --runs "$RUNS" --threads "$threads" 2> /dev/null |
		sed -n 's/.*median[^0-9]*\([0-9.]*\).*/\1/p' | head -n 1
}
row() {	# NAME THREADS MODEL INPUT...
	local name=$1 threads=$2 model=$3 i a b
	shift 3
	for ((i = 0; i < ROUNDS; i++)); do
		a=$(hbcc_median "$model" "$threads" "$@")
		b=$(ort_median "$model" "$threads" "$@")
		echo "${a:-0} ${b:-0}"
	done > "$WORK/rounds"
	a=$(cut -d' ' -f1 "$WORK/rounds" | least)
	b=$(cut -d' ' -f2 "$WORK/rounds" | least)
	r=$(awk '$1 > 0 && $2 > 0 { print $2 / $1 }' "$WORK/rounds" | median)
	awk -v n="$name" -v t="$threads" -v a="$a" -v b="$b" -v r="${r:-0}" 'BEGIN {
		printf "%-20s %8d %12s %12s %8s\n", n, t, (a > 0 ? a : "-"), (b > 0 ? b : "-"), (r > 0 ? sprintf("%.2f", r) : "-") }'
	[ -z "$r" ] || echo "$r" >> "$WORK/ratios.$threads"
}
one() {	# NAME MODEL INPUT...
	local t name=$1
	shift
	case " ${MODELS:-$name} " in *" $name "*) ;; *) return ;; esac
	for t in 1 2; do
		row "$name" $t "$@"
	done
}
noise_for() {	# MODEL OUT COUNT: samples of the shape of a model's only input
	local shape
	shape=$("$HBCC" info "$1" | sed -n 's/^input .*: float32 \([0-9x]*\)$/\1/p')
	[ -n "$shape" ] || return 1
	# shellcheck disable=SC2086
	"$TOOL" noise "$2" "$3" ${shape//x/ }
}

rm -f "$WORK"/ratios.*
[ -n "${ORT_DIR:-}" ] || echo "bench: ORT_DIR is not set: no ONNX Runtime to compare with"
printf '%-20s %8s %12s %12s %8s\n' model threads 'hbcc ms' 'ort ms' 'ort/hbcc'
for dir in "$SHARED"/models/*/; do
	in=("$dir"sample_0/in_*.npy)
	if [ ! -f "${in[0]}" ] && [ -f "$dir/model.onnx" ]; then
		in=("$WORK/in.npy")
		noise_for "$dir/model.onnx" "${in[0]}" 1 || continue
	fi
	[ -f "$dir/model.onnx" ] && one "$(basename "$dir")" "$dir/model.onnx" "${in[@]}"
done
for n in $NETWORKS; do
	model=$HBCC_TOPOLOGIES/$n.onnx
	[ -f "$model" ] || { echo "$n: skipped, no $model"; continue; }
	noise_for "$model" "$WORK/in.npy" 1 && one "$n" "$model" "$WORK/in.npy"
done
for t in 1 2; do
	[ ! -f "$WORK/ratios.$t" ] || awk -v t=$t '{ s += log($1); if (NR == 1 || $1 < m) m = $1 } END {
		printf "geometric mean of %d, %d thread%s: %.2f, least %.2f\n", NR, t, (t > 1 ? "s" : ""), exp(s / NR), m }' "$WORK/ratios.$t"
done

# ---- calibration ----
calibrate() {	# MODEL JOBS SAMPLES OPTION...: wall ms, user ms, peak KiB
	local model=$1 jobs=$2 samples=$3
	shift 3
	"$TOOL" time "$HBCC" calibrate "$model" --march bayes --calib "$samples" --jobs "$jobs" "$@" -o "$WORK/qdq.onnx"
}
a_sample() {	# MODEL JOBS OPTION...: ms, of what 100 samples more than 10 take; and both peaks
	local i model=$1 jobs=$2
	shift 2
	for ((i = 0; i < ROUNDS; i++)); do
		echo "$(calibrate "$model" "$jobs" "$WORK/s10.npy" "$@") $(calibrate "$model" "$jobs" "$WORK/s100.npy" "$@")"
	done | awk '{ if (NR == 1 || $1 < a) a = $1; if (NR == 1 || $4 < b) b = $4; p = $3; q = $6 } END { print (b - a) / 90, p, q }'
}
calibration() {	# NAME MODEL
	local float t1 t2 ms1 ms2 p q minmax kl
	case " ${MODELS:-$1} " in *" $1 "*) ;; *) return ;; esac
	noise_for "$2" "$WORK/in.npy" 1 && noise_for "$2" "$WORK/s10.npy" 10 && noise_for "$2" "$WORK/s100.npy" 100 || return
	float=$(for ((i = 0; i < ROUNDS; i++)); do hbcc_median "$2" 1 "$WORK/in.npy"; done | least)
	read -r minmax p q <<< "$(a_sample "$2" 1 --observer minmax --per-tensor)"
	read -r kl p q <<< "$(a_sample "$2" 1 --observer kl)"
	read -r ms1 p q <<< "$(a_sample "$2" 1)"
	read -r ms2 t1 t2 <<< "$(a_sample "$2" 2)"
	awk -v n="$1" -v f="$float" -v a="$ms1" -v b="$ms2" -v p="$p" -v q="$q" -v m="$minmax" -v k="$kl" 'BEGIN {
		printf "%-20s %10.2f %10.2f %9.0f%% %8.2f %8.2f %12.2f %9.1f %9.1f\n", n, f, a, 100 * f / a, a / m, k / m, a / b, p / 1024, q / 1024 }'
}
printf '\n%-20s %10s %10s %10s %8s %8s %12s %9s %9s\n' calibration 'float ms' 'sample ms' 'rate' /minmax kl/minmax '2 threads' 'MiB at 10' 'at 100'
calibration detect-yolox-nano "$SHARED/models/detect-yolox-nano/model.onnx"
for n in $NETWORKS; do
	[ -f "$HBCC_TOPOLOGIES/$n.onnx" ] && [ "$n" != yolov8n ] && calibration "$n" "$HBCC_TOPOLOGIES/$n.onnx"
done

# ---- import ----
wall() {	# COMMAND...: least wall ms
	local i
	for ((i = 0; i < ROUNDS; i++)); do
		"$TOOL" time "$@"
	done | least
}
"$TOOL" chain "$WORK/chain1.onnx" 1000
"$TOOL" chain "$WORK/chain10.onnx" 10000
"$TOOL" large "$WORK/large.onnx" 8
read -r a _ _ <<< "$(wall "$HBCC" compile "$WORK/chain1.onnx" --march bayes --emit fused -o "$WORK/fused.onnx")"
read -r b _ _ <<< "$(wall "$HBCC" compile "$WORK/chain10.onnx" --march bayes --emit fused -o "$WORK/fused.onnx")"
awk -v a="$a" -v b="$b" 'BEGIN {
	printf "\nimport, simplify and fuse: chain of 1,000 nodes %.1f ms, of 10,000 %.1f ms: %.1f times\n", a, b, b / a }'
cat "$WORK/large.onnx" > /dev/null
read -r a _ _ <<< "$(wall cat "$WORK/large.onnx")"
read -r b _ p <<< "$(wall "$HBCC" info "$WORK/large.onnx")"
awk -v a="$a" -v b="$b" -v p="$p" -v n="$(stat -c %s "$WORK/large.onnx")" 'BEGIN {
	printf "import of %.0f MB: %.1f ms, cat %.1f ms: %.2f of its rate; peak memory %.2f of the file\n", n / 1e6, b, a, a / b, p * 1024 / n }'
rm -f "$WORK"/*.onnx "$WORK"/*.npy "$WORK"/rounds

# Fixed point: the fixed-point graph and the simulator beside ONNX Runtime on our fake-quantized file. FIXED names
# further models, each MODEL.onnx:INPUT.npy; the aim is 1 for the graph and a third for the simulator.
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
printf '\n%-20s %8s %12s %12s %12s %10s %10s\n' 'int8 model' threads 'graph ms' 'simulator ms' 'ort qdq ms' ort/graph ort/sim
for row in "$SHARED/models/detect-yolox-nano/model.onnx:$SHARED/models/detect-yolox-nano/sample_0/in_0.npy" ${FIXED:-}; do
	model=${row%%:*} in=${row#*:}
	for form in qdq hbir hbm; do
		"$HBCC" compile "$model" --march bayes --calib "$in" --emit $form -o "$WORK/m.$form" 2>/dev/null
	done
	for threads in 1 2; do
		ms=()
		for form in hbir hbm; do
			ms+=("$("$HBCC" run "$WORK/m.$form" --input "$in" --jobs $threads --bench "$RUNS" 2>/dev/null | sed -n 's/.*"median_ms": *\([0-9.]*\).*/\1/p')")
		done
		b=
		[ -n "${ORT_DIR:-}" ] && b=$(ort_median "$WORK/m.qdq" $threads "$in")
		awk -v m="$(basename "$(dirname "$model")")/$(basename "$model" .onnx)" -v t=$threads -v a="${ms[0]:-0}" -v s="${ms[1]:-0}" -v b="${b:-0}" 'BEGIN {
			printf "%-20s %8d %12s %12s %12s %10s %10s\n", m, t, a ? a : "-", s ? s : "-", b ? b : "-",
			       a && b ? sprintf("%.2f", b / a) : "-", s && b ? sprintf("%.2f", b / s) : "-" }'
	done
done
