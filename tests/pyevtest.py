"""What tests of the Python package pyev share: a daemon, and loops of it.

The fixtures are imported by name; each module that does so has a daemon of its own.
"""

import contextlib
import faulthandler
import gc
import os
import signal
import sys

import pytest

from evdtest import LIMIT, Daemon

sys.path.insert(
    0, os.path.join(os.environ.get("EVD_SRCDIR", ".."), "clients", "python")
)

import pyev  # noqa: E402


@contextlib.contextmanager
def environment(**variables):
    """Environment variables for a while; None removes one."""
    before = {name: os.environ.get(name) for name in variables}

    def put(values):
        for name, value in values.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    put(variables)
    try:
        yield
    finally:
        put(before)


@pytest.fixture(name="evd", scope="module")
def fixture_evd():
    with Daemon() as daemon, environment(EVD_SOCKET=daemon.path):
        yield daemon


@pytest.fixture(name="limit", autouse=True)
def fixture_limit():
    """A test that hangs says where, and ends."""
    faulthandler.dump_traceback_later(3 * LIMIT, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(name="loop")
def fixture_loop(evd):
    """A loop that raises what callbacks raise."""
    return pyev.Loop(debug=True)


@pytest.fixture(name="default")
def fixture_default(evd):
    """The default loop, as loop."""
    gc.collect()
    return pyev.default_loop(debug=True)


@contextlib.contextmanager
def reported():
    """What sys.unraisablehook gets meanwhile: pairs of an exception and an object."""
    reports = []
    hook = sys.unraisablehook
    sys.unraisablehook = lambda got: reports.append((got.exc_value, got.object))
    try:
        yield reports
    finally:
        sys.unraisablehook = hook


class Log(list):
    """A list with callbacks that note what they are called with."""

    def callback(self, name):
        return lambda watcher, revents: self.append(name)

    def once(self, name):
        """A callback that stops its watcher."""

        def callback(watcher, revents):
            self.append(name)
            watcher.stop()

        return callback


@pytest.fixture(name="log")
def fixture_log():
    return Log()


def in_child(function):
    """Run function in a forked child; assert that it comes to its end there."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(int(LIMIT))  # deadly
            function()
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
