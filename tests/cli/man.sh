# the manual pages and --help name the same options, and every page is clean
for c in $("$HBCC" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
	page=$TOP/man/hbcc-$c.1
	[ -f "$page" ] || { echo "no page for $c"; continue; }
	"$HBCC" "$c" --help | sed -n 's/^  [ -][a-zO]*[, ]* *--\([a-z0-9-]*\).*/\1/p' | sort -u > help
	{
		sed -n 's/^\.It .*Fl -\([a-z0-9-]*\).*/\1/p' "$page"
		echo help
		grep -q 'Every command that reads a model' "$page" && printf '%s\n' config input-shape jobs max-memory no-progress
	} | sort -u > man
	diff help man > d || { echo "$c: --help (<) and manual (>) differ"; cat d; }
done
command -v mandoc > /dev/null || exit 0
for p in "$TOP"/man/*.[15] "$(dirname "$HBCC")"/man/*.5; do
	mandoc -Tlint -W warning "$p" | sed 's/.*man\///'
done
