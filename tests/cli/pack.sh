# several models in one file
exec 2>&1
ln -s "$TOP/tests/cli/models" m
h="$HBCC compile --march bayes"
$h m/tiny.onnx --calib m/x4.npy -o a.hbm
$h m/tiny.onnx --calib m/x.npz --name other -o b.hbm
$h m/mixed.onnx --calib m/m.npy -o c.hbm
"$HBCC" pack a.hbm b.hbm -o ab.hbm
"$HBCC" pack ab.hbm c.hbm -o abc.hbm
"$HBCC" info abc.hbm | grep '^model'
"$HBCC" run abc.hbm --name other --input m/x.npy --output packed
"$HBCC" run b.hbm --input m/x.npy --output single
cmp packed/out_0.npy single/out_0.npy && echo "the same"
t() { echo "\$ hbcc $*"; "$HBCC" "$@"; echo "exit $?"; }
t run abc.hbm --input m/x.npy
t run abc.hbm --name nonesuch --input m/x.npy
t pack a.hbm -o d.hbm
t pack a.hbm b.hbm
t pack a.hbm a.hbm -o d.hbm
t pack a.hbm m/tiny.onnx -o d.hbm
"$HBCC" compile m/tiny.onnx --march bernoulli2 --calib m/x4.npy --name third -o e.hbm
t pack a.hbm e.hbm -o d.hbm
ls d.hbm
exit 0
