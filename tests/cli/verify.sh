# a compiled form against the float model
exec 2>&1
ln -s "$TOP/tests/cli/models" m
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --emit hbir
"$HBCC" verify m/tiny.onnx tiny.hbir.onnx --calib m/x4.npy
"$HBCC" verify m/tiny.onnx tiny.hbm --calib m/x4.npy
"$HBCC" verify m/tiny.onnx tiny.hbm --calib m/x4.npy --format json
"$HBCC" verify m/tiny.onnx tiny.hbir.onnx --calib m/x4.npy --min-cosine 1 > /dev/null
echo "exit $?"
"$HBCC" verify m/large-kernel.onnx tiny.hbm --calib m/x4.npy
echo "exit $?"
"$HBCC" verify m/tiny.onnx m/tiny.onnx --calib m/x4.npy
"$HBCC" verify m/tiny.onnx tiny.hbm --march bayes --calib m/x4.npy
echo "exit $?"
