"""usage: where.py PREFIX

Prints the directory for packages under a prefix, beginning with "${prefix}". Exit
status: 0 if this python looks there, 3 if it does not, 1 if it is older than 3.9.
"""

import os
import sys
import sysconfig


def main(prefix):
    if sys.version_info < (3, 9):
        return 1
    prefix = os.path.normpath(prefix).rstrip("/")
    for directory in sys.path:
        if directory.startswith(prefix + "/lib/") and directory.endswith("-packages"):
            print("${prefix}" + directory[len(prefix) :])
            return 0
    print(sysconfig.get_path("purelib", "posix_prefix", {"base": "${prefix}"}))
    return 3


sys.exit(main(*sys.argv[1:]))
