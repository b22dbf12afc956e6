# the estimate, its formats and gates
exec 2>&1
ln -s "$TOP/tests/cli/models" m
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy
# the figures are the march's business, not this test's
n() { sed 's/[0-9][0-9.,e+]*/N/g; s/   */  /g'; }
"$HBCC" perf tiny.hbm | n
"$HBCC" perf tiny.hbm --format json > perf.json
grep '^  *"' perf.json | n | uniq
"$HBCC" perf tiny.hbm --format html -o perf.html && head -n 1 perf.html
"$HBCC" perf tiny.hbm --trace trace.json > /dev/null && head -n 10 trace.json | n
t() { echo "\$ hbcc perf $*"; "$HBCC" perf "$@" 2>&1 > /dev/null | sed 's/error: [0-9.e+]* /error: N /; s/: [0-9]*, 1000 bytes/: N, 1000 bytes/'; }
x() { "$HBCC" perf "$@" > /dev/null 2>&1; echo "exit $?"; }
t tiny.hbm --max-latency 1000 --min-fps 1 --max-ddr 1
x tiny.hbm --max-latency 1000 --min-fps 1 --max-ddr 1
t tiny.hbm --max-latency 0.0001
x tiny.hbm --max-latency 0.0001
t tiny.hbm --min-fps 1000000000
x tiny.hbm --min-fps 1000000000
t tiny.hbm --max-ddr 0.0001
x tiny.hbm --max-ddr 0.0001
t tiny.hbm --baseline perf.json
x tiny.hbm --baseline perf.json
sed 's/"DDR bytes per frame": [0-9]*/"DDR bytes per frame": 1000/' perf.json > less.json
t tiny.hbm --baseline less.json
x tiny.hbm --baseline less.json
t tiny.hbm --baseline less.json --tolerance 1000
x tiny.hbm --baseline less.json --tolerance 1000
echo '{}' > empty.json
t tiny.hbm --baseline empty.json
x tiny.hbm --baseline empty.json
echo '{' > broken.json
t tiny.hbm --baseline broken.json
x tiny.hbm --baseline broken.json
t tiny.hbm --march bayes
x tiny.hbm --march bayes
t m/tiny.onnx
x m/tiny.onnx
t m/tiny.onnx --march bernoulli2
x m/tiny.onnx --march bernoulli2
