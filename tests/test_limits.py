"""What a uid and a session may hold, and that what is freed can be used again."""

import base64
import contextlib
import os

import pytest

from evdtest import Daemon, EvdError, command, wait_until

FAR = 1000

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be two users")


def fill(client, number):
    replies = client.calls(
        [command("watch", type="async", watcher=n) for n in range(number)]
    )
    return sum("result" in reply for reply in replies)


def refused(client, limit, **members):
    """Assert that one more async is refused, naming the limit."""
    error = client.fails("watch", type="async", watcher="more", **members)
    assert error.code == "limit-exceeded"
    assert str(limit) in error.message
    assert client.fails("get", watcher="more").code == "no-such-watcher"


def accepted(client, **members):
    client.watch("async", "more", **members)
    client.call("unwatch", watcher="more")


def bye_of(client):
    (bye,) = client.rest()
    assert (bye["event"], bye["reason"]) == ("bye", "limit-exceeded")
    assert set(bye) <= {"event", "reason", "message"}
    return bye


def test_hello_says_the_limits():
    options = {
        "max-sessions": 5,
        "max-watchers": 6,
        "max-bytes": 7000,
        "max-descriptors": 8,
        "max-children": 9,
    }
    args = [part for name in options for part in ("--" + name, str(options[name]))]
    with Daemon(args) as evd, evd.connect() as c:
        limits = c.call("hello")["limits"]
        session = {"watchers": 6, "bytes": 7000, "descriptors": 8, "children": 9}
        assert limits["uid"] == {"sessions": 5, **session}
        assert limits["session"] == session


def test_limits_by_default():
    with Daemon() as evd, evd.connect() as c:
        limits = c.call("hello")["limits"]
        session = {"watchers": 250000, "bytes": 64 << 20}
        session.update(descriptors=65536, children=4096)
        assert limits["uid"] == {"sessions": 16384, **session}
        assert limits["session"] == session


def test_limits_of_a_session():
    args = ["--max-session-watchers", "3", "--max-session-bytes", "5000"]
    args += ["--max-session-descriptors", "7", "--max-session-children", "2"]
    with Daemon(args) as evd, evd.connect() as c:
        limits = c.call("hello")["limits"]
        session = {"watchers": 3, "bytes": 5000, "descriptors": 7, "children": 2}
        assert limits["session"] == session


def test_sessions():
    with Daemon(["--max-sessions", "2"]) as evd, evd.connect() as c:
        c.call("now")
        with evd.connect() as second:
            second.call("now")
            for _ in range(3):
                with evd.connect() as third:
                    assert "2" in bye_of(third)["message"]
            second.call("now")
        c.call("now")

        def accepted_again():
            with evd.connect() as again:
                again.send(command("now"))
                return "result" in again.recv()

        wait_until(accepted_again, "there is room for a session")


def test_refused_connection_is_not_executed():
    with Daemon(["--max-sessions", "1"]) as evd, evd.connect() as c:
        c.call("hello", session="c")
        c.watch("async", "w")
        open_before = evd.fds()
        for _ in range(50):
            with evd.connect() as more:
                with contextlib.suppress(BrokenPipeError):
                    more.send(command("send", session="c", watcher="w"))
                bye_of(more)
        wait_until(lambda: evd.fds() == open_before, "refused ones are closed")
        assert c.poll() == []


def test_half_closed_sessions_count():
    with Daemon(["--max-sessions", "1"]) as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR)
        c.shutdown()
        with evd.connect() as more:
            bye_of(more)


def test_watchers():
    with Daemon(["--max-watchers", "10"]) as evd, evd.connect() as c:
        assert fill(c, 12) == 10
        refused(c, 10)
        c.call("unwatch", watcher=5)
        accepted(c)
        c.watch("async", 5)
        refused(c, 10)


def test_watchers_of_all_sessions_of_a_uid():
    with Daemon(["--max-watchers", "10"]) as evd, evd.connect() as c:
        with evd.connect() as other:
            assert fill(other, 7) == 7
            assert fill(c, 7) == 3
            refused(c, 10)
            refused(other, 10)
        wait_until(lambda: free_watchers(c) == 7, "the other's are free again")


def free_watchers(client):
    """How many watchers fit just now."""
    names = ["free%d" % n for n in range(20)]
    replies = client.calls([command("watch", type="async", watcher=n) for n in names])
    client.calls([command("unwatch", watcher=n) for n in names])
    return sum("result" in reply for reply in replies)


def test_watchers_of_a_session():
    args = ["--max-watchers", "10", "--max-session-watchers", "4"]
    with Daemon(args) as evd, evd.connect() as c, evd.connect() as other:
        assert fill(c, 6) == 4
        refused(c, 4)
        assert fill(other, 6) == 4
        with evd.connect() as third:
            assert fill(third, 6) == 2
            refused(third, 10)


def test_release_makes_room():
    with Daemon(["--max-watchers", "1"]) as evd, evd.connect() as c:
        for _ in range(20):
            c.watch("timer", "w", after=0, release=True)
            c.event()
        assert free_watchers(c) == 1


def test_refused_watch_takes_no_room():
    with Daemon(["--max-watchers", "5"]) as evd, evd.connect() as c:
        fill(c, 4)
        for _ in range(20):
            c.fails("watch", type="async", watcher=0)
            c.fails("watch", type="async", watcher="#")
            c.fails("watch", type="async", watcher="w", repeat=1)
            c.fails("watch", type="timer", watcher="w", after=-1)
            c.fails("watch", type="timer", watcher="w", after=1, at=1)
        assert free_watchers(c) == 1


def bytes_of(client, size):
    """How many watchers with data of that size fit; they go again."""
    number = 0
    while True:
        client.send(
            command("watch", type="async", watcher=number, data="x" * (size - 2))
        )
        if "error" in client.reply():
            break
        number += 1
    client.calls([command("unwatch", watcher=n) for n in range(number)])
    return number


def test_bytes():
    with Daemon(["--max-bytes", "20000"]) as evd, evd.connect() as c:
        # Names and what evd adds are small beside this.
        assert bytes_of(c, 4000) == 4
        for _ in range(5):
            assert bytes_of(c, 4000) == 4
        for n in range(4):
            c.watch("async", n, data="x" * 4000)
        refused(c, 20000, data="x" * 4000)


def test_bytes_of_names():
    with Daemon(["--max-bytes", "2000"]) as evd, evd.connect() as c:
        replies = c.calls(
            [
                command("watch", type="async", watcher="%03d" % n + "x" * 200)
                for n in range(20)
            ]
        )
        fit = sum("result" in reply for reply in replies)
        assert 1 <= fit <= 9


def test_bytes_of_set():
    with Daemon(["--max-bytes", "5000"]) as evd, evd.connect() as c:
        c.watch("async", "w", data="small")
        c.watch("async", "v", data="x" * 3000)
        error = c.fails("set", watcher="w", data="x" * 3000)
        assert error.code == "limit-exceeded"
        assert "5000" in error.message
        assert c.call("get", watcher="w")["data"] == "small"
        c.call("set", watcher="v", data=None)
        for _ in range(10):
            c.call("set", watcher="w", data="x" * 3000)
            c.call("set", watcher="w", data="x")
        c.call("set", watcher="v", data="x" * 3000)


def test_set_that_is_refused_changes_nothing():
    with Daemon(["--max-bytes", "1000"]) as evd, evd.connect() as c:
        c.watch("timer", "w", after=5, start=False)
        error = c.fails("set", watcher="w", after=7, repeat=7, data="x" * 2000)
        assert error.code == "limit-exceeded"
        got = c.call("get", watcher="w")
        assert (got["remaining"], got["repeat"]) == (5, 0)
        assert "data" not in got


def test_set_that_is_refused_takes_nothing_back():
    with Daemon(["--max-bytes", "1000"]) as evd, evd.connect() as c:
        c.watch("timer", "w", after=5, start=False)
        c.send(
            command("feed", watcher="w", revents=1),
            command("set", watcher="w", after=7, data="x" * 2000),
        )
        assert c.replies(2)[1]["error"]["code"] == "limit-exceeded"
        assert c.event()["revents"] == 1


def test_set_that_fits_instead_of_the_old():
    with Daemon(["--max-bytes", "5000"]) as evd, evd.connect() as c:
        c.watch("async", "w", data="x" * 3000)
        assert c.call("set", watcher="w", data="y" * 3500) == {}
        assert c.call("get", watcher="w")["data"] == "y" * 3500


def test_bytes_of_a_session():
    args = ["--max-bytes", "20000", "--max-session-bytes", "9000"]
    with Daemon(args) as evd, evd.connect() as c, evd.connect() as other:
        for client in (c, other):
            client.watch("async", 1, data="x" * 4000)
            client.watch("async", 2, data="x" * 4000)
            refused(client, 9000, data="x" * 4000)
        with evd.connect() as third:
            refused(third, 20000, data="x" * 4000)
            accepted(third, data="x" * 2000)
        c.call("unwatch", watcher=1)
        accepted(c, data="x" * 4000)


def test_bytes_of_a_gone_session_are_free():
    with Daemon(["--max-bytes", "20000"]) as evd, evd.connect() as c:
        for _ in range(10):
            with evd.connect() as other:
                other.call("hello", session="s" * 200)
                other.send(
                    *[
                        command("watch", type="timer", watcher=n, at=FAR, data="x" * n)
                        for n in range(100)
                    ]
                )
                other.replies(100)
        wait_until(lambda: bytes_of(c, 4000) == 4, "what was used is free again")


def test_a_limit_costs_nothing_else():
    with Daemon(["--max-watchers", "2"]) as evd, evd.connect() as c:
        c.watch("timer", "w", after=0, repeat=0.001)
        c.watch("async", "v")
        for _ in range(100):
            assert c.fails("watch", type="async", watcher="more").code == (
                "limit-exceeded"
            )
        assert c.event()["watcher"] == "w"


# Two users


@contextlib.contextmanager
def client_of(evd, uid):
    """A connection that belongs to another user: who connects is what counts."""
    os.chmod(evd.directory, 0o755)
    os.seteuid(uid)
    try:
        client = evd.connect()
    finally:
        os.seteuid(0)
    with client:
        yield client


def open_daemon(*args):
    return Daemon(["--socket-mode", "0666", *args])


@root
def test_users_do_not_share_watchers():
    with open_daemon("--max-watchers", "10") as evd, evd.connect() as c:
        with client_of(evd, 65533) as a, client_of(evd, 65532) as b:
            for client in (c, a, b):
                assert fill(client, 12) == 10
            for client in (c, a, b):
                refused(client, 10)


@root
def test_users_do_not_share_sessions():
    with open_daemon("--max-sessions", "1") as evd, evd.connect() as c:
        c.call("now")
        with client_of(evd, 65533) as a, client_of(evd, 65532) as b:
            a.call("now")
            b.call("now")
            with client_of(evd, 65533) as more:
                bye_of(more)


@root
def test_users_do_not_share_bytes():
    with open_daemon("--max-bytes", "20000") as evd:
        with client_of(evd, 65533) as a, client_of(evd, 65532) as b:
            a.watch("async", "w", data="x" * 4000)
            assert bytes_of(a, 4000) == 3
            assert bytes_of(b, 4000) == 4


@root
def test_users_do_not_share_descriptors():
    with open_daemon("--max-descriptors", "5") as evd, open("/dev/null") as file:
        with client_of(evd, 65533) as a, client_of(evd, 65532) as b:
            for client in (a, b):
                for n in range(5):
                    client.watch_fd(n, file.fileno())
            for client in (a, b):
                with pytest.raises(EvdError, match="--max-session-descriptors"):
                    client.watch_fd(5, file.fileno())


@root
def test_users_have_names_of_their_own():
    with open_daemon() as evd, client_of(evd, 65533) as a, client_of(evd, 65532) as b:
        for client in (a, b):
            client.call("hello", session="name")
            client.watch("async", "w")
        a.call("send", session="name", watcher="w")
        assert a.event()["watcher"] == "w"
        assert b.poll() == []


@root
def test_users_do_not_reach_each_other():
    with open_daemon() as evd, client_of(evd, 65533) as a, client_of(evd, 65532) as b:
        number = a.call("hello")["session"]
        a.watch("async", "w")
        assert b.fails("send", session=number, watcher="w").code == "no-such-session"
        a.call("hello", session="name")
        assert b.fails("send", session="name", watcher="w").code == "no-such-session"
        assert a.poll() == []


# Each limit, from every side from which it can be reached


def side_watch(c, n):
    c.watch("async", n)


def side_spawn(c, n):
    c.call("spawn", argv=["sleep", "1000"], watcher=n)


def side_name(c, n):
    c.watch("async", "n" * 250 + str(n))


def side_data(c, n):
    c.watch("async", n, data="x" * 1000)


def side_set(c, n):
    if n == 0:
        for name in range(10):
            c.watch("async", name)
    c.call("set", watcher=n, data="x" * 1000)


def side_path(c, n):
    c.watch("stat", n, path="/" + "x" * 200)


def side_path_base64(c, n):
    path = base64.b64encode(b"/" + b"x" * 200).decode()
    c.watch("stat", n, path_base64=path)


def side_session_name(c, n):
    c.call("hello", session="s" * 255)
    side_data(c, n)


def side_calendar(c, n):
    c.watch("scheduler", n, calendar="0 9 * * *" + " " * 200)


def side_room(c, n):
    """Room for the events of children that are to be spawned."""
    if n == 0:
        c.watch("child", "any", pid=0)
    c.call("spawn", argv=["sleep", "1000"])


def side_passed(c, n):
    with open("/dev/null", "rb") as file:
        c.watch_fd(n, file.fileno())


def side_passed_pidfd(c, n):
    pidfd = os.pidfd_open(os.getpid())
    c.call_fds("watch", pidfd, type="child", watcher=n)
    os.close(pidfd)


def side_pid(c, n):
    c.watch("child", n, pid=os.getpid())


def side_opened(c, n):
    c.watch("io", n, events="r", path="/dev/null")


def side_taken(c, n):
    with open("/dev/null", "rb") as file:
        c.watch("io", n, events="r", pid=os.getpid(), fd=file.fileno())


SIDES = [
    ("watchers", 3, [side_watch, side_spawn]),
    ("bytes", 3000, [side_name, side_data, side_set, side_path, side_path_base64]),
    ("bytes", 900, [side_room]),
    (
        "descriptors",
        3,
        [side_passed, side_passed_pidfd, side_pid, side_opened, side_taken],
    ),
    ("children", 3, [side_spawn]),
]


@pytest.mark.parametrize("whose", ["max", "max-session"])
@pytest.mark.parametrize(
    "limit, value, side",
    [(limit, value, side) for limit, value, sides in SIDES for side in sides],
    ids=lambda part: getattr(part, "__name__", None),
)
def test_limit_reached_from_a_side(whose, limit, value, side):
    option = "--%s-%s" % (whose, limit)
    with Daemon([option, str(value)]) as evd:
        for _ in range(2):
            with evd.connect() as c, evd.connect() as other:
                taken = 0
                if whose == "max":
                    # A session's limit is its uid's: two of them reach that.
                    side(other, 0)
                with pytest.raises(EvdError) as caught:
                    while taken < 100:
                        side(c, taken)
                        taken += 1
                error = caught.value
                assert error.code == "limit-exceeded"
                assert option in error.message and str(value) in error.message
                assert taken > 0
                # What was refused is not there, and what was there still is.
                other.call("now")
                assert c.fails("get", watcher="nobody").code == "no-such-watcher"
            # What the sessions had is free again, for the second round.
            wait_until(lambda: not evd.children(), "no child is left")
