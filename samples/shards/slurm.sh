#!/bin/bash
# slurm.sh: calibration over more samples than one machine should read. Put the samples into folders that sort in their
# order (shards/000, shards/001, ...), then
#
#	sbatch --array=0-63 slurm.sh part MODEL.onnx shards MARCH		writes stats/000.stats, ...
#	sbatch --dependency=afterok:JOBID slurm.sh merge MODEL.onnx stats MARCH	writes ranges.json
#	hbcc compile MODEL.onnx --march MARCH --load-ranges ranges.json
#
#SBATCH --job-name=hbcc-calibrate
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
set -euo pipefail
what=$1 model=$2 folder=$3 march=$4
HBCC=${HBCC:-hbcc}
jobs=${SLURM_CPUS_PER_TASK:-0}

case $what in
part)
	mapfile -t parts < <(find -L "$folder" -mindepth 1 -maxdepth 1 -type d | LC_ALL=C sort)
	part=${parts[${SLURM_ARRAY_TASK_ID:?is set by sbatch --array}]}
	mkdir -p stats
	"$HBCC" calibrate "$model" --march "$march" --calib "$part" --jobs "$jobs" --save-stats "stats/$(basename "$part").stats"
	;;
merge)
	mapfile -t parts < <(find "$folder" -name '*.stats' | LC_ALL=C sort)
	"$HBCC" calibrate "$model" --march "$march" --merge "${parts[@]}" --jobs "$jobs" --save-ranges ranges.json
	;;
*)
	echo "slurm.sh: part or merge, not $what" >&2
	exit 2
	;;
esac
