"""pyev.Loop: its arguments, what start() does, and the order of callbacks."""

import gc
import inspect
import os
import signal
import sys
import time
import warnings

import pytest

from evdtest import LIMIT, wait_until
from pyevtest import (
    environment,
    fixture_default,
    fixture_evd,
    fixture_limit,
    fixture_log,
    fixture_loop,
    pyev,
    reported,
)

# --- the module --------------------------------------------------------------


def test_constants():
    expected = """EVFLAG_AUTO 0 EVFLAG_NOENV 0x1000000 EVFLAG_FORKCHECK 0x2000000
        EVFLAG_NOINOTIFY 0x100000 EVFLAG_SIGNALFD 0x200000 EVFLAG_NOSIGMASK 0x400000
        EVBACKEND_SELECT 1 EVBACKEND_POLL 2 EVBACKEND_EPOLL 4 EVBACKEND_KQUEUE 8
        EVBACKEND_DEVPOLL 16 EVBACKEND_PORT 32 EVBACKEND_ALL 0xff
        EVBACKEND_MASK 0xffff EVRUN_NOWAIT 1 EVRUN_ONCE 2 EVBREAK_ONE 1
        EVBREAK_ALL 2 EV_READ 1 EV_WRITE 2 EV_IO 1 EV_TIMER 0x100 EV_PERIODIC 0x200
        EV_SIGNAL 0x400 EV_CHILD 0x800 EV_STAT 0x1000 EV_IDLE 0x2000
        EV_PREPARE 0x4000 EV_CHECK 0x8000 EV_EMBED 0x10000 EV_FORK 0x20000
        EV_ASYNC 0x80000 EV_CUSTOM 0x1000000 EV_ERROR -2147483648 EV_MINPRI -2
        EV_MAXPRI 2""".split()
    for name, value in zip(expected[::2], expected[1::2]):
        assert getattr(pyev, name) == int(value, 0), name


def test_module_functions(evd):
    assert pyev.supported_backends() & pyev.EVBACKEND_EPOLL
    assert pyev.recommended_backends() & pyev.EVBACKEND_EPOLL
    assert pyev.embeddable_backends() & pyev.EVBACKEND_EPOLL
    assert pyev.abi_version() == pyev.version() and pyev.abi_version()[0] == 4
    assert abs(pyev.time() - time.time()) < 60
    begin = time.monotonic()
    pyev.sleep(0.01)
    pyev.sleep(-1)
    assert time.monotonic() - begin >= 0.01
    assert isinstance(pyev.__version__, str)
    assert issubclass(pyev.Error, Exception)
    for name in ("sleep", "feed_signal"):
        with pytest.raises(TypeError):
            getattr(pyev, name)("1")


def test_default_loop_is_one(evd):
    loop = pyev.default_loop()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pyev.default_loop() is loop
    with pytest.warns(RuntimeWarning):
        assert pyev.default_loop(debug="anything") is loop
    assert loop.default and not loop.debug
    assert not pyev.Loop().default
    with pytest.raises(AttributeError):
        loop.default = False


def test_default_loop_lives_as_long_as_it_is_used(evd):
    loop = pyev.default_loop(data="first")
    timer = loop.timer(1, 0, print)
    del loop
    assert pyev.default_loop().data == "first"
    del timer
    assert pyev.default_loop().data is None


def test_positions_and_keywords(evd):
    loop = pyev.Loop(0, print, "data", 1.0, 2.0, True)
    assert (loop.callback, loop.data, loop.debug) == (print, "data", True)
    assert (loop.io_interval, loop.timeout_interval) == (1.0, 2.0)
    loop = pyev.Loop(
        debug=True, timeout_interval=2, io_interval=1, data=5, callback=len, flags=0
    )
    assert (loop.callback, loop.data, loop.debug) == (len, 5, True)
    assert (loop.io_interval, loop.timeout_interval) == (1.0, 2.0)


def test_wrong_arguments(evd):
    for arguments in (dict(flags=1.0), dict(callback=5), dict(io_interval="1")):
        with pytest.raises(TypeError):
            pyev.Loop(**arguments)
    with pytest.raises(ValueError):
        pyev.Loop(timeout_interval=-1.0)
    with pytest.raises(pyev.Error):
        pyev.Loop(pyev.EVBACKEND_KQUEUE)
    pyev.Loop(1 << 40)  # flags wrap


def test_backend(evd):
    assert pyev.Loop().backend == pyev.EVBACKEND_EPOLL
    assert pyev.Loop(pyev.EVBACKEND_SELECT).backend == pyev.EVBACKEND_SELECT
    with environment(LIBEV_FLAGS="2"):
        assert pyev.Loop().backend == pyev.EVBACKEND_POLL
        assert pyev.Loop(pyev.EVFLAG_NOENV).backend == pyev.EVBACKEND_EPOLL


def test_attributes(loop):
    for name in ("default", "backend", "pending", "iteration", "depth"):
        with pytest.raises(AttributeError):
            setattr(loop, name, 1)
        with pytest.raises((TypeError, AttributeError)):
            delattr(loop, name)
    loop.data = 5
    del loop.data
    assert loop.data is None
    with pytest.raises(TypeError):
        del loop.callback
    with pytest.raises(TypeError):
        loop.callback = 5
    loop.callback = None
    with pytest.raises(ValueError):
        loop.io_interval = -1


def test_a_subclass_has_all_names_for_itself(evd, log):
    class Server(pyev.Loop):
        def __init__(self, name):
            super().__init__(debug=True)
            self._names = self._connection = self._callback = self._name = name

        def reconnect(self):
            return "mine"

    class Ticker(pyev.Timer):
        def __init__(self, loop):
            super().__init__(0.0, 0.0, loop, self.tick, data=1)
            self._loop = self._name = self._at = self._active = None

        def tick(self, watcher, revents):
            log.append((watcher is self, revents))

    server = Server("x")
    ticker = Ticker(server)
    ticker.start()
    assert server.start() is False
    assert log == [(True, pyev.EV_TIMER)] and server.reconnect() == "mine"


def test_a_subclass_that_does_not_initialise(loop):
    """Whatever is done with the object, it is Error that says why that cannot be."""

    class Server(pyev.Loop):
        def __init__(self, late):
            if late:
                self.timer(0.0, 0.0, print).start()
                super().__init__()

    class Late:
        def __init__(self, *arguments):
            self.start()
            super().__init__(*arguments)

    why = "is not initialised: its __init__"
    server = Server(late=False)
    uses = [
        lambda: Server(late=True),
        server.start,
        server.now,
        lambda: server.debug,
        lambda: setattr(server, "io_interval", 1.0),
        lambda: server.signal(signal.SIGUSR1, print).start(),
        lambda: server.child(0, False, print),
        lambda: loop.embed(server),
    ]
    arguments = {
        "Io": (0, 1),
        "Timer": (0, 0),
        "Periodic": (0, 1),
        "Scheduler": (max,),
        "Signal": (10,),
        "Child": (0, False),
        "Stat": ("/", 0),
        "Embed": (loop,),
    }
    for name in [*arguments, "Async", "Check", "Fork", "Idle", "Prepare"]:
        own = arguments.get(name, ())
        base = getattr(pyev, name)
        never = type(name, (base,), {"__init__": lambda self: None})()
        uses += [
            lambda base=base, own=own: type("L", (Late, base), {})(*own, loop, print),
            never.start,
            never.stop,
            lambda never=never: never.feed(1),
            lambda never=never: never.active,
            lambda never=never: never.loop,
        ]
        for attribute in ("_ev", "missing"):
            with pytest.raises(AttributeError, match="no attribute %r" % attribute):
                getattr(never, attribute)
    with reported() as reports:
        for use in uses:
            with pytest.raises(pyev.Error, match=why):
                use()
        del uses, server, never
        gc.collect()
    assert reports == []


def test_a_loop_that_nobody_refers_to_is_gone(evd):
    with evd.connect() as c:

        def sessions():
            return {session["session"] for session in c.call("list")["sessions"]}

        for make in (pyev.Loop, pyev.default_loop):
            # Those of other tests may still be there, or not.
            before = sessions()
            loop = make()
            loop.timer(5, 5, print).start()
            own = sessions() - before
            assert len(own) == 1
            del loop
            wait_until(lambda: not own & sessions(), "closed")


def test_public_names_have_docstrings():
    for name, value in vars(pyev).items():
        if inspect.isclass(value) and not name.startswith("_"):
            for member, function in vars(value).items():
                if not member.startswith("_") and name not in ("Statdata", "Error"):
                    assert getattr(function, "__doc__", None), (name, member)


# --- start() -----------------------------------------------------------------


def test_start_returns_whether_anything_is_active(loop, log):
    assert loop.start() is False
    timer = loop.timer(0.0, 3600.0, log.callback("t"))
    timer.start()
    assert loop.start(pyev.EVRUN_ONCE) is True
    assert log == ["t"]
    timer.stop()
    assert loop.start() is False
    with pytest.raises(TypeError):
        loop.start(1.0)


def test_nowait_handles_what_is_ready(loop, log):
    assert loop.start(pyev.EVRUN_NOWAIT) is False
    later = loop.timer(3600.0, 0.0, log.callback("later"))
    later.start()
    assert loop.start(pyev.EVRUN_NOWAIT) is True
    now = loop.timer(0.0, 0.0, log.callback("now"))
    now.start()
    assert loop.start(pyev.EVRUN_NOWAIT) is True
    assert log == ["now"]
    later.stop()


def test_once_waits(loop, log):
    timer = loop.timer(0.02, 0.0, log.callback("t"))
    timer.start()
    assert loop.start(pyev.EVRUN_ONCE) is False
    assert log == ["t"]


def test_stop_in_a_callback(loop, log):
    def stop(watcher, revents):
        log.append("stop")
        loop.stop()

    # What is outstanding already still runs.
    watchers = [loop.timer(0.0, 1.0, log.callback(n), None, 1 - n) for n in range(3)]
    watchers.append(loop.timer(0.0, 1.0, stop, None, 2))
    for watcher in watchers:
        watcher.start()
    assert loop.start() is True
    assert log == ["stop", 0, 1, 2]
    for watcher in watchers:
        watcher.stop()


def test_stop_outside_of_start_has_no_effect(loop, log):
    loop.stop()
    loop.stop(pyev.EVBREAK_ALL)
    timer = loop.timer(0.0, 0.0, log.callback("t"))
    timer.start()
    assert loop.start() is False
    assert log == ["t"]


@pytest.mark.parametrize("how, outer", [(1, True), (2, False)])
def test_nested(loop, log, how, outer):
    def inner_stop(watcher, revents):
        log.append(("inner", loop.depth))
        loop.stop(how)

    def nest(watcher, revents):
        inner.start()
        log.append(("nested", loop.start()))
        last.start()

    inner = loop.timer(0.0, 10.0, inner_stop)
    nesting = loop.timer(0.0, 0.0, nest)
    nesting.start()
    last = loop.timer(0.0, 0.0, lambda w, r: (log.append("outer"), loop.stop()))
    loop.start()
    assert log[:2] == [("inner", 2), ("nested", True)]
    assert (log[2:] == ["outer"]) is outer
    assert loop.depth == 0
    for watcher in (inner, last):
        watcher.stop()


def test_ref_and_unref(loop, log):
    timer = loop.timer(3600.0, 0.0, log.callback("t"))
    timer.start()
    loop.unref()
    assert loop.start() is False
    loop.ref()
    assert loop.start(pyev.EVRUN_NOWAIT) is True
    timer.stop()


def test_iteration_and_now(loop):
    iteration = loop.iteration
    loop.start(pyev.EVRUN_NOWAIT)
    assert loop.iteration == iteration + 1
    now = loop.now()
    assert loop.now() == now
    time.sleep(0.001)
    loop.update()
    assert now < loop.now() <= time.time()
    loop.verify()


# --- pending -----------------------------------------------------------------


def test_fed_events_run_even_if_nothing_is_active(loop, log):
    timer = loop.timer(1.0, 0.0, lambda w, r: log.append(r))
    timer.feed(0)
    assert timer.pending and not timer.active and loop.pending == 1
    timer.feed(4)
    timer.feed(1)
    assert loop.pending == 1
    assert loop.start() is False
    assert log == [5] and loop.pending == 0


def test_zero_is_an_event(loop, log):
    timer = loop.timer(1.0, 0.0, lambda w, r: log.append(r))
    timer.feed(0)
    loop.invoke()
    assert log == [0]


def test_clear_and_stop_forget(loop, log):
    timer = loop.timer(1.0, 0.0, log.callback("t"))
    assert timer.clear() == 0
    timer.feed(6)
    assert timer.clear() == 6 and not timer.pending
    timer.feed(6)
    timer.stop()
    assert not timer.pending
    loop.start()
    assert log == []


def test_order_of_fed_events(loop, log):
    watchers = [loop.timer(1.0, 0.0, log.callback(n)) for n in range(4)]
    high = loop.timer(1.0, 0.0, log.callback("high"), None, 1)
    for watcher in watchers[:2] + [high] + watchers[2:]:
        watcher.feed(1)
    loop.invoke()
    assert log == ["high", 3, 2, 1, 0]


def test_what_is_fed_by_a_callback_runs_in_order(loop, log):
    def feed(watcher, revents):
        log.append("feed")
        high.feed(1)
        low.feed(1)

    low = loop.timer(1.0, 0.0, log.callback("low"), None, -1)
    high = loop.timer(1.0, 0.0, log.callback("high"), None, 1)
    middle = [loop.timer(1.0, 0.0, log.callback(n)) for n in range(3)]
    feeding = loop.timer(1.0, 0.0, feed)
    for watcher in [*middle, feeding]:
        watcher.feed(1)
    loop.invoke()
    assert log == ["feed", "high", 2, 1, 0, "low"]


def test_a_callback_that_stops_another_one(loop, log):
    def stop(watcher, revents):
        log.append("stop")
        for other in others:
            other.stop()

    others = [loop.timer(0.0, 0.0, log.callback("t")) for _ in range(3)]
    first = loop.timer(0.0, 0.0, stop, None, 2)
    for watcher in (*others, first):
        watcher.start()
    loop.start()
    assert log == ["stop"]


def test_many_that_feed_each_other(loop, log):
    def callback(watcher, revents):
        log.append(watcher.data)
        if watcher.data:
            watchers[watcher.data - 1].feed(1)

    watchers = [loop.timer(1.0, 0.0, callback, n) for n in range(20000)]
    for watcher in watchers[::2]:
        watcher.feed(1)
    watchers[-1].feed(1)
    loop.invoke()
    assert sorted(set(log)) == list(range(20000))
    assert loop.pending == 0


def test_expired_timers_come_in_order_of_time(loop, log):
    times = [0.03, 0.01, 0.05, 0.02, 0.04]
    timers = [loop.timer(t, 0.0, log.callback(t)) for t in times]
    urgent = loop.timer(0.05, 0.0, log.callback("urgent"), None, 2)
    for timer in (*timers, urgent):
        timer.start()
    time.sleep(0.08)
    loop.start(pyev.EVRUN_NOWAIT)
    assert log == ["urgent", *sorted(times)]


def test_priority_goes_before_time(loop, log):
    timers = [
        loop.timer(0.001 * n, 0.0, log.callback(n), None, n % 5 - 2) for n in range(500)
    ]
    for timer in timers:
        timer.start()
    time.sleep(0.6)
    loop.start(pyev.EVRUN_ONCE)
    assert log == sorted(range(500), key=lambda n: (-(n % 5), n))


def test_io_and_timers_of_one_iteration_by_priority(loop, log):
    read, write = os.pipe()
    ready = loop.io(write, pyev.EV_WRITE, log.once("io"), None, 1)
    low = loop.timer(0.0, 0.0, log.callback("low"), None, -1)
    high = loop.timer(0.0, 0.0, log.callback("high"), None, 2)
    for watcher in (low, ready, high):
        watcher.start()
    loop.start(pyev.EVRUN_ONCE)
    assert log == ["high", "io", "low"]
    os.close(read)
    os.close(write)


# --- exceptions --------------------------------------------------------------


def fail(watcher, revents):
    raise ZeroDivisionError("of a callback")


@pytest.mark.parametrize("kind", [ZeroDivisionError, SystemExit, KeyboardInterrupt])
def test_without_debug_an_exception_is_reported(loop, log, kind):
    def callback(watcher, revents):
        raise kind("x")

    loop.debug = False
    failing = loop.timer(0.0, 0.0, callback, None, 1)
    after = loop.timer(0.0, 0.0, log.callback("after"))
    for watcher in (failing, after):
        watcher.start()
    with reported() as reports:
        assert loop.start() is False
        assert log == ["after"]
        assert [(type(exc), what) for exc, what in reports] == [(kind, callback)]
        failing.invoke(1)
        failing.feed(1)
        loop.invoke()
        assert len(reports) == 3


def test_with_debug_an_exception_stops_the_loop(loop, log):
    failing = loop.timer(0.0, 0.0, fail, None, 1)
    after = loop.timer(0.0, 3600.0, log.callback("after"))
    for watcher in (failing, after):
        watcher.start()
    with reported() as reports, pytest.raises(ZeroDivisionError):
        loop.start()
    assert not reports and loop.depth == 0
    # What was pending then is not lost.
    loop.start(pyev.EVRUN_NOWAIT)
    assert log == ["after"]
    after.stop()


def test_with_debug_invoke_raises_a_system_error(loop):
    watcher = loop.timer(1.0, 0.0, fail)
    with pytest.raises(SystemError) as info:
        watcher.invoke(1)
    assert isinstance(info.value.__cause__, ZeroDivisionError)
    watcher.feed(1)
    with pytest.raises(SystemError) as info:
        loop.invoke()
    assert isinstance(info.value.__cause__, ZeroDivisionError)


def test_an_exception_in_a_nested_start(loop, log):
    def nest(watcher, revents):
        inner = loop.timer(0.0, 0.0, fail)
        inner.start()
        try:
            loop.start()
        except ZeroDivisionError:
            log.append("nested")

    nesting = loop.timer(0.0, 0.0, nest)
    other = loop.timer(3600.0, 0.0, fail)
    for watcher in (nesting, other):
        watcher.start()
    assert loop.start() is True
    assert log == ["nested"]
    other.stop()


def test_an_exception_of_the_hook_is_no_end(loop, log, capfd):
    def hook(unraisable):
        raise RuntimeError("of the hook")

    loop.debug = False
    with reported():
        sys.unraisablehook = hook
        for watcher in [loop.timer(0.0, 0.0, fail) for _ in range(2)]:
            watcher.feed(1)
            loop.start()
    assert capfd.readouterr().err.count("RuntimeError: of the hook") == 2


def test_a_negative_event_is_an_error(loop, log):
    for debug in (True, False):
        loop.debug = debug
        watcher = loop.timer(3600.0, 0.0, log.callback("t"))
        watcher.start()
        for revents in (pyev.EV_ERROR, -1, pyev.EV_ERROR | 1):
            watcher.feed(revents)
            with pytest.raises((OSError, pyev.Error)):
                loop.start()
            with pytest.raises((OSError, pyev.Error)):
                watcher.invoke(revents)
        assert watcher.active and not watcher.pending
        watcher.stop()
    assert log == []


def test_many_that_fail(loop):
    loop.debug = False
    watchers = [loop.timer(0.0, 0.0, fail) for _ in range(5000)]
    for watcher in watchers:
        watcher.start()
    with reported() as reports:
        assert loop.start() is False
    assert [report for report in reports if report[1] is not fail] == []
    assert len(reports) == 5000


# --- Loop.callback -----------------------------------------------------------


def test_loop_callback(loop, log):
    def callback(got):
        assert got is loop
        log.append(("pass", loop.pending))
        loop.invoke()

    loop.callback = callback
    timer = loop.timer(0.0, 0.0, log.callback("t"))
    timer.start()
    assert loop.start() is False
    assert log == [("pass", 0), ("pass", 1), "t"]


def test_loop_callback_that_never_invokes(loop, log):
    loop.callback = lambda loop: None
    timer = loop.timer(0.0, 0.0, log.callback("t"))
    timer.start()
    assert loop.start() is False
    assert timer.pending and not timer.active and log == []
    loop.callback = None
    loop.start()
    assert log == ["t"]


@pytest.mark.parametrize("debug", [False, True])
def test_loop_callback_that_raises(loop, debug):
    def callback(got):
        raise ZeroDivisionError

    loop.debug = debug
    loop.callback = callback
    with pytest.raises(ZeroDivisionError):
        loop.start()


# --- hooks -------------------------------------------------------------------


def test_hooks_of_an_iteration(loop, log):
    def note(name):
        return lambda watcher, revents: log.append((name, revents))

    watchers = [
        loop.prepare(note("prepare")),
        loop.check(note("check")),
        loop.timer(0.0, 3600.0, note("timer")),
    ]
    for watcher in watchers:
        watcher.start()
    assert loop.start(pyev.EVRUN_NOWAIT) is True
    assert log == [
        ("prepare", pyev.EV_PREPARE),
        ("check", pyev.EV_CHECK),
        ("timer", pyev.EV_TIMER),
    ]
    for watcher in watchers:
        watcher.stop()
    assert loop.start() is False


def test_hooks_are_last_in_first_out(loop, log):
    watchers = [loop.prepare(log.callback(n)) for n in range(3)]
    for watcher in watchers:
        watcher.start()
    loop.start(pyev.EVRUN_NOWAIT)
    assert log == [2, 1, 0]


def test_stop_in_prepare_comes_before_waiting(loop):
    timer = loop.timer(3600.0, 0.0, print)
    prepare = loop.prepare(lambda watcher, revents: loop.stop())
    for watcher in (timer, prepare):
        watcher.start()
    iteration = loop.iteration
    assert loop.start() is True
    assert loop.iteration == iteration
    timer.stop()


def test_idle(loop, log):
    low = loop.idle(log.callback("low"), None, -1)
    high = [loop.idle(log.callback(n)) for n in range(2)]
    for watcher in (low, *high):
        watcher.start()
    assert loop.start(pyev.EVRUN_ONCE) is True
    assert log == [1, 0]
    for watcher in high:
        watcher.stop()
    loop.start(pyev.EVRUN_ONCE)
    assert log == [1, 0, "low"]
    low.stop()


def test_idle_and_events(loop, log):
    idle = loop.idle(log.callback("idle"))
    timers = [loop.timer(0.0, 0.0, log.callback(n), None, n) for n in (-1, 1)]
    for watcher in (idle, *timers):
        watcher.start()
    loop.start(pyev.EVRUN_NOWAIT)
    assert log == [1, -1]
    timers[0].set(0.0, 0.0)
    timers[0].start()
    loop.start(pyev.EVRUN_NOWAIT)
    assert log == [1, -1, "idle", -1]
    idle.stop()


def test_idle_finds_events_between(loop, log):
    def callback(watcher, revents):
        log.append("idle")
        if len(log) == 1:
            timer.start()

    idle = loop.idle(callback)
    timer = loop.timer(0.05, 0.0, lambda watcher, revents: loop.stop())
    idle.start()
    loop.start()
    assert log and set(log) == {"idle"}
    idle.stop()


def test_fork_watchers_fire_after_reset(loop, log):
    watcher = loop.fork(lambda w, revents: log.append(revents))
    watcher.start()
    loop.start(pyev.EVRUN_NOWAIT)
    loop.reset()
    loop.reset()
    for _ in range(3):
        loop.start(pyev.EVRUN_NOWAIT)
    assert log == [pyev.EV_FORK]
    watcher.stop()


# --- embed -------------------------------------------------------------------


def test_embed_without_callback(loop, log):
    inner = pyev.Loop(debug=True)
    timers = [inner.timer(0.01 * n, 0.0, log.callback(n)) for n in range(3)]
    timers[2].callback = lambda watcher, revents: (log.append(2), loop.stop())
    for timer in timers:
        timer.start()
    embed = pyev.Embed(inner, loop)
    assert embed.other is inner and embed.callback is None
    embed.start()
    # So that the outer loop goes on.
    other = loop.timer(3600.0, 0.0, print)
    other.start()
    loop.start()
    assert log == [0, 1, 2]
    other.stop()
    embed.stop()


def test_embed_with_a_callback(loop, log):
    def callback(watcher, revents):
        log.append(revents)
        if len(log) > 2:
            watcher.sweep()
            loop.stop()

    inner = pyev.Loop(debug=True)
    timer = inner.timer(0.0, 0.0, log.callback("inner"))
    timer.start()
    embed = loop.embed(inner, callback)
    embed.start()
    loop.start()
    assert log == [pyev.EV_EMBED] * 3 + ["inner"]
    embed.stop()


def test_embed_notices_threads_and_io(loop, log):
    inner = pyev.Loop(debug=True)
    read, write = os.pipe()
    wake = getattr(inner, "async")(lambda w, r: (log.append("wake"), os.write(write, b"x")))
    io = inner.io(read, pyev.EV_READ, lambda w, r: (log.append("io"), w.stop(), loop.stop()))
    for watcher in (wake, io):
        watcher.start()
    embed = loop.embed(inner)
    embed.start()
    later = loop.timer(0.01, 0.0, lambda w, r: wake.send())
    later.start()
    loop.start()
    assert log == ["wake", "io"]
    wake.stop()
    embed.stop()
    os.close(read)
    os.close(write)


def test_embed_leaves_the_outer_loop_its_own_events(loop):
    """What has woken the inner loop is over with the sweep."""
    inner = pyev.Loop(debug=True)
    wake = getattr(inner, "async")(lambda w, r: None)
    wake.start()
    sweeps = []

    def callback(watcher, revents):
        sweeps.append(revents)
        assert len(sweeps) < 10000
        watcher.sweep()

    embed = loop.embed(inner, callback)
    embed.start()
    last = loop.timer(0.2, 0.0, lambda w, r: loop.stop())
    last.start()
    wake.send()
    loop.start()
    assert sweeps == [pyev.EV_EMBED]
    embed.stop()


def test_embedded_loop_that_is_idle_reads_what_comes_late(loop):
    inner = pyev.Loop(debug=True)
    timer = inner.timer(0.001, 0.001, lambda w, r: None)
    timer.start()
    inner.start(pyev.EVRUN_ONCE)
    inner.start(pyev.EVRUN_NOWAIT)
    time.sleep(0.1)  # it fires once more, unseen
    timer.stop()
    sweeps = []

    def callback(watcher, revents):
        sweeps.append(revents)
        assert len(sweeps) < 1000
        watcher.sweep()

    embed = loop.embed(inner, callback)
    embed.start()
    last = loop.timer(0.2, 0.0, lambda w, r: loop.stop())
    last.start()
    loop.start()
    assert len(sweeps) < 1000
    embed.stop()


def test_async_that_sends_itself_does_not_shut_out_the_daemon(loop, log):
    def callback(watcher, revents):
        log.append(revents)
        if len(log) < 200000 or time.monotonic() < end:
            watcher.send()
        else:
            loop.stop()

    end = time.monotonic() + LIMIT
    again = getattr(loop, "async")(callback)
    again.start()
    again.send()
    timer = loop.timer(0.1, 0.0, lambda w, r: loop.stop())
    timer.start()
    loop.start()
    assert not timer.active
    again.stop()


def test_infinite_times(loop, log):
    timer = loop.timer(float("-inf"), 60.0, log.callback("timer"))
    periodics = [
        loop.periodic(offset, interval, log.callback("periodic"))
        for offset, interval in ((0.0, float("inf")), (float("inf"), 60.0))
    ]
    for watcher in (timer, *periodics):
        watcher.start()
    loop.start(pyev.EVRUN_ONCE)
    assert log == ["timer"] and 0 < timer.remaining <= 60
    assert all(watcher.active for watcher in periodics)
    for watcher in (timer, *periodics):
        watcher.stop()


def test_what_cannot_be_embedded(loop):
    with pytest.raises(pyev.Error):
        loop.embed(pyev.Loop(pyev.EVBACKEND_SELECT))
    with pytest.raises(pyev.Error):
        loop.embed(loop)
    with pytest.raises(TypeError):
        loop.embed(5)
    embed = loop.embed(pyev.Loop())
    other = pyev.Loop()
    embed.set(other)
    assert embed.other is other
    embed.start()
    with pytest.raises(pyev.Error):
        embed.set(5)
    embed.stop()


# --- suspend -----------------------------------------------------------------


def test_suspend(loop, log):
    timer = loop.timer(2.0, 0.0, log.callback("t"))
    repeating = loop.timer(2.0, 3600.0, log.callback("r"))
    periodic = loop.periodic(0.0, 3600.0, log.callback("p"))
    for watcher in (timer, repeating, periodic):
        watcher.start()
    loop.start(pyev.EVRUN_NOWAIT)
    loop.suspend()
    remaining = timer.remaining
    time.sleep(0.2)
    loop.resume()
    assert abs(timer.remaining - remaining) < 1e-6 < remaining
    begin = time.monotonic()
    loop.start(pyev.EVRUN_ONCE)
    loop.start(pyev.EVRUN_NOWAIT)
    assert time.monotonic() - begin >= remaining - 0.002
    assert sorted(log) == ["r", "t"]
    for watcher in (repeating, periodic):
        watcher.stop()


def test_nothing_is_left_in_the_daemon(evd):
    loop = pyev.Loop()
    watchers = [loop.timer(3600.0, 0.0, print) for _ in range(100)]
    for watcher in watchers:
        watcher.start()
    loop.start(pyev.EVRUN_NOWAIT)
    del watchers, watcher
    gc.collect()
    loop.start(pyev.EVRUN_NOWAIT)
    with evd.connect() as c:
        assert not any(s["watchers"] for s in c.call("list")["sessions"])
