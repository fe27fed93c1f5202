#!/bin/sh
# The scripts are as shellcheck wants them.
cd "$EVD_SRCDIR" || exit 1

if ! command -v shellcheck >/dev/null; then
	echo 'no shellcheck (Debian: shellcheck)'
	exit 77
fi
scripts=$(find bootstrap .ci clients packaging src tests protocol -type f -exec \
	awk 'FNR == 1 && /^#!.*[\/ ](ba|da|)sh( |$)/ { print FILENAME }' {} +)
# shellcheck disable=SC2086 # a list of names without spaces
shellcheck clients/shell/evd.sh $scripts && shellcheck -s bash clients/evctl/evctl.bash
