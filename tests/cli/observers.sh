# observers against those of torch, numpy's quantiles, TensorRT's entropy and a search by brute force, where python3 has them
for p in python3 /usr/bin/python3; do	# Debian's, where another comes first
	"$p" -c 'import torch, onnx, numpy' 2> /dev/null || continue
	"$p" "$TOP/tests/conform/observers.py" "$HBCC"
	exit
done
echo "python3 has no torch, onnx and numpy" >&2
exit 77
