# graphs as dot text; SVG only where graphviz is
exec 2>&1
ln -s "$TOP/tests/cli/models" m
"$HBCC" visualize m/mixed.onnx --march bayes -o a.dot && cat a.dot
"$HBCC" compile m/mixed.onnx --march bayes --calib m/m.npy
"$HBCC" visualize mixed.hbm -o b.dot && cat b.dot
t() { echo "\$ hbcc $*"; "$HBCC" "$@"; echo "exit $?"; }
t visualize m/mixed.onnx
t visualize m/mixed.onnx -o a.gif
t visualize mixed.hbm --march bayes -o a.dot
(PATH=/nonesuch; t visualize m/mixed.onnx -o a.svg)
ls
