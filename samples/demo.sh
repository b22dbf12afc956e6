#!/bin/sh
# demo.sh HBCC: the main job on a real model: check, compile with calibration, verify, perf, run the .hbm on pictures.
set -eu
HBCC=$1
TOP=$(cd "$(dirname "$0")" && pwd)
MODEL=$TOP/shapes/model.onnx
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

step() {
	printf '\n$ hbcc %s\n' "$*" | sed "s|$TOP|samples|g; s|$WORK/||g"
	"$HBCC" "$@"
}

step check "$MODEL" --march bayes
step compile "$MODEL" --march bayes --calib "$TOP/shapes/calib" --debug -o "$WORK/shapes.hbm"
step verify "$MODEL" "$WORK/shapes.hbm" --calib "$TOP/shapes/test" --min-cosine 0.99
step perf "$WORK/shapes.hbm"

printf '\nThe .hbm in the simulator, on pictures that calibration has not seen:\n'
set -- circle square triangle cross ring stripes
right=0 all=0
for p in "$TOP"/shapes/test/*.png; do
	best=$("$HBCC" run "$WORK/shapes.hbm" --input "$p" --check-hazards |
		awk 'NR == 2 { for (i = 1; i <= 6; i++) if (i == 1 || $i > $b) b = i; print b }')
	eval "guess=\${$best}"
	all=$((all + 1))
	case $p in *-"$guess".png) right=$((right + 1)) ;; esac
	printf '  %-18s %s\n' "$(basename "$p")" "$guess"
done
echo "$right of $all right"
