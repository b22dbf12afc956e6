# float runs: printed values, formats of inputs and outputs, dumps
exec 2>&1
r() { "$HBCC" run "$@" | sed 's/\([0-9]\.[0-9][0-9]\)[0-9]*/\1/g'; }
ln -s "$TOP/tests/cli/models" m
r m/tiny.onnx --input m/x.npy
"$HBCC" run m/tiny.onnx -i x=m/x.npy --output o --dump all
find o -type f | sort
for f in x-f64.npy x-fortran.npy x.pb; do
	echo "$f"
	r m/tiny.onnx --input m/$f
done
tail -c 768 m/x.npy > x.bin
r m/tiny.onnx --input x.bin
"$HBCC" run m/tiny.onnx --input m/x.npy --output o --format pb
"$HBCC" run m/tiny.onnx --input m/x.npy --output o --format raw
tail -c 20 o/out_0.npy | cmp - o/out_0.bin && echo same
"$HBCC" run m/tiny.onnx --input m/x.npy --output one --dump add1
find one -type f | sort
"$HBCC" run m/tiny.onnx --input m/x.npy --output one --dump nonesuch
echo "exit $?"
"$HBCC" run m/mixed.onnx --input m/m.npy --output names --dump all
find names -type f | sort
echo "two inputs, by order and by name, symbolic dimensions"
"$HBCC" run m/symbolic.onnx --input m/a.npy --input m/b.npy
"$HBCC" run m/symbolic.onnx --input b=m/b.npy --input a=m/a.npy
"$HBCC" run m/tiny.onnx --input m/x.npy --bench 3 | sed 's/: [0-9.e-]*,/: T,/'
for isa in scalar avx2; do
	HBCC_ISA=$isa "$HBCC" run m/tiny.onnx --input m/x.npy --jobs 1 --output $isa 2> /dev/null && cmp $isa/out_0.npy one/out_0.npy
done
exit 0
