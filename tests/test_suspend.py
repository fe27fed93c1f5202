"""suspend and resume, and the intervals of loop, over a real clock and real sockets."""

import math
import os
import signal
import time

import pytest

from evdclock import Clock
from evdtest import Daemon, barrier, command, count, scaled, stall, wait_until

@pytest.fixture(name="evd")
def fixture_evd():
    with Daemon() as evd:
        yield evd


def nothing_comes(client):
    """Nothing but replies, for two turns of the daemon's loop at least."""
    before = len(client.events)
    for _ in range(3):
        client.call("now")
        assert client.poll() == []
    assert len(client.events) == before


def get(client, name):
    return client.call("get", watcher=name)


# --- time ----------------------------------------------------------------------


def test_clocks_stand_still_and_are_right_again(evd):
    with evd.connect() as c, evd.connect() as other:
        c.call("suspend")
        shown = c.call("now")
        begin = time.monotonic()
        wait_until(lambda: time.monotonic() > begin + 0.05, "time passes")
        assert c.call("now") == c.call("update") == shown
        hello = c.call("hello")
        assert {"now": hello["now"], "monotonic": hello["monotonic"]} == shown
        assert other.call("now")["monotonic"] > shown["monotonic"] + 0.04
        c.call("resume")
        assert begin + 0.05 < c.call("now")["monotonic"] <= time.monotonic()


def test_timer_is_late_by_the_pauses_and_by_nothing_else(evd):
    with evd.connect() as c:
        begin = time.monotonic()
        c.watch("timer", "t", after=0.1)
        paused = 0
        for _ in range(5):
            c.call("suspend")
            first = time.monotonic()
            remaining = get(c, "t")["remaining"]
            wait_until(lambda: time.monotonic() > first + 0.04, "time passes")
            assert get(c, "t")["remaining"] == remaining
            paused += time.monotonic() - first
            c.call("resume")
        c.event()
        # It was suspended a little longer than was measured.
        assert time.monotonic() - begin >= 0.1 + paused - 1e-9


def test_ticks_are_those_of_the_time_between_pauses(evd):
    period = 0.0005
    with evd.connect() as c:
        earliest = time.monotonic()
        c.watch("timer", "t", after=period, repeat=period)
        latest = time.monotonic()
        longest = shortest = 0  # the pauses, at most and at least
        for _ in range(20):
            before = time.monotonic()
            c.call("suspend")
            begin = time.monotonic()
            wait_until(lambda: time.monotonic() > begin + 0.003, "time passes")
            shortest += time.monotonic() - begin
            c.call("resume")
            longest += time.monotonic() - before
        before = time.monotonic()
        stopped = c.call("stop", watcher="t")
        after = time.monotonic()
        ticks = count(c.events)
        if "cleared" in stopped:
            ticks += 1 + stopped["cleared"]["overrun"]
        assert ticks >= math.floor((before - latest - longest) / period)
        assert ticks <= math.floor((after - earliest - shortest) / period)


# --- what is written --------------------------------------------------------------


def test_batch_that_was_begun_stops_at_the_reply(evd):
    """It takes many writes, of a few events each."""
    with evd.connect() as c, evd.connect() as other:
        names = list(range(300))
        for name in names:
            c.watch("async", name, data="x" * 4000)
        outstanding = stall(c, other)
        c.send(*[command("send", watcher=name, reply=False) for name in names])
        barrier(other)
        c.replies(outstanding)
        c.send(command("suspend"))
        c.replies(1)
        begun = [event["watcher"] for event in c.events]
        assert len(begun) < len(names)
        c.events.clear()
        c.send(*[command("send", watcher=name, reply=False) for name in begun[:2]])
        nothing_comes(c)
        assert c.call("loop")["pending"] == len(names) - len(begun) + len(begun[:2])
        c.call("resume")
        rest = [c.event()["watcher"] for _ in range(len(names) - len(begun))]
        assert begun + rest == names
        assert [event["watcher"] for event in c.poll()] == begun[:2]


def test_what_is_due_wakes_nobody(evd):
    with evd.connect() as c:
        c.watch("timer", "t", after=0.01, repeat=0.01)
        c.watch("periodic", "p", interval=0.01)
        c.call("suspend")
        c.events.clear()
        evd.settle()
        before, cpu = evd.wakeups(), evd.cpu()
        time.sleep(0.3)
        assert evd.wakeups() == before and evd.cpu() - cpu < scaled(2, 20)
        c.call("resume")
        assert {c.event()["watcher"] for _ in range(10)} == {"t", "p"}


def test_others_merge(evd, tmp_path):
    file = tmp_path / "file"
    file.write_text("one")
    read, write = os.pipe()
    with evd.connect() as c:
        c.watch("signal", "s", signum="USR1")
        c.watch("stat", "f", path=str(file))
        c.watch("child", "c", pid=0)
        c.watch_fd("io", read)
        c.call("suspend")
        for _ in range(3):
            os.kill(evd.pid, signal.SIGUSR1)
            barrier(c)
        file.write_text("another")
        pids = [c.call("spawn", argv=["true"])["pid"] for _ in range(2)]
        os.write(write, b"x")
        wait_until(
            lambda: get(c, "c").get("pending", {}).get("overrun") == 1
            and "pending" in get(c, "f")
            and "pending" in get(c, "io"),
            "all have fired",
        )
        nothing_comes(c)
        c.call("resume")
        events = {}
        for _ in range(5):
            event = c.event()
            events.setdefault(event["watcher"], []).append(event)
        assert count(events["s"]) == 3 and len(events["s"]) == 1
        assert events["f"][0]["attr"]["size"] == 7
        assert sorted(event["pid"] for event in events["c"]) == sorted(pids)
        assert events["io"][0]["revents"] == 1
    os.close(read)
    os.close(write)


def test_half_close_resumes_also_with_many_periodics(evd):
    number = scaled(5000, 2500)
    with evd.connect() as c:
        c.call("suspend")
        lines = [
            command("watch", type="periodic", watcher=n, offset=1, reply=False)
            for n in range(number)
        ]
        c.send(*lines, command("watch", type="timer", watcher="t", after=0.01))
        c.replies(1)
        nothing_comes(c)
        c.shutdown()
        names = [event["watcher"] for event in c.rest()]
        assert len(names) == number + 1
        assert set(names) == set(range(number)) | {"t"}


def test_client_that_ends_while_suspended(evd):
    with evd.connect() as other:
        other.call("now")
        before = evd.fds()
        for _ in range(3):
            c = evd.connect()
            c.send(
                command("watch", type="timer", watcher="t", after=0, repeat=1),
                command("watch", type="periodic", watcher="p", interval=1),
                command("suspend"),
                command("watch", type="periodic", watcher="q", interval=1),
            )
            c.replies(4)
            c.close()
        wait_until(lambda: evd.fds() == before, "the sessions are gone")
        assert len(other.call("list")["sessions"]) == 1
        evd.settle()


def test_many_timers_cost_nothing_to_suspend_and_resume(evd):
    """None is touched: the daemon works no more than it would without them."""
    number = scaled(200000, 10000)
    with evd.connect() as c:
        for first in range(0, number, 1000):
            c.send(
                *[
                    command("watch", type="timer", watcher=n, after=9000, reply=False)
                    for n in range(first, first + 1000)
                ]
            )
        c.call("now")
        evd.settle()
        before = evd.cpu()
        for _ in range(200):
            c.calls([command("suspend"), command("resume")])
        # In 1/100 s; to go through them all 400 times takes seconds.
        assert evd.cpu() - before < scaled(50, 500)


def test_daemon_stops_and_goes_on_in_a_pause(evd):
    """What the daemon itself did not live through counts as the rest."""
    with evd.connect() as c:
        timer = command("watch", type="timer", watcher="t", after=0.2)
        c.calls([timer, command("suspend")])
        os.kill(evd.pid, signal.SIGSTOP)
        time.sleep(0.3)
        os.kill(evd.pid, signal.SIGCONT)
        assert 0 < get(c, "t")["remaining"] <= 0.2
        c.call("resume")
        assert 0 < get(c, "t")["remaining"] <= 0.2
        c.event()


# --- the wall clock -----------------------------------------------------------------


@pytest.mark.parametrize("seconds", [3600.5, -3600.5, 0.5, -0.5])
@pytest.mark.parametrize("when", ["before", "while", "after"])
def test_wall_clock_is_set(seconds, when):
    """Times are due that it shows while the session is not suspended."""
    with Clock() as clock, clock.daemon() as evd, evd.connect() as c:
        started = time.monotonic()
        c.watch("periodic", "p", interval=0.1)
        c.watch("periodic", "j", interval=1e9, jumps=True)
        events = [c.event()]
        if when == "before":
            clock.jump(seconds)
        c.call("suspend")
        ran = time.monotonic() - started
        events += c.poll()
        if when == "while":
            clock.jump(seconds)
        time.sleep(0.35)
        nothing_comes(c)
        begin = clock.now()
        c.call("resume")
        missed = c.poll()
        # Only what was due before, or came since; and the clock is right.
        ticks = count(event for event in missed if event["watcher"] == "p")
        assert ticks <= 2 + (ran + clock.now() - begin) / 0.1
        state = get(c, "p")
        assert begin < state["at"] <= clock.now() + 0.1 + 1e-6
        if when == "after":
            clock.jump(seconds)
        events += missed
        while "j" not in [event["watcher"] for event in events]:
            events.append(c.event())
        (jumped,) = [event for event in events if event["watcher"] == "j"]
        assert jumped["jump"] is True
        before = clock.now()
        assert before - 1 < c.call("update")["now"] < clock.now() + 1


# --- the intervals ------------------------------------------------------------------


def test_events_of_timers_come_together_and_rarely(evd):
    with evd.connect() as c:
        c.call("loop", timeout_interval=0.2)
        begin = time.monotonic()
        # Held, so that the second event is of the other one, however late that is.
        c.watch("timer", "a", after=0, repeat=0.001, hold=True)
        c.watch("timer", "b", after=0.1, repeat=0.001, hold=True)
        before = evd.wakeups()
        first, second = c.event(), c.event()
        assert (first["watcher"], second["watcher"]) == ("a", "b")
        assert time.monotonic() - begin >= 0.2
        assert count([first, second]) >= 200 + 100 - 2
        batches = c.call("loop")["iteration"]
        assert 1 <= batches <= (time.monotonic() - begin) / 0.2
        # One for b, one for each interval, one for the command.
        assert evd.wakeups() - before < 10 + 2 * batches


def test_events_of_descriptors_come_together(evd):
    pipes = [os.pipe() for _ in range(3)]
    with evd.connect() as c:
        c.call("loop", io_interval=1)
        for n, (read, _) in enumerate(pipes):
            c.watch_fd(n, read)
        begin = time.monotonic()
        for _, write in pipes:
            os.write(write, b"x")
            c.call("now")
        assert not c.events
        assert [c.event()["watcher"] for _ in pipes] == [0, 1, 2]
        assert time.monotonic() - begin >= 1
        assert c.call("loop")["iteration"] == 1
        # What another kind of event finds there goes with it.
        timer = command("watch", type="timer", watcher="t", after=0.01)
        c.calls([timer, command("ack")])
        assert {c.event()["watcher"] for _ in range(4)} == {0, 1, 2, "t"}
        assert c.call("loop")["iteration"] == 2
    for ends in pipes:
        for end in ends:
            os.close(end)


def test_interval_wakes_nobody_while_nothing_is_pending(evd):
    with evd.connect() as c:
        c.call("loop", timeout_interval=0.01, io_interval=0.01)
        c.watch("timer", "t", after=0.01)
        c.event()
        c.send(command("feed", watcher="t", revents=1), command("clear", watcher="t"))
        c.replies(2)
        evd.settle()
        before = evd.wakeups()
        time.sleep(0.2)
        assert evd.wakeups() == before


def test_half_closed_session_goes_on_gathering(evd):
    with evd.connect() as c, evd.connect() as other:
        c.call("loop", timeout_interval=0.05)
        c.watch("timer", "t", after=0.001, repeat=0.001)
        name = c.call("hello")["session"]
        c.shutdown()
        events = [c.event() for _ in range(4)]
        assert min(count([event]) for event in events) >= 48
        assert name in [s["session"] for s in other.call("list")["sessions"]]
