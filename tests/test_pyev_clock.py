"""pyev's times when the wall clock is set: the daemon's and this process's alike."""

import math
import threading
import time

import pytest

from evdclock import YEAR, Clock
from evdtest import scaled
from pyevtest import environment, fixture_limit, fixture_log, fixture_loop, pyev

JUMPS = [0.05, 3, 3600, 10 * YEAR, -0.05, -3, -3600, -10 * YEAR]
DAY = 86400.0
HOUR = 3600.0


@pytest.fixture(name="clock")
def fixture_clock(monkeypatch):
    with Clock() as clock:
        # Not by time.time() itself.
        monkeypatch.setattr(time, "time", lambda: (time.time_ns() + clock.offset) / 1e9)
        yield clock


@pytest.fixture(name="evd")
def fixture_evd(clock):
    with clock.daemon() as daemon, environment(EVD_SOCKET=daemon.path):
        yield daemon


def grid(period):
    """The first multiple of period behind what the clock shows."""
    return (math.floor(time.time() / period) + 1) * period


def jump_to(clock, when):
    clock.jump(when - time.time())


def look(loop):
    loop.start(pyev.EVRUN_NOWAIT)


def wait_for(loop, log, count):
    while len(log) < count:
        loop.start(pyev.EVRUN_ONCE)


def recurring(loop, kind, period, callback):
    if kind == "periodic":
        return loop.periodic(0.0, period, callback)
    return loop.scheduler(
        lambda watcher, now: (math.floor(now / period) + 1) * period, callback
    )


@pytest.mark.parametrize("kind", ["periodic", "scheduler"])
@pytest.mark.parametrize("seconds", JUMPS)
def test_the_next_time_follows(clock, loop, log, kind, seconds):
    """And what was jumped over is not due."""
    watcher = recurring(loop, kind, DAY, log.callback("fired"))
    watcher.start()
    look(loop)
    assert watcher.at == grid(DAY)
    clock.jump(seconds)
    look(loop)
    assert watcher.at == grid(DAY)
    assert abs(loop.now() - time.time()) < scaled(10, 60)
    assert log == [] and watcher.active


@pytest.mark.parametrize("kind", ["periodic", "scheduler"])
def test_a_time_that_is_jumped_close_to_comes(clock, loop, log, kind):
    watcher = recurring(loop, kind, HOUR, lambda w, r: log.append(loop.now()))
    watcher.start()
    for far in (HOUR, 30 * DAY, YEAR, -2 * HOUR, -30 * DAY, -YEAR):
        log.clear()
        slot = grid(HOUR) + far
        jump_to(clock, slot - 0.1)
        wait_for(loop, log, 1)
        assert len(log) == 1 and slot <= log[0]
        assert watcher.at == slot + HOUR
    look(loop)
    assert len(log) == 1


@pytest.mark.parametrize("kind", ["periodic", "scheduler"])
def test_a_time_that_comes_again_fires_again(clock, loop, log, kind):
    watcher = recurring(loop, kind, HOUR, log.callback("fired"))
    watcher.start()
    slot = grid(HOUR) + 2 * HOUR
    for count in range(1, 4):
        jump_to(clock, slot - 0.1)
        wait_for(loop, log, count)
        assert watcher.at == slot + HOUR
    assert len(log) == 3


@pytest.mark.parametrize("kind", ["periodic", "scheduler"])
def test_a_small_step_back_before_the_loop_runs(clock, loop, log, kind):
    """Of a watcher that was started, and that the daemon does not know yet."""
    slot = grid(HOUR) + HOUR
    jump_to(clock, slot + 0.2)
    loop.update()
    watcher = recurring(loop, kind, HOUR, log.callback("fired"))
    watcher.start()
    assert watcher.at == slot + HOUR
    clock.jump(-0.6)
    look(loop)
    # On a slow machine the time has come again by now.
    assert watcher.at == slot or time.time() >= slot


@pytest.mark.parametrize("kind", ["periodic", "scheduler"])
def test_a_jump_while_the_loop_waits(clock, loop, log, kind):
    watcher = recurring(loop, kind, DAY, log.once("fired"))
    watcher.start()
    thread = threading.Timer(0.1, lambda: jump_to(clock, grid(DAY) - 0.05))
    thread.start()
    assert loop.start() is False
    thread.join()
    assert log == ["fired"]


def test_an_absolute_time_that_is_jumped_over_is_due(clock, loop, log):
    watcher = loop.periodic(time.time() + 1000, 0.0, log.callback("fired"))
    watcher.start()
    clock.jump(-5000)
    look(loop)
    assert watcher.active and log == []
    clock.jump(10000)
    wait_for(loop, log, 1)
    # It is over: to come back is not to fire again.
    clock.jump(-10000)
    look(loop)
    assert not watcher.active and log == ["fired"]


def test_a_scheduler_is_asked_at_each_jump(clock, loop, log):
    """With what the clock shows; and one that fails is stopped then."""
    asked = []

    def scheduler(watcher, now):
        asked.append(now)
        assert len(asked) < 4
        return now + DAY

    loop.debug = False
    watcher = loop.scheduler(scheduler, log.callback("fired"))
    watcher.start()
    look(loop)
    for seconds in (HOUR, -YEAR):
        before = time.time()
        clock.jump(seconds)
        look(loop)
        assert before + seconds <= asked[-1] <= time.time()
        assert watcher.at == asked[-1] + DAY
    assert len(asked) == 3 and watcher.active
    loop.debug = True
    clock.jump(-YEAR)
    with pytest.raises(AssertionError):
        look(loop)
    assert len(asked) == 4 and not watcher.active and log == []


@pytest.mark.parametrize("seconds", JUMPS)
def test_timers_are_unmoved(clock, loop, log, seconds):
    timers = [loop.timer(1000.0, 0.0, print), loop.timer(0.1, 0.0, log.once("soon"))]
    begin = time.monotonic()
    loop.update()
    for timer in timers:
        timer.start()
    clock.jump(seconds)
    wait_for(loop, log, 1)
    loop.update()
    assert time.monotonic() - begin >= 0.1
    remaining = 1000.0 - (time.monotonic() - begin)
    assert remaining <= timers[0].remaining <= remaining + scaled(10, 60)


def test_watchers_that_stop_and_start_around_a_jump(clock, loop, log):
    """What the daemon tells of a run that is over has no effect."""
    kinds = ["periodic", "scheduler"]
    watchers = [recurring(loop, kind, DAY, log.callback(kind)) for kind in kinds]
    for watcher in watchers:
        watcher.start()
    look(loop)
    for seconds in (HOUR, -DAY, 10 * DAY):
        watchers[0].stop()
        clock.jump(seconds)
        watchers[1].reset()
        watchers[0].start()
        look(loop)
        assert [watcher.at for watcher in watchers] == [grid(DAY)] * 2
    for watcher in watchers:
        watcher.stop()
    clock.jump(YEAR)
    assert loop.start() is False
    assert log == []
