# int16: both operands of a division stay int16; the simulator gives the graph's integers
exec 2>&1
ln -s "$TOP/tests/cli/models" m
for form in hbm hbir; do
	"$HBCC" compile m/divide.onnx --march bayes --dtype qint16 --calib m/ab.npz --emit $form
	echo "exit $?"
done
"$HBCC" run divide.hbm --input m/a.npy --input m/b.npy --raw-int --output h
"$HBCC" run divide.hbir.onnx --input m/a.npy --input m/b.npy --raw-int --output f
cmp h/out_0.npy f/out_0.npy && echo the same integers
"$HBCC" verify m/divide.onnx divide.hbm --calib m/ab.npz --min-cosine 0.999
