"""Idles: what fires when a session has nothing else."""

import os
import re
import time

import pytest

from evdtest import Daemon, barrier, command, scaled, stall

FAR = 1000
IDLE = 0x2000


def idle(name, **members):
    return command("watch", type="idle", watcher=name, reply=False, **members)


def feed(name):
    return command("feed", watcher=name, revents=1, reply=False)


def names(events):
    return [event["watcher"] for event in events]


def until(client, *expected):
    """The next events are these."""
    assert [client.event()["watcher"] for _ in expected] == list(expected)


def test_fires_alone():
    with Daemon() as evd, evd.connect() as c:
        assert c.watch("idle", "w") == {}
        line = c.line().decode()
        assert re.fullmatch(
            r'\{"event":"idle","watcher":"w","revents":8192,"seq":1,'
            r'"time":\d{10,}\.\d{6}\}',
            line,
        ), line


def test_is_always_held():
    with Daemon() as evd, evd.connect() as c:
        c.send(idle("w", hold=False))
        for seq in range(1, 20):
            assert [e["seq"] for e in c.poll()] == [seq]
            assert c.call("get", watcher="w")["held"] == seq
            assert c.poll() == []
            assert c.call("ack", seq=seq) == {"freed": 1}


def test_costs_nothing_until_ack():
    with Daemon() as evd, evd.connect() as c:
        c.send(*map(idle, range(100)))
        assert len(c.poll()) == 100
        evd.settle()
        before = evd.wakeups(), evd.cpu()
        time.sleep(0.5)
        assert (evd.wakeups(), evd.cpu()) == before


def test_a_poll_in_the_same_write_sees_it():
    with Daemon() as evd, evd.connect() as c:
        for n in range(50):
            c.send(idle(n), command("poll"))
            until(c, n)
            assert c.reply()["result"] == {"seq": n + 1}


def test_comes_after_all_that_is_pending():
    with Daemon() as evd, evd.connect() as c:
        every = range(100)
        c.send(*[command("watch", type="async", watcher=n, reply=False) for n in every])
        c.send(idle("i", priority=2), *map(feed, every))
        until(c, *every, "i")


def test_comes_after_timers_that_are_due():
    with Daemon() as evd, evd.connect() as c:
        for n in range(100):
            timer = command("watch", type="timer", watcher=n, at=0, release=True)
            c.send(idle("i", once=True, release=True), timer)
            c.reply()
            until(c, n, "i")


def test_comes_after_descriptors_that_are_ready():
    """Also where an ack frees both: evd looks before it calls the session idle."""
    with Daemon() as evd, evd.connect() as c:
        out, into = os.pipe()
        os.write(into, b"x")
        watch = command("watch", type="io", watcher="io", events="r", fds=1)
        c.send_fds([idle("i"), watch], [out])
        c.reply()
        for _ in range(200):
            until(c, "io", "i")
            assert c.call("ack") == {"freed": 2}
        until(c, "io", "i")
        os.close(out)
        os.close(into)


def test_waits_for_room_and_for_what_is_pending_then():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        outstanding = stall(c, other)
        c.send(idle("i"), command("watch", type="async", watcher="a", reply=False))
        barrier(other)
        c.send(feed("a"))
        barrier(other)
        evd.settle()
        before = evd.wakeups()
        time.sleep(0.2)
        assert evd.wakeups() == before
        c.replies(outstanding)
        until(c, "a", "i")


def test_held_events_are_not_waited_for():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "a", hold=True)
        c.send(feed("a"))
        until(c, "a")
        c.send(feed("a"), idle("i"))
        until(c, "i")
        c.call("ack", watcher="a")
        until(c, "a")


def test_highest_priority_alone():
    """Of those that are not held."""
    with Daemon() as evd, evd.connect() as c:
        c.call("hello", session="me")
        c.watch("prepare", "|")
        c.send(idle("b1"), idle("a", priority=-1), idle("c", priority=1), idle("b2"))
        until(c, "c", "|", "b1", "b2", "|", "a", "|")
        c.call("ack", seq=1)
        until(c, "c", "|")
        c.send(command("ack", watcher="a"), command("ack", watcher="b2"))
        c.replies(2)
        until(c, "b2", "|", "a", "|")


def test_lower_one_waits_while_a_higher_one_is_free():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        outstanding = stall(c, other)
        c.send(idle("high", priority=1), idle("low"))
        barrier(other)
        c.send(command("unwatch", watcher="high"))
        barrier(other)
        c.replies(outstanding + 1)
        until(c, "low")
        assert c.poll() == []


@pytest.mark.parametrize("verb", ["stop", "unwatch"])
def test_stopped_before_it_fires(verb):
    with Daemon() as evd, evd.connect() as c:
        c.send(idle("w"), command(verb, watcher="w"))
        assert c.reply()["result"] == {}
        assert c.poll() == []
        assert c.call("ack") == {"freed": 0}


def test_start_of_a_stopped_one():
    with Daemon() as evd, evd.connect() as c:
        c.send(idle("w", start=False))
        assert c.poll() == []
        for seq in range(1, 5):
            c.call("start", watcher="w")
            assert c.event()["seq"] == seq
            assert c.call("stop", watcher="w") == {}
            assert "held" not in c.call("get", watcher="w")


def test_once_release_end():
    with Daemon() as evd, evd.connect() as c:
        c.send(idle("once", once=True), idle("release", once=True, release=True))
        assert [c.event().get("active") for _ in range(2)] == [False, False]
        assert c.call("get", watcher="once")["active"] is False
        assert c.fails("get", watcher="release").code == "no-such-watcher"
        c.send(idle("end", end=True))
        until(c, "end")
        assert c.event() == {"event": "bye", "reason": "end"}
        c.eof()


def test_fed_one_is_an_event_as_any():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "a")
        c.send(idle("w", priority=1), feed("a"), feed("w"), feed("w"))
        event = c.event()
        assert (event["watcher"], event["revents"], event["overrun"]) == ("w", 1, 1)
        until(c, "a")
        assert c.poll() == []
        c.send(feed("w"), command("ack"))
        assert c.reply()["result"] == {"freed": 1}
        assert c.event()["revents"] == 1
        c.send(command("ack"))
        assert c.reply()["result"] == {"freed": 1}
        assert c.event()["revents"] == IDLE


def test_cleared_feed_waits_again():
    with Daemon() as evd, evd.connect() as c:
        c.send(idle("w"), feed("w"), command("clear", watcher="w"))
        assert c.reply()["result"] == {"cleared": {"revents": 1, "overrun": 0}}
        assert c.event()["revents"] == IDLE


def test_priority_data_of_a_stopped_one():
    with Daemon() as evd, evd.connect() as c:
        c.send(idle("w", start=False), idle("v", start=False))
        c.call("set", watcher="w", priority=-1, data=[1])
        c.calls([command("start", watcher="w"), command("start", watcher="v")])
        until(c, "v")
        assert c.event()["data"] == [1]


def test_100000_are_one_batch_and_delay_nobody():
    number = scaled(100000, 3000)
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.send(command("watch", type="prepare", watcher="|", reply=False))
        c.send(*[idle(n, start=False) for n in range(number)])
        c.call("now")
        # All are waiting when the first can fire: nothing is written before.
        outstanding = stall(c, other)
        for first in range(0, number, 256):
            last = min(first + 256, number)
            some = range(first, last)
            c.send(*[command("start", watcher=n, reply=False) for n in some])
            barrier(other)
        c.send(command("verify"))
        for _ in range(5):
            other.call("now")
        assert c.replies(outstanding + 1)[-1] == {"result": {}}
        assert names(c.poll()) == [*range(number), "|"]
        assert c.call("loop")["iteration"] == 1
        assert c.call("ack") == {"freed": number}
        assert names(c.poll()) == [*range(number), "|"]
        assert c.call("verify") == {}


# Half-close


def test_half_close_while_it_waits():
    """It fires once, and is stopped then."""
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        outstanding = stall(c, other)
        c.send(idle("i"), command("watch", type="async", watcher="a", reply=False))
        c.send(feed("a"))
        c.send(command("stop", watcher="a"), feed("a"))
        c.shutdown()
        barrier(other)
        assert "cleared" in c.replies(outstanding + 1)[-1]["result"]
        until(c, "a")
        event = c.event()
        assert (event["watcher"], event["active"]) == ("i", False)
        c.eof()


def test_half_close_while_it_is_held():
    with Daemon() as evd, evd.connect() as c:
        c.send(idle("i"))
        until(c, "i")
        c.shutdown()
        c.eof()


def test_half_close_with_a_fed_event_behind_the_hold():
    with Daemon() as evd, evd.connect() as c:
        c.send(idle("i"))
        until(c, "i")
        c.send(feed("i"))
        c.shutdown()
        event = c.event()
        assert (event["revents"], event["active"]) == (1, False)
        c.eof()


def test_half_close_with_a_repeating_timer():
    """The session is idle again and again, but nothing could acknowledge."""
    with Daemon() as evd, evd.connect() as c:
        c.send(idle("i"))
        until(c, "i")
        c.call("ack")
        until(c, "i")
        c.watch("timer", "t", after=0, repeat=0.001)
        c.shutdown()
        assert [c.event()["event"] for _ in range(20)] == ["timer"] * 20


def test_gone_while_it_waits():
    with Daemon() as evd, evd.connect() as other:
        for _ in range(5):
            with evd.connect() as c:
                stall(c, other)
                c.send(*map(idle, range(100)))
                barrier(other)
        assert other.poll() == []
        evd.settle()
