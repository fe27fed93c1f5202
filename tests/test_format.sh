#!/bin/sh
# The C sources have the form that .clang-format describes: make format.
cd "$EVD_SRCDIR" || exit 1

# Another version would have another opinion.
wanted=14
for program in clang-format-$wanted clang-format; do
	case $($program --version 2>/dev/null) in
	*" version $wanted."*) break ;;
	esac
	program=
done
if [ -z "$program" ]; then
	echo "no clang-format $wanted (Debian: clang-format)"
	exit 77
fi

status=0
for file in $(find clients src tests -name '*.[ch]' | sort); do
	$program "$file" | diff -u "$file" - || status=1
done
exit $status
