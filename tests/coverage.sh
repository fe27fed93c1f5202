#!/bin/sh
# usage: coverage.sh PERCENT
#
# Which lines of src/ the tests reach, as make coverage shows it: all tests in a
# build of its own, coverage/ in the build directory, then the lines that none of
# them reached, file by file. Fails if a test does, if less than so many percent
# were reached, or if there is an error that no client was told. TESTS, in the
# environment, are those to run.
set -u
percent=$1

command -v gcovr >/dev/null || {
	echo 'no gcovr (Debian: gcovr)'
	exit 77
}
source=$(cd "$EVD_SRCDIR" && pwd -P) || exit 1
mkdir -p "$EVD_BUILDDIR/coverage" && cd "$EVD_BUILDDIR/coverage" || exit 1
find . -name '*.gcda' -exec rm {} +
# Not vfork(2): what the child counts there would be the parent's.
[ -e config.status ] ||
	"$source/configure" --quiet PYTHON="$PYTHON" FUZZ_CC=no \
		CFLAGS='-g -O0 --coverage -fprofile-update=atomic' \
		CPPFLAGS=-Dvfork=fork || exit 1
rm -f ./*conftest.gcno

status=0
# Not all as well: each would build the library in a make of its own, at once.
"${MAKE:-make}" -j "$(nproc 2>/dev/null || echo 2)" check \
	${TESTS:+"TESTS=$TESTS"} || status=1

gcovr --root "$source" --filter "$source/src/" \
	--json lines.json --txt lines.txt \
	--fail-under-line "$percent" . || status=1
cat lines.txt

# Each cause of an error that a client can be told must have been told.
"$PYTHON" - "$source" <<'PYTHON' || status=1
import json
import os
import re
import sys

with open("lines.json") as file:
    files = json.load(file)["files"]
untold = []
for entry in files:
    with open(os.path.join(sys.argv[1], entry["file"])) as source:
        text = source.read().splitlines()
    for line in entry["lines"]:
        here = text[line["line_number"] - 1]
        if re.search(r"\berror_set(_system)?\(", here) and not line["count"]:
            where = "%s:%d" % (entry["file"], line["line_number"])
            untold.append("%s: never said: %s" % (where, here.strip()))
print("\n".join(untold))
print("%d causes of errors are never said" % len(untold))
sys.exit(bool(untold) or not files)
PYTHON
exit $status
