"""pyev's Timer, Periodic, Scheduler and Stat."""

import base64
import os
import random
import socket
import threading
import time

import pytest

from evdtest import Daemon, wait_until
from pyevtest import (
    environment,
    fixture_evd,
    fixture_limit,
    fixture_log,
    fixture_loop,
    pyev,
    reported,
)

# --- Timer -------------------------------------------------------------------


def test_timer_arguments(loop):
    timer = loop.timer(-5, 0, print)
    assert timer.repeat == 0.0 and timer.remaining == -5.0
    for arguments, kind in [
        ((1.0, -1.0), ValueError),
        ((1.0, "x"), TypeError),
        (("1", 0.0), TypeError),
        ((None, 0.0), TypeError),
    ]:
        with pytest.raises(kind):
            loop.timer(*arguments, print)
        with pytest.raises(kind):
            timer.set(*arguments)
    timer.set(7, 8)
    assert (timer.remaining, timer.repeat) == (7.0, 8.0)
    # An attribute in pyev 0.9.0, a method in 0.8.1.
    assert timer.remaining() == timer.remaining
    with pytest.raises(AttributeError):
        timer.remaining = 1
    with pytest.raises(ValueError):
        timer.repeat = -1
    with pytest.raises(TypeError):
        del timer.repeat


def test_timers_never_fire_early(loop, log):
    def callback(watcher, revents):
        assert revents == pyev.EV_TIMER
        log.append(time.monotonic() - begin - watcher.data)

    loop.update()
    begin = time.monotonic()
    timers = [loop.timer(n * 0.003, 0.0, callback, n * 0.003) for n in range(30)]
    for timer in timers:
        timer.start()
    assert loop.start() is False
    assert len(log) == 30 and min(log) > -0.0001


def test_after_counts_from_the_time_of_the_loop(loop):
    loop.update()
    time.sleep(0.1)
    timer = loop.timer(0.05, 0.0, print)
    timer.callback = lambda watcher, revents: None
    timer.start()
    # It is due already.
    assert loop.start(pyev.EVRUN_NOWAIT) is False


def test_negative_after_is_due_before_others(loop, log):
    timers = [loop.timer(n, 0.0, log.callback(n)) for n in (0.0, -2.0, -1.0)]
    for timer in timers:
        timer.start()
    loop.start()
    assert log == [-2.0, -1.0, 0.0]


def test_timers_that_are_due_fire_in_order_of_time(loop, log):
    """Also more of them than evd takes in one turn."""
    order = random.Random(1).sample(range(600), 600)
    timers = [loop.timer(-1.0 + n / 1000, 0.0, log.callback(n)) for n in order]
    for timer in timers:
        timer.start()
    loop.start()
    assert log == list(range(600))


def test_repeating_timer(loop, log):
    def callback(watcher, revents):
        log.append(watcher.active)
        if len(log) == 5:
            watcher.stop()

    timer = loop.timer(0.0, 0.01, callback)
    loop.update()
    begin = time.monotonic()
    timer.start()
    assert loop.start() is False
    assert log == [True] * 5
    assert time.monotonic() - begin >= 0.0399


def test_a_one_shot_is_inactive_in_its_callback(loop, log):
    timer = loop.timer(0.0, 0.0, lambda w, r: log.append((w.active, w.pending)))
    timer.start()
    loop.start()
    assert log == [(False, False)]


def test_a_spent_one_shot_fires_at_once(loop, log):
    timer = loop.timer(0.01, 0.0, log.callback("t"))
    timer.start()
    loop.start()
    assert timer.remaining <= 0.0
    timer.start()
    loop.start(pyev.EVRUN_NOWAIT)
    assert log == ["t", "t"]


def test_a_timer_that_is_stopped_keeps_what_remains(loop, log):
    timer = loop.timer(0.5, 0.0, log.callback("t"))
    timer.start()
    time.sleep(0.2)
    loop.update()
    timer.stop()
    remaining = timer.remaining
    assert 0.0 < remaining <= 0.3001
    time.sleep(0.2)
    loop.update()
    assert timer.remaining == remaining
    timer.start()
    assert abs(timer.remaining - remaining) < 1e-6
    loop.start()
    assert log == ["t"]


def test_a_timer_starts_itself_in_its_callback(loop, log):
    def callback(watcher, revents):
        log.append(watcher.data)
        if len(log) < 50:
            watcher.set(0.001, 0.0)
            watcher.start()

    timer = loop.timer(0.0, 0.0, callback)
    timer.start()
    assert loop.start() is False
    assert len(log) == 50


def test_timer_reset(loop, log):
    timer = loop.timer(0.0, 0.0, log.callback("t"))
    timer.start()
    timer.feed(1)
    timer.reset()
    assert not timer.active and not timer.pending
    timer.reset()
    assert not timer.active
    timer.repeat = 60.0
    timer.reset()
    assert timer.active and 59.9 < timer.remaining <= 60.0
    timer.repeat = 30.0
    timer.reset()
    assert 29.9 < timer.remaining <= 30.0
    assert loop.start(pyev.EVRUN_NOWAIT) is True
    assert log == []
    timer.stop()


def test_reset_puts_a_timeout_off(loop, log):
    timer = loop.timer(0.0, 0.2, log.callback("timeout"))
    keeper = loop.timer(0.05, 0.05, lambda w, r: timer.reset())
    end = loop.timer(0.6, 0.0, lambda w, r: loop.stop())
    timer.reset()
    for watcher in (keeper, end):
        watcher.start()
    loop.start()
    assert log == []
    keeper.stop()
    loop.start(pyev.EVRUN_ONCE)
    assert log == ["timeout"]
    timer.stop()


def test_repeat_set_in_the_callback_applies_one_period_later(loop, log):
    def callback(watcher, revents):
        log.append(time.monotonic() - begin)
        watcher.repeat = 0.2
        if len(log) == 3:
            watcher.stop()

    timer = loop.timer(0.05, 0.05, callback)
    loop.update()
    begin = time.monotonic()
    timer.start()
    loop.start()
    for seen, due in zip(log, (0.05, 0.1, 0.3)):
        assert seen >= due - 0.001
    assert log[1] - log[0] < 0.15


def test_repeat_set_to_0_ends_it(loop, log):
    def callback(watcher, revents):
        log.append(watcher.active)
        watcher.repeat = 0.0

    timer = loop.timer(0.0, 0.01, callback)
    timer.start()
    assert loop.start() is False
    assert log == [True, False]


def test_repeat_given_to_a_one_shot(loop, log):
    timer = loop.timer(0.5, 0.0, log.callback("t"))
    timer.start()
    loop.start(pyev.EVRUN_NOWAIT)
    # It has fired in the daemon before that learns of it.
    time.sleep(0.7)
    timer.repeat = 0.01
    for _ in range(3):
        assert loop.start(pyev.EVRUN_ONCE) is True
    assert len(log) == 3
    timer.repeat = 0.0
    loop.start()
    assert len(log) in (4, 5)


def test_remaining_of_a_repeating_timer(loop):
    timer = loop.timer(0.01, 60.0, lambda watcher, revents: None)
    timer.start()
    loop.start(pyev.EVRUN_ONCE)
    assert 59.0 < timer.remaining <= 60.0
    timer.repeat = 5.0
    assert 59.0 < timer.remaining <= 60.0
    timer.stop()


def test_timer_far_away(loop):
    for after, repeat in [(1e300, 0.0), (1e12, 1e12), (float("inf"), 1e-300)]:
        timer = loop.timer(after, repeat, print)
        timer.start()
        assert loop.start(pyev.EVRUN_NOWAIT) is True
        timer.stop()
    with pytest.raises(ValueError):
        loop.timer(float("nan"), 0.0, print)


def test_a_late_repeating_timer_calls_once(loop, log):
    timer = loop.timer(0.001, 0.001, log.callback("t"))
    timer.start()
    loop.start(pyev.EVRUN_ONCE)
    time.sleep(0.1)
    loop.start(pyev.EVRUN_NOWAIT)
    assert len(log) <= 4
    timer.stop()


def test_a_hundred_thousand_timers(loop, log):
    timers = [loop.timer(0.0, 0.0, log.callback(n)) for n in range(100000)]
    for timer in timers:
        timer.start()
    assert loop.start() is False
    assert sorted(log) == list(range(100000))


# --- Periodic ----------------------------------------------------------------


def test_periodic_arguments(loop):
    periodic = loop.periodic(5, 0, print)
    assert (periodic.offset, periodic.interval) == (5.0, 0.0)
    assert periodic.at == 0.0 and periodic.at() == 0.0
    with pytest.raises(ValueError):
        loop.periodic(0.0, -1.0, print)
    with pytest.raises(TypeError):
        loop.periodic("0", 0.0, print)
    with pytest.raises(AttributeError):
        periodic.at = 1
    periodic.offset = 6
    periodic.interval = 7
    assert (periodic.offset, periodic.interval) == (6.0, 7.0)
    with pytest.raises(ValueError):
        periodic.interval = -1
    periodic.set(1, 2)
    assert (periodic.offset, periodic.interval) == (1.0, 2.0)


def test_periodic_interval(loop, log):
    def callback(watcher, revents):
        log.append((revents, time.time(), watcher.at()))
        if len(log) == 4:
            watcher.stop()

    periodic = loop.periodic(0.01, 0.05, callback)
    periodic.start()
    first = periodic.at
    assert loop.now() < first <= loop.now() + 0.05
    assert loop.start() is False
    for revents, now, at in log:
        assert revents == pyev.EV_PERIODIC and at > now - 0.05
        rest = (at - 0.01) % 0.05
        assert min(rest, 0.05 - rest) < 1e-5
    assert log[0][1] >= first - 0.001


def test_periodic_once(loop, log):
    periodic = loop.periodic(time.time() + 0.05, 0.0, log.callback("p"))
    periodic.start()
    assert loop.start() is False and log == ["p"]
    # A time that is past is due at once.
    periodic.start()
    assert loop.start(pyev.EVRUN_NOWAIT) is False and log == ["p", "p"]


def test_periodic_is_due_by_the_time_of_its_start(loop, log):
    """The command comes later than the time that was next at the start."""
    loop.update()
    periodic = loop.periodic(loop.now() + 0.02, 3600.0, log.callback("p"))
    periodic.start()
    time.sleep(0.05)
    loop.start(pyev.EVRUN_NOWAIT)
    assert log == ["p"]
    periodic.stop()


def test_periodic_changes_take_effect_at_reset(loop):
    periodic = loop.periodic(0.0, 3600.0, print)
    periodic.start()
    at = periodic.at
    periodic.interval = 60.0
    assert periodic.at == at
    periodic.reset()
    assert periodic.active and periodic.at <= loop.now() + 60.0
    periodic.stop()
    periodic.reset()
    assert periodic.active
    periodic.stop()


# --- Scheduler ---------------------------------------------------------------


def test_scheduler(loop, log):
    asked = []

    def schedule(watcher, now):
        assert watcher is scheduler
        asked.append(now)
        return now + 0.02

    def callback(watcher, revents):
        log.append((revents, watcher.at, len(asked)))
        if len(log) == 3:
            watcher.stop()

    scheduler = loop.scheduler(schedule, callback)
    assert scheduler.scheduler is schedule
    scheduler.start()
    assert asked == [loop.now()] and scheduler.at == loop.now() + 0.02
    loop.start()
    # It is asked again before each callback.
    assert [entry[2] for entry in log] == [2, 3, 4]
    assert log[0][0] == pyev.EV_PERIODIC and log[0][1] == asked[1] + 0.02
    with pytest.raises(TypeError):
        scheduler.scheduler = 5
    scheduler.scheduler = max
    scheduler.reset()
    assert scheduler.active
    scheduler.stop()


def test_scheduler_now_is_legal(loop, log):
    scheduler = loop.scheduler(lambda watcher, now: now, log.callback("s"))
    scheduler.start()
    for _ in range(3):
        loop.start(pyev.EVRUN_ONCE)
    assert log == ["s"] * 3
    scheduler.stop()


@pytest.mark.parametrize("result", ["x", None, -1.0, float("nan"), ZeroDivisionError])
@pytest.mark.parametrize("debug", [True, False])
def test_scheduler_that_fails_at_the_start(loop, log, result, debug):
    def schedule(watcher, now):
        if result is ZeroDivisionError:
            raise result
        return result

    loop.debug = debug
    scheduler = loop.scheduler(schedule, log.callback("s"))
    with reported() as reports:
        scheduler.start()
        assert not reports
        if debug:
            with pytest.raises((TypeError, pyev.Error, ZeroDivisionError)):
                loop.start()
        else:
            assert loop.start() is False
            assert [what for _, what in reports] == [schedule]
    assert not scheduler.active and log == []


@pytest.mark.parametrize("debug", [True, False])
def test_scheduler_that_fails_later(loop, log, debug):
    def schedule(watcher, now):
        log.append("ask")
        if len(log) > 1:
            raise ZeroDivisionError
        return now

    loop.debug = debug
    scheduler = loop.scheduler(schedule, log.callback("s"))
    scheduler.start()
    with reported() as reports:
        if debug:
            with pytest.raises(ZeroDivisionError):
                loop.start()
        loop.start()
    assert len(reports) == (not debug)
    assert not scheduler.active
    assert log == ["ask", "ask", "s"]


def test_scheduler_that_has_failed_and_is_started_anew(loop, log):
    """What went wrong is told, and has nothing to do with the new start."""
    loop.debug = False
    scheduler = loop.scheduler(lambda watcher, now: 1 / 0, log.once("fired"))
    scheduler.start()
    scheduler.stop()
    scheduler.scheduler = lambda watcher, now: now
    scheduler.start()
    with reported() as reports:
        assert loop.start() is False
    assert log == ["fired"]
    assert [type(error) for error, _ in reports] == [ZeroDivisionError]


def test_scheduler_that_stops_itself(loop, log):
    def schedule(watcher, now):
        log.append("ask")
        if len(log) > 1:
            watcher.stop()
        return now

    scheduler = loop.scheduler(schedule, log.callback("s"))
    scheduler.start()
    assert loop.start() is False
    assert log[:2] == ["ask", "ask"] and not scheduler.active


def test_scheduler_far_away(loop):
    scheduler = loop.scheduler(lambda watcher, now: 1e300, print)
    scheduler.start()
    assert loop.start(pyev.EVRUN_NOWAIT) is True
    assert scheduler.at == 1e300
    scheduler.stop()


# --- Stat --------------------------------------------------------------------


@pytest.fixture(name="file")
def fixture_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    return path


def test_stat_arguments(loop, file):
    stat = loop.stat(str(file), 1, print)
    assert (stat.path, stat.interval) == (str(file), 1.0)
    assert stat.attr is stat.current is stat.prev is stat.previous is None
    with pytest.raises(TypeError):
        loop.stat(5, 0.0, print)
    with pytest.raises(ValueError):
        loop.stat("a\0b", 0.0, print)
    with pytest.raises(ValueError):
        loop.stat("/", -1.0, print)
    with pytest.raises(AttributeError):
        stat.path = "/"
    stat.set("/", 0.01)
    assert (stat.path, stat.interval) == ("/", 0.01)
    stat.start()
    assert stat.interval == 0.1074891
    stat.stop()


def test_stat(loop, log, file):
    def callback(watcher, revents):
        log.append((revents, watcher.previous.size, watcher.current.size))
        if watcher.current.size == 4:
            watcher.stop()

    stat = loop.stat(str(file), 0.0, callback)
    stat.start()
    status = os.stat(file)
    assert stat.prev is None
    assert isinstance(stat.attr, pyev.Statdata)
    for name in pyev.Statdata._fields:
        assert getattr(stat.attr, name) == pytest.approx(
            getattr(status, "st_" + name), rel=1e-12
        ), name
    file.write_text("more")
    loop.start()
    # It may have been seen empty on the way.
    assert log[0][:2] == (pyev.EV_STAT, 1) and log[-1][2] == 4


def test_stat_of_what_is_not_there(loop, log, tmp_path):
    path = tmp_path / "new" / "file"

    def callback(watcher, revents):
        log.append((watcher.prev.nlink, watcher.attr.nlink))
        if watcher.attr.nlink:
            watcher.stop()

    stat = loop.stat(str(path), 0.0, callback)
    stat.start()
    assert stat.attr.nlink == 0
    with pytest.raises(OSError):
        stat.stat()
    path.parent.mkdir()
    path.write_text("x")
    loop.start()
    assert log[-1] == (0, 1)
    stat.stat()
    assert stat.attr.size == 1


def test_stat_of_a_relative_path_and_a_strange_one(loop, log, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["plain", os.fsdecode(b"not-utf-8-\xff"), 'quote"\\\u00e9']
    watchers = [loop.stat(name, 0.0, log.once(name)) for name in names]
    for watcher in watchers:
        watcher.start()
    monkeypatch.chdir("/")
    for name in names:
        (tmp_path / name).write_text("x")
    loop.start()
    assert sorted(log) == sorted(names)
    assert base64.b64encode(os.fsencode(names[1]))


def test_stat_of_no_path(loop, log, tmp_path, monkeypatch):
    """stat(2) finds nothing there; it is not the working directory."""
    monkeypatch.chdir(tmp_path)
    watcher = loop.stat("", 0.0, log.callback("s"))
    watcher.start()
    assert watcher.active and watcher.attr.nlink == 0
    (tmp_path / "new").touch()
    other = loop.stat(str(tmp_path), 0.0, log.callback("d"))
    other.start()
    (tmp_path / "newer").touch()
    loop.start(pyev.EVRUN_ONCE)
    assert log == ["d"]
    watcher.stop()
    watcher.set("new", 0.0)
    watcher.start()
    assert watcher.attr.nlink == 1


def test_stat_sees_each_last_state(loop, log, file):
    stat = loop.stat(str(file), 0.0, lambda w, r: log.append(w.attr.size))
    stat.start()
    for size in range(2, 30):
        file.write_text("x" * size)
        while not log or log[-1] != size:
            loop.start(pyev.EVRUN_ONCE)
    stat.stop()


# --- intervals ---------------------------------------------------------------


def test_timeout_interval(loop, log):
    """What comes within it comes in one iteration."""
    loop.timeout_interval = 2.0
    # The first commands on a connection also ask for what is ready by then.
    far = loop.timer(3600.0, 0.0, print)
    far.start()
    loop.start(pyev.EVRUN_NOWAIT)
    far.stop()
    timers = [loop.timer(0.01 * n, 0.0, log.callback(n)) for n in range(1, 10)]
    for timer in timers:
        timer.start()
    assert loop.start(pyev.EVRUN_ONCE) is False
    assert log == list(range(1, 10))
    loop.timeout_interval = 0.0
    timers = [loop.timer(0.01, 0.0, log.callback("a")), loop.timer(9.0, 0.0, print)]
    for timer in timers:
        timer.start()
    loop.start(pyev.EVRUN_ONCE)
    assert log[-1] == "a"


def gathered(loop, evd, log, file, starts):
    """What one iteration brings; starts: begins what is to be gathered until then.

    An event of another kind, here of a file, ends the gathering.
    """
    stat = loop.stat(str(file), 0.0, log.once("stat"))
    stat.start()
    looks = []

    def change():
        starts()
        # The daemon has seen it all, and a moment passes for it to speak.
        with evd.connect() as c:
            c.call("now")
            time.sleep(0.1)
        looks.append(list(log))
        file.write_text("x" * len(log))

    loop.start(pyev.EVRUN_NOWAIT)
    thread = threading.Thread(target=change)
    thread.start()
    before = loop.iteration
    loop.start(pyev.EVRUN_ONCE)
    assert loop.iteration == before + 1
    thread.join()
    assert looks == [[]]
    file.unlink()
    return sorted(log)


@pytest.mark.parametrize("when", ["Loop", "later", "connected again"])
@pytest.mark.parametrize("kind", ["io", "timeout"])
def test_an_interval_gathers_until_something_else_comes(kind, when, log, tmp_path):
    path = str(tmp_path / "socket")
    evd = Daemon(path=path)
    with environment(EVD_SOCKET=path):
        given = {kind + "_interval": 3600.0}
        if when == "later":
            loop = pyev.Loop(debug=True)
            loop.start(pyev.EVRUN_NOWAIT)
            setattr(loop, *given.popitem())
        else:
            loop = pyev.Loop(debug=True, reconnect=True, **given)
        if when == "connected again":
            evd.kill()
            evd.stop()
            evd = Daemon(path=path)
        pairs = [socket.socketpair() for _ in range(3)]
        if kind == "io":
            watchers = [
                loop.io(right, pyev.EV_READ, log.once("w")) for _, right in pairs
            ]
        else:
            soon = time.time() + 2.0
            watchers = [
                loop.timer(2.0, 0.0, log.once("w")),
                loop.periodic(soon, 0.0, log.once("w")),
                loop.scheduler(lambda w, now: max(now, soon), log.once("w")),
            ]
        for watcher in watchers:
            watcher.start()

        def starts():
            for left, _ in pairs if kind == "io" else ():
                left.send(b"x")
            while kind == "timeout" and time.time() < soon + 0.1:
                time.sleep(0.01)

        assert gathered(loop, evd, log, tmp_path / "file", starts) == ["stat"] + ["w"] * 3
        # And without one nothing is waited for.
        setattr(loop, kind + "_interval", 0.0)
        log.clear()
        again = loop.timer(0.01, 0.0, log.once("w"))
        if kind == "io":
            again = loop.io(pairs[0][1], pyev.EV_READ, log.once("w"))
        again.start()
        assert loop.start() is False and log == ["w"]
        for left, right in pairs:
            left.close()
            right.close()
        del loop, watchers, again
    evd.stop()


def test_the_daemon_forgets_what_was_stopped(loop, evd):
    timers = [loop.timer(3600.0, 1.0, print) for _ in range(100)]
    for timer in timers:
        timer.start()
    loop.start(pyev.EVRUN_NOWAIT)
    for timer in timers:
        timer.stop()
    loop.start()
    with evd.connect() as c:
        wait_until(
            lambda: not any(s["watchers"] for s in c.call("list")["sessions"]),
            "nothing is registered",
        )
