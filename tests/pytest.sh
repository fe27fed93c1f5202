#!/bin/sh
# usage: pytest.sh FILE...
# Runs tests in Python, with the python3 that configure found.
if [ -z "$PYTHON" ]; then
	echo 'no python3 (3.9 or later) that has pytest and jsonschema' \
		'(Debian: python3-pytest python3-jsonschema)'
	exit 77
fi

# Nothing but what is tested: no plugins of the machine's, no files beside
# the sources, which may be read-only.
PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
export PYTEST_DISABLE_PLUGIN_AUTOLOAD
exec "$PYTHON" -m pytest -q -rs -p no:cacheprovider "$@"
