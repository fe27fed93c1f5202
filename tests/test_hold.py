"""Held watchers and ack."""

import time

import pytest

from evdtest import Daemon, command, count, due, scaled

FAR = 1000


def watch(name, **members):
    return command("watch", type="async", watcher=name, hold=True, **members)


def feed(name, revents=1):
    return command("feed", watcher=name, revents=revents, reply=False)


def ack(**members):
    return command("ack", **members)


def held(client, *names):
    """Register and feed asyncs: each is held then, with seq 1, 2 and so on."""
    client.calls([watch(name) for name in names])
    client.send(*map(feed, names))
    assert [event["watcher"] for event in client.poll()] == list(names)


def is_held(client, name):
    """Assert what `get` says by what a firing does; gives the held seq or None."""
    seq = client.call("get", watcher=name).get("held")
    client.send(feed(name))
    fired = bool(client.poll())
    assert fired == (seq is None)
    return seq


def test_held_until_ack():
    with Daemon() as evd, evd.connect() as c:
        held(c, "w")
        c.send(feed("w"), feed("w", 4), feed("w"))
        assert c.poll() == []
        got = c.call("get", watcher="w")
        assert got["hold"] is True and got["held"] == 1
        assert got["pending"] == {"revents": 5, "overrun": 2}
        assert c.call("ack", seq=1) == {"freed": 1}
        event = c.event()
        assert (event["seq"], event["revents"], event["overrun"]) == (2, 5, 2)
        assert c.poll() == []


def test_free_again_without_an_event():
    with Daemon() as evd, evd.connect() as c:
        held(c, "w")
        c.call("ack")
        assert c.poll() == []
        assert "held" not in c.call("get", watcher="w")
        c.send(feed("w"))
        assert len(c.poll()) == 1


def test_not_held_by_default():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "w")
        c.send(feed("w"))
        c.poll()
        assert is_held(c, "w") is None
        assert c.call("ack") == {"freed": 0}


def test_hello_holds_all_that_come_later():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "before")
        c.call("hello", hold=True)
        c.watch("async", "after")
        c.watch("async", "not", hold=False)
        for name, hold in (("before", False), ("after", True), ("not", False)):
            assert c.call("get", watcher=name).get("hold", False) is hold
        c.call("hello", hold=False)
        c.watch("async", "last")
        assert "hold" not in c.call("get", watcher="last")


@pytest.mark.parametrize("seq, freed", [(0, 0), (1, 1), (2, 2), (3, 3)])
def test_ack_is_cumulative(seq, freed):
    with Daemon() as evd, evd.connect() as c:
        held(c, "a", "b", "c")
        assert c.call("ack", seq=seq) == {"freed": freed}
        still = [is_held(c, name) for name in "abc"]
        assert still == [None] * freed + [1, 2, 3][freed:]


def test_bare_ack_frees_all():
    with Daemon() as evd, evd.connect() as c:
        held(c, "a", "b", "c")
        assert c.call("ack") == {"freed": 3}
        assert [is_held(c, name) for name in "abc"] == [None] * 3


def test_ack_of_one():
    with Daemon() as evd, evd.connect() as c:
        held(c, "a", "b", "c")
        assert c.call("ack", watcher="b") == {"freed": 1}
        assert c.call("ack", watcher="b") == {"freed": 0}
        assert [is_held(c, name) for name in "abc"] == [1, None, 3]


def test_ack_again_frees_nothing():
    with Daemon() as evd, evd.connect() as c:
        held(c, "a", "b", "c")
        freed = [c.call("ack", seq=seq)["freed"] for seq in (2, 2, 1, 0, 3, 3)]
        assert freed == [2, 0, 0, 0, 1, 0]
        assert c.call("ack") == {"freed": 0}


def test_ack_of_an_old_seq_leaves_a_newer_hold():
    with Daemon() as evd, evd.connect() as c:
        held(c, "a", "b")
        c.call("ack", watcher="a")
        c.send(feed("a"))
        assert c.poll()[0]["seq"] == 3
        assert c.call("ack", seq=2) == {"freed": 1}
        assert is_held(c, "a") == 3


@pytest.mark.parametrize(
    "members",
    [
        {"seq": 4},
        {"seq": 2**53 - 1},
        {"seq": -1},
        {"seq": 2**53},
        {"seq": 1.5},
        {"seq": "1"},
        {"seq": None},
        {"seq": 1, "watcher": "a"},
        {"watcher": 1.5},
        {"session": "a"},
    ],
)
def test_wrong_ack_frees_nothing(members):
    with Daemon() as evd, evd.connect() as c:
        held(c, "a", "b", "c")
        assert c.fails("ack", **members).code == "invalid-argument"
        assert c.call("ack") == {"freed": 3}


def test_ack_of_an_unknown_watcher():
    with Daemon() as evd, evd.connect() as c:
        held(c, "a")
        assert c.fails("ack", watcher="b").code == "no-such-watcher"
        assert is_held(c, "a") == 1


def test_ack_before_anything_was_written():
    with Daemon() as evd, evd.connect() as c:
        assert c.call("ack") == {"freed": 0}
        assert c.call("ack", seq=0) == {"freed": 0}
        assert c.fails("ack", seq=1).code == "invalid-argument"


@pytest.mark.parametrize("members", [{}, {"watcher": "w"}])
def test_ack_before_the_event_is_written_frees_nothing(members):
    with Daemon() as evd, evd.connect() as c:
        c.send(watch("w"), feed("w"), ack(**members))
        assert c.replies(2)[1]["result"] == {"freed": 0}
        c.event()
        assert is_held(c, "w") == 1


def test_seq_is_from_the_future_until_it_is_written():
    with Daemon() as evd, evd.connect() as c:
        c.send(watch("w"), feed("w"), ack(seq=1), command("poll"), ack(seq=1))
        replies = c.replies(4)
        assert replies[1]["error"]["code"] == "invalid-argument"
        assert replies[3]["result"] == {"freed": 1}


def test_sessions_hold_apart():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        held(c, "w")
        held(other, "w")
        assert c.call("ack") == {"freed": 1}
        assert is_held(other, "w") == 1


def test_freed_event_takes_its_place_at_the_ack():
    with Daemon() as evd, evd.connect() as c:
        held(c, "a", "b")
        c.watch("async", "free")
        c.send(feed("b"), feed("a"))
        assert c.poll() == []
        c.send(ack(watcher="a"), feed("free"), ack(watcher="b"))
        assert [reply["result"] for reply in c.replies(2)] == [{"freed": 1}] * 2
        assert [event["watcher"] for event in c.poll()] == ["a", "free", "b"]


def test_freed_events_keep_priorities():
    with Daemon() as evd, evd.connect() as c:
        c.calls([watch(n, priority=-n) for n in range(3)])
        for _ in range(3):
            c.send(*map(feed, (2, 0, 1)))
            c.call("ack")
            assert [event["watcher"] for event in c.poll()] == [0, 1, 2]


# What ends a hold


def run(client, commands):
    """Commands in one go, some without a reply."""
    client.send(*commands, command("now", id="last"))
    while client.reply().get("id") != "last":
        pass


@pytest.mark.parametrize(
    "commands",
    [
        [command("stop", watcher="w")],
        [command("stop", watcher="w"), command("start", watcher="w")],
        [feed("w"), command("clear", watcher="w")],
        [feed("w"), command("stop", watcher="w")],
    ],
)
def test_hold_is_ended(commands):
    with Daemon() as evd, evd.connect() as c:
        held(c, "w")
        run(c, commands)
        assert c.poll() == []
        assert is_held(c, "w") is None
        assert c.call("ack", seq=1) == {"freed": 0}
        assert c.call("ack") == {"freed": 1}


@pytest.mark.parametrize(
    "commands",
    [
        [command("clear", watcher="w")],
        [command("set", watcher="w", data=1)],
        [feed("w"), command("set", watcher="w", data=1)],
        [command("start", watcher="w")],
        [feed("w"), command("start", watcher="w")],
        [command("get", watcher="w")],
    ],
)
def test_hold_goes_on(commands):
    with Daemon() as evd, evd.connect() as c:
        held(c, "w")
        run(c, commands)
        assert is_held(c, "w") == 1
        assert c.call("ack", seq=1) == {"freed": 1}


def test_unwatch_ends_the_hold():
    with Daemon() as evd, evd.connect() as c:
        held(c, "a", "b")
        c.call("unwatch", watcher="a")
        assert c.call("ack", seq=2) == {"freed": 1}
        held(c, "a")
        assert is_held(c, "a") == 3


def held_timer(client, **members):
    client.watch("timer", "w", hold=True, **members)
    client.event()


def test_set_of_what_is_watched_ends_the_hold():
    with Daemon() as evd, evd.connect() as c:
        held_timer(c, after=0)
        assert c.call("set", watcher="w", after=FAR) == {}
        assert c.call("ack") == {"freed": 0}
        assert is_held(c, "w") is None


def test_set_of_a_period_does_not_end_the_hold():
    with Daemon() as evd, evd.connect() as c:
        held_timer(c, after=0, repeat=FAR)
        c.call("set", watcher="w", repeat=2 * FAR)
        assert is_held(c, "w") == 1


def test_set_of_a_priority_does_not_end_the_hold():
    with Daemon() as evd, evd.connect() as c:
        held_timer(c, after=0)
        c.call("set", watcher="w", priority=1)
        assert is_held(c, "w") == 1


def test_reset_ends_the_hold_if_it_took_the_event_back():
    with Daemon() as evd, evd.connect() as c:
        held_timer(c, after=0, repeat=FAR)
        c.call("reset", watcher="w")
        assert is_held(c, "w") == 1
        cleared = c.call("reset", watcher="w")["cleared"]
        assert cleared == {"revents": 1, "overrun": 0}
        assert is_held(c, "w") is None


def test_release_of_a_held_one():
    with Daemon() as evd, evd.connect() as c:
        held_timer(c, after=0, release=True)
        assert c.fails("get", watcher="w").code == "no-such-watcher"
        assert c.call("ack", seq=1) == {"freed": 0}


# Timers


def test_held_timer_fires_once_an_ack():
    with Daemon() as evd, evd.connect() as c:
        start = time.monotonic()
        c.watch("timer", "w", at=start, repeat=0.001, hold=True)
        fired = []
        for _ in range(20):
            fired.append(c.event())
            assert c.poll() == []
            assert c.call("ack", watcher="w") == {"freed": 1}
        c.send(command("stop", watcher="w"), command("now"))
        stopped, now = (reply["result"] for reply in c.replies(2))
        taken_back = [stopped["cleared"]] if stopped else []
        seen = count([*fired, *c.events, *taken_back])
        assert seen in due(now["monotonic"] - start, 0.001)


def test_held_timer_costs_nothing():
    with Daemon() as evd, evd.connect() as c:
        held_timer(c, after=0, repeat=0.001)
        evd.settle()
        before = evd.wakeups()
        time.sleep(0.5)
        assert evd.wakeups() == before
        assert c.call("ack") == {"freed": 1}
        assert c.event()["overrun"] > 400


def test_end_of_input_ends_every_hold():
    with Daemon() as evd, evd.connect() as c:
        held(c, "a", "b")
        c.send(feed("b"), feed("b"))
        assert c.poll() == []
        c.send(
            command("watch", type="timer", watcher="end", after=1, end=True, reply=False)
        )
        c.shutdown()
        event = c.event()
        assert (event["watcher"], event["overrun"]) == ("b", 1)
        assert c.event()["watcher"] == "end"
        assert c.event()["reason"] == "end"
        c.eof()


def test_end_of_input_lets_a_held_timer_go_on():
    with Daemon() as evd, evd.connect() as c:
        held_timer(c, after=0, repeat=0.002)
        c.shutdown()
        times = [c.event()["time"] for _ in range(5)]
        assert times == sorted(times)


def test_one_ack_frees_100000_while_others_are_served():
    number = scaled(100000, 5000)
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.call("hello", hold=True)
        every = range(number)
        quiet = {"reply": False}
        c.send(*[command("watch", type="async", watcher=n, **quiet) for n in every])
        c.send(*map(feed, every))
        assert len(c.poll()) == number
        c.send(*map(feed, every))
        assert c.poll() == []
        c.send(ack(seq=number))
        for _ in range(20):
            other.call("now")
        assert c.reply()["result"] == {"freed": number}
        events = c.poll()
        assert [event["watcher"] for event in events] == list(every)
        assert [event["seq"] for event in events] == [n + number + 1 for n in every]
