# Layers go one way: a file includes only layers to the left of its own.
order="base ir isa quant ops march onnx pass sched hbm run cli"
rank() {
	i=0
	for l in $order; do
		[ "$l" = "$1" ] && echo $i && return
		i=$((i + 1))
	done
	echo -1
}
cd "$TOP"
for f in lib/*/*.[ch] ops/*.[ch] march/*.[ch] cli/*.[ch]; do
	dir=$(dirname "$f")
	mine=$(rank "$(basename "$dir")")
	for inc in $(sed -n 's/^#include "\([a-z]*\/[^"]*\)\/[^"/]*"$/\1/p; s/^#include "\(ops\|march\|cli\)\/[^"/]*"$/\1/p' "$f" | sort -u); do
		theirs=$(rank "$(basename "$inc")")
		[ "$theirs" -gt "$mine" ] && echo "$f includes $inc, a layer above its own"
	done
done
exit 0
