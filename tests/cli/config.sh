# configuration files
ln -s "$TOP/tests/cli/models" m
exec 2>&1
t() { echo "\$ hbcc $*"; "$HBCC" "$@"; echo "exit $?"; }
cat > good.yaml <<'Y'
model_parameters:
  onnx_model: m/tiny.onnx
  march: bayes
  output_model_file_prefix: tiny
  working_dir: .
  layer_out_dump: False
input_parameters:
  input_name: x
  input_shape: 1x3x8x8
  input_type_train: featuremap
  input_layout_train: NCHW
  norm_type: no_preprocess
calibration_parameters:
  cal_data_dir: m/x4.npy
  calibration_type: max
compiler_parameters:
  compile_mode: latency
  optimize_level: O1
  core_num: 1
  jobs: 1
Y
t check --config good.yaml
t check --config good.yaml --march bernoulli2
cat > bad.yaml <<'Y'
model_parameters:
  march: bayes
  colour: red
calibration_parameters:
  calibration_type: astrology
  per_channel: True
compiler_parameters:
  jobs: few
quant_parameters:
  node_name:
    "conv*": {dtype: qint8, flavour: sweet}
  tensor:
    x: {scale: -1}
surprises:
  a: 1
Y
t check m/tiny.onnx --config bad.yaml
printf 'model_parameters: [1, 2' > broken.yaml
t check m/tiny.onnx --config broken.yaml
printf 'just words' > words.yaml
t check m/tiny.onnx --config words.yaml
t check m/tiny.onnx --config nonesuch.yaml
printf 'model_parameters:\n  march: pdp11\n' > march.yaml
t check m/tiny.onnx --config march.yaml
