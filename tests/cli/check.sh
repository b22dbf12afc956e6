# placement and its reports in every format
exec 2>&1
ln -s "$TOP/tests/cli/models" m
for f in text json junit sarif markdown; do
	echo "--- $f"
	"$HBCC" check m/mixed.onnx --march bayes --format $f
	echo "exit $?"
done
echo "--- tiny"
"$HBCC" check m/tiny.onnx --march bernoulli2
echo "--- strict"
"$HBCC" check m/mixed.onnx --march bayes --strict
echo "exit $?"
"$HBCC" check m/mixed.onnx --march bayes --strict --format junit
echo "exit $?"
echo "--- large kernel"
"$HBCC" check m/large-kernel.onnx --march bayes
echo "exit $?"
echo "--- moved by hand"
"$HBCC" check m/tiny.onnx --march bayes --run-on-cpu pool
echo "--- nothing for the BPU"
"$HBCC" check m/no-bpu.onnx --march bayes
echo "exit $?"
echo "--- advice"
"$HBCC" check m/tiny.onnx --march bayes --advice 0 | sed -n 's/[0-9][0-9.e-]*/N/g; /^advice/p'
"$HBCC" check m/tiny.onnx --march bayes --advice 1000000 --format json | grep -A1 advice
