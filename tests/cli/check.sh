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
"$HBCC" check m/tiny.onnx --march bayes --advice 0 | sed -n 's/[0-9][0-9.e-]*/N/g; /^  N us/p' | sort -u
"$HBCC" check m/tiny.onnx --march bayes --advice 0 | grep '^figures'
"$HBCC" check m/mixed.onnx --march bayes --advice 0 | sed -n '/CumSum.*takes/,$s/[0-9][0-9.e-]*/N/gp' | head -n 2
"$HBCC" check m/tiny.onnx --march bayes --advice 1000000 --format json | grep -A1 advice
echo "--- reports hold what their standards ask, whatever the names"
cp m/mixed.onnx "a b#%.onnx"
for x in "m/mixed.onnx --march bayes" "m/large-kernel.onnx --march bernoulli2 --strict" "m/no-bpu.onnx --march bayes" "m/tiny.onnx --march bayes-e"; do
	for f in sarif junit; do
		"$HBCC" check $x --format $f > report
		"$(dirname "$HBCC")/tests/tools/reports" $f report || echo "exit $?: $x $f"
	done
done
"$HBCC" check "a b#%.onnx" --march bayes --format sarif > report
"$(dirname "$HBCC")/tests/tools/reports" sarif report
grep -m 1 '"uri"' report
echo "--- what a CPU node costs"
"$HBCC" check m/mixed.onnx --march bayes | grep ' cost'
"$HBCC" check m/mixed.onnx --march bayes --format json | grep -A 6 '"cost"'
echo "--- more outputs than there may be"
for f in text junit sarif json; do
	"$HBCC" check m/many-outputs.onnx --march bayes --format $f > report
	echo "exit $?"
	grep 'refused\|"limits of\|model_outputs' report
done
"$HBCC" compile m/many-outputs.onnx --march bayes
echo "exit $?"
