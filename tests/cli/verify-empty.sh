# no table is empty: where nothing can be compared, a line says why and what helps
exec 2>&1
ln -s "$TOP/tests/cli/models" m
n() { sed 's/\([0-9]\.[0-9]\)[0-9]*/\1/g; s/   */  /g'; }
"$HBCC" compile m/indices.onnx --march bayes --calib m/m.npy
echo "--- only indices come out: the share that is equal"
"$HBCC" verify m/indices.onnx indices.hbm --calib m/m.npy --by-layer | n
"$HBCC" verify m/indices.onnx indices.hbm --calib m/m.npy --format json | sed -n '/"nodes"/,$p'
"$HBCC" verify m/indices.onnx indices.hbm --calib m/m.npy --format html | grep '^<p\|^<h2'
echo "--- with --debug there is a layer"
"$HBCC" compile m/indices.onnx --march bayes --calib m/m.npy --debug
"$HBCC" verify m/indices.onnx indices.hbm --calib m/m.npy --by-layer | n
echo "--- the gate holds the share"
"$HBCC" verify m/indices.onnx indices.hbm --calib m/m.npy --min-cosine 1 > /dev/null
echo "exit $?"
"$HBCC" compile m/indices.onnx --march bayes --calib m/m.npy --verify
echo "--- few layers are seen"
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy
"$HBCC" verify m/tiny.onnx tiny.hbm --calib m/x4.npy | sed -n '/seen:/p'
"$HBCC" verify m/tiny.onnx tiny.hbm --calib m/x4.npy --min-cosine 1 2>&1 > /dev/null | n
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --debug
"$HBCC" verify m/tiny.onnx tiny.hbm --calib m/x4.npy | sed -n '/seen:/p'
echo "--- most is on the CPU"
"$HBCC" compile m/relay.onnx --march bayes --calib m/m.npy
"$HBCC" verify m/relay.onnx relay.hbm --calib m/m.npy | n
