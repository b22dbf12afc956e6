# outputs that are read on, that are an input, a constant or a folded shape: the same from every form
exec 2>&1
ln -s "$TOP/tests/cli/models" m
"$HBCC" compile m/outputs.onnx --march bayes --calib m/m.npy
echo "exit $?"
"$HBCC" compile m/outputs.onnx --march bayes --calib m/m.npy --emit hbir
"$HBCC" info outputs.hbm | grep '^output'
for ints in "" --raw-int; do
	"$HBCC" run outputs.hbm --input m/m.npy --output h$ints $ints
	"$HBCC" run outputs.hbir.onnx --input m/m.npy --output f$ints $ints
	for i in 0 1 2 3 4; do
		cmp h$ints/out_$i.npy f$ints/out_$i.npy && echo "output $i: the same"
	done
done
"$HBCC" run m/outputs.onnx --input m/m.npy --output float
for i in 2 3 4; do
	cmp h/out_$i.npy float/out_$i.npy && echo "output $i: the model's"
done
