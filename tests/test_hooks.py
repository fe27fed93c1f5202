"""Check, prepare and fork: a session's batches, and the reset of its loop."""

import re
import time

import pytest

from evdtest import Daemon, barrier, command, count, scaled, stall

FAR = 1000
PREPARE = 0x4000
CHECK = 0x8000
FORK = 0x20000


def hook(type, name, **members):
    return command("watch", type=type, watcher=name, reply=False, **members)


def watch(name, **members):
    return hook("async", name, **members)


def feed(name, revents=1):
    return command("feed", watcher=name, revents=revents, reply=False)


def names(events):
    return [event["watcher"] for event in events]


def batch(client, *fed):
    """Feed asyncs; gives the names of all that is written then."""
    client.send(*map(feed, fed))
    return names(client.poll())


@pytest.mark.parametrize("type, bit", [("check", CHECK), ("prepare", PREPARE)])
def test_line(type, bit):
    with Daemon() as evd, evd.connect() as c:
        c.send(hook(type, "w"), watch("a"), feed("a"))
        lines = [c.line().decode() for _ in range(2)]
        at = 0 if type == "check" else 1
        assert re.fullmatch(
            r'\{"event":"%s","watcher":"w","revents":%d,"seq":%d,'
            r'"time":\d{10,}\.\d{6}\}' % (type, bit, at + 1),
            lines[at],
        ), lines


def test_cause_no_batch():
    with Daemon() as evd, evd.connect() as c:
        c.send(hook("check", "c"), hook("prepare", "p"), hook("fork", "f"))
        assert c.poll() == []
        assert c.call("loop")["iteration"] == 0


def test_one_of_each_uses_no_cpu():
    with Daemon() as evd, evd.connect() as c:
        c.send(*[hook(type, type) for type in ("check", "prepare", "fork", "idle")])
        assert names(c.poll()) == ["check", "idle", "prepare"]
        c.call("reset")
        assert names(c.poll()) == ["check", "fork", "prepare"]
        evd.settle()
        before = evd.wakeups(), evd.cpu()
        time.sleep(1)
        assert (evd.wakeups(), evd.cpu()) == before


def test_frame_each_batch():
    with Daemon() as evd, evd.connect() as c:
        c.send(watch("a"), watch("b"), hook("prepare", "p"), hook("check", "c"))
        for n in range(1, 50):
            assert batch(c, "a", "b") == ["c", "a", "b", "p"]
            assert c.call("loop")["iteration"] == n


def test_several_by_priority_and_then_by_turns():
    with Daemon() as evd, evd.connect() as c:
        c.send(watch("a", priority=2))
        c.send(hook("check", "c1"), hook("check", "c2"), hook("check", "C", priority=1))
        c.send(hook("prepare", "p1"), hook("prepare", "p2"))
        c.send(hook("prepare", "P", priority=1))
        for _ in range(5):
            assert batch(c, "a") == ["C", "c1", "c2", "a", "P", "p1", "p2"]


def test_a_batch_of_several_writes():
    """It goes on where it was; what starts meanwhile is of the next batch."""
    number = 200
    data = "x" * 3000
    every = range(number)
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.send(*[hook("check", n, data=data) for n in every])
        c.send(*[hook("prepare", number + n, data=data) for n in every])
        c.send(watch("a"), watch("b"), feed("a"))
        barrier(other)
        for n in (0, number - 1, number, 2 * number - 1):
            c.send(command("unwatch", watcher=n, reply=False))
        c.send(hook("check", "new c"), hook("prepare", "new p"))
        c.send(command("stop", watcher=1, reply=False))
        c.send(command("start", watcher=1, reply=False))
        c.send(feed("b"))
        barrier(other)
        seen = names(c.poll())
        old = [n for n in range(2 * number) if n not in (0, 199, 200, 399)]
        first = seen[: seen.index("a")]
        middle = seen[seen.index("a") + 1 :]
        between = middle[: middle.index("b")]
        last = middle[middle.index("b") + 1 :]
        checks = [n for n in old if n < number]
        prepares = [n for n in old if n >= number]
        # What had been written before the commands came may be there.
        assert [n for n in first if n not in (0, 1, 199)] == checks[1:]
        assert [n for n in between if n in prepares] == prepares
        assert sorted(map(str, between[len(prepares) :])) == sorted(
            map(str, [*checks, "new c"])
        )
        assert sorted(map(str, last)) == sorted(map(str, [*prepares, "new p"]))
        assert c.call("verify") == {}


def test_full_buffer_in_the_middle_of_a_batch():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.send(hook("check", "c"), hook("prepare", "p"), watch("a"), watch("b"))
        c.poll()
        outstanding = stall(c, other)
        c.send(feed("a"), feed("b"))
        barrier(other)
        c.send(command("clear", watcher="a"))
        c.replies(outstanding + 1)
        assert names(c.poll()) == ["c", "b", "p"]


def test_a_batch_that_was_taken_back_is_none():
    with Daemon() as evd, evd.connect() as c:
        c.send(hook("check", "c"), hook("prepare", "p"), watch("a"))
        c.send(feed("a"), command("clear", watcher="a", reply=False))
        assert c.poll() == []
        assert batch(c, "a") == ["c", "a", "p"]


def test_started_is_of_the_next_batch():
    with Daemon() as evd, evd.connect() as c:
        c.send(watch("a"), hook("check", "c", start=False))
        assert batch(c, "a") == ["a"]
        c.send(feed("a"), command("start", watcher="c", reply=False))
        assert names(c.poll()) == ["c", "a"]
        c.send(feed("a"), command("stop", watcher="c", reply=False))
        assert names(c.poll()) == ["a"]


@pytest.mark.parametrize("type", ["check", "prepare"])
def test_held_one_does_not_fire(type):
    with Daemon() as evd, evd.connect() as c:
        c.send(hook(type, "h", hold=True), watch("a"))
        for _ in range(3):
            assert set(batch(c, "a")) == {"a", "h"}
            for _ in range(3):
                assert batch(c, "a") == ["a"]
            assert "pending" not in c.call("get", watcher="h")
            assert c.call("ack") == {"freed": 1}
            assert c.poll() == []


@pytest.mark.parametrize("type", ["check", "prepare"])
def test_fed_while_held(type):
    with Daemon() as evd, evd.connect() as c:
        c.send(hook(type, "h", hold=True), watch("a"))
        batch(c, "a")
        c.send(feed("h", 4), feed("h", 2))
        assert c.poll() == []
        c.call("ack")
        (event,) = c.poll()
        assert (event["revents"], event["overrun"]) == (6, 1)


@pytest.mark.parametrize("type", ["check", "prepare"])
def test_fed_one_is_in_place_of_the_firing(type):
    with Daemon() as evd, evd.connect() as c:
        c.send(hook(type, "h", priority=1), watch("a"), watch("b", priority=2))
        c.send(feed("a"), feed("h"), feed("b"))
        events = c.poll()
        assert names(events) == ["b", "h", "a"]
        assert events[1]["revents"] == 1
        assert len(batch(c, "a")) == 2


def test_fed_inactive_one():
    with Daemon() as evd, evd.connect() as c:
        c.send(hook("check", "h", start=False), feed("h", 0))
        (event,) = c.poll()
        assert (event["revents"], event["active"]) == (0, False)
        assert c.poll() == []


@pytest.mark.parametrize("type", ["check", "prepare"])
def test_once_and_release(type):
    with Daemon() as evd, evd.connect() as c:
        c.send(hook(type, "h", once=True, release=True), watch("a"))
        assert set(batch(c, "a")) == {"a", "h"}
        assert c.fails("get", watcher="h").code == "no-such-watcher"
        assert batch(c, "a") == ["a"]


@pytest.mark.parametrize("type", ["check", "prepare"])
def test_end_of_a_batch_and_of_the_session(type):
    with Daemon() as evd, evd.connect() as c:
        c.send(hook("check", "c"), hook("prepare", "p"), watch("a"), watch("b"))
        c.send(hook(type, "end", end=True), hook("idle", "i", start=False))
        c.send(feed("a"), feed("b"), command("start", watcher="i", reply=False))
        lines = c.rest()
        inside = {"check": ["c", "end", "a", "b", "p"]}
        inside["prepare"] = ["c", "a", "b", "p", "end"]
        assert names(lines[:-1]) == inside[type]
        assert lines[-1] == {"event": "bye", "reason": "end"}


def test_exit_of_the_daemon_ends_the_batch():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.send(hook("check", "c"), hook("prepare", "p"), watch("a", data="x" * 4000))
        c.poll()
        outstanding = stall(c, other)
        c.send(feed("a"))
        barrier(other)
        evd.process.terminate()
        c.replies(outstanding)
        assert names(c.event() for _ in range(3)) == ["c", "a", "p"]
        assert c.event() == {"event": "bye", "reason": "exit"}
        c.eof()
        assert evd.wait() == 0


@pytest.mark.parametrize("type", ["check", "prepare", "fork"])
def test_keep_a_half_closed_session_as_in_libev(type):
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.call("hello", session="c")
        c.watch(type, "h")
        c.watch("async", "a")
        c.shutdown()
        for _ in range(3):
            assert other.call("send", session="c", watcher="a") == {"sent": True}
            expected = {"check": ["h", "a"], "prepare": ["a", "h"], "fork": ["a"]}[type]
            assert names(c.event() for _ in expected) == expected


@pytest.mark.parametrize("type", ["check", "prepare", "fork"])
def test_unref_lets_a_half_closed_session_end(type):
    with Daemon() as evd, evd.connect() as c:
        c.watch(type, "h")
        assert c.call("unref") == {"refs": -1}
        c.shutdown()
        c.eof()


@pytest.mark.parametrize("type", ["check", "prepare"])
def test_half_close_ends_the_hold(type):
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.call("hello", session="c")
        c.send(hook(type, "h", hold=True), watch("a"))
        batch(c, "a")
        c.shutdown()
        for _ in range(3):
            other.call("send", session="c", watcher="a")
            assert {c.event()["watcher"] for _ in range(2)} == {"a", "h"}


def test_many_are_one_batch_and_delay_nobody():
    number = scaled(50000, 2000)
    every = [*range(number)]
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.send(*[hook("check", n) for n in every], watch("a"))
        for _ in range(2):
            c.send(feed("a"))
            for _ in range(5):
                other.call("now")
            assert names(c.poll()) == [*every, "a"]
        outstanding = stall(c, other)
        for first in range(0, number, 256):
            c.send(*map(feed, every[first : first + 256]))
            barrier(other)
        c.replies(outstanding)
        assert names(c.poll()) == every
        assert c.call("verify") == {}


# Fork


def test_fork_fires_before_the_next_batch():
    with Daemon() as evd, evd.connect() as c:
        c.send(hook("fork", "f", priority=-2), hook("fork", "g", start=False))
        c.send(watch("a"), feed("a"), command("reset"))
        assert c.reply()["result"] == {}
        events = c.poll()
        assert names(events) == ["a", "f"]
        assert events[1]["revents"] == FORK
        assert c.poll() == []


def test_every_reset_is_counted():
    with Daemon() as evd, evd.connect() as c:
        c.send(hook("fork", "f"), hook("fork", "h", hold=True))
        c.send(*[command("reset", reply=False)] * 10)
        events = c.poll()
        c.send(*[command("reset", reply=False)] * 10)
        events += c.poll()
        assert count(e for e in events if e["watcher"] == "f") == 20
        assert count(e for e in events if e["watcher"] == "h") == 10
        c.call("ack")
        assert count(c.poll()) == 10


def test_reset_is_of_its_own_session():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        for client in (c, other):
            client.watch("fork", "f")
        c.call("reset")
        assert names(c.poll()) == ["f"]
        assert other.poll() == []


def test_fork_once():
    with Daemon() as evd, evd.connect() as c:
        c.send(hook("fork", "f", once=True), hook("fork", "r", once=True, release=True))
        c.call("reset")
        assert [event["active"] for event in c.poll()] == [False, False]
        c.call("reset")
        assert c.poll() == []
        c.call("start", watcher="f")
        assert c.poll() == []
        c.call("reset")
        assert names(c.poll()) == ["f"]


def test_reset_of_100000_is_one_batch_and_delays_nobody():
    number = scaled(100000, 3000)
    every = [*range(number)]
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.send(*[hook("fork", n) for n in every], hook("prepare", "|"))
        c.call("now")
        c.send(command("reset", id="reset"), command("reset", reply=False))
        c.send(command("poll"))
        for _ in range(5):
            other.call("now")
        assert c.reply()["id"] == "reset"
        c.reply()
        assert count(c.events) in (2 * number + 1, 2 * number + 2)
        assert names(c.events)[: number + 1] == [*every, "|"]
