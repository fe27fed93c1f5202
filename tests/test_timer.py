"""Timers, and the life of a watcher shown on them."""

import random
import re
import time

import pytest

from evdtest import (
    TIMER,
    Daemon,
    barrier,
    command,
    count,
    due,
    scaled,
    stall,
    wait_until,
)

FAR = 1000


def timer(name, **members):
    return command("watch", type="timer", watcher=name, **members)


def get(client, name):
    return client.call("get", watcher=name)


def next_in_order(client, repeats=1):
    """Let time pass until another timer has fired: gives the events meanwhile."""
    client.watch("timer", "barrier", after=0.01, repeat=0.01)
    seen = []
    while repeats:
        event = client.event()
        repeats -= event["watcher"] == "barrier"
        seen.append(event)
    client.call("unwatch", watcher="barrier")
    seen += client.poll()
    return [event for event in seen if event["watcher"] != "barrier"]


def test_one_shot_fires_once():
    with Daemon() as evd, evd.connect() as c:
        assert c.watch("timer", "w", after=0) == {}
        line = c.line().decode()
        assert re.fullmatch(
            r'\{"event":"timer","watcher":"w","revents":256,"seq":1,'
            r'"time":\d{10,}\.\d{6},"active":false\}',
            line,
        ), line
        assert next_in_order(c, 3) == []


def test_event_of_an_active_timer_is_exact():
    with Daemon() as evd, evd.connect() as c:
        c.send(timer(5, after=0, repeat=FAR, data={"a": [1.50]}))
        c.reply()
        line = c.line().decode()
        assert re.fullmatch(
            r'\{"event":"timer","watcher":5,"revents":256,"seq":1,'
            r'"time":\d{10,}\.\d{6},"data":\{"a":\[1\.5\]\}\}',
            line,
        ), line


def test_data_comes_back_byte_for_byte():
    with Daemon() as evd, evd.connect() as c:
        for data in (b"null", b'{ "a":1.50,\t"b":["\\u00e9"] }', b'"\xc3\xa9"', b"-0"):
            c.raw(
                b'{"cmd":"watch","type":"timer","watcher":1,"after":0,"release":true'
                b',"data": %s }\n' % data
            )
            c.reply()
            assert c.line().endswith(b',"active":false,"data":%s}' % data)


def test_time_is_the_loop_time_of_firing():
    with Daemon() as evd, evd.connect() as c:
        before = c.call("update")["now"]
        c.watch("timer", "w", after=0.01)
        fired = c.event()["time"]
        after = c.call("update")["now"]
        assert before <= fired <= after
        assert abs(fired - time.time()) < 3600


def test_update_reads_the_clocks():
    with Daemon() as evd, evd.connect() as c:
        for _ in range(100):
            before = time.monotonic()
            read = c.call("update")
            assert before - 1e-6 < read["monotonic"] < time.monotonic() + 1e-6
            assert abs(read["now"] - time.time()) < 3600
            assert c.call("now")["monotonic"] >= read["monotonic"]


def test_now_is_one_time_for_one_write():
    with Daemon() as evd, evd.connect() as c:
        first, last = c.calls([command("now"), command("now")])
        assert first == last
        assert len(c.calls([command("now"), command("update")])) == 2


@pytest.mark.parametrize("after", [0, 0.0004, 0.001, 0.0137, 0.1])
def test_never_early(after):
    with Daemon() as evd, evd.connect() as c:
        for _ in range(5):
            c.send(command("now"), timer("w", after=after, release=True))
            start = c.replies(2)[0]["result"]["monotonic"]
            c.event()
            assert time.monotonic() >= start + after


def test_absolute_time_is_never_early():
    with Daemon() as evd, evd.connect() as c:
        for ahead in (0.001, 0.01, 0.05):
            at = time.monotonic() + ahead
            c.watch("timer", "w", at=at, release=True)
            c.event()
            assert time.monotonic() >= at


def test_absolute_time_in_the_past_fires_at_once():
    with Daemon() as evd, evd.connect() as c:
        for at in (0, -5.5, -1e10, time.monotonic() - 1):
            c.watch("timer", "w", at=at, release=True)
            event = c.event()
            assert event["active"] is False
            assert "overrun" not in event


def test_missed_ticks_of_a_start_in_the_past_are_counted():
    with Daemon() as evd, evd.connect() as c:
        now = c.call("update")["monotonic"]
        c.watch("timer", "w", at=now - 100, repeat=FAR)
        assert "overrun" not in c.event()
        c.watch("timer", "v", at=now - 5000 * FAR - 1, repeat=FAR)
        assert c.event()["overrun"] == 5000
        assert 0 < get(c, "v")["remaining"] <= FAR - 1


@pytest.mark.parametrize("step", [0.00001, 0.0001, 0.002])
def test_in_order_of_time(step):
    order = random.Random(1).sample(range(200), 200)
    with Daemon() as evd, evd.connect() as c:
        # Far enough ahead that all are registered before the first one fires.
        ahead, ready = 0.05, False
        while not ready:
            start = time.monotonic() + ahead
            timers = [timer(n, at=start + n * step, release=True) for n in order]
            c.calls(timers)
            ready = c.call("update")["monotonic"] < start
            fired = [c.event()["watcher"] for _ in order]
            ahead *= 2
        assert fired == list(range(200))


def test_all_that_is_due_fires_in_order_of_time():
    with Daemon() as evd, evd.connect() as c:
        start = time.monotonic() - 10
        # As many as one iteration takes of a connection.
        order = random.Random(2).sample(range(60), 60)
        c.send(*[timer(n, at=start + n / 100) for n in order], command("poll"))
        c.replies(61)
        assert [event["watcher"] for event in c.events] == list(range(60))


def test_timers_due_at_the_same_instant_fire_in_order_of_their_start():
    with Daemon() as evd, evd.connect() as c:
        at = time.monotonic() - 1
        order = random.Random(4).sample(range(3000), 3000)
        c.send(*[timer(n, at=at, reply=False) for n in order], command("poll"))
        c.replies(1)
        assert [event["watcher"] for event in c.events] == order


def test_poll_takes_every_timer_that_is_due():
    """By the clock that everybody has: not a microsecond of it is waited for."""
    with Daemon() as evd, evd.connect() as c:
        for _ in range(scaled(500, 50)):
            at = time.monotonic() + 0.0003
            c.watch("timer", "t", at=at, release=True)
            while time.monotonic() < at:
                pass
            assert [event["watcher"] for event in c.poll()] == ["t"]


def test_thousands_of_timers():
    number = scaled(10000, 1000)
    rng = random.Random(3)
    with Daemon() as evd, evd.connect() as c:
        c.calls([timer(n, after=rng.random() / 2) for n in range(number)])
        events = [c.event() for _ in range(number)]
        assert sorted(event["watcher"] for event in events) == list(range(number))
        assert [event["seq"] for event in events] == list(range(1, number + 1))
        assert not any("overrun" in event for event in events)


def test_repeating_timer_goes_on():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=0, repeat=0.002)
        events = [c.event() for _ in range(20)]
        assert all("active" not in event for event in events)
        assert [event["time"] for event in events] == sorted(e["time"] for e in events)


def ticks_due(client, name, start, period):
    """Stop name: gives what came of it until then, and what the law says."""
    client.send(command("stop", watcher=name), command("now"))
    stopped, now = (reply["result"] for reply in client.replies(2))
    events = list(client.events)
    client.events.clear()
    taken_back = [stopped["cleared"]] if "cleared" in stopped else []
    assert all(event["watcher"] == name for event in events)
    return count(events + taken_back), due(now["monotonic"] - start, period)


@pytest.mark.parametrize("period", [0.001, 0.0005, 0.00001, 1e-9, 0.0173])
@pytest.mark.parametrize("ahead", [0.005, -0.3])
def test_every_tick_is_counted(period, ahead):
    with Daemon() as evd, evd.connect() as c:
        start = time.monotonic() + ahead
        c.watch("timer", "w", at=start, repeat=period)
        events = [c.event() for _ in range(20)]
        c.events.extend(events)
        seen, expected = ticks_due(c, "w", start, period)
        # 1e-9 is finer than the nine decimals of a reply.
        assert seen in expected or period == 1e-9


@pytest.mark.parametrize("hold", [True, False])
def test_every_tick_of_a_timer_never_read_is_counted(hold):
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        outstanding = 0 if hold else stall(c, other)
        start = time.monotonic()
        c.send(timer("w", at=start, repeat=0.001, hold=hold))
        other.watch("timer", "later", after=0.3)
        other.event()
        c.send(command("now"))
        c.replies(outstanding + 2)
        seen, expected = ticks_due(c, "w", start, 0.001)
        assert seen in expected
        assert seen > 250


def test_ticks_are_counted_over_stalls_and_reads():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        start = time.monotonic()
        c.watch("timer", "w", at=start, repeat=0.001)
        for _ in range(scaled(4, 2)):
            c.replies(stall(c, other))
            c.events.append(c.event())
        seen, expected = ticks_due(c, "w", start, 0.001)
        assert seen in expected


def test_ticks_keep_to_their_grid():
    with Daemon() as evd, evd.connect() as c:
        start = time.monotonic()
        c.watch("timer", "w", at=start, repeat=0.01)
        for _ in range(20):
            c.event()
            c.send(command("get", watcher="w"), command("now"))
            remaining, now = (reply["result"] for reply in c.replies(2))
            ticks = (now["monotonic"] + remaining["remaining"] - start) / 0.01
            assert abs(ticks - round(ticks)) < 0.001


def pending(client, name):
    wait_until(lambda: "pending" in get(client, name), "its event is pending")


def total_after(client, name, start, *commands):
    """Hold name, run commands while an event is pending, let time pass, stop it.

    Gives the firings in all, and the loop time of the commands since start.
    """
    fired = [client.event()]
    pending(client, name)
    client.send(*commands, command("now"))
    now = client.replies(len(commands) + 1)[-1]["result"]["monotonic"]
    client.watch("timer", "later", after=0.1, release=True)
    assert client.event()["watcher"] == "later"
    return count([*fired, get(client, name)["pending"]]), now - start


def test_repeat_taken_away_while_an_event_is_pending():
    with Daemon() as evd, evd.connect() as c:
        start = time.monotonic()
        c.watch("timer", "w", at=start, repeat=0.02, hold=True)
        stop = command("set", watcher="w", repeat=0)
        seen, elapsed = total_after(c, "w", start, stop)
        # What was due by then, and the tick that was armed.
        assert seen - 1 in due(elapsed, 0.02)
        assert get(c, "w")["active"] is False
        c.call("ack")
        assert c.event()["active"] is False
        assert c.poll() == []


def test_repeat_changed_while_an_event_is_pending():
    with Daemon() as evd, evd.connect() as c:
        start = time.monotonic()
        c.watch("timer", "w", at=start, repeat=0.02, hold=True)
        change = command("set", watcher="w", repeat=FAR)
        seen, elapsed = total_after(c, "w", start, change)
        assert seen - 1 in due(elapsed, 0.02)
        assert FAR - 60 < get(c, "w")["remaining"] <= FAR


# The life of a watcher


def test_get_says_all():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR, repeat=2.5, priority=-2, data=[None])
        got = get(c, "w")
        remaining = got.pop("remaining")
        assert FAR - 60 < remaining <= FAR
        assert list(got.items()) == [
            ("type", "timer"),
            ("watcher", "w"),
            ("active", True),
            ("priority", -2),
            ("repeat", 2.5),
            ("data", [None]),
        ]


def test_get_says_how_it_was_registered():
    flags = {"hold": True, "once": True, "release": True, "end": True}
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR, start=False, **flags)
        got = get(c, "w")
        assert got["active"] is False
        assert got["repeat"] == 0
        assert {name: got.get(name) for name in flags} == flags
        c.watch("timer", "v", after=FAR, **dict.fromkeys(flags, False))
        assert not set(flags) & set(get(c, "v"))


def test_get_of_a_pending_one():
    with Daemon() as evd, evd.connect() as c:
        feed = command("feed", watcher="w", revents=5)
        c.watch("timer", "w", after=FAR)
        c.send(feed, feed, command("get", watcher="w"))
        got = c.replies(3)[2]["result"]
        assert got["pending"] == {"revents": 5, "overrun": 1}
        c.event()
        assert "pending" not in get(c, "w")


def test_start_false_waits_for_start():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=0, start=False)
        assert next_in_order(c) == []
        assert c.call("start", watcher="w") == {}
        assert c.event()["watcher"] == "w"


def test_stopped_timer_is_silent():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=0.01, repeat=0.01)
        c.call("stop", watcher="w")
        c.events.clear()
        assert next_in_order(c, 5) == []
        assert get(c, "w")["active"] is False


def test_start_and_stop_are_idempotent():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR)
        assert c.call("start", watcher="w") == {}
        assert get(c, "w")["active"] is True
        for _ in range(2):
            assert c.call("stop", watcher="w") == {}
            assert get(c, "w")["active"] is False


def test_start_of_an_active_one_takes_nothing_back():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR)
        c.send(command("feed", watcher="w", revents=1), command("start", watcher="w"))
        assert [reply["result"] for reply in c.replies(2)] == [{}, {}]
        assert c.event()["revents"] == 1


@pytest.mark.parametrize(
    "verb, members",
    [
        ("stop", {}),
        ("start", {}),
        ("clear", {}),
        ("unwatch", {}),
        ("reset", {}),
        ("set", {"after": FAR}),
        ("set", {"at": 0}),
    ],
)
def test_pending_event_is_taken_back(verb, members):
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR, start=False)
        c.send(
            command("feed", watcher="w", revents=1),
            command("feed", watcher="w", revents=4),
            command(verb, watcher="w", **members),
        )
        result = c.replies(3)[2]["result"]
        assert result == {"cleared": {"revents": 5, "overrun": 1}}
        assert c.poll() == []


@pytest.mark.parametrize("verb", ["stop", "clear", "unwatch", "reset"])
def test_pending_event_of_an_active_one_is_taken_back(verb):
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR, repeat=FAR)
        c.send(
            command("feed", watcher="w", revents=-1), command(verb, watcher="w", id=1)
        )
        assert c.replies(2)[1] == {
            "id": 1,
            "result": {"cleared": {"revents": -1, "overrun": 0}},
        }
        assert c.poll() == []


@pytest.mark.parametrize("verb", ["stop", "clear", "unwatch", "reset"])
def test_nothing_pending_nothing_cleared(verb):
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR)
        assert c.call(verb, watcher="w") == {}


def test_clear_does_not_stop():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=0.001, repeat=0.001)
        for _ in range(20):
            c.call("clear", watcher="w")
        assert get(c, "w")["active"] is True
        c.event()


def test_stop_keeps_what_remains():
    with Daemon() as evd, evd.connect() as c:
        c.send(
            timer("w", after=FAR),
            command("stop", watcher="w"),
            command("get", watcher="w"),
            command("start", watcher="w"),
            command("get", watcher="w"),
        )
        _, _, stopped, _, started = (reply["result"] for reply in c.replies(5))
        assert FAR - 0.001 < stopped["remaining"] <= FAR
        assert abs(started["remaining"] - stopped["remaining"]) < 1e-6
        c.call("stop", watcher="w")
        remaining = get(c, "w")["remaining"]
        next_in_order(c)
        assert get(c, "w")["remaining"] == remaining
        assert remaining < started["remaining"]


def test_start_of_a_spent_one_fires_at_once():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=0)
        for seq in range(1, 5):
            event = c.event()
            assert (event["seq"], event["active"]) == (seq, False)
            c.call("start", watcher="w")


def test_set_what_is_watched_needs_an_inactive_one():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR)
        for members in ({"after": 1}, {"at": 1}, {"after": 1, "repeat": 1}):
            error = c.fails("set", watcher="w", **members)
            assert error.code == "watcher-active"
        assert c.fails("set", watcher="w", priority=1).code == "watcher-active"
        got = get(c, "w")
        assert (got["repeat"], got["priority"]) == (0, 0)
        c.call("stop", watcher="w")
        assert c.call("set", watcher="w", after=5, repeat=7, priority=1) == {}
        got = get(c, "w")
        assert (got["remaining"], got["repeat"], got["priority"]) == (5, 7, 1)


def test_set_priority_needs_one_without_a_pending_event():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR, start=False)
        c.send(
            command("feed", watcher="w", revents=1),
            command("set", watcher="w", priority=2),
        )
        assert c.replies(2)[1]["error"]["code"] == "watcher-active"
        c.event()
        assert c.call("set", watcher="w", priority=2) == {}


def test_set_repeat_of_an_active_one():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR)
        assert c.call("set", watcher="w", repeat=0.001) == {}
        assert get(c, "w")["remaining"] > FAR - 60
        c.call("reset", watcher="w")
        for _ in range(3):
            assert "active" not in c.event()


def test_set_repeat_counts_from_the_next_firing():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=0, repeat=FAR)
        c.event()
        c.call("set", watcher="w", repeat=0)
        assert get(c, "w")["active"] is True
        c.call("reset", watcher="w")
        assert get(c, "w")["active"] is False


def test_set_data_only():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR, data="old")
        c.send(
            command("feed", watcher="w", revents=1),
            command("set", watcher="w", data=None),
        )
        assert c.replies(2)[1]["result"] == {}
        event = c.event()
        assert (event["data"], "data" in event) == (None, True)
        assert get(c, "w")["data"] is None


def test_set_needs_something_to_set():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR, start=False)
        assert c.fails("set", watcher="w").code == "invalid-argument"
        both = c.fails("set", watcher="w", after=1, at=1)
        assert both.code == "invalid-argument"


def test_refused_set_changes_nothing():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=5, start=False, data=1)
        before = get(c, "w")
        c.fails("set", watcher="w", after=7, data=2, priority=1, repeat=-1)
        c.fails("set", watcher="w", after=7, data=2, priority=3)
        c.fails("set", watcher="w", after=7, data="x" * 5000)
        assert get(c, "w") == before


def test_set_at_of_an_inactive_one():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR, start=False)
        c.call("set", watcher="w", at=time.monotonic() - 1)
        c.call("start", watcher="w")
        assert c.event()["watcher"] == "w"


def test_reset_restarts_with_repeat():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=5, repeat=FAR)
        assert c.call("reset", watcher="w") == {}
        assert FAR - 60 < get(c, "w")["remaining"] <= FAR
        c.call("stop", watcher="w")
        c.call("reset", watcher="w")
        got = get(c, "w")
        assert got["active"] and FAR - 60 < got["remaining"] <= FAR


def test_reset_without_repeat_stops():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR)
        c.call("reset", watcher="w")
        assert get(c, "w")["active"] is False


def test_reset_of_the_loop():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=5, repeat=FAR)
        assert c.call("reset") == {}
        assert get(c, "w")["remaining"] <= 5


def test_reset_moves_the_grid():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=0, repeat=0.01)
        c.event()
        c.send(command("reset", watcher="w"), command("now"))
        reset, now = (reply["result"] for reply in c.replies(2))
        c.events.clear()
        seen, expected = ticks_due(c, "w", now["monotonic"] + 0.01, 0.01)
        assert seen in expected


def test_feed_is_an_event():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR)
        for revents in (0, 1, TIMER, 2**31 - 1, -(2**31)):
            assert c.call("feed", watcher="w", revents=revents) == {}
            event = c.event()
            assert event["revents"] == revents
            assert "active" not in event
        assert get(c, "w")["active"] is True


def test_feed_of_an_inactive_one():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR, start=False)
        c.call("feed", watcher="w", revents=1)
        assert c.event()["active"] is False
        assert get(c, "w")["active"] is False


def test_feed_range():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR)
        for revents in (2**31, -(2**31) - 1, 1.5, "1", None):
            error = c.fails("feed", watcher="w", revents=revents)
            assert error.code == "invalid-argument"
            assert 'member "revents"' in error.message
        assert c.poll() == []


def test_feed_does_not_end_once():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR, repeat=FAR, once=True, release=True)
        c.call("feed", watcher="w", revents=1)
        assert "active" not in c.event()
        assert get(c, "w")["active"] is True


def test_once_stops_at_the_first_firing():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=0, repeat=0.001, once=True)
        event = c.event()
        assert event["active"] is False
        assert "overrun" not in event
        assert next_in_order(c, 3) == []
        assert get(c, "w")["active"] is False


def test_once_can_be_started_again():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=0, repeat=0.001, once=True)
        for _ in range(3):
            assert c.event()["active"] is False
            c.call("start", watcher="w")


@pytest.mark.parametrize("members", [{}, {"repeat": 0.001, "once": True}])
def test_release_forgets_it_with_its_event(members):
    with Daemon() as evd, evd.connect() as c:
        for _ in range(5):
            c.watch("timer", "w", after=0, release=True, **members)
            assert c.event()["active"] is False
            assert c.fails("get", watcher="w").code == "no-such-watcher"


def test_release_keeps_what_goes_on_or_was_stopped():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "repeating", after=0, repeat=FAR, release=True)
        c.event()
        assert get(c, "repeating")["active"] is True
        c.watch("timer", "stopped", after=FAR, release=True)
        c.call("stop", watcher="stopped")
        c.call("feed", watcher="stopped", revents=1)
        c.event()
        assert get(c, "stopped")["active"] is False


def test_release_waits_for_a_pending_event():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        outstanding = stall(c, other)
        c.send(timer("w", at=0, release=True), timer("w", after=FAR))
        barrier(other)
        c.send(command("get", watcher="w"))
        watched, again, got = c.replies(outstanding + 3)[outstanding:]
        assert again["error"]["code"] == "watcher-exists"
        assert got["result"]["pending"] == {"revents": TIMER, "overrun": 0}
        assert c.event()["watcher"] == "w"
        assert c.fails("get", watcher="w").code == "no-such-watcher"


def test_release_of_one_whose_event_was_taken_back():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        outstanding = stall(c, other)
        c.send(timer("w", at=0, release=True))
        barrier(other)
        c.send(command("clear", watcher="w"))
        barrier(other)
        cleared = {"revents": TIMER, "overrun": 0}
        assert c.replies(outstanding + 2)[-1]["result"] == {"cleared": cleared}
        # What is fed is not the event that stopped it.
        c.call("feed", watcher="w", revents=1)
        assert c.event()["revents"] == 1
        assert get(c, "w")["active"] is False


def test_end_says_bye_and_closes():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "keep", after=FAR)
        c.watch("timer", "w", after=0, end=True)
        assert c.event()["watcher"] == "w"
        assert c.event() == {"event": "bye", "reason": "end"}
        c.eof()


def test_end_writes_its_batch_to_the_end():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "end", after=FAR, end=True, priority=2)
        c.calls([timer(n, after=FAR) for n in range(10)])
        c.send(
            *[command("feed", watcher=n, revents=1) for n in range(10)],
            command("feed", watcher="end", revents=1),
        )
        lines = c.rest()[11:]
        assert [line.get("watcher") for line in lines[:-1]] == ["end", *range(10)]
        assert lines[-1] == {"event": "bye", "reason": "end"}


def test_name_is_free_after_end():
    with Daemon() as evd:
        for _ in range(5):
            with evd.connect() as c:
                c.call("hello", session="s")
                c.watch("timer", "w", after=0, end=True)
                assert c.rest()[-1] == {"event": "bye", "reason": "end"}


@pytest.mark.parametrize(
    "members, named",
    [
        ({}, "after"),
        ({"after": 1, "at": 1}, "at"),
        ({"after": -1}, "after"),
        ({"after": -1e-9}, "after"),
        ({"after": 1.1e10}, "after"),
        ({"after": "1"}, "after"),
        ({"after": None}, "after"),
        ({"after": True}, "after"),
        ({"after": [1]}, "after"),
        ({"at": 1.1e10}, "at"),
        ({"at": -1.1e10}, "at"),
        ({"at": {}}, "at"),
        ({"after": 1, "repeat": -1}, "repeat"),
        ({"after": 1, "repeat": 1e-10}, "repeat"),
        ({"after": 1, "repeat": 1.1e10}, "repeat"),
        ({"after": 1, "repat": 1}, "repat"),
        ({"after": 1, "Repeat": 1}, "Repeat"),
        ({"after": 1, "offset": 1}, "offset"),
        ({"after": 1, "revents": 1}, "revents"),
        ({"after": 1, "priority": 3}, "priority"),
        ({"after": 1, "priority": -3}, "priority"),
        ({"after": 1, "priority": 0.5}, "priority"),
        ({"after": 1, "priority": "0"}, "priority"),
        ({"after": 1, "start": 1}, "start"),
        ({"after": 1, "hold": "yes"}, "hold"),
        ({"after": 1, "once": 0}, "once"),
        ({"after": 1, "release": None}, "release"),
        ({"after": 1, "end": []}, "end"),
        ({"after": 1, "data": "x" * 4095}, "data"),
    ],
)
def test_invalid_member(members, named):
    with Daemon() as evd, evd.connect() as c:
        error = c.fails("watch", type="timer", watcher="w", **members)
        assert error.code == "invalid-argument"
        assert '"%s"' % named in error.message
        assert (error.line, error.cmd, error.watcher) == (1, "watch", "w")
        assert c.fails("get", watcher="w").code == "no-such-watcher"


def test_message_says_what_was_found_and_expected():
    with Daemon() as evd, evd.connect() as c:
        error = c.fails("watch", type="timer", watcher="w", after=-1)
        assert error.message == (
            'member "after" is -1, expected a number of seconds from 0 to 1e+10'
        )
        error = c.fails("watch", type="timer", watcher="w", after="x" * 100)
        assert "x" * 60 in error.message and "x" * 65 not in error.message
        error = c.fails("watch", type="timer", watcher="w", after=1, repat=1)
        for part in ('"repat"', "unknown", "after", "at", "repeat"):
            assert part in error.message


def test_unknown_type():
    with Daemon() as evd, evd.connect() as c:
        for kind in ("tmer", "", "Timer", 1, None):
            error = c.fails("watch", type=kind, watcher="w", after=1)
            assert error.code == "invalid-argument"
            assert "timer" in error.message and "async" in error.message
        assert c.fails("watch", watcher="w").code == "invalid-argument"


@pytest.mark.parametrize(
    "members",
    [
        {"after": 0},
        {"after": 1e10},
        {"after": 5, "repeat": 1e-9},
        {"after": 5, "repeat": 1e10},
        {"at": 1e10},
        {"at": -1e10, "start": False},
        {"after": 5, "priority": -2},
        {"after": 5, "priority": 2},
        {"after": 5, "data": "x" * 4094},
    ],
)
def test_extremes(members):
    with Daemon() as evd, evd.connect() as c:
        assert c.watch("timer", "w", **members) == {}
        assert c.call("unwatch", watcher="w") in ({}, None) or members["after"] == 0
