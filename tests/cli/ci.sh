# the gate of samples/ci, as a pipeline runs it
exec 2>&1
s=$TOP/samples
export HBCC
"$s/ci/gate.sh" "$s/shapes/model.onnx" "$s/shapes/calib" bayes
echo "exit $?"
ls
cp perf.json baseline.json
"$s/ci/gate.sh" "$s/shapes/model.onnx" "$s/shapes/calib" bayes baseline.json
echo "exit $?"
sed 's/"latency (us)": [0-9.]*/"latency (us)": 0.5/' perf.json > baseline.json
"$s/ci/gate.sh" "$s/shapes/model.onnx" "$s/shapes/calib" bayes baseline.json 2>&1 | sed 's/us): [0-9.]*/us): N/'
