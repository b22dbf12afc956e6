# the fake-quantized form compiles, without samples, to the bytes that the model itself compiles to
exec 2>&1
ln -s "$TOP/tests/cli/models" m
# round NAME MODEL OPTIONS...: scales are chosen once and once not at all
round() {
	name=$1 model=$2
	shift 2
	rm -rf q && mkdir q
	"$HBCC" compile "m/$model" "$@" -o a.hbm > log || cat log
	"$HBCC" compile "m/$model" "$@" --emit qdq > log || cat log
	"$HBCC" compile "${model%.onnx}.qdq.onnx" --march bayes -o b.hbm 2> log
	cat log
	cmp a.hbm b.hbm && echo "$name: the same bytes"
}
round plain tiny.onnx --march bayes --calib m/x4.npy
round int16 tiny.onnx --march bayes --calib m/x4.npy --dtype qint16 2> notes
round rounding tiny.onnx --march bayes --calib m/x4.npy --round half_up --scale-divisor qmax --observer percentile --percentile 0.999
round outputs tiny.onnx --march bayes --calib m/x4.npy --int8-outputs --no-bias-correction
round weights tiny.onnx --march bayes --calib m/x4.npy --weight-observer mse --refine
round uncalibrated mixed.onnx --march bayes
round placed mixed.onnx --march bayes --run-on-cpu Relu
round shared outputs.onnx --march bayes
"$HBCC" compile m/tiny.onnx --march bernoulli2 --calib m/x4.npy -o a.hbm
"$HBCC" compile m/tiny.onnx --march bernoulli2 --calib m/x4.npy --emit qdq
"$HBCC" compile tiny.qdq.onnx --march bernoulli2 -o b.hbm
cmp a.hbm b.hbm && echo "another machine: the same bytes"
"$HBCC" info b.hbm | grep -E '^(model|metadata)'
shapes="$TOP/samples/shapes/model.onnx --march bayes --calib $TOP/samples/shapes/calib --per-channel"
"$HBCC" compile $shapes -o a.hbm
"$HBCC" compile $shapes --emit qdq -o q.onnx
"$HBCC" compile q.onnx --march bayes -o b.hbm
cmp a.hbm b.hbm && echo "scales of channels: the same bytes"
"$HBCC" compile $shapes --debug -o d.hbm
"$HBCC" disas d.hbm | sed -n "s/^tensor .* i8 .* \([0-9]* scales on axis 1\) '\(.*\)'.*/\2: \1/p"
