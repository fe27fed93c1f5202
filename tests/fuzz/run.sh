#!/bin/sh
# usage: run.sh SECONDS
#
# Runs every fuzzer of $EVD_FUZZERS (paths in the build directory) for so many
# seconds. They start from what clients send in the protocol's transcripts. What
# one learns is kept in fuzz/NAME.corpus, what it finds in fuzz/NAME.found. Exit
# status 0 if nothing was found.
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

for program in $EVD_FUZZERS; do
	name=${program##*/}
	mkdir -p "fuzz/$name.corpus" "fuzz/$name.found"
	echo "$name: $seconds s"
	"./$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 \
		-max_len=8192 -print_final_stats=1 -verbosity=0 \
		-dict="$EVD_SRCDIR/tests/fuzz/evd.dict" \
		-artifact_prefix="fuzz/$name.found/" \
		"fuzz/$name.corpus" fuzz/seeds || {
		echo "$name: found something, see fuzz/$name.found"
		failed=1
	}
done
exit $failed
