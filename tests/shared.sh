#!/bin/bash
# shared.sh BUILD short|long|compilers [OTHER_BUILD]: the laws on the real models of HBCC_SHARED.
#   short      the small models, one level or width each where that is enough
#   long       every model, march, level and vector width
#   compilers  OTHER_BUILD's program gives the same bytes
# Each check is a line when it fails; the end gives the counts.
set -u
TOP=$(cd "$(dirname "$0")/.." && pwd)
BUILD=$(cd "$1" && pwd)
MODE=$2
HBCC=$BUILD/hbcc
NPY=$BUILD/tests/tools/npy
SHARED=$(cd "${HBCC_SHARED:-$TOP/../shared}" 2>/dev/null && pwd) || { echo "0 passed, 0 failed, 1 skipped"; exit 0; }
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
passed=0 failed=0 skipped=0

# check NAME COMMAND...: one check; what it prints is shown only when it fails.
check() {
	local name=$1
	shift
	if "$@" > "$WORK/log" 2>&1; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED $name"
		tail -n 6 "$WORK/log"
	fi
}

skip() {
	skipped=$((skipped + 1))
	echo "SKIPPED $1"
}

# The samples of a model as a folder of .npy for --calib (one input each).
samples() {
	mkdir -p "$WORK/calib/$1"
	for s in "$SHARED/models/$1"/sample_*; do
		[ -d "$s" ] && ln -sf "$s/in_0.npy" "$WORK/calib/$1/$(basename "$s").npy"
	done
	[ -f "$SHARED/models/$1/calib.npy" ] && ln -sf "$SHARED/models/$1/calib.npy" "$WORK/calib/$1/calib.npy"
	echo "$WORK/calib/$1"
}

# CALIB: the options that name a model's samples, those of every input where it has several.
calib_of() {
	local file name rest s
	CALIB=()
	[ "$(grep -c '^in_' "$SHARED/models/$1/io.tsv" 2>/dev/null)" -gt 1 ] 2>/dev/null || { CALIB=(--calib "$(samples "$1")"); return; }
	while read -r file name rest; do
		[[ $file == in_* ]] || continue
		mkdir -p "$WORK/calib/$1/$name"
		for s in "$SHARED/models/$1"/sample_*; do ln -sf "$s/$file" "$WORK/calib/$1/$name/$(basename "$s").npy"; done
		CALIB+=(--calib "$name=$WORK/calib/$1/$name")
	done < "$SHARED/models/$1/io.tsv"
}

# Float outputs equal the reference's.
float_equal() {
	local model=$1 s n
	for s in "$SHARED/models/$model"/sample_*; do
		[ -d "$s" ] || continue
		local in=()
		for n in "$s"/in_*.npy; do in+=(--input "$n"); done
		rm -rf "$WORK/f"
		check "$model $(basename "$s") float run" "$HBCC" run "$SHARED/models/$model/model.onnx" "${in[@]}" --output "$WORK/f"
		for n in "$s"/out_*.npy; do
			check "$model $(basename "$s") float $(basename "$n")" "$NPY" diff "$WORK/f/$(basename "$n")" "$n" 1e-4 1e-3
		done
	done
}

json_number() {	# FILE KEY: the first number behind "KEY":
	sed -n "s/.*\"$2\": *\([0-9.]*\).*/\1/p" "$1" | head -n 1
}

# bits NAME MODEL MARCH LEVEL INPUT CALIB...: simulator against fixed-point graph, hazards, bytes.
bits() {
	local name=$1 model=$2 march=$3 level=$4 input=$5
	shift 5
	local tag="$name $march O$level" d=$WORK/bits
	rm -rf "$d"
	mkdir "$d"
	check "$tag compile" "$HBCC" compile "$model" --march "$march" -O "$level" "$@" -o "$d/m.hbm"
	check "$tag hbir" "$HBCC" compile "$model" --march "$march" -O "$level" "$@" --emit hbir -o "$d/m.hbir.onnx"
	check "$tag run fixed" "$HBCC" run "$d/m.hbir.onnx" --input "$input" --raw-int --output "$d/a"
	check "$tag run .hbm" "$HBCC" run "$d/m.hbm" --input "$input" --raw-int --check-hazards --stats "$d/stats.json" --output "$d/b"
	for o in "$d"/a/out_*.npy; do
		check "$tag equal $(basename "$o")" "$NPY" diff "$d/b/$(basename "$o")" "$o"
	done
	"$HBCC" perf "$d/m.hbm" --format json > "$d/perf.json" 2>/dev/null
	check "$tag loaded bytes" test "$(json_number "$d/perf.json" 'loaded bytes per frame')" = "$(json_number "$d/stats.json" loaded)" -a -n "$(json_number "$d/stats.json" loaded)"
	check "$tag stored bytes" test "$(json_number "$d/perf.json" 'stored bytes per frame')" = "$(json_number "$d/stats.json" stored)"
}

# The outputs of the .hbm beside float, over all samples.
cosines() {	# MODEL MARCH MIN ARGS...
	local model=$1 march=$2 min=$3 s n d=$WORK/cos
	shift 3
	rm -rf "$d"
	mkdir "$d"
	check "$model $march compile" "$HBCC" compile "$SHARED/models/$model/model.onnx" --march "$march" --calib "$(samples "$model")" "$@" -o "$d/m.hbm"
	for s in "$SHARED/models/$model"/sample_*; do
		[ -d "$s" ] || continue
		check "$model $march $(basename "$s")" "$HBCC" run "$d/m.hbm" --input "$s/in_0.npy" --output "$d/o"
		for n in "$s"/out_*.npy; do
			check "$model $march $(basename "$s") cosine $(basename "$n") >= $min" "$NPY" cosine "$d/o/$(basename "$n")" "$n" "$min"
		done
	done
}

# streams MARCH MIN ARGS...: speech-gtcrn over its six frames in a row, its states its own of the frame before: simulator
# against fixed-point graph, and what is heard beside float.
streams() {
	local march=$1 min=$2 dir=$SHARED/models/speech-gtcrn d=$WORK/stream k n tag in
	shift 2
	tag="speech-gtcrn $march $*"
	rm -rf "$d"
	mkdir "$d"
	calib_of speech-gtcrn
	check "$tag compile" "$HBCC" compile "$dir/model.onnx" --march "$march" "${CALIB[@]}" "$@" -o "$d/m.hbm"
	check "$tag hbir" "$HBCC" compile "$dir/model.onnx" --march "$march" "${CALIB[@]}" "$@" --emit hbir -o "$d/m.hbir.onnx"
	for k in 0 1 2 3 4 5; do
		in=(--input "$dir/sample_$k/in_0.npy")
		for n in 1 2 3; do
			[ $k = 0 ] && in+=(--input "$dir/sample_0/in_$n.npy") || in+=(--input "$d/$((k - 1))/out_$n.npy")
		done
		check "$tag frame $k" "$HBCC" run "$d/m.hbm" "${in[@]}" --check-hazards --output "$d/$k"
		check "$tag frame $k fixed" "$HBCC" run "$d/m.hbir.onnx" "${in[@]}" --output "$d/fixed"
		for n in 0 1 2 3; do
			check "$tag frame $k equal out_$n" "$NPY" diff "$d/$k/out_$n.npy" "$d/fixed/out_$n.npy"
		done
		check "$tag frame $k cosine >= $min" "$NPY" cosine "$d/$k/out_0.npy" "$dir/sample_$k/out_0.npy" "$min"
	done
}

# on_bpu MODEL MARCH ARGS...: no node of the model is on the CPU.
on_bpu() {
	local model=$1 march=$2
	shift 2
	check "$model $march is wholly on the BPU" bash -c '"$0" check "$@" --format json | grep -q "\"cpu\": *0[,}]"' \
		"$HBCC" "$SHARED/models/$model/model.onnx" --march "$march" "$@"
}

# every_row: what the list of operators has on the BPU of bayes, but horizon's and RoIs, is held against double.
every_row() {
	{ "$BUILD/tests/unit/fx_elements" rows; "$BUILD/tests/unit/fx_windows" rows; "$BUILD/tests/unit/fx_moves" rows; } | tr ' ' '\n' | sort -u > "$WORK/tested"
	awk -F, '/^torch\./ && !/grid_sample/ { print $1 }' "$SHARED/operators.csv" | sort -u > "$WORK/listed"
	comm -13 "$WORK/tested" "$WORK/listed"
	[ -z "$(comm -13 "$WORK/tested" "$WORK/listed")" ]
}

# left_out MODEL MIN ARGS...: calibrated on all samples but one and run on that one, each in turn, on bayes.
left_out() {
	local model=$1 min=$2 s o n d=$WORK/left
	shift 2
	for s in "$SHARED/models/$model"/sample_*; do
		rm -rf "$d"
		mkdir -p "$d/calib"
		for o in "$SHARED/models/$model"/sample_*; do
			[ "$o" = "$s" ] || ln -s "$o/in_0.npy" "$d/calib/$(basename "$o").npy"
		done
		check "$model without $(basename "$s")" "$HBCC" compile "$SHARED/models/$model/model.onnx" --march bayes --calib "$d/calib" "$@" --emit hbir -o "$d/m.hbir.onnx"
		check "$model $(basename "$s"), left out" "$HBCC" run "$d/m.hbir.onnx" --input "$s/in_0.npy" --output "$d/o"
		for n in "$s"/out_*.npy; do
			check "$model $(basename "$s"), left out, cosine $(basename "$n") >= $min $*" "$NPY" cosine "$d/o/$(basename "$n")" "$n" "$min"
		done
	done
}

# ranges MODEL MARCH ARGS...: what --save-ranges keeps stands for the samples.
ranges() {
	local model=$1 march=$2 d=$WORK/ranges file=$SHARED/models/$1/model.onnx
	shift 2
	rm -rf "$d"
	mkdir "$d"
	calib_of "$model"
	check "$model $march $* saves ranges" "$HBCC" compile "$file" --march "$march" "${CALIB[@]}" "$@" --save-ranges "$d/r.json" -o "$d/a.hbm"
	check "$model $march $* loads ranges" "$HBCC" compile "$file" --march "$march" --load-ranges "$d/r.json" "$@" -o "$d/b.hbm"
	check "$model $march $* by ranges, same bytes" cmp "$d/a.hbm" "$d/b.hbm"
}

# shapes DB ARGS...: signal to quantization noise of classify-shapes over its test pictures, on bayes.
shapes() {
	local min=$1 dir=$SHARED/models/classify-shapes d=$WORK/shapes cosine sqnr centred
	shift
	rm -rf "$d"
	mkdir "$d"
	check "classify-shapes $* hbir" "$HBCC" compile "$dir/model.onnx" --march bayes --calib "$dir/calib.npy" "$@" --emit hbir -o "$d/calib.onnx"
	read -r cosine sqnr centred < <("$BUILD/tests/tools/gains" "$dir" "$d")
	check "classify-shapes $* at least $min dB, not ${sqnr:-}" awk -v a="${sqnr:-}" -v b="$min" 'BEGIN { exit !(a != "" && a + 0 >= b) }'
}

# names_loss MODEL MARCH: verify says which layer loses most.
names_loss() {
	local model=$1 d=$WORK/loss
	mkdir -p "$d"
	check "$model $2 compile --debug" "$HBCC" compile "$SHARED/models/$model/model.onnx" --march "$2" --calib "$(samples "$model")" --debug -o "$d/m.hbm"
	"$HBCC" verify "$SHARED/models/$model/model.onnx" "$d/m.hbm" --calib "$(samples "$model")" > "$d/table" 2> /dev/null
	check "$model $2 verify names the layer that loses most" grep "^Most is lost at " "$d/table"
}

# same_bytes NAME MODEL ARGS...: jobs and vector widths leave no trace.
same_bytes() {
	local name=$1 model=$2 d=$WORK/same width
	shift 2
	rm -rf "$d"
	mkdir "$d"
	check "$name reference" "$HBCC" compile "$model" "$@" --jobs 1 -o "$d/ref.hbm"
	check "$name --jobs 2" "$HBCC" compile "$model" "$@" --jobs 2 -o "$d/two.hbm"
	check "$name --jobs 2 bytes" cmp "$d/ref.hbm" "$d/two.hbm"
	for width in scalar avx2 avx512; do
		HBCC_ISA=$width "$HBCC" march > /dev/null 2>&1 || { skip "$name $width: not on this processor"; continue; }
		check "$name $width" env HBCC_ISA=$width "$HBCC" compile "$model" "$@" -o "$d/w.hbm"
		check "$name $width bytes" cmp "$d/ref.hbm" "$d/w.hbm"
	done
}

# law2 MODEL MARCH ARGS...: every layer by itself against ONNX Runtime, on sample 0 or SAMPLE.
law2() {
	local model=$1 march=$2 d=$WORK/law2 in=("$SHARED/models/$1/sample_${SAMPLE:-0}"/in_*.npy)
	[ -n "${ORT_DIR:-}" ] || { skip "$model $march layer by layer: no ORT_DIR"; return; }
	shift 2
	rm -rf "$d"
	mkdir "$d"
	calib_of "$model"
	check "$model $march $* qdq" "$HBCC" compile "$SHARED/models/$model/model.onnx" --march "$march" "${CALIB[@]}" "$@" --emit qdq --all-outputs -o "$d/q.onnx"
	check "$model $march $* hbir" "$HBCC" compile "$SHARED/models/$model/model.onnx" --march "$march" "${CALIB[@]}" "$@" --emit hbir -o "$d/h.onnx"
	check "$model $march $* onnxruntime" node "$SHARED/tools/ort-run.mjs" "$d/q.onnx" "${in[@]}" --out "$d/o" --opt disabled
	check "$model $march $* layer by layer" "$BUILD/tests/tools/law2" "$d/q.onnx" "$d/h.onnx" "$d/o" "${in[@]}"
}

# arrives_quantized MODEL MARCH MIN: compiles with its own scales, no samples; outputs beside ONNX Runtime's on the file as it is.
arrives_quantized() {
	local model=$1 march=$2 d=$WORK/given s file=$SHARED/models/$1/model.onnx in=$SHARED/models/$1/sample_0/in_0.npy
	rm -rf "$d"
	mkdir "$d"
	check "$model $march compile" "$HBCC" compile "$file" --march "$march" -o "$d/m.hbm"
	check "$model $march is calibrated" test -z "$("$HBCC" info "$d/m.hbm" | grep uncalibrated)"
	bits "$model" "$file" "$march" 1 "$in"
	for s in "$SHARED/models/$model"/sample_*; do
		check "$model $march $(basename "$s")" "$HBCC" run "$d/m.hbm" --input "$s/in_0.npy" --output "$d/o"
		check "$model $march $(basename "$s") cosine >= $3" "$NPY" cosine "$d/o/out_0.npy" "$s/out_0.npy" "$3"
	done
	[ -n "${ORT_DIR:-}" ] || { skip "$model $march layer by layer: no ORT_DIR"; return; }
	check "$model $march qdq" "$HBCC" compile "$file" --march "$march" --emit qdq --all-outputs -o "$d/q.onnx"
	check "$model $march hbir" "$HBCC" compile "$file" --march "$march" --emit hbir -o "$d/h.onnx"
	check "$model $march onnxruntime" node "$SHARED/tools/ort-run.mjs" "$d/q.onnx" "$in" --out "$d/ort" --opt disabled
	check "$model $march layer by layer" "$BUILD/tests/tools/law2" "$d/q.onnx" "$d/h.onnx" "$d/ort" "$in"
}

# round_trip MODEL MARCH [OPTION]...: the fake-quantized form compiles, without samples, to the model's own bytes.
round_trip() {
	local model=$1 march=$2 d=$WORK/round
	shift 2
	rm -rf "$d"
	mkdir -p "$d/qdq"
	calib_of "$model"
	check "$model $march $* compile" "$HBCC" compile "$SHARED/models/$model/model.onnx" --march "$march" "${CALIB[@]}" "$@" -o "$d/a.hbm"
	check "$model $march $* qdq" "$HBCC" compile "$SHARED/models/$model/model.onnx" --march "$march" "${CALIB[@]}" "$@" --emit qdq -o "$d/qdq/model.qdq.onnx"
	check "$model $march $* compile qdq" "$HBCC" compile "$d/qdq/model.qdq.onnx" --march "$march" -o "$d/b.hbm"
	check "$model $march $* round trip" cmp "$d/a.hbm" "$d/b.hbm"
}

declare -A INPUT=([light_resnet50]=1x3x224x224 [light_inception_v1]=1x3x224x224 [light_squeezenet]=1x3x224x224 [light_vgg19]=1x3x224x224)
small="mnist-cnn superres-espcn audio-yamnet"
large="face-rfb320 segment-prisma detect-yolox-nano"

light() {	# MODEL MARCH LEVEL
	mkdir -p "$WORK/calib/$1"
	[ -f "$WORK/calib/$1/in.npy" ] || "$NPY" arange "${INPUT[$1]}" "$WORK/calib/$1/in.npy"
	bits "$1" "$SHARED/light-models/$1.onnx" "$2" "$3" "$WORK/calib/$1/in.npy" --calib "$WORK/calib/$1"
}

case $MODE in
short)
	for m in $small; do
		float_equal $m
		bits $m "$SHARED/models/$m/model.onnx" bayes 1 "$SHARED/models/$m/sample_0/in_0.npy" --calib "$(samples $m)"
		bits $m "$SHARED/models/$m/model.onnx" bernoulli2 0 "$SHARED/models/$m/sample_1/in_0.npy" --calib "$(samples $m)"
	done
	for m in face-rfb320 segment-prisma; do
		float_equal $m
		bits $m "$SHARED/models/$m/model.onnx" bayes 0 "$SHARED/models/$m/sample_0/in_0.npy" --calib "$(samples $m)"
	done
	law2 mnist-cnn bayes
	law2 audio-yamnet bernoulli2
	cosines mnist-cnn bayes 0.999
	cosines superres-espcn bayes 0.999
	cosines audio-yamnet bernoulli2 0.99
	cosines face-rfb320 bayes 0.99
	check "every row of the list of operators against double" every_row
	on_bpu transformer-cct bayes --run-on-bpu Softmax
	cosines transformer-cct bayes 0.995 --run-on-bpu Softmax
	same_bytes mnist-cnn "$SHARED/models/mnist-cnn/model.onnx" --march bayes
	arrives_quantized audio-yamnet-qdq bernoulli2 0.999
	arrives_quantized superres-espcn-qdq bayes 0.9999
	round_trip audio-yamnet bayes
	ranges mnist-cnn bayes
	ranges speech-gtcrn bayes
	streams bayes 0.98
	streams bayes 0.999 --dtype qint16
	round_trip speech-gtcrn bayes
	SAMPLE=3 law2 speech-gtcrn bayes
	;;
long)
	for m in $small $large; do
		float_equal $m
		min=0.99
		case $m in
		mnist-cnn | superres-espcn) min=0.999 ;;
		detect-yolox-nano) min=0.85 ;;	# 0.99 is out of reach in int8
		esac
		for march in bernoulli2 bayes; do
			for level in 0 1; do
				bits $m "$SHARED/models/$m/model.onnx" $march $level "$SHARED/models/$m/sample_0/in_0.npy" --calib "$(samples $m)"
			done
			cosines $m $march $min
			law2 $m $march
			same_bytes "$m $march" "$SHARED/models/$m/model.onnx" --march $march --calib "$(samples $m)"
		done
	done
	names_loss detect-yolox-nano bayes
	for m in $small face-rfb320 segment-prisma; do
		left_out $m 0.995
		left_out $m 0.999 --auto-int16 --min-cosine 0.999
	done
	left_out detect-yolox-nano 0.955	# what is left of 0.99 is spread over 250 edges
	left_out detect-yolox-nano 0.99 --auto-int16 --min-cosine 0.99
	left_out detect-yolox-nano 0.998 --auto-int16 --min-cosine 0.999
	shapes 27.5
	shapes 40 --auto-int16 --min-cosine 0.99995
	float_equal speech-gtcrn
	streams bayes 0.99
	streams bayes 0.98 --auto-int16 --min-cosine 0.98
	streams bayes 0.995 --auto-int16 --min-cosine 0.99
	streams bayes-e 0.98
	streams bernoulli2 0.94	# no int16: the spectrum alone leaves 0.98
	SAMPLE=3 law2 speech-gtcrn bayes --dtype qint16
	SAMPLE=5 law2 speech-gtcrn bernoulli2
	for m in $small $large transformer-cct speech-gtcrn; do
		round_trip $m bayes --dtype qint16
	done
	for march in bernoulli2 bayes; do
		calib_of speech-gtcrn
		same_bytes "speech-gtcrn $march" "$SHARED/models/speech-gtcrn/model.onnx" --march $march "${CALIB[@]}"
		round_trip speech-gtcrn $march
	done
	for march in bernoulli2 bayes; do
		arrives_quantized audio-yamnet-qdq $march 0.999
		arrives_quantized superres-espcn-qdq $march 0.9999
		for m in $small $large speech-gtcrn; do
			ranges $m $march
		done
		for m in $small $large; do
			round_trip $m $march
			round_trip $m $march --int8-outputs --round half_up
			round_trip $m $march --run-on-cpu Relu --run-on-bpu Softmax
		done
	done
	py=
	for p in python3 /usr/bin/python3; do	# Debian's, where another comes first
		[ -n "$py" ] || "$p" -c 'import torchvision, onnx, numpy' 2> /dev/null && py=$p
	done
	if [ -n "$py" ]; then
		check "networks that torch exports" "$py" "$TOP/tests/conform/exported.py" "$HBCC"
		if [ -n "${ORT_DIR:-}" ]; then
			check "networks that torch quantizes" "$py" "$TOP/tests/conform/quantized.py" "$HBCC"
		else
			skip "networks that torch quantizes: no ORT_DIR"
		fi
		check "int8 is as near to float as torch's" env HBCC_SHARED="$SHARED" "$py" "$TOP/tests/conform/ptq.py" "$HBCC"
		check "published networks are placed as published logs have it" "$py" "$TOP/tests/conform/placed.py" "$HBCC" "$SHARED/tools/make-topologies.py"
	else
		skip "networks that torch exports, and where published ones are placed: no torchvision"
	fi
	if [ -n "$py" ] && [ -n "${ORT_DIR:-}" ]; then
		check "random operators against ONNX Runtime" "$py" "$TOP/tests/conform/against_ort.py" "$HBCC" -n 2000 -s 1
	else
		skip "random operators against ONNX Runtime: no ORT_DIR, or no onnx"
	fi
	"$NPY" first "$SHARED/models/classify-shapes/test.npy" "$WORK/shape.npy"
	for march in bernoulli2 bayes; do
		for level in 0 1; do
			bits classify-shapes "$SHARED/models/classify-shapes/model.onnx" $march $level "$WORK/shape.npy" --calib "$(samples classify-shapes)"
			for m in light_squeezenet light_inception_v1 light_resnet50 light_vgg19; do
				light $m $march $level
			done
		done
	done
	;;
compilers)
	for m in $small face-rfb320; do
		for march in bernoulli2 bayes; do
			check "$m $march" "$HBCC" compile "$SHARED/models/$m/model.onnx" --march $march --calib "$(samples $m)" -o "$WORK/a.hbm"
			check "$m $march, other compiler" "$3/hbcc" compile "$SHARED/models/$m/model.onnx" --march $march --calib "$(samples $m)" -o "$WORK/b.hbm"
			check "$m $march, same bytes" cmp "$WORK/a.hbm" "$WORK/b.hbm"
		done
	done
	;;
esac
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
