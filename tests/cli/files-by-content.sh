# an .hbm is known by its first bytes, and said to be one where ONNX is taken
exec 2>&1
ln -s "$TOP/tests/cli/models" m
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy -o tiny.bin
"$HBCC" info tiny.bin | sed -n 1,3p
"$HBCC" run tiny.bin --input m/x.npy --check-hazards
echo "exit $?"
"$HBCC" check tiny.bin --march bayes
echo "exit $?"
"$HBCC" compile tiny.bin --march bayes -o other.hbm
echo "exit $?"
ls
