"""Periodics: times of the wall clock."""

import math
import re
import time

import pytest

from evdtest import PERIODIC, Daemon, command, count, wait_until

FAR = 1000


def get(client, name):
    return client.call("get", watcher=name)


def on_grid(at, offset, interval):
    ticks = (at - offset) / interval
    return abs(ticks - round(ticks)) * interval < 2e-6


def test_absolute_time_fires_once():
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", offset=time.time())
        line = c.line().decode()
        assert re.fullmatch(
            r'\{"event":"periodic","watcher":"w","revents":512,"seq":1,'
            r'"time":\d{10,}\.\d{6},"active":false\}',
            line,
        ), line
        assert get(c, "w")["active"] is False


def test_absolute_time_in_the_past_fires_at_once():
    with Daemon() as evd, evd.connect() as c:
        for offset in (0, -1e10, 1.5):
            c.watch("periodic", "w", offset=offset, release=True)
            assert c.event()["active"] is False
        c.watch("periodic", "w")
        assert c.event()["watcher"] == "w"


def test_absolute_time_is_never_early():
    with Daemon() as evd, evd.connect() as c:
        for ahead in (0.001, 0.02, 0.1):
            offset = c.call("update")["now"] + ahead
            c.watch("periodic", "w", offset=offset, release=True)
            assert c.event()["time"] >= offset - 1e-6


def test_absolute_time_ahead():
    with Daemon() as evd, evd.connect() as c:
        offset = math.floor(time.time()) + FAR + 0.25
        c.watch("periodic", "w", offset=offset)
        got = get(c, "w")
        assert (got["active"], got["at"]) == (True, offset)
        assert c.poll() == []


def test_interval_is_on_its_grid():
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", offset=0.005, interval=0.02)
        at = c.event()["at"]
        for _ in range(10):
            event = c.event()
            assert event["revents"] == PERIODIC
            assert "active" not in event
            assert event["time"] >= at - 1e-6
            assert event["at"] > event["time"] - 1e-6
            assert on_grid(event["at"], 0.005, 0.02)
            at = event["at"]


def test_next_time_of_an_interval():
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", offset=7, interval=3600)
        c.send(command("get", watcher="w"), command("now"))
        got, now = (reply["result"] for reply in c.replies(2))
        assert on_grid(got["at"], 7, 3600)
        assert now["now"] <= got["at"] <= now["now"] + 3600


@pytest.mark.parametrize("interval", [0.001, 0.0137])
def test_every_tick_of_a_held_one_is_counted(interval):
    with Daemon() as evd, evd.connect() as c:
        c.send(
            command("now"),
            command("watch", type="periodic", watcher=1, interval=interval, hold=True),
        )
        begin = c.replies(2)[0]["result"]["now"]
        events = [c.event()]
        c.watch("timer", "later", after=0.3)
        c.event()
        c.send(command("stop", watcher=1), command("now"))
        stopped, now = (reply["result"] for reply in c.replies(2))
        seen = count(events + [stopped["cleared"]])

        def ticks(edge):
            # The wall clock may be slewed between two readings of it.
            first = math.floor(begin / interval - edge)
            return math.floor(now["now"] / interval + edge) - first

        assert ticks(-0.1) <= seen <= ticks(0.1)


def test_get_says_all():
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", 1, offset=5, interval=3600, jumps=True, data=0)
        got = get(c, 1)
        assert on_grid(got.pop("at"), 5, 3600)
        assert list(got.items()) == [
            ("type", "periodic"),
            ("watcher", 1),
            ("active", True),
            ("priority", 0),
            ("offset", 5),
            ("interval", 3600),
            ("jumps", True),
            ("data", 0),
        ]
        c.call("stop", watcher=1)
        assert "at" not in get(c, 1)


def test_get_by_default():
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", start=False)
        got = get(c, "w")
        assert (got["offset"], got["interval"]) == (0, 0) and "jumps" not in got
        assert got["active"] is False and "at" not in got


def test_set_of_an_active_one_counts_from_reset():
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", interval=3600)
        before = get(c, "w")["at"]
        assert c.call("set", watcher="w", offset=11, interval=1800) == {}
        got = get(c, "w")
        assert (got["at"], got["offset"], got["interval"]) == (before, 11, 1800)
        assert c.call("reset", watcher="w") == {}
        assert on_grid(get(c, "w")["at"], 11, 1800)
        assert not on_grid(get(c, "w")["at"], 0, 1800)


def test_set_of_an_active_one_counts_from_the_next_firing():
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", interval=0.05)
        c.event()
        c.call("set", watcher="w", offset=0.25, interval=7200)
        events = [*c.events]
        while not (events and on_grid(events[-1]["at"], 0.25, 7200)):
            events.append(c.event())
        c.events.clear()
        assert on_grid(get(c, "w")["at"], 0.25, 7200)
        assert c.poll() == []


def test_interval_taken_away_from_an_active_one():
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", interval=0.02)
        assert c.call("set", watcher="w", interval=0) == {}
        c.event()
        events = [*c.events]
        while get(c, "w")["active"]:
            events += c.poll()
        assert all("at" in event for event in events[:-1])
        c.watch("timer", "later", after=0.05)
        c.events.clear()
        assert c.event()["watcher"] == "later"


def test_interval_taken_away_while_an_event_is_pending():
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", interval=0.01, hold=True)
        c.event()
        wait_until(lambda: "pending" in get(c, "w"), "its event is pending")
        # In one turn: what comes next comes behind both.
        once = [command("set", watcher="w", interval=0), command("get", watcher="w")]
        before = c.calls(once)[1]["result"]["pending"]
        c.watch("timer", "later", after=0.05)
        c.event()
        after = get(c, "w")
        # The time that was next still comes, and is the last.
        assert after["pending"]["overrun"] - before["overrun"] == 1
        assert after["active"] is False


def test_set_jumps_needs_an_inactive_one():
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", interval=3600)
        assert c.fails("set", watcher="w", jumps=True).code == "watcher-active"
        c.call("stop", watcher="w")
        assert c.call("set", watcher="w", jumps=True) == {}
        assert get(c, "w")["jumps"] is True


def test_reset_starts_an_inactive_one():
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", interval=3600, start=False)
        assert c.call("reset", watcher="w") == {}
        got = get(c, "w")
        assert got["active"] and on_grid(got["at"], 0, 3600)


def test_reset_takes_a_pending_event_back():
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", interval=3600)
        c.send(
            command("feed", watcher="w", revents=PERIODIC),
            command("reset", watcher="w"),
        )
        cleared = {"revents": PERIODIC, "overrun": 0}
        assert c.replies(2)[1]["result"] == {"cleared": cleared}
        assert c.poll() == []


def test_stop_and_start():
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", interval=0.01)
        c.event()
        c.call("stop", watcher="w")
        c.events.clear()
        c.watch("timer", "later", after=0.05)
        assert c.event()["watcher"] == "later"
        assert c.poll() == []
        c.call("start", watcher="w")
        assert c.event()["watcher"] == "w"


def test_once():
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", interval=0.001, once=True)
        event = c.event()
        assert event["active"] is False and "at" not in event
        c.watch("timer", "later", after=0.02)
        assert c.event()["watcher"] == "later"


def test_release_and_end():
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", interval=0.001, once=True, release=True)
        c.event()
        assert c.fails("get", watcher="w").code == "no-such-watcher"
        c.watch("periodic", "w", end=True)
        assert c.event()["watcher"] == "w"
        assert c.event() == {"event": "bye", "reason": "end"}
        c.eof()


@pytest.mark.parametrize(
    "members, named",
    [
        ({"interval": -1}, "interval"),
        ({"interval": 1e-7}, "interval"),
        ({"interval": 1.1e10}, "interval"),
        ({"interval": "1"}, "interval"),
        ({"offset": 1.1e10}, "offset"),
        ({"offset": -1.1e10}, "offset"),
        ({"offset": None}, "offset"),
        ({"jumps": 1}, "jumps"),
        ({"at": 1}, "at"),
        ({"repeat": 1}, "repeat"),
    ],
)
def test_invalid_member(members, named):
    with Daemon() as evd, evd.connect() as c:
        error = c.fails("watch", type="periodic", watcher="w", **members)
        assert error.code == "invalid-argument"
        assert '"%s"' % named in error.message


@pytest.mark.parametrize(
    "members",
    [
        {"interval": 1e-6},
        {"interval": 1e10},
        {"interval": 3600, "offset": 1e10},
        {"interval": 3600, "offset": -1e10},
        {"interval": 0.1, "offset": 0.3},
        {"offset": 1e10},
    ],
)
def test_extremes(members):
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", **members)
        c.send(command("stop", watcher="w"), command("now", id="last"))
        assert c.replies(2)[1]["id"] == "last"
