# a spectrum's magnitudes are one operation, its quiet half keeps its steps, readers that take no int16 read copies
exec 2>&1
ln -s "$TOP/tests/cli/models" m
tail -c +129 m/spectrum.npy | head -c 512 > one.bin	# the first sample, behind the header
# compile OPTIONS...: on the samples
compile() { "$HBCC" compile m/spectrum.onnx --march bayes --calib m/spectrum.npy "$@"; }
# hold OPTIONS...: both ways to the same bytes, fixed point and simulator to the same integers; beside the float model
hold() {
	compile "$@" --debug -o a.hbm > /dev/null 2>&1
	compile "$@" --emit qdq > /dev/null 2>&1
	compile "$@" --emit hbir > /dev/null 2>&1
	"$HBCC" compile spectrum.qdq.onnx --march bayes --debug -o b.hbm
	cmp a.hbm b.hbm && echo "$*: the same bytes"
	"$HBCC" run a.hbm --input one.bin --raw-int --check-hazards --output h
	"$HBCC" run spectrum.hbir.onnx --input one.bin --raw-int --output i
	cmp h/out_0.npy i/out_0.npy && echo "$*: the same integers"
	"$HBCC" verify m/spectrum.onnx a.hbm --calib m/spectrum.npy | awk '/^(mag|feat|band|all|conv|prelu|up) / { print $1, $5, $6 }' | head -n 7
}
"$HBCC" check m/spectrum.onnx --march bayes | grep -v Slice
compile -o a.hbm
hold --observer mse
hold --dtype qint16
hold --run-on-cpu Pow	# the magnitude has no place as a whole
echo what a rule says stands
printf 'quant_parameters:\n  tensor:\n    feat: qint8\n' > c.yaml
compile --config c.yaml -o c.hbm
echo without samples nothing is known of parts
"$HBCC" compile m/spectrum.onnx --march bayes -o u.hbm
{
	compile -o a.hbm
	"$HBCC" calibrate m/spectrum.onnx --march bayes --calib m/spectrum.npy --save-ranges r.json
	"$HBCC" compile m/spectrum.onnx --march bayes --load-ranges r.json -o b.hbm
	compile --emit qdq -o s.onnx
	"$HBCC" calibrate m/spectrum.onnx --march bayes --calib m/spectrum.npy --save-stats 0.stats
	"$HBCC" calibrate m/spectrum.onnx --march bayes --merge 0.stats -o t.onnx
} 2> notes
cmp a.hbm b.hbm && echo ranges tell of parts too
cmp s.onnx t.onnx && echo and statistics
