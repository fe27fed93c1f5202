#!/bin/sh
# usage: analyze.sh
#
# Static analysis of src/, as make analyze runs it: gcc -fanalyzer, cppcheck and
# clang-tidy (.clang-tidy says which checks). What they find and what is not in
# tests/analyze.list fails, and so does a line there that is not needed any more.
# Takes a minute or two. Exit status 77 if one of the programs is missing.
set -u
cd "$EVD_SRCDIR" || exit 1

for program in "${ANALYZE_CC:=gcc}" clang-tidy cppcheck; do
	command -v "$program" >/dev/null || {
		echo "no $program (Debian: gcc clang-tidy cppcheck)"
		exit 77
	}
done

jobs=$(nproc 2>/dev/null || echo 2)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
sources=$(find src -name '*.c' | sort)
# shellcheck disable=SC2086 # EVD_CFLAGS are words
set -- -std=gnu11 -DHAVE_CONFIG_H "-I$EVD_BUILDDIR" -Isrc ${JANSSON_CFLAGS-}

# The analyzer follows what the optimiser has put together.
# shellcheck disable=SC2016 # it is the inner shell's
echo "$sources" | xargs -P "$jobs" -I{} sh -c '
	file=$1 work=$2 cc=$3
	shift 3
	out=$work/$(echo "$file" | tr / _)
	"$cc" -O2 -Wall -Wextra -fanalyzer -fdiagnostics-plain-output \
		"$@" -c -o "$out.o" "$file" >"$out.gcc" 2>&1 ||
		echo "$file:1: warning: does not compile [-Werror]" >>"$out.gcc"
	clang-tidy --quiet "$file" -- "$@" >"$out.tidy" 2>"$out.said" || {
		cat "$out.said"
		echo "$file:1: warning: cannot be read [clang-tidy]"
	} >>"$out.tidy"
' sh {} "$work" "$ANALYZE_CC" "$@"

# cppcheck reads no header of the system, but needs these macros.
queue=$(echo '#include <sys/queue.h>' | $ANALYZE_CC -E -M - | tr ' ' '\n' |
	grep '/queue\.h$')
cppcheck -q -j "$jobs" --enable=warning,performance,portability --std=c11 \
	"--include=$queue" "-I$EVD_BUILDDIR" -Isrc \
	--template='{file}:{line}: warning: {message} [{id}]' \
	src >"$work/all.cppcheck" 2>&1

cat "$work"/*.gcc "$work"/*.tidy "$work"/*.cppcheck |
	sed "s,^$PWD/,," |
	awk '
	NR == FNR {
		if ($0 !~ /^(#|$)/)
			expected[$1 " " $2] = FNR
		next
	}
	/^[^ ]+:[0-9]+(:[0-9]+)?: (warning|error): / {
		file = $1
		sub(/:.*/, "", file)
		check = $0
		sub(/.*\[/, "", check)
		sub(/\].*/, "", check)
		sub(/,.*/, "", check)
		if ((check " " file) in expected) {
			met[check " " file]
			next
		}
		if (!seen[$0]++) {
			print
			found++
		}
	}
	END {
		for (what in expected)
			if (!(what in met)) {
				print "tests/analyze.list:" expected[what] \
					": not found any more: " what
				found++
			}
		print found + 0 " findings"
		exit found > 0
	}
	' tests/analyze.list -
