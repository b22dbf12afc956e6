# content errors: exit 3; system errors: exit 4
ln -s "$TOP/tests/cli/models" m
exec 2>&1
t() { echo "\$ hbcc $*"; "$HBCC" "$@"; echo "exit $?"; }
t info nonesuch.onnx
t info m
t info m/cycle.onnx
head -c 3000 m/tiny.onnx > cut.onnx
t info cut.onnx
: > empty.onnx
t info empty.onnx
t run m/tiny.onnx --input nonesuch.npy
t run m/tiny.onnx --input m/wrong-shape.npy
t run m/tiny.onnx --input m/wrong-type.npy
t run m/tiny.onnx --input m/x4.npy
t run m/tiny.onnx --input m/tiny.onnx
t run m/tiny.onnx --input m/ab.npz
head -c 400 m/x.npy > cut.npy
t run m/tiny.onnx --input cut.npy
head -c 40 m/x.npy > head.npy
t run m/tiny.onnx --input head.npy
printf 'GIF89a' > not.npy
t run m/tiny.onnx --input not.npy
: > none.npy
t run m/tiny.onnx --input none.npy
printf '\223NUMPY\001\000\066\000%s\n' "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}" > complex.npy
t run m/tiny.onnx --input complex.npy
printf '\223NUMPY\001\000\120\000%-79s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296,4294967296)}" > huge.npy
t run m/tiny.onnx --input huge.npy
printf 'not a picture' > not.png
t run m/tiny.onnx --input not.png
printf 'not a picture' > not.jpg
t run m/tiny.onnx --input not.jpg
head -c 300 m/x.npz > cut.npz
t run m/tiny.onnx --input cut.npz
head -c 100 m/x.pb > cut.pb
t run m/tiny.onnx --input cut.pb
head -c 100 m/x.npy > short.bin
t run m/tiny.onnx --input short.bin
t run m/tiny.onnx --input "$TOP/samples/shapes/test/00-circle.png" 2>&1 | sed "s|$TOP/||g"
mkdir nothing
t compile m/tiny.onnx --march bayes --calib nothing
t compile m/tiny.onnx --march bayes --calib m/wrong-shape.npy
t run m/tiny.onnx --input m/x.npy --output not.npy
t compile m/tiny.onnx --emit onnx -o nowhere/out.onnx
printf 'HBM but not really' > bad.hbm
t info bad.hbm
t run bad.hbm --input m/x.npy
t disas bad.hbm
ls
