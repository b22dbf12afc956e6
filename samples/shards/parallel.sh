#!/bin/bash
# parallel.sh MODEL.onnx SAMPLES MARCH [SHARDS [RANGES.json]]: calibrates with the samples of one folder in SHARDS parts (4), each a
# process; the ranges are those of one run over all. With GNU parallel the parts run side by side (set PARALLEL_ARGS
# for other machines: --sshloginfile hosts --workdir .), without it one after the other.
set -euo pipefail
model=$1 samples=$2 march=$3 shards=${4:-4} ranges=${5:-ranges.json}
export HBCC=${HBCC:-hbcc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Parts of consecutive files: merged in this order they are the folder in its own order.
mapfile -t files < <(find -L "$samples" -maxdepth 1 -type f ! -name '.*' | LC_ALL=C sort)
per=$(((${#files[@]} + shards - 1) / shards))
part() {	# NUMBER MODEL MARCH WORK FILE...
	local k=$1 model=$2 march=$3 work=$4 calib=()
	shift 4
	for f in "$@"; do calib+=(--calib "$f"); done
	"$HBCC" calibrate "$model" --march "$march" "${calib[@]}" --jobs "${JOBS:-1}" --save-stats "$work/$k.stats"
}
export -f part

stats=() lines=()
for ((i = 0, k = 0; i < ${#files[@]}; i += per, k++)); do
	stats+=("$work/$k.stats")
	printf -v line '%q ' part "$k" "$model" "$march" "$work" "${files[@]:i:per}"
	lines+=("$line")
done
if command -v parallel > /dev/null; then
	# shellcheck disable=SC2086
	printf '%s\n' "${lines[@]}" | parallel --env part --env HBCC --halt now,fail=1 ${PARALLEL_ARGS:-}
else
	for line in "${lines[@]}"; do eval "$line"; done
fi
"$HBCC" calibrate "$model" --march "$march" --merge "${stats[@]}" --save-ranges "$ranges"
