# compile --verify: every form against the one before it, and no file where one differs
exec 2>&1
ln -s "$TOP/tests/cli/models" m
digits() { sed 's/to [0-9.e-]* over/to N over/; s/; the farthest is.*//; s/cosine [0-9.]*/cosine N/; s/by [0-9.e+-]* of/by N of/'; }
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy -o plain.hbm
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --verify -o proved.hbm 2>&1 | digits
cmp plain.hbm proved.hbm && echo "the same bytes"
echo "--- noise, two outputs, nodes on the CPU"
"$HBCC" compile m/outputs.onnx --march bayes --verify --deflate --debug -o outputs.hbm 2>&1 | digits
"$HBCC" compile m/mixed.onnx --march bayes-e --verify --output-layout NCHW -o mixed.hbm 2>&1 | digits
echo "--- a model with scales of its own"
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --emit qdq -o qdq.onnx
"$HBCC" compile qdq.onnx --march bayes --verify -o qdq.hbm 2>&1 | digits
echo "--- a rewrite that float cannot tell from the model leaves no file"
"$HBCC" compile m/cancel.onnx --march bayes -o cancel.hbm && rm cancel.hbm
"$HBCC" compile m/cancel.onnx --march bayes --verify -o cancel.hbm > log 2>&1
echo "exit $?"
digits < log
ls cancel.hbm
"$HBCC" compile m/tiny.onnx --march bayes --verify --emit qdq
echo "exit $?"
