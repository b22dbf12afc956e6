# what the lists put on the BPU without a fixed-point form of ours goes to the CPU, and check knows
exec 2>&1
ln -s "$TOP/tests/cli/models" m
"$HBCC" check m/no-form.onnx --march bayes
echo "exit $?"
"$HBCC" compile m/no-form.onnx --march bayes
echo "exit $?"
"$HBCC" info no-form.hbm | grep '^segments'
