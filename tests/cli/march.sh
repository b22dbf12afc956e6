# the machines; every figure and rule has a source
"$HBCC" march
"$HBCC" march --format json
for m in bernoulli2 bayes bayes-e meta; do
	"$HBCC" march $m --format json | grep -c '"source": ""\|"source": null'
	"$HBCC" march $m --ops | grep -c '^  '
done | sed 'n;s/[0-9][0-9]*/some/'
"$HBCC" march bayes | head -n 4
echo "--- every operator and rule is in every format"
for m in bernoulli2 bayes bayes-e; do
	"$HBCC" march $m --ops --format json > json
	for f in text markdown man; do
		{ "$HBCC" march $m; "$HBCC" march $m --ops --format $f; } | sed 's/\\\([]|*_<>`[]\)/\1/g; s/\\e/\\/g' > $f
		sed -n 's/.*"\(op\|rule\|note\|source\|operator\|placed\)": "\(.*\)",*$/\2/p' json | sort -u | while read -r s; do
			grep -qF -- "$s" $f || echo "$m $f: no $s"
		done
	done
	"$HBCC" march $m --ops --format man | cmp - "$(dirname "$HBCC")/man/hbcc-march-$m.5"
done
"$HBCC" march bayes-e --ops --format markdown | grep '^| \(MaxPool\|Round\|NonZero\|Mod\) '
"$HBCC" march bernoulli2 --ops --format markdown | grep '^| \(Relu\|Softmax\) '
"$HBCC" march --format markdown
