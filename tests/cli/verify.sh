# a compiled form against the float model
exec 2>&1
ln -s "$TOP/tests/cli/models" m
# one decimal: how well a model is quantized is for other tests to say
n() { sed 's/\([0-9]\.[0-9]\)[0-9]*/\1/g; s/   */  /g; s/ost is lost at .*/ost is lost at N/'; }
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --emit hbir
"$HBCC" verify m/tiny.onnx tiny.hbir.onnx --calib m/x4.npy | n
"$HBCC" verify m/tiny.onnx tiny.hbm --calib m/x4.npy | n
"$HBCC" verify m/tiny.onnx tiny.hbm --calib m/x4.npy --format json | n
"$HBCC" verify m/tiny.onnx tiny.hbir.onnx --calib m/x4.npy --min-cosine 1 2>&1 > /dev/null | n
"$HBCC" verify m/tiny.onnx tiny.hbir.onnx --calib m/x4.npy --min-cosine 1 > /dev/null 2>&1
echo "exit $?"
"$HBCC" verify m/tiny.onnx tiny.hbir.onnx --calib m/x4.npy --blame | sed -n '/alone/,/^$/p' | sed 's/[0-9.e+-]* *[0-9.]*$//'
"$HBCC" verify m/large-kernel.onnx tiny.hbm --calib m/x4.npy
echo "exit $?"
"$HBCC" verify m/tiny.onnx m/tiny.onnx --calib m/x4.npy | n
"$HBCC" verify m/tiny.onnx tiny.hbm --march bayes --calib m/x4.npy
echo "exit $?"
echo "--- a loss is the node's that makes it, not of what moves it on"
"$HBCC" compile m/relay.onnx --march bayes --calib m/m.npy --debug
"$HBCC" verify m/relay.onnx relay.hbm --calib m/m.npy | grep 'conv\|last\|lost'
echo "--- a layer alone: what only moves integers loses nothing"
"$HBCC" verify m/tiny.onnx tiny.hbir.onnx --calib m/x4.npy --by-layer | sed -n '/alone/,/^$/p' | n
"$HBCC" verify m/relay.onnx relay.hbm --calib m/m.npy --by-layer --format json | grep -A 1 alone | n
