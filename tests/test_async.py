"""Asyncs: wake-ups from the same session and from others."""

import re

import pytest

from evdtest import ASYNC, Daemon, command, count, wait_until


def send(name, **members):
    return command("send", watcher=name, **members)


def test_send_wakes():
    with Daemon() as evd, evd.connect() as c:
        assert c.watch("async", "w") == {}
        assert c.call("send", watcher="w") == {"sent": True}
        line = c.line().decode()
        assert re.fullmatch(
            r'\{"event":"async","watcher":"w","revents":524288,"seq":1,'
            r'"time":\d{10,}\.\d{6}\}',
            line,
        ), line
        assert c.poll() == []


def test_send_to_an_inactive_one_does_nothing():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "w", start=False)
        assert c.call("send", watcher="w") == {"sent": False}
        c.call("start", watcher="w")
        assert c.poll() == []
        assert c.call("send", watcher="w") == {"sent": True}
        assert c.event()["revents"] == ASYNC
        c.call("stop", watcher="w")
        assert c.call("send", watcher="w") == {"sent": False}
        assert c.poll() == []


def test_sends_merge():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "w")
        c.send(*[send("w")] * 5)
        assert [reply["result"] for reply in c.replies(5)] == [{"sent": True}] * 5
        event = c.event()
        assert (event["overrun"], event["revents"]) == (4, ASYNC)
        assert c.poll() == []


def test_every_send_is_counted():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.call("hello", session="c")
        c.watch("async", "w")
        other.send(*[send("w", session="c", reply=False)] * 5000)
        fired = 0
        while fired < 5000:
            fired += count([c.event()])
        other.call("now")
        assert fired + count(c.poll()) == 5000


def test_send_to_another_session():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        number = c.call("hello")["session"]
        c.watch("async", "w")
        assert other.call("send", session=number, watcher="w") == {"sent": True}
        assert c.event()["watcher"] == "w"
        c.call("hello", session="name")
        assert other.call("send", session="name", watcher="w") == {"sent": True}
        assert c.event()["watcher"] == "w"
        assert other.poll() == []


def test_send_to_the_own_session_by_name():
    with Daemon() as evd, evd.connect() as c:
        c.call("hello", session="self")
        c.watch("async", "w")
        assert c.call("send", session="self", watcher="w") == {"sent": True}
        assert c.event()["watcher"] == "w"


def test_sent_event_is_not_before_an_earlier_reply():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.call("hello", session="c")
        for n in range(100):
            c.send(command("watch", type="async", watcher=n))
            assert "result" in c.recv()
            other.send(send(n, session="c", reply=False))
            assert c.recv()["watcher"] == n


@pytest.mark.parametrize("name", ["nobody", "#999999"])
def test_send_to_no_session(name):
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "w")
        error = c.fails("send", session=name, watcher="w")
        assert error.code == "no-such-session"
        assert c.poll() == []


def test_send_to_a_session_that_ended():
    with Daemon() as evd, evd.connect() as c:
        with evd.connect() as other:
            other.call("hello", session="gone")
            other.watch("async", "w")
        command_id = {"session": "gone", "watcher": "w"}

        def gone():
            c.send(command("send", **command_id))
            return c.reply().get("error", {}).get("code") == "no-such-session"

        wait_until(gone, "the session is gone")


def test_send_to_no_watcher_of_another_session():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.watch("async", "w")
        other.call("hello", session="other")
        error = c.fails("send", session="other", watcher="w")
        assert error.code == "no-such-watcher"


def test_only_asyncs_are_sent_to():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=1000)
        assert c.fails("send", watcher="w").code == "invalid-argument"
        assert c.poll() == []


def test_reset_is_not_for_asyncs():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "w")
        assert c.fails("reset", watcher="w").code == "invalid-argument"
        assert c.call("get", watcher="w")["active"] is True


def test_get_says_all():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "w", priority=1, data={})
        assert list(c.call("get", watcher="w").items()) == [
            ("type", "async"),
            ("watcher", "w"),
            ("active", True),
            ("priority", 1),
            ("data", {}),
        ]


def test_once_and_release():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "w", once=True, release=True)
        c.send(send("w"), send("w"))
        sent = [reply["result"]["sent"] for reply in c.replies(2)]
        assert sent == [True, False]
        event = c.event()
        assert event["active"] is False and "overrun" not in event
        assert c.fails("get", watcher="w").code == "no-such-watcher"


def test_stop_takes_a_send_back():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "w")
        c.send(send("w"), send("w"), command("stop", watcher="w"))
        cleared = {"revents": ASYNC, "overrun": 1}
        assert c.replies(3)[2]["result"] == {"cleared": cleared}
        assert c.poll() == []


@pytest.mark.parametrize("member", ["after", "repeat", "interval", "session"])
def test_takes_no_members_of_others(member):
    with Daemon() as evd, evd.connect() as c:
        error = c.fails("watch", type="async", watcher="w", **{member: 1})
        assert error.code == "invalid-argument"
        assert '"%s"' % member in error.message and "unknown" in error.message
