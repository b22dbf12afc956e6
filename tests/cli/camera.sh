# inputs that take what a camera gives: colours, mean and scale become a convolution; samples are as the model was trained
exec 2>&1
m="$TOP/samples/shapes/model.onnx" NPY=$(dirname "$HBCC")/tests/tools/npy
ln -s "$m" shapes.onnx
ln -s "$TOP/samples/shapes/calib" "$TOP/samples/shapes/test" .
t() { echo "\$ hbcc $*"; "$HBCC" "$@"; echo "exit $?"; }
config() {	# TRAIN RT LAYOUT [KEYS]
	printf 'input_parameters:\n  input_name: picture\n  input_type_train: %s\n  input_type_rt: %s\n  input_layout_train: %s\n%b' "$@" '' > c.yaml
}
right() {	# how many of the test pictures the compiled model tells
	n=0
	for p in test/*.png; do
		best=$("$HBCC" run "$1" --input "$p" | awk 'NR == 2 { for (i = 1; i <= 6; i++) if (i == 1 || $i > $b) b = i; print b }')
		guess=$(echo circle square triangle cross ring stripes | cut -d' ' -f"$best")
		case $p in *-"$guess".png) n=$((n + 1)) ;; esac
	done
	echo "$n right"
}
# every way a camera can give RGB pictures, as pictures for hbcc run
for rt in rgb bgr yuv444 nv12; do
	config rgb $rt NCHW
	"$HBCC" compile shapes.onnx --march bayes --config c.yaml --calib calib -o $rt.hbm || echo "$rt: exit $?"
	echo "$rt: $(right $rt.hbm)"
	"$HBCC" info $rt.hbm | grep -a 'hbcc.input'
done
t calibrate shapes.onnx --march bayes --config c.yaml --print-config 2>&1 | sed -n 1,4p
# rgb bytes and nothing else to do: as the model itself, but for the step of its input
config rgb rgb NCHW
"$HBCC" run shapes.onnx --input test/00-circle.png --output plain
"$HBCC" run shapes.onnx --config c.yaml --input test/00-circle.png --output camera
"$NPY" diff camera/out_0.npy plain/out_0.npy 1e-4 1e-3 && echo the same in float
# grey of all shades: nv12 bytes, Y = 0..255 over the rows, no colour
awk 'BEGIN { for (i = 0; i < 1024; i++) printf "%c", 1 + i / 8.1; for (i = 0; i < 512; i++) printf "%c", 1 }' > grey.nv12
for form in hbir qdq; do
	config rgb nv12 NCHW
	"$HBCC" compile shapes.onnx --march bayes --config c.yaml --calib calib --emit $form -o n.onnx
	"$HBCC" run n.onnx --input grey.nv12 --output $form
done
"$HBCC" run nv12.hbm --input grey.nv12 --raw-int --output sim
"$HBCC" run nv12.hbm --input grey.nv12 --output sim_float
"$NPY" diff sim_float/out_0.npy hbir/out_0.npy && echo simulator and graph agree on nv12 bytes
head -c 1000 grey.nv12 > short.nv12
t run nv12.hbm --input short.nv12
# what a file says of an input that cannot be such pictures
LC_ALL=C sed 's/nv12 regular/gray regular/' n.onnx > gray.onnx
t run gray.onnx --input grey.nv12
# mean and scale of a model that takes values about 0
cat > norm.yaml <<'Y'
input_parameters:
  input_name: picture
  input_type_train: rgb
  input_type_rt: featuremap
  norm_type: data_mean_and_scale
  mean_value: 10 20 30
  scale_value: 0.5
Y
t check shapes.onnx --march bayes --config norm.yaml
sed -i 's/rgb/featuremap/' norm.yaml
"$HBCC" run shapes.onnx --config norm.yaml --input test/00-circle.png --dump HZ_PREPROCESS_FOR_picture --output n && ls n/node
t verify shapes.onnx nv12.hbm --calib test
config rgb nv12 NCHW
"$HBCC" verify shapes.onnx nv12.hbm --config c.yaml --calib test --min-cosine 0.99 > /dev/null && echo verified
# what does not go together
config gray nv12 NCHW; t check shapes.onnx --march bayes --config c.yaml
config rgb yuv420 NCHW; t check shapes.onnx --march bayes --config c.yaml
config rgb nv12 NHWC; t check shapes.onnx --march bayes --config c.yaml
config rgb rgb NCHW '  norm_type: data_mean\n  mean_value: 1 2\n'; t check shapes.onnx --march bayes --config c.yaml
config rgb rgb NCHW '  norm_type: data_median\n'; t check shapes.onnx --march bayes --config c.yaml
config rgb rgb NCHW '  input_space_and_range: bt601_video\n'; t check shapes.onnx --march bayes --config c.yaml
exit 0
