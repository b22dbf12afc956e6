# every form, by default names; what the simulator gives is what the fixed-point graph gives
exec 2>&1
ln -s "$TOP/tests/cli/models" m
for form in onnx fused qdq hbir plan hbm; do
	"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --emit $form
	echo "$form: exit $?"
done
ls
for f in onnx fused.onnx qdq.onnx hbir.onnx; do
	"$HBCC" info tiny.$f | sed -n '1p; /^nodes/,/^metadata/p' | grep -v metadata
done
for level in 0 1; do
	"$HBCC" compile m/tiny.onnx --march bernoulli2 --calib m/x4.npy -O $level -o l$level.hbm
	"$HBCC" run l$level.hbm --input m/x.npy --raw-int --check-hazards --stats s$level.json --output h$level
	"$HBCC" compile m/tiny.onnx --march bernoulli2 --calib m/x4.npy --emit hbir -o l$level.onnx
	"$HBCC" run l$level.onnx --input m/x.npy --raw-int --output f$level
	cmp h$level/out_0.npy f$level/out_0.npy && echo "O$level: the same integers"
	"$HBCC" perf l$level.hbm --format json > p$level.json
	for k in loaded stored; do
		a=$(sed -n "s/^  \"$k\": \([0-9]*\).*/\1/p" s$level.json)
		b=$(sed -n "s/.*\"$k bytes per frame\": \([0-9]*\).*/\1/p" p$level.json)
		[ "$a" = "$b" ] && echo "O$level: as many bytes $k as estimated"
	done
done
"$HBCC" run l1.hbm --input m/x.npy | sed 's/,.*//; 2d'
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --jobs 1 -o again.hbm
cmp tiny.hbm again.hbm && echo "the same bytes"
HBCC_ISA=scalar "$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy -o again.hbm
cmp tiny.hbm again.hbm && echo "the same bytes"
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x.npz -o npz.hbm
"$HBCC" calibrate m/tiny.onnx --march bayes --calib m/x4.npy -o cal.onnx
cmp cal.onnx tiny.qdq.onnx && echo "calibrate is compile --emit qdq"
echo "without samples"
"$HBCC" compile m/tiny.onnx --march bayes -o noise.hbm
"$HBCC" info noise.hbm | grep uncalibrated
"$HBCC" perf noise.hbm | grep uncalibrated
echo "a gate on accuracy leaves nothing either"
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --min-cosine 0.9 -o good.hbm && cmp good.hbm tiny.hbm
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --min-cosine 1 -o poor.hbm 2>&1 | sed 's/ [0-9]\.[0-9]*/ N/g'
ls poor.hbm
echo "nothing for the BPU leaves nothing"
"$HBCC" compile m/no-bpu.onnx --march bayes
echo "exit $?"
ls no-bpu.hbm
exit 0
