# the machines; every figure and rule has a source
"$HBCC" march
"$HBCC" march --format json
for m in bernoulli2 bayes bayes-e meta; do
	"$HBCC" march $m --format json | grep -c '"source": ""\|"source": null'
	"$HBCC" march $m --ops | grep -c '^  '
done | sed 'n;s/[0-9][0-9]*/some/'
"$HBCC" march bayes | head -n 4
