"""A wall clock for the daemon that tests can set: the preloaded tests/clockshim.c.

The machine's clock is never touched, and CLOCK_MONOTONIC is the machine's own.
"""

import os
import pathlib
import re
import shutil
import struct
import subprocess
import time

import pytest

import evdtest

SHIM = pathlib.Path(os.environ.get("EVD_BUILDDIR", "build")) / "tests" / "clockshim.so"
YEAR = 365.25 * 86400


def sanitizer():
    """The sanitizer's library that the daemon needs to be loaded first, if any."""
    ldd = subprocess.run(
        ["ldd", evdtest.EVD], stdout=subprocess.PIPE, universal_newlines=True
    )
    found = re.search(r"=> (\S*/lib(?:clang_rt\.)?asan\S*)", ldd.stdout)
    return found.group(1) if found else None


class Clock:
    """A wall clock, and the environment for the daemons that go by it.

    A context manager. The clock begins as the machine's.
    """

    def __init__(self):
        if not SHIM.exists():
            pytest.skip("%s is not built (make check builds it)" % SHIM)
        self.directory = evdtest.temporary_directory()
        self.file = os.path.join(self.directory, "offset")
        self.fifo_path = os.path.join(self.directory, "fifo")
        self.offset = 0
        self._write()
        os.mkfifo(self.fifo_path)
        self.fifo = os.open(self.fifo_path, os.O_RDWR | os.O_NONBLOCK)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        os.close(self.fifo)
        shutil.rmtree(self.directory)

    def _write(self):
        # In place and at once: the shim has mapped it.
        with open(self.file, "r+b" if os.path.exists(self.file) else "wb") as file:
            file.write(struct.pack("=q", self.offset))

    def daemon(self, *args, env=None, **options):
        """A Daemon that goes by this clock."""
        shim = {
            "LD_PRELOAD": ":".join(filter(None, [sanitizer(), str(SHIM)])),
            "EVD_CLOCKSHIM": self.file,
            "EVD_CLOCKSHIM_FIFO": self.fifo_path,
        }
        evd = evdtest.Daemon(*args, env={**shim, **(env or {})}, **options)
        try:
            if "cannot be preloaded" in evd.stderr:
                pytest.skip("the shim cannot be preloaded: " + evd.stderr)
        except BaseException:
            evd.stop()
            raise
        return evd

    def now(self):
        """What the clock shows."""
        return time.time() + self.offset / 1e9

    def jump(self, seconds, wake=True):
        """Set the clock forward or back, and wake libev, as the kernel does."""
        self.offset += round(seconds * 10**9)
        self._write()
        if wake:
            os.write(self.fifo, b"x")

    def jump_to(self, when):
        """Set the clock to a time."""
        self.jump(when - self.now())
