"""pyev.evd.Connection: one thing after the other."""

import os
import select
import signal
import socket
import threading

import pytest

import evdpython
from evdtest import Daemon, encode, wait_until

import pyev.evd
from pyev.evd import Closed, Connection, Error, Event


@pytest.fixture(name="evd", scope="module")
def fixture_evd():
    with Daemon() as daemon, evdpython.at(daemon.path):
        yield daemon


@pytest.fixture(name="c")
def fixture_c(evd):
    with Connection() as connection:
        yield connection


def test_it_says_hello(evd):
    with Connection("me", hold=True, need=["timer"]) as connection:
        assert connection.hello["session"] == "me"
        connection.call("watch", type="async", watcher="a")
        assert connection.call("get", watcher="a")["hold"] is True
    with pytest.raises(Error) as caught:
        Connection(need=["time travel"])
    assert caught.value.code == "not-supported"


def test_a_call_gives_the_result_or_raises(c):
    assert c.call("watch", type="timer", watcher="tea", after=600) == {}
    assert c.call("get", watcher="tea")["type"] == "timer"
    with pytest.raises(Error) as caught:
        c.call("watch", type="timer", watcher="tea", after=600)
    error = caught.value
    assert (error.code, error.cmd, error.watcher) == ("watcher-exists", "watch", "tea")
    assert error.line == 4
    for bad in ({"id": 7}, {"session": {1}}):
        with pytest.raises(TypeError):
            c.call("hello", **bad)
    with pytest.raises(Error) as caught:
        c.call("hello", session="\0")
    assert caught.value.code == "parse-error"
    c.call("now")


def test_events_are_kept_while_a_reply_is_waited_for(c):
    c.call("watch", type="async", watcher="a", data=[1])
    for revents in (1, 2, 4):
        c.call("feed", watcher="a", revents=revents)
        c.call("poll")
    assert c.pending() == 3
    events = [c.event() for _ in range(3)]
    assert [event.revents for event in events] == [1, 2, 4]
    assert all(isinstance(event, Event) and event.data == [1] for event in events)


def test_everything_comes_in_order_by_recv(c):
    c.send(
        {"cmd": "watch", "type": "timer", "watcher": 1, "after": 0},
        b'{"cmd":"poll","id":"x"}',
        b"",
        {"cmd": "watch", "type": "timer", "watcher": 2, "after": 0},
        {"cmd": "poll", "id": "y"},
    )
    lines = [c.recv() for _ in range(7)]
    kinds = [line.get("watcher", line.get("id", "error" in line)) for line in lines]
    assert kinds == [False, 1, "x", True, False, 2, "y"]
    assert lines[3]["error"]["code"] == "parse-error"


def test_a_call_leaves_other_replies(c):
    c.send({"cmd": "now", "id": "mine"}, {"cmd": "stop", "watcher": "none"})
    assert c.call("poll") == {"seq": 0}
    assert c.call("stop", watcher="nobody", reply=False) == {}
    assert c.call("poll") == {"seq": 0}
    assert c.recv()["id"] == "mine"
    assert c.recv()["error"]["watcher"] == "none"
    assert c.recv()["error"]["watcher"] == "nobody"
    assert c.pending() == 0


def test_iterating_gives_events_until_the_session_ends(c):
    c.call("watch", type="timer", watcher="a", after=0.01, repeat=0.01)
    c.call("watch", type="timer", watcher="b", after=0.035, end=True)
    seen = [event.watcher for event in c]
    assert seen[-1] == "b" and "a" in seen
    assert c.closed
    with pytest.raises(Closed) as caught:
        c.call("now")
    assert caught.value.reason == "end"


def test_half_close(c):
    c.call("watch", type="timer", watcher="tea", after=0.01)
    c.shutdown()
    assert [event.watcher for event in c] == ["tea"]
    with pytest.raises(Closed) as caught:
        c.recv()
    assert caught.value.reason == "half-close" and caught.value.expected


def test_timeouts(c):
    for wait in (c.recv, c.event):
        for timeout in (0, 0.01):
            with pytest.raises(TimeoutError):
                wait(timeout)
    c.call("watch", type="timer", watcher="tea", after=0)
    assert c.event(60).watcher == "tea"
    c.send({"cmd": "now"})
    assert select.select([c], [], [], 60)[0]
    with pytest.raises(TimeoutError):
        c.event(0.01)
    assert "result" in c.recv(0)


def test_it_never_writes_without_reading(c):
    # Each side would wait for the other for ever with 256 KiB of replies unread.
    line = encode({"cmd": "hello", "need": ["timer"]})[:-1]
    c.send(*[line] * 5000)
    assert all("result" in c.recv() for _ in range(5000))


def test_what_is_read_ahead_is_bounded(evd, monkeypatch):
    monkeypatch.setattr(pyev.evd._connection, "_BACKLOG", 10)
    with Connection() as connection:
        for watcher in ("a", "b"):
            connection.call("watch", type="async", watcher=watcher)
        for _ in range(100):
            for watcher in ("a", "b"):
                connection.call("feed", watcher=watcher, revents=1)
                connection.call("poll")
        assert connection.pending() <= 12
        counted = {"a": 0, "b": 0}
        while connection.pending():
            event = connection.event()
            counted[event.watcher] += 1 + event.overrun
        assert counted == {"a": 100, "b": 100}


def test_descriptors(c):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        c.call("watch", type="io", watcher="in", events="r", fds=[ours])
        theirs.send(b"x")
        assert c.event().revents == 1
        c.call("watch", type="io", watcher=2, events="w", fds=[theirs.fileno()])
        assert c.event().revents == 2
    pairs = [os.pipe() for _ in range(100)]
    commands = [
        {"cmd": "watch", "type": "io", "watcher": n, "events": "w", "fds": 1}
        for n in range(1000, 1100)
    ]
    c.send(*commands, fds=[writer for _, writer in pairs])
    for fd in sum(pairs, ()):
        os.close(fd)
    c.call("poll")
    lines = [c.recv() for _ in range(c.pending())]
    assert sum(line == {"result": {}} for line in lines) == 100
    assert {line["watcher"] for line in lines if "event" in line} == set(
        range(1000, 1100)
    )
    with pytest.raises(OSError):
        c.call("watch", type="io", watcher="bad", events="r", fds=[12345])
    c.call("now")


def test_more_descriptors_than_may_be_under_way(evd):
    """Sending waits until the daemon has read some (ETOOMANYREFS)."""
    reader, writer = os.pipe()
    with Connection() as connection:
        line = encode({"cmd": "watch", "type": "io", "events": "r", "fds": 1})[:-1]
        for _ in range(50):
            # Each is refused, for want of a name; what it passed is closed.
            connection.send(*[line] * 200, fds=[reader] * 200)
        for _ in range(50 * 200):
            assert connection.recv()["error"]["code"] == "invalid-argument"
    os.close(reader)
    os.close(writer)


def test_fileno_tells_when_to_read(c):
    poll = select.poll()
    poll.register(c, select.POLLIN)
    assert poll.poll(0) == []
    c.call("watch", type="timer", watcher="tea", after=0.01)
    assert c.pending() == 1 or poll.poll(60000)
    assert c.event().watcher == "tea"


def test_a_killed_daemon_is_told():
    evd = Daemon()
    with evdpython.at(evd.path), Connection() as connection:
        connection.call("watch", type="async", watcher="a")
        connection.call("feed", watcher="a", revents=1)
        connection.call("poll")
        killer = threading.Thread(target=evd.kill)
        killer.start()
        with pytest.raises(Closed) as caught:
            while True:
                connection.call("now")
        killer.join()
        assert caught.value.reason is None and not caught.value.expected
        # What was read before is still there.
        assert connection.event().watcher == "a"
        for use in (connection.recv, connection.event, lambda: next(iter(connection))):
            with pytest.raises(Closed):
                use()


def test_a_daemon_that_ends_is_told():
    with Daemon() as evd, evdpython.at(evd.path), Connection() as connection:
        evd.process.terminate()
        assert connection.recv() == {"event": "bye", "reason": "exit"}
        with pytest.raises(Closed) as caught:
            connection.recv()
        assert caught.value.reason == "exit"


def test_who_is_not_evd_is_told():
    ours, theirs = socket.socketpair()
    with theirs, Connection(sock=ours) as connection:
        assert connection.hello == {}
        for said in (b"hello\n", b"[1]\n", b'{"result":1}\n', b"x" * 70000):
            theirs.sendall(said)
            with pytest.raises(Error, match="is not evd"):
                connection.recv()


def test_lines_may_come_in_pieces():
    ours, theirs = socket.socketpair()
    with theirs, Connection(sock=ours) as connection:
        for piece in (b'{"res', b'ult":{', b'"a":1}}\n{"result"', b":{}}\n"):
            with pytest.raises(TimeoutError):
                connection.recv(0)
            theirs.sendall(piece)
            if piece.endswith(b'"result"'):
                assert connection.recv(60) == {"result": {"a": 1}}
        assert connection.recv(60) == {"result": {}}


def test_an_interrupt_while_it_waits_breaks_nothing(c):
    class Interrupt(Exception):
        pass

    def interrupt(signum, frame):
        raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(20):
            with pytest.raises(Interrupt):
                signal.setitimer(signal.ITIMER_REAL, 0.002)
                c.event()
        assert c.call("poll") == {"seq": 0}
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_child_process_closes_its_copy(evd, c):
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # whatever becomes of the test
        try:
            c.call("now")
        except Closed as closed:
            if closed.reason == "fork":
                signal.pause()
        os._exit(1)
    name = c.hello["session"]
    c.call("now")
    c.close()
    with Connection() as other:
        wait_until(
            lambda: name
            not in [s["session"] for s in other.call("list")["sessions"]],
            "the session ends while the child lives",
        )
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_event_attributes():
    event = Event(event="timer", watcher="a", revents=1, seq=2, time=3.5)
    assert (event.type, event.watcher, event.revents, event.seq) == ("timer", "a", 1, 2)
    assert (event.time, event.active, event.overrun) == (3.5, True, 0)
    assert event.data is None and event.error is None
    event.merge(
        Event(event="timer", revents=4, seq=9, time=9.0, overrun=3, active=False)
    )
    assert event == {
        "event": "timer",
        "revents": 5,
        "seq": 2,
        "time": 3.5,
        "overrun": 4,
        "active": False,
    }


def test_errors_are_as_they_are_documented():
    error = Error("only text")
    assert (error.code, error.message, str(error)) == (None, None, "only text")
    error = Error("limit-exceeded", "watchers: 1")
    assert (error.code, error.message) == ("limit-exceeded", "watchers: 1")
    assert str(error) == "limit-exceeded: watchers: 1"
    assert str(Error()) == ""
    assert issubclass(Closed, Error) and issubclass(pyev.evd.NoDaemon, Error)


UNDER_WAY = """
import asyncio, os, resource, socket, sys
import pyev.evd
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
# A user that nobody else is: what is under way counts for the user.
os.setgid(65533); os.setuid(200000 + os.getpid())
left, right = socket.socketpair()
reader, writer = os.pipe()

def fill():
    filled = 0
    try:
        while True:
            socket.send_fds(left, [b"x"], [reader] * 10)
            filled += 10
    except OSError:
        return filled

def empty(filled):
    for _ in range(0, filled, 10):
        for fd in socket.recv_fds(right, 1, 10)[1]:
            os.close(fd)

def blocking():
    with pyev.evd.Connection() as c:
        filled = fill()
        try:
            c.call("watch", type="io", watcher="a", events="w", fds=[writer])
        except pyev.evd.Error as error:
            print(error)
        try:
            c.call("stop", watcher="a")
        except pyev.evd.Error as error:
            print(error.code, error.line)
        empty(filled)
        c.call("watch", type="io", watcher="a", events="w", fds=[writer])
        print(c.event().watcher)

async def main():
    async with pyev.evd.connect() as session:
        refused = []
        session.on_error = refused.append
        filled = fill()
        watch = session.watch("io", "a", events="w", fd=writer)
        first = asyncio.ensure_future(watch)
        second = asyncio.ensure_future(session.call("stop", watcher="a"))
        for task in (first, second):
            try:
                await task
            except pyev.evd.Error as error:
                print(error.code or error)
        empty(filled)
        await session.watch("io", "a", events="w", fd=writer)
        print((await session.event()).watcher, refused)

blocking()
asyncio.run(main())
"""


def test_descriptors_that_cannot_be_passed():
    """ETOOMANYREFS that is due to others is an Error, and costs only what it is about."""
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    with Daemon(args=["--socket-mode", "0666"]) as evd:
        os.chmod(evd.directory, 0o755)
        said = evdpython.python("-c", UNDER_WAY, env={"EVD_SOCKET": evd.path})
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    for line in (lines.pop(0), lines.pop(2)):
        assert "too many of this user's are under way" in line and "64" in line
    assert lines == ["no-such-watcher 2", "a", "no-such-watcher", "a []"]
