#!/bin/sh
# Stands in for the unit tests where configure has not found Check.
echo 'no unit test: Check is missing (Debian: apt-get install check)'
exit 77
