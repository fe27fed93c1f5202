#!/usr/bin/env python3
"""Waits until a file is there, in a few lines and without an event loop.

usage: wait_for_file.py PATH [SECONDS]

Exit status: 0 when it is there, 1 if it is not after SECONDS (default: for ever).
"""

import os
import sys

import pyev.evd


def main(path, seconds=None):
    path = os.path.abspath(path)
    with pyev.evd.Connection() as connection:
        state = connection.call("watch", type="stat", watcher="file", path=path)
        if seconds is not None:
            connection.call("watch", type="timer", watcher="late", after=float(seconds))
        there = state["attr"]["nlink"] > 0
        while not there:
            event = connection.event()
            if event.watcher == "late":
                break
            there = event["attr"]["nlink"] > 0
    return 0 if there else 1


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        sys.exit(main(*sys.argv[1:]))
    except pyev.evd.Error as error:
        sys.exit("wait_for_file: %s" % error)
