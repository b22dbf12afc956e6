# the report as a page: whole, by itself, nothing of a file is markup
exec 2>&1
ln -s "$TOP/tests/cli/models" m
"$HBCC" compile m/causes.onnx --march bayes --calib m/causes.npz --int8-outputs --emit hbir
v() { "$HBCC" verify m/causes.onnx causes.hbir.onnx --calib m/causes.npz "$@"; }
v --format html --blame --by-layer --min-cosine 0.5 > page.html
echo "exit $?"
head -n 1 page.html
tail -n 1 page.html
echo "--- sections"
sed -n 's/<h2>\(.*\)<\/h2>/\1/p; s/<h3>\(.*\)<\/h3>/\1/p' page.html
sed -n 's/^<tr><td>\([^<]*\)<\/td><td>\([^<]*\)<\/td><\/tr>/\1: \2/p' page.html
echo "--- a figure a layer: bars, zero and the clip on both sides; a mark a layer in two plots"
count() { grep -c "$1" page.html; }
echo "$(count '^<figure id') figures, $(grep -o '<line class="clip"' page.html | wc -l) clips, $(count '^<a href="#l')" marks
sed -n '/^<a href="#l1">/,/<\/a>/p' page.html | sed 's/c[xy]="[0-9.]*"/c/g; s/\([0-9]\)\.[0-9]*/\1/g'
echo "--- 63 bars from -99.4 to 100: what is near 0 in the middle, the one outlier in the last"
sed -n '/^<figure id="l6">/,/<\/svg>/p' page.html | grep -o 'M[0-9.]* '
echo "--- no script, nothing from elsewhere, names are text"
grep -c '<script\|src=\|http:\|https:\|url(' page.html
grep -c '<b>&"' page.html
grep -o '&lt;b&gt;&amp;&quot;far&quot;' page.html | wc -l
echo "--- every tag that opens closes"
for t in html body div table tr td th figure figcaption svg h1 h2 h3 p a b ul li title style circle rect; do
	opened=$(grep -o "<$t[ >]" page.html | wc -l)
	closed=$(grep -o "</$t>" page.html | wc -l)
	[ "$t" = circle ] && closed=$((closed + $(grep -o '<circle[^>]*/>' page.html | wc -l)))
	[ "$t" = rect ] && closed=$((closed + $(grep -o '<rect[^>]*/>' page.html | wc -l)))
	[ "$opened" = "$closed" ] || echo "$t: $opened, $closed"
done
echo "--- into a file, the same"
v --format html --blame --by-layer --min-cosine 0.5 -o o.html && cmp o.html page.html
v --format json -o o.json && v --format json | cmp - o.json
v -o o.txt
echo "exit $?"
v --format html -o causes.hbir.onnx
echo "exit $?"
echo "--- a gate that is missed: the page is there, the exit code says so"
v --format html --min-cosine 1 -o missed.html 2> err
echo "exit $?"
sed -n 's/.*\(--min-cosine.*\)<\/td>.*/\1/p' missed.html
echo "--- bins that widen lose nothing: histograms are the same in any order of samples"
"$HBCC" compile m/tiny.onnx --march bayes --calib m/x4.npy --emit hbir
mkdir up down
for s in 0-narrow:up 1-wide:up 1-narrow:down 0-wide:down; do
	name=${s%:*}
	ln -s "$PWD/m/x-${name#*-}.npy" "${s#*:}/$name.npy"
done
for d in up down; do
	"$HBCC" verify m/tiny.onnx tiny.hbir.onnx --calib $d --format html | sed -n '/^<figure/,/^<\/svg>/p' | grep '<svg' > $d.svg
done
grep -c 'M0 ' up.svg
cmp up.svg down.svg && echo the same
