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

# a result takes the place of no source and of no other result; what has no effect is refused
cp m/tiny.onnx own.onnx
"$HBCC" compile own.onnx --march bayes --calib m/x4.npy --debug -o own.hbm
"$HBCC" compile own.onnx --march bayes --calib m/x4.npy --name two -o two.hbm
"$HBCC" perf own.hbm --format json -o own.json
cksum own.onnx own.hbm own.json > before
t disas own.hbm -o own.hbm
t pack own.hbm two.hbm -o own.hbm
t perf own.onnx --march bayes --trace own.onnx
t perf own.hbm --baseline own.json --format json -o own.json
t run own.hbm --input m/x.npy --stats ./own.hbm
t compile own.onnx --march bayes --calib m/x4.npy --save-ranges both -o both
t calibrate own.onnx --march bayes --calib m/x4.npy --save-stats s -o q.onnx
t calibrate own.onnx --march bayes --print-config -o q.onnx
t compile own.hbm --march bayes
t verify own.hbm own.onnx --calib m/x4.npy
t verify own.onnx two.hbm --calib m/x4.npy --blame
t perf own.hbm -o own.html
t perf own.hbm -O0
t perf own.hbm --calib m/x4.npy
t run own.onnx --march bayes --input m/x.npy
t compile own.onnx --march bayes --percentile 0.9
t compile own.onnx --march bayes --averaging-constant 0.5
cksum own.onnx own.hbm own.json | cmp - before && ls
# files of no bytes
for suffix in yaml json npy npz pb bin png jpg hbm onnx; do : > none.$suffix; done
t check m/tiny.onnx --march bayes --config none.yaml
t check m/tiny.onnx --march ./none.yaml
t perf own.hbm --baseline none.json
t compile own.onnx --march bayes --load-ranges none.json
t calibrate own.onnx none.bin --march bayes --merge
for suffix in npy npz pb bin png jpg; do t run m/tiny.onnx --input none.$suffix; done
t run none.hbm
t info none.onnx
