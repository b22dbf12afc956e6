# why a layer loses: each cause where it is, and not where it is not
exec 2>&1
ln -s "$TOP/tests/cli/models" m
causes() { "$HBCC" verify "$@" | sed -n '/^Layer  *Cause/,/^$/p; /^No layer shows/p' | sed 's/\([0-9]\)\.[0-9]*/\1/g; s/   */  /g'; }
"$HBCC" compile m/causes.onnx --march bayes --calib m/causes.npz --int8-outputs --emit hbir
echo "--- dead and unequal channels, operands far apart, outliers; not in plain, small, even"
causes m/causes.onnx causes.hbir.onnx --calib m/causes.npz
echo "--- an .hbm shows no operand of cat: their float values tell"
"$HBCC" compile m/causes.onnx --march bayes --calib m/causes.npz --int8-outputs
causes m/causes.onnx causes.hbm --calib m/causes.npz
echo "--- int16 has steps enough"
"$HBCC" compile m/causes.onnx --march bayes --calib m/causes.npz --int8-outputs --dtype qint16 --emit hbir -o 16.hbir.onnx
causes m/causes.onnx 16.hbir.onnx --calib m/causes.npz
echo "--- samples beyond the range, within a part of it, the ones it was made with, no numbers"
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --emit hbir
for s in x-wide x-narrow x4 x-nan; do
	echo "$s"
	causes m/tiny.onnx tiny.hbir.onnx --calib m/$s.npy
done
echo "--- a model with no scale has nothing that costs steps"
causes m/tiny.onnx m/tiny.onnx --calib m/x4.npy
echo "--- as JSON"
"$HBCC" verify m/causes.onnx causes.hbir.onnx --calib m/causes.npz --format json | sed -n '/"node": "<b>/,/^    }/p' | sed -n '/"range"/,/\]/p' | sed 's/\([0-9]\)\.[0-9]*/\1/g'
