# the instructions, as text and JSON
exec 2>&1
ln -s "$TOP/tests/cli/models" m
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy
"$HBCC" disas tiny.hbm | head -n 1
"$HBCC" disas tiny.hbm | sed -n "s/.* \(L0\|M0\|S0\|V0\)#[0-9]* \([a-z]*\) .* ; node [0-9]* '\([a-z0-9]*\)'.*/\3: \2/p" | sort -u
"$HBCC" disas tiny.hbm --json | head -n 1
"$HBCC" disas tiny.hbm -o d.txt && "$HBCC" disas tiny.hbm | cmp - d.txt
"$HBCC" info tiny.hbm | sed 's/[0-9]* instr/N instr/; s/^\(bytes *[a-z0-9]*\) [0-9]*/\1 N/'
"$HBCC" info tiny.hbm --format json | sed 's/"\(s0\|s1\|par\|heap\|instructions\)": [0-9]*/"\1": N/'
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --deflate -o small.hbm
"$HBCC" run small.hbm --input m/x.npy --output a
"$HBCC" run tiny.hbm --input m/x.npy --output b
cmp a/out_0.npy b/out_0.npy && echo "deflated or not, the same"
for at in 20 200 2000; do
	head -c $at tiny.hbm > cut.hbm
	"$HBCC" info cut.hbm 2>&1 | sed "s/says [0-9]*/says N/; s/has [0-9]*/has N/"
	{ head -c $at tiny.hbm; printf '\377'; tail -c +$((at + 2)) tiny.hbm; } > flip.hbm
	"$HBCC" info flip.hbm > /dev/null 2>&1
	echo "exit $?"
done
