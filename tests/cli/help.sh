# --help of everything, from the options' table
"$HBCC" --version
"$HBCC" --help
for c in $("$HBCC" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
	echo "---"
	"$HBCC" "$c" --help
done
