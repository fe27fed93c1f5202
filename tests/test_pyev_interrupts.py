"""pyev interrupted wherever that is possible: nothing is lost, and nothing done twice.

From Python 3.11 on the interpreter looks for signals when a function begins, when a
loop goes round, and after a call of what is not written in Python. Each test is run
again and again, with KeyboardInterrupt at the first such place in the package, the
second, and so on, until it is not reached any more.
"""

import gc
import itertools
import opcode
import os
import signal
import socket
import sys
import time
import traceback

import pytest

from evdtest import wait_until
from pyevtest import Log, fixture_evd, fixture_limit, pyev

if sys.version_info < (3, 11):
    pytest.skip("looks for signals everywhere", allow_module_level=True)

PACKAGE = os.path.dirname(pyev.__file__)
BEGIN = bytes([opcode.opmap["RESUME"], 0])
CALLS = [opcode.opmap.get(n, -1) for n in ("CALL", "CALL_KW", "CALL_FUNCTION_EX")]
AGAIN = opcode.opmap["JUMP_BACKWARD"]
RAISED = opcode.opmap["PUSH_EXC_INFO"]


def interrupt():
    raise KeyboardInterrupt


class Interrupter:
    """Does what a signal handler would do at one of the places.

    left: how many come before. at: where it was; None: it has not come to that. last:
    the instruction that a frame has run last, unless that was a call of a function in
    Python.
    """

    def __init__(self, number):
        self.handler = interrupt
        self.left = number
        self.at = None
        self.last = {}

    def trace(self, frame, event, arg):
        if event == "call":
            self.last.pop(frame.f_back, None)
            if not frame.f_code.co_filename.startswith(PACKAGE):
                return None
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        elif event == "opcode":
            if self.is_there(frame, frame.f_code.co_code[frame.f_lasti :][:2]):
                self.at = "%s:%s" % (frame.f_code.co_filename, frame.f_lineno)
                self.stop()
                self.handler()
        return self.trace

    def is_there(self, frame, instruction):
        kind = instruction[0]
        called = self.last.get(frame) in CALLS and kind != RAISED
        self.last[frame] = kind
        if called or kind == AGAIN or instruction == BEGIN:
            self.left -= 1
        return self.left < 0

    def stop(self):
        sys.settrace(None)
        self.last.clear()


@pytest.fixture(name="everywhere")
def fixture_everywhere(evd):
    """Calls a function for each place.

    It is given another function, that runs what may be interrupted there, and says
    whether it was. handler: what to do instead of that.
    """
    # The package knows an exception of a signal handler when it sees one.
    before = signal.signal(signal.SIGUSR2, Interrupter.trace)

    def everywhere(function):
        for number in itertools.count():
            gc.collect()
            interrupter = Interrupter(number)

            def interrupted(work, handler=interrupt):
                interrupter.handler = handler
                if interrupter.at is not None:
                    work()
                    return False
                sys.settrace(interrupter.trace)
                try:
                    work()
                except KeyboardInterrupt:
                    return True
                finally:
                    interrupter.stop()
                return False

            try:
                function(interrupted)
            except BaseException as error:
                why = "".join(traceback.format_exception(error, limit=-3, chain=False))
            else:
                why = None
            if why:
                pytest.fail("interrupted at %s:\n%s" % (interrupter.at, why), False)
            if interrupter.at is None:
                return

    # What is dropped elsewhere is not to be interrupted.
    gc.disable()
    yield everywhere
    gc.enable()
    signal.signal(signal.SIGUSR2, before)


def finish(loop, done):
    """Run the loop until done."""

    def look():
        loop.start(pyev.EVRUN_NOWAIT)
        return done()

    wait_until(look, "what was interrupted is done in the end")


def registered(evd, count):
    with evd.connect() as c:
        wait_until(
            lambda: sum(s["watchers"] for s in c.call("list")["sessions"]) == count,
            "%d are registered" % count,
        )


KINDS = {
    "one-shot": lambda loop, callback: loop.timer(0.0, 0.0, callback),
    "repeating": lambda loop, callback: loop.timer(0.0, 3600.0, callback),
    "absolute": lambda loop, callback: loop.periodic(0.0, 0.0, callback),
}


@pytest.mark.parametrize("kind", KINDS)
def test_fires_once(everywhere, evd, kind):
    def one(interrupted):
        loop = pyev.Loop(debug=True)
        log = Log()
        watchers = [KINDS[kind](loop, log.callback(n)) for n in range(3)]
        if interrupted(lambda: [w.start() for w in watchers]):
            for watcher in watchers:
                watcher.start()
        interrupted(lambda: loop.start(pyev.EVRUN_ONCE))
        finish(loop, lambda: len(log) >= len(watchers))
        loop.start(pyev.EVRUN_NOWAIT)
        assert sorted(log) == [0, 1, 2]
        assert loop.depth == 0 and loop.pending == 0
        loop.verify()
        for watcher in watchers:
            watcher.stop()
        assert loop.start() is False

    everywhere(one)


RECURRING = {
    "periodic": lambda loop, slot, callback: loop.periodic(slot, 3600.0, callback),
    "scheduler": lambda loop, slot, callback: loop.scheduler(
        lambda w, now: slot if now < slot else now + 3600.0, callback
    ),
}


@pytest.mark.parametrize("kind", RECURRING)
def test_recurs_once(everywhere, evd, kind):
    def one(interrupted):
        loop = pyev.Loop(debug=True)
        log = Log()
        slot = time.time() + 0.003
        watchers = [RECURRING[kind](loop, slot, log.callback(n)) for n in range(2)]
        for watcher in watchers:
            watcher.start()
        # On a slow machine it is too late for that.
        expected = [n for n, watcher in enumerate(watchers) if watcher.at == slot]
        interrupted(lambda: loop.start(pyev.EVRUN_ONCE))
        finish(loop, lambda: len(log) >= len(expected))
        loop.start(pyev.EVRUN_NOWAIT)
        assert sorted(log) == expected
        loop.verify()

    everywhere(one)


def test_stat(everywhere, evd, tmp_path):
    path = tmp_path / "file"
    # While somebody watches the directory, to watch it once more is quick.
    other = pyev.Loop().stat(str(tmp_path / "other"), 0.0, print)
    other.start()

    def one(interrupted):
        if path.exists():
            path.unlink()
        loop = pyev.Loop(debug=True)
        log = Log()
        stat = loop.stat(str(path), 0.0, log.callback("changed"))
        stat.start()
        loop.start(pyev.EVRUN_NOWAIT)
        path.touch()
        interrupted(lambda: loop.start(pyev.EVRUN_ONCE))
        finish(loop, lambda: log)
        assert log == ["changed"] and (stat.prev.nlink, stat.attr.nlink) == (0, 1)
        loop.verify()

    everywhere(one)


def test_io_is_let_go(everywhere, evd):
    def one(interrupted):
        loop = pyev.Loop(debug=True)
        left, right = socket.socketpair()
        io = loop.io(right, pyev.EV_READ, lambda w, r: None)
        timer = loop.timer(3600.0, 60.0, print)
        io.start()
        timer.start()
        loop.start(pyev.EVRUN_NOWAIT)
        interrupted(io.stop)
        loop.start(pyev.EVRUN_NOWAIT)
        io.stop()
        right.close()
        assert left.recv(1) == b""
        interrupted(timer.reset)
        timer.repeat = 70.0
        interrupted(timer.stop)
        loop.start(pyev.EVRUN_NOWAIT)
        timer.stop()
        loop.start(pyev.EVRUN_NOWAIT)
        loop.verify()
        registered(evd, 0)
        left.close()

    everywhere(one)


@pytest.mark.parametrize("kind", ["idle", "prepare", "check", "fork"])
def test_hook(everywhere, evd, kind):
    def one(interrupted):
        loop = pyev.Loop(debug=True)
        log = Log()
        hook = getattr(loop, kind)(log.callback("fired"))
        interrupted(hook.start)
        hook.start()
        interrupted(hook.stop)
        hook.stop()
        timer = loop.timer(0.002, 0.0, lambda w, r: None)
        timer.start()
        assert loop.start() is False and log == []
        assert loop.iteration < 10

    everywhere(one)


def test_signal(everywhere, evd):
    def one(interrupted):
        loop = pyev.Loop(debug=True)
        log = []
        watcher = loop.signal(signal.SIGUSR1, lambda w, r: log.append(r))
        interrupted(watcher.start)
        watcher.start()

        def get():
            signal.raise_signal(signal.SIGUSR1)
            loop.start(pyev.EVRUN_NOWAIT)

        interrupted(get)
        if not log:
            signal.raise_signal(signal.SIGUSR1)
        loop.start(pyev.EVRUN_NOWAIT)
        assert log and set(log) == {pyev.EV_SIGNAL}
        interrupted(watcher.stop)
        watcher.stop()
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
        loop.start(pyev.EVRUN_NOWAIT)

    everywhere(one)


@pytest.mark.parametrize("trace", [False, True])
def test_child(everywhere, evd, trace):
    def one(interrupted):
        gc.collect()
        loop = pyev.default_loop(debug=True)
        log = Log()
        pid = os.posix_spawn("/bin/true", ["true"], {})
        child = loop.child(pid, trace, log.callback("ended"))
        child.start()
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        interrupted(lambda: loop.start(pyev.EVRUN_NOWAIT))
        finish(loop, lambda: log)
        loop.start(pyev.EVRUN_NOWAIT)
        assert log == ["ended"] and (child.rpid, child.rstatus) == (pid, 0)
        interrupted(child.stop)
        child.stop()
        if trace:
            assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
        assert loop.start() is False

    everywhere(one)


def test_async(everywhere, evd):
    def one(interrupted):
        loop = pyev.Loop(debug=True)
        log = []
        wake = getattr(loop, "async")(lambda w, r: log.append(r))
        wake.start()
        if interrupted(wake.send):
            wake.send()
        interrupted(lambda: loop.start(pyev.EVRUN_ONCE))
        if not log:
            loop.start(pyev.EVRUN_NOWAIT)
        assert log
        log.clear()
        wake.send()
        assert loop.start(pyev.EVRUN_ONCE) and log == [pyev.EV_ASYNC]

    everywhere(one)


def test_dropped(everywhere, evd):
    def one(interrupted):
        loop = pyev.Loop(debug=True)
        watchers = [loop.timer(3600.0, 0.0, print), loop.prepare(lambda w, r: None)]
        for watcher in watchers:
            watcher.start()
        loop.start(pyev.EVRUN_NOWAIT)
        del watcher
        watchers.clear()
        interrupted(loop.start)
        loop.start(pyev.EVRUN_NOWAIT)
        assert loop.start(pyev.EVRUN_NOWAIT) is False
        registered(evd, 0)

    everywhere(one)


@pytest.mark.parametrize("debug", [False, True])
def test_embed(everywhere, evd, debug):
    def one(interrupted):
        loop = pyev.Loop(debug=debug)
        inner = pyev.Loop(debug=debug)
        log = []
        timer = inner.timer(0.0, 0.0, lambda w, r: log.append(r))
        timer.start()
        embed = loop.embed(inner)
        embed.start()
        interrupted(lambda: loop.start(pyev.EVRUN_ONCE))
        finish(loop, lambda: log)
        assert log == [pyev.EV_TIMER]
        embed.stop()

    everywhere(one)


def test_the_end_of_a_callback(evd):
    """What is not in Python has run by the time that a signal is noticed around it."""
    loop = pyev.Loop(debug=True)
    handled = []

    class Pid(pyev.Timer):
        def __index__(self):
            return os.getpid()

    def handler(signum, frame):
        handled.append(signum)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, handler)
    timer = Pid(0.0, 0.0, loop, os.kill)
    timer.feed(signal.SIGUSR1)
    with pytest.raises(KeyboardInterrupt):
        loop.start()
    assert loop.start() is False and handled == [signal.SIGUSR1]
    signal.signal(signal.SIGUSR1, before)


def test_a_handler_feeds(everywhere, evd):
    """And whatever is under way, the callback is called."""

    def one(interrupted):
        loop = pyev.Loop(debug=True)
        log = Log()
        fed = loop.timer(1.0, 0.0, log.callback("fed"))
        others = [loop.timer(1.0, 0.0, log.callback(n)) for n in range(3)]
        # One that disturbs the others, which are called in another way then.
        others[2].callback = lambda w, r: log.append(2) or others[0].feed(1)

        def work():
            for watcher in others:
                watcher.feed(1)
            loop.invoke()

        interrupted(work, lambda: fed.feed(1))
        loop.invoke()
        assert sorted(log, key=str) == [0, 1, 2] + ["fed"] * log.count("fed")
        fed.feed(1)
        loop.invoke()
        assert log[-1] == "fed" and loop.pending == 0

    everywhere(one)


@pytest.mark.parametrize("what", ["start", "stop"])
def test_a_handler_starts_and_stops(everywhere, evd, what):
    def one(interrupted):
        loop = pyev.Loop(debug=True)
        log = Log()
        left, right = socket.socketpair()
        io = loop.io(right, pyev.EV_READ, log.callback("io"))
        timer = loop.timer(0.0, 0.0, log.callback("timer"))
        last = loop.timer(0.001, 0.0, log.callback("last"))
        last.start()
        if what == "start":
            interrupted(loop.start, timer.start)
        else:
            io.start()
            timer.start()
            interrupted(lambda: loop.start(pyev.EVRUN_NOWAIT), io.stop)
            io.stop()
            timer.stop()
        assert loop.start() is False
        assert "last" in log
        loop.verify()
        right.close()
        assert left.recv(1) == b""
        left.close()

    everywhere(one)
