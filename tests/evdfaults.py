"""Calls of the daemon's that fail: the preloaded tests/faultshim.c."""

import ctypes
import errno
import mmap
import os
import pathlib
import shutil

import pytest

import evdtest
from evdclock import sanitizer

SHIM = pathlib.Path(os.environ.get("EVD_BUILDDIR", "build")) / "tests" / "faultshim.so"
FOR_EVER = 1 << 62
SHORT = 0


def names():
    """The functions that can fail, in the order of the shim's counters."""
    table = (ctypes.c_char_p * 256).in_dll(ctypes.CDLL(str(SHIM)), "shim_names")
    found = []
    for name in table:
        if name is None:
            return found
        found.append(name.decode())
    raise AssertionError("the shim's table has no end")


class Faults:
    """Which call fails, when and how; a context manager."""

    def __init__(self):
        if not SHIM.exists():
            pytest.skip("%s is not built (make check builds it)" % SHIM)
        self.names = names()

        class Shim(ctypes.Structure):
            _fields_ = [
                ("function", ctypes.c_int32),
                ("error", ctypes.c_int32),
                ("skip", ctypes.c_int64),
                ("times", ctypes.c_int64),
                ("failed", ctypes.c_int64),
                ("calls", ctypes.c_int64 * len(self.names)),
            ]

        self.directory = evdtest.temporary_directory()
        self.file = os.path.join(self.directory, "faults")
        with open(self.file, "w+b") as file:
            file.truncate(ctypes.sizeof(Shim))
            self._map = mmap.mmap(file.fileno(), ctypes.sizeof(Shim))
        self._shim = Shim.from_buffer(self._map)
        self.off()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.directory)

    def env(self):
        """The environment of a daemon whose calls may fail."""
        return {
            "LD_PRELOAD": ":".join(filter(None, [sanitizer(), str(SHIM)])),
            "EVD_FAULTSHIM": self.file,
        }

    def daemon(self, *args, env=None, **options):
        """A Daemon whose calls may fail."""
        return evdtest.Daemon(*args, env={**self.env(), **(env or {})}, **options)

    def calls(self):
        """How often each function was called so far."""
        return dict(zip(self.names, self._shim.calls))

    def on(self, function, error, skip=0, times=1):
        """From now on, after some calls, so many calls of a function fail."""
        self._shim.function = -1
        self._shim.error = error
        self._shim.skip = skip
        self._shim.times = times
        self._shim.failed = 0
        self._shim.function = self.names.index(function)

    def off(self):
        """All succeeds. Gives how many calls have failed."""
        self._shim.function = -1
        return self._shim.failed

    def off_after(self, failed):
        """Whether so many calls have failed; then all succeeds."""
        if self._shim.failed < failed:
            return False
        self.off()
        return True


def allocates_by_itself():
    """Whether the daemon was built with what has an allocator, or uses malloc()."""
    with open(evdtest.EVD, "rb") as program:
        return sanitizer() is not None or b"__gcov_" in program.read()


def name_of(error):
    return errno.errorcode[error] if error else "short"
