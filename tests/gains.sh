#!/bin/bash
# gains.sh BUILD: what each option for accuracy gains on the models of HBCC_SHARED, a Markdown table.
# int8 for bayes, calibrated on all samples of a model but one and run on that one, each in turn (classify-shapes:
# calibrated on its calib.npy, run on its test.npy): signal to quantization noise over the values of all outputs and
# samples, in dB. What an option gains is the difference that it alone makes to the default; --scale-divisor qmax, whose
# scales are a 250th coarser, tells what is chance.
# MODELS="name ..." and OPTIONS="name ..." take some; JOBS compilations run at a time.
set -u
TOP=$(cd "$(dirname "$0")/.." && pwd)
BUILD=$(cd "$1" && pwd)
HBCC=$BUILD/hbcc
TOOL=$BUILD/tests/tools/gains
SHARED=$(cd "${HBCC_SHARED:-$TOP/../shared}" 2> /dev/null && pwd) || { echo "gains: HBCC_SHARED names no folder"; exit 77; }
JOBS=${JOBS:-$(nproc)}
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
export HBCC

# A column a line: its name, + or - (what the command line does is to turn it off) and the command line.
COLUMNS='default +
bias-correction - --no-bias-correction
weights-mse + --weight-observer mse
refine + --refine
round-weights + --round-weights
channels - --per-tensor
per-channel + --per-channel
minmax + --observer minmax
percentile + --observer percentile
kl + --observer kl
histogram + --observer histogram
mix + --observer mix
max,percentile,kl + --observer default
scale-divisor-qmax + --scale-divisor qmax'

columns() {
	local name rest
	while read -r name rest; do
		case " default ${OPTIONS:-$name} " in *" $name "*) echo "$name $rest" ;; esac
	done <<< "$COLUMNS"
}

models() {	# but those that arrive quantized: there is nothing to choose
	local d
	for d in "$SHARED"/models/*/; do
		d=$(basename "$d")
		case $d in *-qdq) continue ;; esac
		case " ${MODELS:-$d} " in *" $d "*) echo "$d" ;; esac
	done
}

# --calib for a model's samples without the one in $2: a folder an input, which is made.
samples() {	# MODEL LEFT_OUT DIR
	local s i name
	mkdir -p "$3/in_0"
	[ ! -f "$SHARED/models/$1/calib.npy" ] || ln -s "$SHARED/models/$1/calib.npy" "$3/in_0"
	for s in "$SHARED/models/$1"/sample_*; do
		[ -d "$s" ] && [ "$(basename "$s")" != "$2" ] || continue
		for i in "$s"/in_*.npy; do
			mkdir -p "$3/$(basename "$i" .npy)"
			ln -s "$i" "$3/$(basename "$i" .npy)/$(basename "$s").npy"
		done
	done
	[ -d "$3/in_1" ] || { echo "--calib $3/in_0"; return; }
	while IFS=$'\t' read -r i name _; do
		case $i in in_*) echo "--calib $name=$3/${i%.npy}" ;; esac
	done < "$SHARED/models/$1/io.tsv"
}

# Every compilation, a line each: the form to make, then the command line.
commands() {
	local model column sign args k calib more
	for model in $(models); do
		more=
		[ "$model" != transformer-cct ] || more="--run-on-bpu Softmax"
		for k in $(cd "$SHARED/models/$model" && ls -d calib.npy sample_* 2> /dev/null); do
			calib=$(samples "$model" "$k" "$WORK/samples/$model/$k")
			while read -r column sign args; do
				mkdir -p "$WORK/$model/$column"
				echo "$WORK/$model/$column/${k%.npy}.onnx $SHARED/models/$model/model.onnx --march bayes --jobs 1" $calib $more $args
			done < <(columns)
		done
	done
}
commands | xargs -P "$JOBS" -L 1 bash -c 'form=$1; shift; "$HBCC" compile "$@" --emit hbir -o "$form" > "$form.log" 2>&1 || { echo "gains: $*"; cat "$form.log"; }' - >&2

printf '| model | cosine | centred dB | default dB |%s\n' "$(columns | sed '1d; s/ .*//; s/.*/ & |/' | tr -d '\n')"
printf '|---|---:|---:|---:|%s\n' "$(columns | sed '1d; s/.*/---:|/' | tr -d '\n')"
for model in $(models); do
	printf '| %s |' "$model"
	columns | while read -r column sign _; do
		read -r cosine sqnr centred < <("$TOOL" "$SHARED/models/$model" "$WORK/$model/$column")
		if [ "$column" = default ]; then
			was=${sqnr:-}
			printf ' %s | %s | %s |' "${cosine:--}" "${centred:--}" "${sqnr:--}"
		else
			awk -v a="${sqnr:-}" -v b="${was:-}" -v s="${sign}1" 'BEGIN { d = s * (a - b); if (a == "" || b == "") printf " - |"; else if (d > -0.05 && d < 0.05) printf " 0 |"; else printf " %+.1f |", d }'
		fi
	done
	printf '\n'
done
