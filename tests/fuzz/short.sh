#!/bin/sh
# Each fuzzer for a few seconds.
if [ -z "$EVD_FUZZERS" ]; then
	echo 'no libFuzzer, or not wanted (Debian: clang libclang-rt-14-dev)'
	exit 77
fi
exec sh "$EVD_SRCDIR/tests/fuzz/run.sh" 5
