#!/usr/bin/env python3
"""Says what happens to files, as programs for pyev are written.

usage: watch_files.py PATH...

A PATH need not be there. Prints a line for each change; Ctrl-C ends it.
"""

import os
import signal
import sys
import time

import pyev


def describe(before, now):
    """What a change was, in words."""
    if now.nlink == 0:
        return "removed"
    if before is None or before.nlink == 0:
        return "created, %d bytes" % now.size
    if (before.dev, before.ino) != (now.dev, now.ino):
        return "replaced by another one, %d bytes" % now.size
    if before.mode != now.mode:
        return "mode is now %04o" % (now.mode & 0o7777)
    if before.size != now.size:
        return "now has %d bytes, and had %d" % (now.size, before.size)
    return "written to"


def changed(watcher, revents):
    what = describe(watcher.previous, watcher.current)
    print("%s: %s: %s" % (time.strftime("%X"), watcher.path, what), flush=True)


def main(paths):
    loop = pyev.default_loop()
    watchers = [loop.stat(os.path.abspath(path), 0.0, changed) for path in paths]
    for watcher in watchers:
        watcher.start()
    # Ctrl-C as an event: in a callback, KeyboardInterrupt would only be reported.
    interrupt = loop.signal(signal.SIGINT, lambda watcher, revents: loop.stop())
    interrupt.start()
    print("watching %d files" % len(watchers), flush=True)
    loop.start()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1:])
    except pyev.Error as error:
        sys.exit("watch_files: %s" % error)
