#!/bin/sh
# usage: run.sh SECONDS [keep]
#
# Runs every fuzzer of $EVD_FUZZERS (paths in the build directory) for so many
# seconds. They start from what clients send in the protocol's transcripts, and
# from tests/fuzz/NAME.corpus, an input in base64 a line. What one learns is kept
# in fuzz/NAME.corpus of the build directory, what it finds in fuzz/NAME.found.
# The last lines say how much was tried, as in tests/fuzz/README. Exit status 0 if
# nothing was found.
#
# With keep, what was learned is then made small and written to
# tests/fuzz/NAME.corpus.
set -u
seconds=$1
failed=0

cd "$EVD_BUILDDIR" || exit 1
rm -rf fuzz/seeds
mkdir -p fuzz/seeds || exit 1

# Each conversation is a seed, and each line of them. What happens between the
# lines stands in the first as bytes that fuzz.h explains.
awk '
FNR == 1 {
	if (conversation != "")
		close(conversation)
	conversation = FILENAME
	sub(/.*\//, "", conversation)
	conversation = "fuzz/seeds/" conversation
	client = substr($0, 1, 1)
}
function act(action) {
	printf "%s", action >conversation
}
/^[A-Z]?>/ && client != substr($0, 1, 1) {
	client = substr($0, 1, 1)
	act("\007")
}
/^[A-Z]?>[!?]? / {
	sub(/^[A-Z]?>[!?]? /, "")
	if (match($0, / [+][^"}]*$/)) {
		n = split(substr($0, RSTART + 2), passed, " ")
		$0 = substr($0, 1, RSTART - 1)
		while (n-- > 0)
			act("\022")
	}
	print >conversation
	if (!seen[$0]++) {
		line = "fuzz/seeds/line-" ++lines
		print >line
		close(line)
	}
}
/^[A-Z]?< / { act("\002") }
/^$/ { act("\001") }
/^[A-Z]?>\|$/ { act("\005") }
/^[A-Z]?>\|\|$/ { act("\006") }
/^! exit/ { act("\020") }
' "$EVD_SRCDIR"/protocol/transcripts/*.txt || exit 1

# What no transcript has: so much that it has to wait, with nobody reading, or
# with the input at its end.
seed=0
for line in '{"cmd":"hello"}' '{"cmd":"poll"}' '{"cmd":"none"}' \
	'{"cmd":"watch","type":"timer","watcher":1,"after":0,"repeat":1e-9}'; do
	seed=$((seed + 1))
	thrice="$line\\n\\021$line\\n\\021$line\\n\\021"
	printf '%b' "\\004$thrice$thrice" >fuzz/seeds/unread-$seed
	printf '%b' "\\004$thrice\\005" >fuzz/seeds/unread-at-end-$seed
done

# unpack NAME: what is kept with the sources.
unpack()
{
	rm -rf "fuzz/$1.kept"
	mkdir -p "fuzz/$1.kept"
	n=0
	[ ! -e "$EVD_SRCDIR/tests/fuzz/$1.corpus" ] ||
		while read -r line; do
			n=$((n + 1))
			echo "$line" | base64 -d >"fuzz/$1.kept/$n"
		done <"$EVD_SRCDIR/tests/fuzz/$1.corpus"
}

# keep PROGRAM NAME: the smallest inputs, up to so many bytes, that show the
# most of what all of them do and the transcripts alone do not.
keep()
{
	rm -rf "fuzz/$2.small"
	mkdir "fuzz/$2.small"
	cp fuzz/seeds/* "fuzz/$2.small"
	"./$1" -merge=1 "fuzz/$2.small" "fuzz/$2.corpus" "fuzz/$2.kept" \
		>/dev/null 2>&1
	for file in fuzz/seeds/*; do
		rm -f "fuzz/$2.small/${file##*/}"
	done
	total=0
	find "fuzz/$2.small" -type f -size -2k -exec ls -Sr {} + |
		while read -r file; do
			total=$((total + $(wc -c <"$file")))
			[ $total -le 100000 ] || break
			base64 -w 0 "$file"
			echo
		done | LC_ALL=C sort >"$EVD_SRCDIR/tests/fuzz/$2.corpus"
}

: >fuzz/summary
for program in $EVD_FUZZERS; do
	name=${program##*/}
	mkdir -p "fuzz/$name.corpus" "fuzz/$name.found"
	unpack "$name"
	echo "$name: $seconds s"
	result='nothing found'
	"./$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 \
		-max_len=8192 -print_final_stats=1 -verbosity=0 \
		-dict="$EVD_SRCDIR/tests/fuzz/evd.dict" \
		-artifact_prefix="fuzz/$name.found/" \
		"fuzz/$name.corpus" "fuzz/$name.kept" fuzz/seeds \
		>"fuzz/$name.out" 2>&1 || {
		result="found something, see fuzz/$name.found"
		failed=1
	}
	cat "fuzz/$name.out"
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "fuzz/$name.out")
	echo "$(date -u +%Y-%m-%d) $name: $seconds s, ${runs:-?} runs: $result" \
		>>fuzz/summary
	[ "${2-}" != keep ] || keep "$program" "$name"
done
cat fuzz/summary
exit $failed
