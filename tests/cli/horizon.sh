# operators of the domain horizon: placed, compiled, run; the machine gives the fixed-point graph's integers at every level
exec 2>&1
ln -s "$TOP/tests/cli/models" m
inputs="--input x=m/horizon-x.npy --input boxes=m/horizon-boxes.npy --input grid=m/horizon-grid.npy"
"$HBCC" check m/horizon.onnx --march bayes
echo "exit $?"
for form in fused qdq hbir; do
	"$HBCC" compile m/horizon.onnx --march bayes --calib m/horizon.npz --emit $form || echo "exit $?"
done
"$HBCC" run horizon.hbir.onnx $inputs --raw-int --output f
for level in 0 1; do
	"$HBCC" compile m/horizon.onnx --march bayes --calib m/horizon.npz -O $level -o l$level.hbm || echo "exit $?"
	"$HBCC" run l$level.hbm $inputs --raw-int --check-hazards --output h$level
	for i in 0 1; do
		cmp f/out_$i.npy h$level/out_$i.npy && echo "level $level, output $i: the same"
	done
done
"$HBCC" verify m/horizon.onnx l1.hbm --calib m/horizon.npz --min-cosine 0.98 > verified
echo "exit $?"
"$HBCC" run horizon.qdq.onnx $inputs --output q && ls q
