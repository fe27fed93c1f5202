"""The wall clock is set: what follows it, and what does not."""

import math
import os
import re
import signal
import time

import pytest

from evdclock import YEAR, Clock
from evdtest import PERIODIC, command, count, scaled, stall, wait_until

JUMPS = [0.05, 3, 3600, 10 * YEAR, -0.05, -3, -3600, -10 * YEAR]
SLACK = 1e-3  # how far two readings of two clocks may be apart


@pytest.fixture(name="clock")
def fixture_clock():
    with Clock() as clock:
        yield clock


def get(client, name, **members):
    return client.call("get", watcher=name, **members)


def grid(period, after):
    """The first multiple of period behind a time."""
    return (math.floor(after / period) + 1) * period


def now(client):
    return client.call("update")["now"]


def jump_close_to(clock, client, slot, ahead):
    """Set the clock so that the next time of w is near: evd sees that before it.

    client has an hourly w. ahead: how many seconds before, at least.
    """
    while True:
        clock.jump_to(slot - ahead)
        if get(client, "w")["at"] == slot or client.events:
            return
        # It was over when evd looked, and is not due then. (It was slow.)
        ahead *= 4


def near(found, expected, slack=2.0):
    return abs(found - expected) < scaled(slack, 20)


@pytest.mark.parametrize("seconds", JUMPS)
def test_daemon_sees_the_clock_jump(clock, seconds):
    with clock.daemon() as evd, evd.connect() as c:
        before = c.call("update")
        clock.jump(seconds)
        after = c.call("update")
        elapsed = after["monotonic"] - before["monotonic"]
        jumped = after["now"] - before["now"] - elapsed
        assert abs(jumped - seconds) < SLACK
        said = re.search(r"the wall clock was set, by (\S+) s", evd.stderr)
        assert abs(float(said.group(1)) - seconds) < SLACK


@pytest.mark.parametrize("steps", [2, 7])
def test_clock_is_set_again_while_the_first_time_is_told(clock, steps):
    """Each jump is one firing of each of many, whichever it has heard of when."""
    number = 3000
    with clock.daemon() as evd, evd.connect() as c:
        lines = [
            command("watch", type="periodic", watcher=i, interval=1e9, jumps=True)
            for i in range(number)
        ]
        c.calls(lines)
        for i in range(steps):
            clock.jump(3600)
            wait_until(
                lambda: evd.stderr.count("the wall clock was set") == i + 1,
                "it has been seen",
            )
        events = c.poll()
        assert all(event["jump"] for event in events)
        assert {event["watcher"] for event in events} == set(range(number))
        assert count(events) == steps * number


@pytest.mark.parametrize("seconds", JUMPS)
def test_timers_are_unmoved(clock, seconds):
    with clock.daemon() as evd, evd.connect() as c:
        c.watch("timer", "long", after=1000)
        soon = {"watcher": "soon", "after": 0.2, "repeat": 0.2, "hold": True}
        lines = [command("update"), command("watch", type="timer", **soon)]
        begin = c.calls(lines)[0]["result"]["monotonic"]
        clock.jump(seconds)
        end = c.call("update")["monotonic"]
        remaining = get(c, "long")["remaining"]
        assert 1000 - remaining >= end - begin - SLACK
        assert near(remaining, 1000 - (end - begin))
        first = c.event()
        c.watch("timer", "enough", after=0.5)
        c.event()
        c.send(command("stop", watcher="soon"), command("now"))
        stopped, last = (reply["result"] for reply in c.replies(2))
        elapsed = last["monotonic"] - begin
        ticks = count([first, stopped["cleared"]])
        assert math.floor(elapsed / 0.2) - 1 <= ticks <= math.floor(elapsed / 0.2)


@pytest.mark.parametrize("seconds", JUMPS)
@pytest.mark.parametrize("kind", ["periodic", "scheduler"])
def test_next_time_follows_and_what_is_jumped_over_is_not_due(clock, kind, seconds):
    members = {
        "periodic": {"interval": 86400},
        "scheduler": {"calendar": "@daily", "timezone": "UTC"},
    }[kind]
    with clock.daemon() as evd, evd.connect() as c:
        c.watch(kind, "w", **members)
        assert get(c, "w")["at"] == grid(86400, now(c))
        clock.jump(seconds)
        assert get(c, "w")["at"] == grid(86400, now(c))
        assert c.poll() == []


@pytest.mark.parametrize("kind", ["periodic", "scheduler"])
def test_time_that_is_jumped_close_to_comes(clock, kind):
    members = {
        "periodic": {"interval": 3600},
        "scheduler": {"calendar": "@hourly", "timezone": "UTC"},
    }[kind]
    with clock.daemon() as evd, evd.connect() as c:
        c.watch(kind, "w", **members)
        for far in (3600, 30 * 86400, YEAR, -3600, -30 * 86400, -YEAR):
            slot = grid(3600, clock.now() + far)
            jump_close_to(clock, c, slot, 0.2)
            event = c.event()
            assert slot <= event["time"] < slot + scaled(5, 60)
            assert event["at"] == slot + 3600
            assert "overrun" not in event and "jump" not in event
        assert c.poll() == []


@pytest.mark.parametrize("kind", ["periodic", "scheduler"])
def test_time_that_comes_again_fires_again(clock, kind):
    members = {
        "periodic": {"interval": 3600},
        "scheduler": {"calendar": "0 * * * *", "timezone": "UTC"},
    }[kind]
    with clock.daemon() as evd, evd.connect() as c:
        c.watch(kind, "w", **members)
        slot = grid(3600, clock.now() + 7200)
        for _ in range(4):
            jump_close_to(clock, c, slot, 0.1)
            event = c.event()
            assert (event["at"], event["time"] >= slot) == (slot + 3600, True)
        assert c.poll() == []


def test_suspend(clock):
    """The monotonic clock stands still, so for evd it is a jump forward."""
    with clock.daemon() as evd, evd.connect() as c:
        c.watch("periodic", "p", interval=3600)
        c.watch("scheduler", "s", calendar="*/10 * * * *", timezone="UTC")
        begin = c.call("update")["monotonic"]
        c.watch("timer", "t", after=0.3)
        clock.jump(8 * 3600)
        shown = now(c)
        assert get(c, "p")["at"] == grid(3600, shown)
        assert get(c, "s")["at"] == grid(600, shown)
        event = c.event()
        assert event["watcher"] == "t"
        assert c.call("now")["monotonic"] >= begin + 0.3 - SLACK


def test_absolute_time_that_is_jumped_over_is_due(clock):
    """As in libev: it is a time that has been reached."""
    with clock.daemon() as evd, evd.connect() as c:
        at = clock.now() + 1000
        c.watch("periodic", "w", offset=at)
        clock.jump(-5000)
        assert get(c, "w")["active"] and c.poll() == []
        clock.jump(10000)
        event = c.event()
        assert event["active"] is False and event["time"] >= at
        # It is over: to come back is not to fire again.
        clock.jump(-10000)
        assert c.poll() == []
        assert get(c, "w")["active"] is False


def ticks(period, begin, end):
    return math.floor(end / period) - math.floor(begin / period)


@pytest.mark.parametrize("seconds", [3600, -3600, 1.5, -1.5])
@pytest.mark.parametrize("kind", ["periodic", "scheduler"])
def test_law_of_ticks_across_jumps(clock, kind, seconds):
    members, period = {
        "periodic": ({"interval": 0.01}, 0.01),
        "scheduler": ({"calendar": "* * * * * *"}, 1),
    }[kind]
    with clock.daemon() as evd, evd.connect() as c:
        c.send(
            command("update"),
            command("watch", type=kind, watcher="w", hold=True, **members),
        )
        begin = c.replies(2)[0]["result"]["now"]
        first = c.event()
        assert first["time"] >= begin
        c.watch("timer", "t", after=0.3)
        c.event()
        # The last that the old clock shows, and the first that the new one does.
        old = [now(c)]
        clock.jump(seconds)
        after = c.call("update")
        new = [after["now"]]
        old.append(new[0] - seconds)
        new.append(old[0] + seconds)
        c.watch("timer", "t2", after=0.3)
        c.event()
        c.send(command("stop", watcher="w"), command("now"))
        stopped, last = (reply["result"] for reply in c.replies(2))
        seen = count([first] + [stopped[k] for k in stopped])
        end = last["now"]
        # When exactly it was seen is not known: between old[0] and old[1].
        possible = set()
        for step in range(1001):
            at = old[0] + (old[1] - old[0]) * step / 1000
            before = ticks(period, begin, at)
            behind = ticks(period, at + seconds, end)
            possible.add(before + behind)
        edge = 1 if kind == "periodic" else 0
        assert min(possible) - edge <= seen <= max(possible) + edge


def test_no_time_fires_twice_without_a_jump(clock):
    with clock.daemon() as evd, evd.connect() as c:
        c.watch("periodic", "p", interval=0.002)
        c.watch("scheduler", "s", calendar="* * * * * *")
        last = {"p": 0, "s": 0}
        seen = {"p": 0, "s": 0}
        while seen["s"] < 2 or seen["p"] < 200:
            event = c.event()
            name = event["watcher"]
            assert event["at"] > last[name]
            assert event["time"] >= last[name] - 1e-6
            last[name] = event["at"]
            seen[name] += 1


def test_no_storm(clock):
    with clock.daemon() as evd, evd.connect() as c:
        for n in range(200):
            c.watch("periodic", "p%d" % n, interval=60, offset=n)
            c.watch("scheduler", "s%d" % n, calendar="%d * * * * *" % (n % 60))
        c.watch("periodic", "each", interval=1)
        events = c.poll()
        for seconds in (YEAR, -YEAR, 10 * YEAR, -10 * YEAR, 86400, -86400):
            clock.jump(seconds)
            events += c.poll()
        # Whatever is due is due by the second, not by the year.
        elapsed = 10
        assert count(events) < 401 * (1 + elapsed / 60) * 2
        assert c.poll() is not None


def test_daemon_sleeps_after_a_jump(clock):
    with clock.daemon() as evd, evd.connect() as c:
        c.watch("periodic", "p", interval=86400 * 3650)
        c.watch("scheduler", "s", calendar="@yearly")
        for seconds in (86400, -2 * 86400):
            clock.jump(seconds)
            now(c)
            evd.settle()


# --- jumps -------------------------------------------------------------------

FAR = {"interval": 1e9, "jumps": True}


@pytest.mark.parametrize("seconds", JUMPS)
def test_jumps_of_an_armed_one(clock, seconds):
    with clock.daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", **FAR)
        c.watch("periodic", "quiet", interval=1e9)
        clock.jump(seconds)
        event = c.event()
        assert event["watcher"] == "w" and event["revents"] == PERIODIC
        assert event["jump"] is True
        assert event["at"] == get(c, "w")["at"] == grid(1e9, now(c))
        assert c.poll() == []
        # Only the event that tells of it says so.
        c.call("feed", watcher="w", revents=1)
        assert "jump" not in c.event()


def test_jumps_of_a_one_shot(clock):
    with clock.daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", offset=clock.now() + 1000, jumps=True)
        clock.jump(-50)
        event = c.event()
        assert event["jump"] is True and "active" not in event
        clock.jump(5000)
        event = c.event()
        assert event["active"] is False and count([event]) == 2
        assert event["jump"] is True


def test_jumps_of_a_pending_one(clock):
    with clock.daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.watch("periodic", "w", **FAR)
        replies = stall(c, other)
        c.sock.sendall(b'{"cmd":"feed","watcher":"w","revents":1}\n')
        for _ in range(2):
            other.call("now")
        clock.jump(3600)
        other.call("now")
        clock.jump(-1800)
        other.call("now")
        c.replies(replies + 1)
        event = c.event()
        assert event["jump"] is True
        assert event["revents"] == PERIODIC | 1
        assert event["overrun"] == 2
        assert c.poll() == []


def test_jumps_of_a_held_one(clock):
    with clock.daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", hold=True, **FAR)
        clock.jump(10)
        assert c.event()["jump"] is True
        assert "pending" not in get(c, "w")
        clock.jump(10)
        assert get(c, "w")["pending"] == {"revents": PERIODIC, "overrun": 0}
        clock.jump(10)
        assert get(c, "w")["pending"] == {"revents": PERIODIC, "overrun": 1}
        assert c.poll() == []
        c.call("ack")
        event = c.event()
        assert event["jump"] is True and event["overrun"] == 1
        c.call("ack")
        assert c.poll() == []


def test_jumps_with_once(clock):
    with clock.daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", once=True, **FAR)
        clock.jump(-10)
        event = c.event()
        assert event["jump"] is True and event["active"] is False
        clock.jump(10)
        assert c.poll() == []


def test_jump_that_was_taken_back_is_not_told_later(clock):
    with clock.daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", hold=True, **FAR)
        clock.jump(10)
        c.event()
        clock.jump(10)
        assert c.call("clear", watcher="w")["cleared"]["overrun"] == 0
        c.call("feed", watcher="w", revents=2)
        event = c.event()
        assert event["revents"] == 2 and "jump" not in event


# --- many, and odd moments ----------------------------------------------------


def test_many_watchers_all_follow(clock):
    """More than evd tells in one turn of its loop."""
    many = scaled(5000, 2000)
    with clock.daemon() as evd, evd.connect() as c:
        c.calls(
            [
                command("watch", type="periodic", watcher=n, interval=86400, offset=n)
                for n in range(many)
            ]
        )
        for seconds in (30 * 86400, -20 * 86400, 5 * 86400):
            clock.jump(seconds)
            # The last one first: it is asked for before it has been told.
            order = list(range(many - 1, -1, -1))
            replies = c.calls([command("get", watcher=n) for n in order])
            shown = now(c)
            for n, reply in zip(order, replies):
                at = reply["result"]["at"]
                assert (at - n) % 86400 == 0
                assert shown - 60 < at <= shown + 86400
        assert all(abs(e["time"] - now(c)) < 86400 for e in c.poll())


def test_two_jumps_at_once_with_many_watchers(clock):
    many = scaled(5000, 2000)
    with clock.daemon() as evd, evd.connect() as c:
        c.calls(
            [
                command("watch", type="periodic", watcher=n, **FAR)
                for n in range(many)
            ]
        )
        clock.jump(1000)
        c.call("now")
        clock.jump(-1000)
        events = []
        while count(events) < 2 * many:
            events.append(c.event())
        assert count(events) == 2 * many
        assert all(event["jump"] for event in events)
        assert c.poll() == []


def test_unwatch_and_stop_before_they_are_told(clock):
    many = 3000
    with clock.daemon() as evd, evd.connect() as c:
        c.calls(
            [
                command("watch", type="periodic", watcher=n, **FAR)
                for n in range(many)
            ]
        )
        clock.jump(1000)
        cleared = c.calls(
            [
                command(("stop", "unwatch")[n % 2], watcher=n)
                for n in range(many - 1, -1, -1)
            ]
        )
        told = [r["result"]["cleared"] for r in cleared if "cleared" in r["result"]]
        assert count(c.events) + count(told) == many


def test_session_that_ends_before_all_are_told(clock):
    with clock.daemon() as evd, evd.connect() as other:
        for _ in range(5):
            with evd.connect() as c:
                c.calls(
                    [
                        command("watch", type="periodic", watcher=n, **FAR)
                        for n in range(3000)
                    ]
                )
                clock.jump(100)
            other.call("now")


@pytest.mark.parametrize("wake", [True, False])
@pytest.mark.parametrize("seconds", [100, -100])
def test_jump_while_the_daemon_does_not_run(clock, seconds, wake):
    """Ticks that were due by the old clock, seen together with the jump.

    Without the wake-up it is libev itself that notices, half a second later.
    """
    interval = 0.25
    with clock.daemon() as evd, evd.connect() as c:
        c.send(
            command("update"),
            command("watch", type="periodic", watcher="w", interval=interval),
        )
        begin = c.replies(2)[0]["result"]["now"]
        events = [c.event()]
        os.kill(evd.pid, signal.SIGSTOP)
        time.sleep(1.1)
        clock.jump(seconds, wake)
        os.kill(evd.pid, signal.SIGCONT)
        wait_until(lambda: c.call("now") and "was set" in evd.stderr, "it is seen")
        c.send(command("stop", watcher="w"), command("now"))
        stopped, last = (reply["result"] for reply in c.replies(2))
        events += c.events
        if "cleared" in stopped:
            events.append(stopped["cleared"])
        # The jump is a multiple of the interval: the ticks are as without it.
        end = last["now"] - seconds
        due = {ticks(interval, begin, end + edge) for edge in (-SLACK, SLACK)}
        assert count(events) in due
