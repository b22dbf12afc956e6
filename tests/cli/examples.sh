# every command line of the manual pages and of the README works as it stands there
exec 2>&1
mkdir bin
ln -s "$HBCC" bin/hbcc
PATH=$PWD/bin:$PATH
s=$TOP/samples/shapes
ln -s "$TOP/samples" samples
ln -s "$s/model.onnx" "$s/calib" .
mkdir one
hbcc run model.onnx --input "$s/test/00-circle.png" --output one --dump all
ln -s one/node/_norm_BatchNormalization.npy x.npy
ln -s "$s/test/00-circle.png" photo.png
ln -s "$s/model.onnx" resnet.onnx
hbcc compile model.onnx --march bayes --calib calib
hbcc compile model.onnx --march bayes --calib calib --emit hbir
hbcc compile model.onnx --march bayes --calib calib --name other -o other.hbm
hbcc perf model.hbm --format json > perf.json
for k in 0 1; do hbcc calibrate model.onnx --march bayes --calib calib --save-stats $k.stats; done
{
	sed -n 's/^\.Dl \(hbcc .*\)/\1/p; s/^\(hbcc .*\)/\1/p' "$TOP"/man/*.[15]
	sed -n 's/^    \(hbcc .*\)/\1/p' "$TOP/README.md"
} | grep -v "\.$" | sort -u | while read -r line; do
	sh -c "$line" > out 2> err < /dev/null
	echo "$line: exit $?"
	cat err
done
