#!/bin/sh
# usage: coverage.sh PERCENT
#
# Which lines of src/ the tests reach, as make coverage shows it: all tests in a
# build of its own, coverage/ in the build directory, then the lines that none of
# them reached, file by file. Fails if a test does, or if less than so many percent
# were reached. TESTS, in the environment, are those to run.
set -u
percent=$1

command -v gcovr >/dev/null || {
	echo 'no gcovr (Debian: gcovr)'
	exit 77
}
source=$EVD_SRCDIR
mkdir -p "$EVD_BUILDDIR/coverage" && cd "$EVD_BUILDDIR/coverage" || exit 1
find . -name '*.gcda' -exec rm {} +
# Not vfork(2): what the child counts there would be the parent's.
[ -e config.status ] ||
	"$source/configure" --quiet PYTHON="$PYTHON" FUZZ_CC=no \
		CFLAGS='-g -O0 --coverage -fprofile-update=atomic' \
		CPPFLAGS=-Dvfork=fork || exit 1
rm -f ./*conftest.gcno

# Daemons of other users write their counts too.
umask 0
status=0
"${MAKE:-make}" all check ${TESTS:+"TESTS=$TESTS"} || status=1

gcovr --root "$source" --filter "$source/src/" \
	--fail-under-line "$percent" . || status=1
exit $status
