# ranges and statistics are files: without the samples, and from parts of them, the same bytes
exec 2>&1
m="$TOP/samples/shapes/model.onnx" calib="$TOP/samples/shapes/calib" march="--march bayes"
"$HBCC" compile "$m" $march --calib "$calib" --save-ranges r.json -o a.hbm
"$HBCC" compile "$m" $march --calib "$calib" -o b.hbm && cmp a.hbm b.hbm && echo saving ranges changes nothing
"$HBCC" compile "$m" $march --load-ranges r.json -o b.hbm && cmp a.hbm b.hbm && echo ranges stand for samples
for op in MaxPool Relu GlobalAveragePool; do
	"$HBCC" compile "$m" $march --calib "$calib" --run-on-cpu $op -o c.hbm
	"$HBCC" compile "$m" $march --load-ranges r.json --run-on-cpu $op -o d.hbm && cmp c.hbm d.hbm && echo "$op leaves without a new pass"
done
"$HBCC" calibrate "$m" $march --calib "$calib" -o a.onnx
"$HBCC" calibrate "$m" $march --load-ranges r.json -o b.onnx && cmp a.onnx b.onnx && echo calibrate too
"$HBCC" compile "$m" $march --calib "$calib" --per-channel --save-ranges c.json -o a.hbm
"$HBCC" compile "$m" $march --load-ranges c.json --per-channel -o b.hbm && cmp a.hbm b.hbm && echo scales of channels too

for k in 0 1 2; do mkdir s$k; done
i=0
for f in "$calib"/*; do
	ln -s "$f" s$((i < 5 ? 0 : i < 17 ? 1 : 2))
	i=$((i + 1))
done
for k in 0 1 2; do "$HBCC" calibrate "$m" $march --calib s$k --jobs $((k + 1)) --save-stats $k.stats; done
ls *.qdq.onnx 2> /dev/null
"$HBCC" calibrate "$m" $march --merge 0.stats 1.stats 2.stats -o b.onnx && cmp a.onnx b.onnx && echo parts merge into the whole
"$HBCC" calibrate "$m" $march --merge 0.stats 1.stats --save-stats 01.stats
"$HBCC" calibrate "$m" $march --merge 01.stats 2.stats --save-ranges r2.json && cmp r.json r2.json && echo in two steps too
for o in kl percentile mix minmax; do
	"$HBCC" calibrate "$m" $march --observer $o --calib "$calib" -o a.onnx
	"$HBCC" calibrate "$m" $march --observer $o --merge 0.stats 1.stats 2.stats -o b.onnx && cmp a.onnx b.onnx && echo $o
done
for s in parallel slurm; do bash -n "$TOP/samples/shards/$s.sh" && echo $s.sh; done
bash "$TOP/samples/shards/parallel.sh" "$m" "$calib" bayes 3 r3.json && cmp r.json r3.json && echo the recipe for GNU parallel
mkdir sl && for k in 0 1 2; do ln -s "../s$k" sl/$k; done
for k in 0 1 2; do SLURM_ARRAY_TASK_ID=$k bash "$TOP/samples/shards/slurm.sh" part "$m" sl bayes; done
bash "$TOP/samples/shards/slurm.sh" merge "$m" stats bayes && cmp r.json ranges.json && echo the recipe for Slurm

# what does not fit is refused
ln -s "$TOP/tests/cli/models/tiny.onnx" t.onnx
# 31,250 samples, 24 MB, of which 16 MiB may be held
yes hbcc-calibration-sample | tr a-z 0-9a-j | head -c 24000000 > many.bin
"$HBCC" calibrate t.onnx --march bayes --calib many.bin --max-memory 16M -o many.onnx && echo many samples in little memory
t() { echo "\$ hbcc $*" | sed "s|$TOP/||g"; "$HBCC" "$@" 2>&1 | sed "s|$TOP/||g"; }
t compile t.onnx --march bayes --load-ranges r.json
t calibrate t.onnx --march bayes --merge 0.stats
t calibrate "$m" --march bayes --observer moving --merge 0.stats
t calibrate "$m" --march bayes --observer histogram --calib s0 --save-stats h.stats
head -c 5000 0.stats > short.stats
t calibrate "$m" --march bayes --merge short.stats
t calibrate "$m" --march bayes --merge r.json
t calibrate "$m" --march bayes --merge
t calibrate "$m" 0.stats --march bayes
t compile "$m" --march bayes --load-ranges r.json --calib s0
t compile "$m" --march bayes --save-ranges r4.json
t compile "$m" --march bayes --calib s0 --save-ranges s0/../r4.json --load-ranges r.json
sed 's/"max":[0-9.]*/"max":-1e9/' r.json > bad.json
t compile "$m" --march bayes --load-ranges bad.json
sed '/MaxPool_output/d' r.json > bad.json
t compile "$m" --march bayes --load-ranges bad.json
sed '/"picture"/d' r.json > bad.json
t compile "$m" --march bayes --load-ranges bad.json
echo '{}' > bad.json
t compile "$m" --march bayes --load-ranges bad.json
echo 'words' > bad.json
t compile "$m" --march bayes --load-ranges bad.json
ls h.stats r4.json model.hbm 2> /dev/null
exit 0
