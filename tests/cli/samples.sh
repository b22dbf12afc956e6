# where calibration samples come from: a file, a folder, npz, one folder an input; the same data gives the same bytes
exec 2>&1
ln -s "$TOP/tests/cli/models" m
h="$HBCC compile --march bayes"
$h m/tiny.onnx --calib m/x4.npy -o a.hbm
mkdir f
for i in 0 1 2 3; do
	{ head -c 128 m/x.npy; tail -c $((768 * (4 - i))) m/x4.npy | head -c 768; } > f/$i.npy
done
$h m/tiny.onnx --calib f -o b.hbm && cmp a.hbm b.hbm && echo folder
$h m/tiny.onnx --calib x=f -o b.hbm && cmp a.hbm b.hbm && echo named folder
$h m/tiny.onnx --calib f/0.npy --calib f/1.npy --calib f/2.npy --calib f/3.npy -o b.hbm && cmp a.hbm b.hbm && echo files
tail -c 3072 m/x4.npy > x4.bin
$h m/tiny.onnx --calib x4.bin -o b.hbm && cmp a.hbm b.hbm && echo raw
s="--input-shape a:2x6 --input-shape b:2x6"
$h m/symbolic.onnx $s --calib m/ab.npz --emit qdq -o a.onnx && echo npz
$h m/symbolic.onnx $s --calib a=m/a.npy --calib b=m/b.npy --emit qdq -o b.onnx && cmp a.onnx b.onnx && echo names
mkdir -p g/a g/b && cp m/a.npy g/a && cp m/b.npy g/b
$h m/symbolic.onnx $s --calib g --emit qdq -o b.onnx && cmp a.onnx b.onnx && echo folders
$h m/symbolic.onnx $s --calib a=m/a.npy --emit qdq -o c.onnx
echo "exit $?"
$h m/symbolic.onnx $s --calib m/a.npy --emit qdq -o c.onnx
echo "exit $?"
$h m/symbolic.onnx $s --calib a=m/a.npy --calib a=m/a.npy --calib b=m/b.npy --emit qdq -o c.onnx
echo "exit $?"
ls c.onnx
"$HBCC" run "$TOP/samples/shapes/model.onnx" --input "$TOP/samples/shapes/test/00-circle.png" | sed 's/\([0-9]\.[0-9][0-9]\)[0-9]*/\1/g'
