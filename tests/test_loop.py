"""The session as a loop: ref and unref, loop, verify."""

import pytest

from evdtest import Daemon, barrier, command, scaled, stall

FAR = 1000


def feed(name):
    return command("feed", watcher=name, revents=1, reply=False)


def watch(name, **members):
    return command("watch", type="async", watcher=name, reply=False, **members)


# ref and unref


def test_refs_count():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        assert [c.call("ref")["refs"] for _ in range(3)] == [1, 2, 3]
        assert [c.call("unref")["refs"] for _ in range(5)] == [2, 1, 0, -1, -2]
        assert other.call("ref") == {"refs": 1}
        assert c.call("loop")["refs"] == -2


@pytest.mark.parametrize("refs", [-3, -2, -1, 0, 1])
@pytest.mark.parametrize("active", [0, 1, 2])
def test_a_half_closed_session_ends_when_active_and_refs_are_none(active, refs):
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.call("hello", session="c")
        verb = "unref" if refs < 0 else "ref"
        c.send(*[watch(n) for n in range(active)])
        c.calls([command(verb)] * abs(refs))
        c.shutdown()
        if active + refs <= 0:
            c.eof()
            return
        barrier(other)
        for n in range(active):
            assert other.call("send", session="c", watcher=n) == {"sent": True}
            assert c.event()["watcher"] == n


def test_unref_before_its_watcher_ends():
    """The last other one ends the session, whatever the first one would do."""
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "far", after=FAR)
        c.watch("timer", "soon", after=0.01)
        c.call("unref")
        c.shutdown()
        assert c.event()["watcher"] == "soon"
        c.eof()


def test_an_unreferenced_watcher_fires_while_the_session_lives():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "beat", after=0, repeat=0.001)
        c.call("unref")
        c.watch("timer", "end", after=0.05)
        c.shutdown()
        names = [event["watcher"] for event in c.rest()]
        assert names.count("beat") > 1
        assert names.count("end") == 1


def test_what_is_pending_is_written_whatever_the_refs():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        outstanding = stall(c, other)
        c.send(watch("a"), feed("a"), *[command("unref", reply=False)] * 9)
        c.shutdown()
        barrier(other)
        c.replies(outstanding)
        assert c.event()["watcher"] == "a"
        c.eof()


def test_a_ref_holds_nothing_when_the_client_is_gone():
    with Daemon() as evd, evd.connect() as other:
        other.call("now")
        for half in (False, True):
            with evd.connect() as c:
                c.call("ref")
                if half:
                    c.shutdown()
                    barrier(other)
        while len(other.call("list")["sessions"]) > 1:
            pass


# loop


def test_iteration_counts_batches():
    with Daemon() as evd, evd.connect() as c:
        c.send(watch("a"), watch("b"))
        for n in range(20):
            assert c.call("loop")["iteration"] == n
            c.send(feed("a"), feed("b"))
            assert len(c.poll()) == 2


def test_pending_is_what_is_ready():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.send(watch("a"), watch("held", hold=True), feed("held"))
        c.poll()
        outstanding = stall(c, other)
        c.send(*map(feed, ["a", "a", "held"]), command("loop"))
        assert c.replies(outstanding + 1)[-1]["result"]["pending"] == 1
        c.poll()
        assert c.call("loop")["pending"] == 0


def test_backend_is_that_of_hello():
    with Daemon() as evd, evd.connect() as c:
        backend = c.call("loop")["backend"]
        assert backend["number"] == c.call("hello")["backend"]["current"]
        assert backend["name"] in ("select", "poll", "epoll", "linuxaio", "io_uring")
        assert "backend %d" % backend["number"] in evd.stderr


def test_members_in_order():
    with Daemon() as evd, evd.connect() as c:
        expected = ["iteration", "pending", "depth", "backend", "refs"]
        assert [key for key in c.call("loop") if key in expected] == expected


# verify


def test_verify_finds_nothing():
    with Daemon() as evd, evd.connect() as c:
        assert c.call("verify") == {}
        types = ["idle", "prepare", "check", "fork", "async"]
        for n, (type, hold, start) in enumerate(
            (type, hold, start)
            for type in types
            for hold in (False, True)
            for start in (False, True)
        ):
            c.watch(type, n, hold=hold, start=start, priority=n % 5 - 2)
            assert c.call("verify") == {}
        c.call("reset")
        c.send(*[feed(n) for n in range(20)], command("verify"))
        c.reply()
        c.poll()
        assert c.call("verify") == {}
        c.call("ack")
        c.poll()
        assert c.call("verify") == {}


def test_verify_of_100000_delays_nobody_and_bears_changes():
    number = scaled(100000, 3000)
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.send(
            *[
                command(
                    "watch",
                    type="timer",
                    watcher=n,
                    after=0 if n % 2 else FAR,
                    repeat=0.01 if n % 4 == 1 else 0,
                    release=n % 4 == 3,
                    reply=False,
                )
                for n in range(number)
            ]
        )
        c.send(*[command("verify", id=n) for n in range(5)])
        for _ in range(5):
            other.call("now")
        for n in range(5):
            assert c.reply() == {"id": n, "result": {}}
        c.send(command("verify"))
        c.shutdown()
        c.reply()


def test_verify_in_the_last_line():
    with Daemon() as evd, evd.connect() as c:
        c.send(*[watch(n, start=False) for n in range(5000)])
        c.raw(b'{"cmd":"verify"}')
        c.shutdown()
        assert c.reply() == {"result": {}}
        c.eof()
