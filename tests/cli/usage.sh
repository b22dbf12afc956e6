# command line errors: exit 2 and a sentence
ln -s "$TOP/tests/cli/models" m
exec 2>&1
t() { echo "\$ hbcc $*"; "$HBCC" "$@"; echo "exit $?"; }
t
t frobnicate
t compile
t check m/tiny.onnx
t check m/tiny.onnx --march nonesuch
t check m/tiny.onnx extra --march bayes
t run m/tiny.onnx --frobnicate
t run m/tiny.onnx -q
t run m/tiny.onnx --input
t run m/tiny.onnx --format gif
t run m/tiny.onnx --dump all
t run m/tiny.onnx --stats s.json
t run m/tiny.onnx --check-hazards
t run m/tiny.onnx --jobs many
t run m/tiny.onnx --jobs -1
t run m/tiny.onnx --jobs 1 --jobs 2
t run m/tiny.onnx --max-memory 1K
t run m/tiny.onnx --max-memory lots
t run m/tiny.onnx --input-shape x:1xfour
t run m/tiny.onnx --input-shape nonesuch:1x3x8x8
t run m/tiny.onnx
t run m/tiny.onnx --input m/x.npy --input m/x.npy
t run m/tiny.onnx --input y=m/x.npy
t run m/symbolic.onnx --input m/a.npy
t compile m/tiny.onnx --march bayes -O 9
t compile m/tiny.onnx --march bayes --emit wasm
t compile m/tiny.onnx --march bayes --all-outputs
t compile m/tiny.onnx --march bayes --observer psychic
t compile m/tiny.onnx --march bernoulli2 --dtype qint16
t compile m/tiny.onnx --march bayes --calib nonesuch=m/x.npy
t compile m/tiny.onnx --march bayes --min-cosine 0.9
t compile m/tiny.onnx --march bayes --input-source x:pyramid
t compile m/tiny.onnx --march bayes --input-source nonesuch:ddr
t compile m/tiny.onnx --march bayes --run-on-bpu nonesuch
t compile m/tiny.onnx --march bayes --run-on-bpu pool --run-on-cpu pool
t perf m/tiny.onnx --march bayes --tolerance 3
t compile m/tiny.onnx --march bayes --observer mse --percentile 0.9
cp m/tiny.onnx .
t compile tiny.onnx --emit onnx
t compile tiny.onnx --march bayes -o ./tiny.onnx
cmp tiny.onnx m/tiny.onnx
t verify m/tiny.onnx m/tiny.onnx
t march nonesuch
t march --ops
t info m/symbolic.onnx
HBCC_ISA=mmx t info m/tiny.onnx
