#!/bin/sh
# gate.sh MODEL.onnx CALIB MARCH [BASELINE.json]: what a pipeline asks of a model before it is merged.
# Leaves check.xml (JUnit), verify.json, perf.json and the .hbm; exits non-zero where an answer is no.
set -eu
model=$1 calib=$2 march=$3 baseline=${4:-}
HBCC=${HBCC:-hbcc}
name=$(basename "$model" .onnx)

"$HBCC" check "$model" --march "$march" --strict --format junit > check.xml
"$HBCC" compile "$model" --march "$march" --calib "$calib" -o "$name.hbm"
"$HBCC" verify "$model" "$name.hbm" --calib "$calib" --min-cosine 0.99 --format json > verify.json
if [ -n "$baseline" ]; then
	"$HBCC" perf "$name.hbm" --format json --baseline "$baseline" --tolerance 5 > perf.json
else
	"$HBCC" perf "$name.hbm" --format json > perf.json
fi
