# accuracy options: what they need, and that they say what they did
exec 2>&1
ln -s "$TOP/tests/cli/models" m
for o in --refine --round-weights --auto-int16; do
	"$HBCC" compile m/tiny.onnx --march bayes $o
	echo "exit $?"
done
"$HBCC" compile m/tiny.onnx --march bernoulli2 --calib m/x4.npy --auto-int16
echo "exit $?"
echo "--- int8 is enough, then not even int16 is"
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --auto-int16 --min-cosine 0.99 2>&1 | sed 's/; cosine.*//'
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --auto-int16 --min-cosine 0.99999 --emit hbir > log 2>&1
echo "exit $?"
sed -n '/auto-int16/s/; cosine.*//p; s/.*error: .*min-cosine.*/misses its gate/p; s/.*the first below.*/names the first/p' log
test -e tiny.hbir.onnx && echo "left a file"
echo "--- jobs leave no trace"
for o in --refine --round-weights "--auto-int16 --min-cosine 0.9999"; do
	"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy $o --jobs 1 -o 1.hbm > /dev/null 2>&1
	"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy $o --jobs 2 -o 2.hbm > /dev/null 2>&1
	cmp 1.hbm 2.hbm && echo "same bytes"
done
echo "--- weights by mse: the ranges of activations stay, and all but what the layers yield"
for o in minmax mse; do
	"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --weight-observer $o --save-ranges $o.json -o $o.hbm
done
cmp minmax.json mse.json && echo "same ranges"
cmp -s minmax.hbm mse.hbm || echo "other weights"
"$HBCC" info mse.hbm | grep weight-observer
printf 'quant_parameters:\n  weight_observer: mse\n' > all.yaml
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --config all.yaml -o all.hbm
cmp all.hbm mse.hbm && echo "the configuration says the same"
printf 'quant_parameters:\n  op_type: {Gemm: {weight_observer: mse}}\n' > one.yaml
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --emit hbir -o none.onnx
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --config one.yaml --emit hbir -o one.onnx
for o in none one; do
	"$HBCC" run $o.onnx --input m/x.npy --dump all --output $o > /dev/null
done
diff -rq none one || true
