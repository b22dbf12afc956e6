# a march of the user's own
exec 2>&1
ln -s "$TOP/tests/cli/models" m
cat > mine.yaml <<'Y'
march: mine
base: bayes-e
note: invented for this test
figures:
  sram_bytes: { value: 1048576, source: "public: data sheet" }
rules:
  - { op: Conv, rule: "kh in 1..2 && kw in 1..2", source: data sheet, advice: "use 2x2" }
Y
"$HBCC" march ./mine.yaml | grep -e sram_bytes -e mac_h
"$HBCC" march ./mine.yaml --ops --format json | grep -c 'kh in 1..2 && kw in 1..2'
"$HBCC" check m/tiny.onnx --march ./mine.yaml
echo "exit $?"
printf 'march: bad\nbase: bayes\nrules:\n  - { op: Conv, rules: "kh in 1..3" }\n' > bad.yaml
"$HBCC" check m/tiny.onnx --march bad.yaml
echo "exit $?"
"$HBCC" check m/tiny.onnx --march ./none.yaml
echo "exit $?"

# what was compiled for it runs, with its file
cp m/tiny.onnx .
"$HBCC" compile tiny.onnx --march ./mine.yaml --calib m/x4.npy -o mine.hbm
"$HBCC" compile tiny.onnx --march ./mine.yaml --calib m/x4.npy --emit hbir -o mine.onnx
"$HBCC" run mine.hbm --march ./mine.yaml --input m/x.npy --raw-int --output a
"$HBCC" run mine.onnx --input m/x.npy --raw-int --output b
diff -r a b && echo its simulator gives the integers of the fixed-point graph
"$HBCC" perf mine.hbm --march ./mine.yaml | grep ^March
"$HBCC" verify tiny.onnx mine.hbm --march ./mine.yaml --calib m/x4.npy | grep samples
"$HBCC" visualize mine.hbm --march ./mine.yaml -o mine.dot
"$HBCC" run mine.hbm --input m/x.npy
echo "exit $?"
"$HBCC" run mine.hbm --march bayes --input m/x.npy
echo "exit $?"
