# which node gets what: rules by operator, node and tensor, node_info, types that change together, inputs and outputs
exec 2>&1
ln -s "$TOP/tests/cli/models" m
ln -s "$TOP/samples/shapes/model.onnx" shapes.onnx
ln -s "$TOP/samples/shapes/calib" .
t() { echo "\$ hbcc $*"; "$HBCC" "$@"; echo "exit $?"; }
cat > rules.yaml <<'Y'
model_parameters:
  march: bayes
  node_info:
    "/body/body.6/GlobalAveragePool": {"ON": "BPU", "InputType": "int16"}
    nonesuch: {ON: CPU}
quant_parameters:
  observer: kl
  op_type:
    MaxPool: qint16
    Convv: {dtype: qint16}
  node_name:
    "/body/body.5*": {observer: percentile, percentile: 0.999}
    "/body/body.5/body/body.1*": {observer: moving, averaging_constant: 0.1}
    "/body/body.3/body.3.2/Rel": none
    "/head/*": {high_precision_output: False, weight_observer: mse}
  tensor:
    picture: {scale: 2}
Y
t calibrate shapes.onnx --config rules.yaml --print-config
t compile shapes.onnx --config rules.yaml --calib calib -o a.hbm | tail -n 1
t calibrate shapes.onnx --config rules.yaml --march bernoulli2 --print-config
cat > none.yaml <<'Y'
quant_parameters:
  node_name:
    "/body/body.3/body.3.2/Relu": none
calibration_parameters:
  calibration_type: kl
  optimization: set_model_output_int16; set_Add_output_int8
  per_channel: False
Y
t calibrate shapes.onnx --march bayes --config none.yaml --print-config
t calibrate shapes.onnx --march bayes --config none.yaml --observer moving --averaging-constant 0.5 --print-config
cat > bad.yaml <<'Y'
model_parameters:
  prototxt: net.prototxt
  node_info:
    conv0: {InputTypeX: int16}
    conv1: {ON: DSP}
  set_node_data_type: {Conv: int4}
calibration_parameters:
  optimization: set_everything
  per_channel: maybe
quant_parameters:
  weight_dtype: qint16
  averaging_constant: 2
  op_type:
    Conv: {weight_dtype: qint16}
    Add: {observer: default}
    Gemm: {high_precision_output: 3}
  weight_observer: kl
  node_name:
    fc: {weight_observer: percentile}
Y
t check m/tiny.onnx --march bayes --config bad.yaml
cat > skip.yaml <<'Y'
calibration_parameters:
  cal_data_dir: m/x4.npy
  calibration_type: skip
Y
t calibrate m/tiny.onnx --march bayes --config skip.yaml -o skip.onnx
"$HBCC" calibrate m/tiny.onnx --march bayes -o noise.onnx 2> /dev/null && cmp skip.onnx noise.onnx && echo skip takes no samples
t calibrate m/tiny.onnx --march bayes --calib m/x4.npy --observer load
"$HBCC" calibrate m/tiny.onnx --march bayes --calib m/x4.npy --save-ranges r.json -o a.onnx
"$HBCC" calibrate m/tiny.onnx --march bayes --observer load --load-ranges r.json -o b.onnx && cmp a.onnx b.onnx && echo load
cat > cut.yaml <<'Y'
model_parameters:
  output_nodes: pool
Y
t check m/tiny.onnx --march bayes --config cut.yaml
cat > cut.yaml <<'Y'
model_parameters:
  remove_node_type: Quantize; Gemm; Flatten; Softmax
  remove_node_name: [pool]
Y
t check m/tiny.onnx --march bayes --config cut.yaml
printf 'model_parameters:\n  output_nodes: pol\n' > cut.yaml
t check m/tiny.onnx --march bayes --config cut.yaml
