# wrong models: the message, the exit code, and that no output is touched
exec 2>&1
ln -s "$TOP/tests/fault/models" m
ln -s "$TOP/tests/fuzz/corpus_onnx" c
echo before > out.onnx
t() {
	echo "\$ hbcc $*"
	"$HBCC" "$@"
	echo "exit $?"
	[ "$(cat out.onnx)" = before ] || echo "out.onnx was touched"
}
for f in c/missing c/cycle c/external m/escape m/future m/symbolic m/int4 m/short-data m/sequence m/wrong-type m/no-broadcast m/overflow m/huge; do
	t compile $f.onnx --march bayes --emit onnx -o out.onnx
done
t info m/symbolic.onnx --input-shape x:1x3x8x8 | tail -n 1
t info m/symbolic.onnx --input-shape x:1x4x8x8
t info m/symbolic.onnx --input-shape z:1x3x8x8
# one bit of the graph's first node's tag: a field that no ONNX has, then a length that is too long
printf '\101' | cat - c/unsorted.onnx > flipped.onnx
t info flipped.onnx
{ head -c 20 c/unsorted.onnx; printf '\377'; tail -c +22 c/unsorted.onnx; } > flipped.onnx
t info flipped.onnx
head -c 100 /dev/zero | tr '\0' '\013' > groups.onnx
t info groups.onnx
exit 0
