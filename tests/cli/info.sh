# what info says of the ONNX forms
ln -s "$TOP/tests/cli/models" m
"$HBCC" info m/tiny.onnx
"$HBCC" info m/tiny.onnx --format json
"$HBCC" info m/symbolic.onnx --input-shape a:2x6 --input-shape b:2x6
