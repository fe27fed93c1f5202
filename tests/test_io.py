"""The io type: readiness of descriptors that are passed, opened by path, or copied
from another process; see test_descriptors.py for how they pair with lines."""

import contextlib
import ctypes
import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import tempfile

import pytest

from evdfds import fixture_c, fixture_evd, fixture_other  # noqa: F401
from evdtest import (
    READ,
    WRITE,
    Daemon,
    barrier,
    command,
    scaled,
    stall,
    wait_until,
)

libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def closing(*fds):
    """Close what is still open of these descriptors at the end."""
    try:
        yield fds
    finally:
        for fd in fds:
            with contextlib.suppress(OSError):
                os.close(fd)


def made(fd, what):
    """A descriptor of a raw system call; skips where the kernel has no such thing."""
    if fd < 0:
        pytest.skip("no %s: %s" % (what, os.strerror(ctypes.get_errno())))
    return fd


@pytest.fixture(name="pipe")
def fixture_pipe():
    with closing(*os.pipe()) as ends:
        yield ends


@pytest.fixture(name="pair")
def fixture_pair():
    a, b = socket.socketpair()
    with a, b:
        yield a, b


@pytest.fixture(name="fifo")
def fixture_fifo():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "fifo")
        os.mkfifo(path)
        yield path


def shown(events):
    return [(event["watcher"], event["revents"]) for event in events]


def drain(fd):
    os.set_blocking(fd, False)
    with contextlib.suppress(BlockingIOError):
        while os.read(fd, 4096):
            pass


# What can be watched


def test_pipe(c, pipe):
    c.watch_fd("p", pipe[0])
    assert c.poll() == []
    os.write(pipe[1], b"x")
    event = c.event()
    assert (event["event"], event["watcher"], event["revents"]) == ("io", "p", READ)
    assert "active" not in event


def test_level_triggered_and_paced_by_ack(c, pipe):
    os.write(pipe[1], b"x")
    c.watch_fd("p", pipe[0])
    assert shown(c.poll()) == [("p", READ)]
    assert c.poll() == [], "held until the ack"
    assert c.call("ack") == {"freed": 1}
    assert shown(c.poll()) == [("p", READ)], "still readable"
    os.read(pipe[0], 1)
    c.call("ack")
    assert c.poll() == []
    os.write(pipe[1], b"y")
    assert c.event()["watcher"] == "p"


def test_always_held_whatever_the_client_says(c, pipe):
    os.write(pipe[1], b"x")
    c.watch_fd("p", pipe[0], hold=False)
    c.poll()
    state = c.call("get", watcher="p")
    assert state["hold"] is True and state["held"] == 1
    assert c.poll() == []


def test_evd_reads_and_changes_nothing(c, pipe):
    flags = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in pipe]
    os.write(pipe[1], b"abc")
    c.watch_fd("p", pipe[0])
    c.poll()
    c.call("unwatch", watcher="p")
    assert os.read(pipe[0], 10) == b"abc"
    assert [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in pipe] == flags


def test_both_directions(c, pair):
    a, b = pair
    c.watch_fd("s", a.fileno(), "rw")
    assert shown(c.poll()) == [("s", WRITE)]
    b.send(b"x")
    c.call("ack")
    assert shown(c.poll()) == [("s", READ | WRITE)]


@pytest.mark.parametrize("events, expected", [("w", [("s", WRITE)]), ("r", [])])
def test_one_direction(c, pair, events, expected):
    c.watch_fd("s", pair[0].fileno(), events)
    assert shown(c.poll()) == expected


def test_full_pipe_is_not_writable_until_it_is_read(c, pipe):
    os.set_blocking(pipe[1], False)
    with contextlib.suppress(BlockingIOError):
        while os.write(pipe[1], b"x" * 4096):
            pass
    c.watch_fd("p", pipe[1], "w")
    assert c.poll() == []
    drain(pipe[0])
    assert c.event()["revents"] == WRITE


@pytest.mark.parametrize("bits, letters", [(1, "r"), (2, "w"), (3, "rw")])
def test_events_as_bits_or_letters(c, pair, bits, letters):
    c.watch_fd("bits", pair[0].fileno(), bits)
    c.watch_fd("letters", pair[0].fileno(), letters)
    assert c.call("get", watcher="bits")["events"] == bits
    assert c.call("get", watcher="letters")["events"] == bits


def test_no_events_is_legal_and_silent(c, pair):
    """As in libev: a watcher to be told later what to wait for."""
    pair[1].send(b"x")
    c.watch_fd("s", pair[0].fileno(), 0)
    pair[1].close()
    assert c.poll() == []
    c.call("stop", watcher="s")
    c.call_fds("set", pair[0].fileno(), watcher="s", events="r")
    c.call("start", watcher="s")
    assert shown(c.poll()) == [("s", READ)]


def test_hang_up_of_the_writer(c, pipe):
    c.watch_fd("p", pipe[0])
    os.close(pipe[1])
    assert c.event()["revents"] == READ


def test_hang_up_of_the_reader(c, pipe):
    c.watch_fd("p", pipe[1], "w")
    assert shown(c.poll()) == [("p", WRITE)]
    os.close(pipe[0])
    c.call("ack")
    assert c.event()["revents"] == WRITE


def test_hang_up_is_readiness_for_both(c, pair):
    c.watch_fd("s", pair[0].fileno(), "rw")
    c.poll()
    pair[1].close()
    c.call("ack")
    assert c.event()["revents"] == READ | WRITE


def test_half_close_of_the_other_end_is_readable(c, pair):
    c.watch_fd("s", pair[0].fileno())
    pair[1].shutdown(socket.SHUT_WR)
    assert c.event()["revents"] == READ


def test_connection_refused_is_an_error_and_so_both(c):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = closed.getsockname()
    with socket.socket() as s:
        s.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            s.connect(address)
        c.watch_fd("s", s.fileno(), "rw")
        assert c.event()["revents"] == READ | WRITE


def test_listener_and_its_connection(c):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        c.watch_fd("l", listener.fileno())
        assert c.poll() == []
        with socket.create_connection(listener.getsockname()):
            assert c.event()["watcher"] == "l"


def test_terminal(c):
    master, slave = pty.openpty()
    with closing(master, slave):
        c.watch_fd("t", slave)
        assert c.poll() == []
        os.write(master, b"line\n")
        assert c.event()["watcher"] == "t"


def test_eventfd(c):
    with closing(made(libc.eventfd(0, 0), "eventfd")) as (fd,):
        c.watch_fd("e", fd)
        assert c.poll() == []
        os.write(fd, (1).to_bytes(8, "little"))
        assert c.event()["watcher"] == "e"


def test_epoll(c, pipe):
    with select.epoll() as inner:
        inner.register(pipe[0], select.EPOLLIN)
        c.watch_fd("e", inner.fileno())
        assert c.poll() == []
        os.write(pipe[1], b"x")
        assert c.event()["watcher"] == "e"


def test_inotify(c, fifo):
    IN_CREATE = 0x100
    with closing(made(libc.inotify_init1(os.O_CLOEXEC), "inotify")) as (fd,):
        libc.inotify_add_watch(fd, os.path.dirname(fifo).encode(), IN_CREATE)
        c.watch_fd("i", fd)
        assert c.poll() == []
        os.mkfifo(fifo + "2")
        assert c.event()["watcher"] == "i"


def test_signalfd(c):
    """Whose signals it tells depends on who polls; evd's own are none of ours."""
    mask = ctypes.create_string_buffer(128)
    libc.sigemptyset(mask)
    libc.sigaddset(mask, signal.SIGUSR1)
    with closing(made(libc.signalfd(-1, mask, os.O_NONBLOCK), "signalfd")) as (fd,):
        c.watch_fd("s", fd)
        assert c.poll() == []
        c.call("unwatch", watcher="s")


def test_io_uring(c):
    """Newer kernels let nobody pass one. Its submission queue has room: writable."""
    SYS_io_uring_setup = 425
    params = ctypes.create_string_buffer(120)
    fd = made(libc.syscall(SYS_io_uring_setup, 4, params), "io_uring")
    with closing(fd):
        c.watch("io", "u", events="rw", pid=os.getpid(), fd=fd)
        assert shown(c.poll()) == [("u", WRITE)]


@pytest.mark.parametrize("path", ["/dev/null", "/", __file__])
def test_always_ready_and_paced_by_ack(evd, c, path):
    with closing(os.open(path, os.O_RDONLY)) as (fd,):
        c.watch_fd("f", fd)
        for _ in range(3):
            assert shown(c.poll()) == [("f", READ)]
            assert c.poll() == []
            evd.settle()
            c.call("ack")
        c.call("stop", watcher="f")
        c.events.clear()
        assert c.poll() == []
        c.call_fds("start", fd, watcher="f")
        assert shown(c.poll()) == [("f", READ)]


def test_always_ready_without_events_is_silent(c):
    with closing(os.open("/dev/null", os.O_RDWR)) as (fd,):
        c.watch_fd("f", fd, 0)
        assert c.poll() == []


def test_chain_of_epolls_that_is_too_deep_is_refused(evd, c):
    with contextlib.ExitStack() as stack:
        chain = stack.enter_context(select.epoll())
        for _ in range(6):
            outer = stack.enter_context(select.epoll())
            with contextlib.suppress(OSError):
                outer.register(chain.fileno(), select.EPOLLIN)
                chain = outer
        fds = evd.fds()
        error = c.fails_fds("watch", chain.fileno(), type="io", watcher="e", events="r")
        assert error.code == "system-error" and "ELOOP" in error.message
        assert evd.fds() == fds
    assert c.fails("get", watcher="e").code == "no-such-watcher"


# Several watchers


def test_same_description_twice(c, pipe):
    c.watch_fd("a", pipe[0])
    c.watch_fd("b", pipe[0])
    os.write(pipe[1], b"x")
    assert sorted(shown(c.poll())) == [("a", READ), ("b", READ)]
    c.call("unwatch", watcher="a")
    c.call("ack")
    assert shown(c.poll()) == [("b", READ)]


def test_two_clients_on_one_description(other, c, pipe):
    c.watch_fd("a", pipe[0])
    other.watch_fd("b", pipe[0])
    os.write(pipe[1], b"x")
    assert c.event()["watcher"] == "a"
    assert other.event()["watcher"] == "b"
    other.call("unwatch", watcher="b")


def test_one_file_may_have_500_watchers(evd, c, pipe):
    """A limit of the kernel's for files below two layers of epoll."""
    for i in range(500):
        c.watch_fd(i, pipe[0])
    fds = evd.fds()
    error = c.fails_fds("watch", pipe[0], type="io", watcher="p", events="r")
    assert error.code == "system-error" and "500" in error.message
    assert evd.fds() == fds
    os.write(pipe[1], b"x")
    assert len(c.poll()) == 500


def test_priority_and_once(c, pipe):
    os.write(pipe[1], b"x")
    c.watch_fd("low", pipe[0], start=False, priority=-1)
    c.watch_fd("high", pipe[0], start=False, priority=1, once=True)
    c.calls([command("start", watcher="low"), command("start", watcher="high")])
    events = c.poll()
    assert [event["watcher"] for event in events] == ["high", "low"]
    assert events[0]["active"] is False and "active" not in events[1]


def test_release_forgets_and_closes(evd, c, pipe):
    fds = evd.fds()
    c.watch_fd("p", pipe[0], once=True, release=True)
    os.write(pipe[1], b"x")
    assert c.event()["active"] is False
    assert c.fails("get", watcher="p").code == "no-such-watcher"
    assert evd.fds() == fds


@pytest.mark.parametrize("count", [1000])
def test_poll_gathers_all_that_are_ready(c, pair, count):
    """More than one round of epoll hands over, or libev: 64."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(s) for _ in range(2) for s in socket.socketpair()]
        for i in range(count):
            c.watch_fd(i, sockets[i % 4].fileno(), "w", start=False)
        starts = [command("start", watcher=i, reply=False) for i in range(count)]
        c.send(*starts)
        assert {event["watcher"] for event in c.poll()} == set(range(count))
        for _ in range(3):
            c.call("ack")
            assert {event["watcher"] for event in c.poll()} == set(range(count))


# The life of a watcher


@pytest.mark.parametrize("verb", ["stop", "unwatch"])
def test_closed_before_the_reply_the_peer_sees_the_end(c, verb):
    for _ in range(scaled(100, 10)):
        left, right = socket.socketpair()
        with right:
            c.watch_fd(verb, left.fileno())
            left.close()
            c.call(verb, watcher=verb)
            right.setblocking(False)
            assert right.recv(1) == b"", "end of file right after the reply"
        if verb == "stop":
            c.call("unwatch", watcher=verb)


@pytest.mark.parametrize("verb", ["stop", "unwatch"])
def test_closed_before_the_reply_a_listener_can_be_bound_again(c, verb):
    address = ("127.0.0.1", 0)
    for i in range(scaled(50, 5)):
        with socket.socket() as listener:
            listener.bind(address)
            address = listener.getsockname()
            listener.listen()
            c.watch_fd(i, listener.fileno())
        c.call(verb, watcher=i)


def test_start_after_stop_needs_a_descriptor_again(c, pipe):
    c.watch_fd("p", pipe[0])
    c.call("stop", watcher="p")
    error = c.fails("start", watcher="p")
    assert error.code == "invalid-argument" and '"fds"' in error.message
    assert c.call("get", watcher="p")["active"] is False
    c.call_fds("start", pipe[0], watcher="p")
    os.write(pipe[1], b"x")
    assert c.event()["watcher"] == "p"


def test_start_that_is_refused_takes_no_event_back(c):
    c.watch("io", "p", path="/nowhere/p", events="r", start=False)
    lines = [
        command("feed", watcher="p", revents=READ),
        command("start", watcher="p"),
        command("poll"),
    ]
    replies = c.calls(lines)
    assert replies[1]["error"]["code"] == "system-error"
    event = c.event()
    assert shown([event]) == [("p", READ)] and event["active"] is False
    assert replies[2]["result"] == {"seq": event["seq"]}


def test_after_once_start_needs_a_descriptor_again(evd, c, pipe):
    fds = evd.fds()
    os.write(pipe[1], b"x")
    c.watch_fd("p", pipe[0], once=True)
    assert c.event()["active"] is False
    assert evd.fds() == fds, "closed when it fired"
    assert c.fails("start", watcher="p").code == "invalid-argument"
    c.call_fds("start", pipe[0], watcher="p")
    assert c.poll() == [], "still held"
    c.call("ack")
    assert c.event()["active"] is False


def test_registered_without_start_keeps_the_descriptor(c, pipe):
    c.watch_fd("p", pipe[0], start=False)
    os.write(pipe[1], b"x")
    assert c.poll() == []
    c.call("start", watcher="p")
    assert shown(c.poll()) == [("p", READ)]


def test_registered_without_descriptor_gets_it_at_start(c, pipe):
    c.watch("io", "p", events="r", start=False)
    c.call_fds("start", pipe[0], watcher="p")
    os.write(pipe[1], b"x")
    assert c.event()["watcher"] == "p"


def test_no_descriptor_at_all(c):
    error = c.fails("watch", type="io", watcher="p", events="r")
    assert error.code == "invalid-argument" and '"fds"' in error.message
    assert c.fails("get", watcher="p").code == "no-such-watcher"


MOMENTS = {
    "quiet": "nothing has happened",
    "pending": "ready, and the event waits for the client to read",
    "held": "the event was written",
    "held and over": "and what it told is not so any more",
    "held and fed": "and another event waits for the ack",
    "over": "the event was acknowledged, and nothing is ready",
    "again": "the event was acknowledged, and it is still ready",
}


def bring_to(moment, c, other, pipe):
    """Register p; gives the replies to be read before anything else."""
    unread = 0
    c.watch_fd("p", pipe[0])
    if moment == "quiet":
        return unread
    if moment == "pending":
        unread = stall(c, other)
    os.write(pipe[1], b"x")
    if moment == "pending":
        barrier(other)
        return unread
    assert c.event()["watcher"] == "p"
    if moment in ("held and over", "over"):
        drain(pipe[0])
    if moment == "held and fed":
        c.call("feed", watcher="p", revents=4)
    if moment in ("over", "again"):
        c.call("ack")
    return unread


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("verb", ["stop", "unwatch", "restart", "set", "clear", "start"])
def test_verb_at_each_moment(evd, other, c, pipe, verb, moment):
    fds = evd.fds()
    unread = bring_to(moment, c, other, pipe)
    first = {
        "restart": [command("stop", watcher="p")],
        "set": [command("set", watcher="p", events="w")],
    }.get(verb, [command(verb, watcher="p")])
    c.send(*first, command("poll"))
    c.replies(unread)
    answer = c.reply()
    before = list(c.events)
    c.events.clear()
    c.reply()
    after = list(c.events)
    c.events.clear()
    assert len(before) + len(after) <= 1

    if verb in ("set", "start", "clear"):
        # It goes on as if nothing had been.
        if verb == "set":
            assert answer["error"]["code"] == "watcher-active"
        assert evd.fds() == fds + 1
        if verb == "clear" and moment in ("pending", "held and fed"):
            assert "cleared" in answer["result"] or before
        drain(pipe[0])
        c.call("ack")
        c.poll()
        c.call("ack")
        c.events.clear()
        assert c.poll() == []
        os.write(pipe[1], b"y")
        assert shown([c.event()]) == [("p", READ)]
        return

    assert after == [], "nothing follows the reply"
    assert evd.fds() == fds, "closed before the reply"
    if moment == "pending":
        assert answer["result"] == {"cleared": {"revents": READ, "overrun": 0}}
    if moment == "held and fed":
        assert answer["result"] == {"cleared": {"revents": 4, "overrun": 0}}
    assert c.call("ack") == {"freed": 0}, "the hold is over"
    if verb == "unwatch":
        assert c.fails("get", watcher="p").code == "no-such-watcher"
        return
    drain(pipe[0])
    c.call_fds("start", pipe[0], watcher="p")
    assert c.poll() == []
    os.write(pipe[1], b"y")
    assert shown([c.event()]) == [("p", READ)]


def test_set_of_what_is_watched_ends_a_hold(c, pair):
    pair[1].send(b"x")
    c.watch_fd("s", pair[0].fileno(), "r", once=True)
    assert c.event()["active"] is False
    c.call("set", watcher="s", events="w")
    assert "held" not in c.call("get", watcher="s")
    c.call_fds("start", pair[0].fileno(), watcher="s")
    assert shown(c.poll()) == [("s", WRITE)]


def test_set_replaces_the_descriptor(evd, c, pipe):
    with closing(*os.pipe()) as (r, w):
        c.watch_fd("p", pipe[0], start=False)
        fds = evd.fds()
        c.call_fds("set", r, watcher="p")
        assert evd.fds() == fds
        c.call("start", watcher="p")
        os.write(w, b"x")
        assert c.event()["watcher"] == "p"


def test_set_of_another_descriptor_takes_a_pending_event_back(c, pipe):
    c.watch_fd("p", pipe[0], start=False)
    c.send_fds(
        [
            command("feed", watcher="p", revents=1),
            command("set", watcher="p", fds=1),
            command("poll"),
        ],
        [pipe[0]],
    )
    replies = c.replies(3)
    assert replies[1]["result"] == {"cleared": {"revents": 1, "overrun": 0}}
    assert not c.events


@pytest.mark.parametrize(
    "members, word",
    [({"path": "/dev/null"}, '"path"'), ({"pid": 1, "fd": 0}, '"pid"')],
)
def test_refused_set_changes_nothing(evd, c, pipe, members, word):
    c.watch_fd("p", pipe[0], start=False)
    fds, before = evd.fds(), c.call("get", watcher="p")
    error = c.fails_fds("set", pipe[1], watcher="p", events="w", **members)
    assert error.code == "invalid-argument" and word in error.message
    error = c.fails_fds("set", c.sock.fileno(), watcher="p", events="w", data=1)
    assert error.code == "invalid-argument" and "evd itself" in error.message
    assert evd.fds() == fds and c.call("get", watcher="p") == before
    c.call("start", watcher="p")
    os.write(pipe[1], b"x")
    assert c.event()["watcher"] == "p"


def test_refused_set_of_another_type_changes_nothing(evd, c, pipe):
    c.watch("timer", "t", after=1, start=False)
    fds, before = evd.fds(), c.call("get", watcher="t")
    error = c.fails_fds("set", pipe[0], watcher="t", repeat=5)
    assert error.code == "invalid-argument" and '"fds"' in error.message
    assert evd.fds() == fds and c.call("get", watcher="t") == before


def test_given_to_an_active_one(evd, c, pipe):
    c.watch_fd("p", pipe[0])
    fds = evd.fds()
    for verb in ("start", "set"):
        error = c.fails_fds(verb, pipe[0], watcher="p")
        assert error.code == "watcher-active" and '"fds"' in error.message
    assert evd.fds() == fds


def test_socket_that_lingers_delays_nobody(evd, c):
    """The last close of it waits for the peer, here as long as for ever."""
    with socket.socket() as listener, evd.connect() as other:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()) as left:
            right, _ = listener.accept()
            linger = struct.pack("ii", 1, 3600)
            left.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            left.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    left.send(bytes(1 << 16))
            c.watch_fd("s", left.fileno())
        fds = evd.fds()
        assert c.call("unwatch", watcher="s") == {}
        assert other.call("now")
        with right:
            while right.recv(1 << 20):
                pass
        wait_until(lambda: evd.fds() < fds, "it is closed")


def test_half_close_stops_what_was_written(c, pipe):
    os.write(pipe[1], b"x")
    c.watch_fd("p", pipe[0])
    assert c.event()["watcher"] == "p"
    c.shutdown()
    c.eof()


def test_half_close_writes_the_next_event_and_ends(c, pipe):
    c.watch_fd("p", pipe[0])
    c.shutdown()
    os.write(pipe[1], b"x")
    event = c.event()
    assert event["watcher"] == "p" and event["active"] is False
    c.eof()


def test_killed_client_leaves_nothing_open(evd, other, pipe):
    before = evd.fds()
    with evd.connect() as client:
        for i in range(100):
            client.watch_fd(i, pipe[0])
        assert evd.fds() > before + 100
    wait_until(lambda: evd.fds() == before, "all descriptors are closed")


# By path


def test_fifo_by_path(c, fifo):
    c.watch("io", "f", events="r", path=fifo)
    assert c.call("get", watcher="f")["path"] == fifo
    assert c.poll() == []
    with open(fifo, "wb") as writer:
        writer.write(b"hello")
        writer.flush()
        assert c.event()["watcher"] == "f"


def test_fifo_is_opened_again_by_start_and_may_be_unlinked(c, fifo):
    c.watch("io", "f", events="r", path=fifo)
    c.call("stop", watcher="f")
    c.call("start", watcher="f")
    with closing(os.open(fifo, os.O_WRONLY)) as (writer,):
        os.unlink(fifo)
        os.write(writer, b"x")
        assert c.event()["watcher"] == "f"
        c.call("stop", watcher="f")
    error = c.fails("start", watcher="f")
    assert error.code == "system-error" and "ENOENT" in error.message


def test_fifo_for_writing_needs_a_reader(c, fifo):
    error = c.fails("watch", type="io", watcher="f", events="w", path=fifo)
    assert error.code == "system-error" and "ENXIO" in error.message
    with closing(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)):
        c.watch("io", "f", events="w", path=fifo)
        assert shown(c.poll()) == [("f", WRITE)]


def test_fifo_whose_reader_evd_is_sees_it_close_at_stop(c, fifo):
    c.watch("io", "f", events="r", path=fifo)
    with closing(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)) as (writer,):
        c.call("stop", watcher="f")
        with pytest.raises(BrokenPipeError):
            os.write(writer, b"x")


def test_socket_by_path_is_refused(evd, c):
    error = c.fails("watch", type="io", watcher="s", events="r", path=evd.path)
    assert error.code == "system-error" and "ENXIO" in error.message


def test_set_changes_the_path(c, fifo):
    c.watch("io", "f", events="r", path="/nowhere", start=False)
    c.call("set", watcher="f", path=fifo)
    c.call("start", watcher="f")
    assert c.call("get", watcher="f")["path"] == fifo


def test_set_changes_the_source(evd, c, pipe, fifo):
    fds = evd.fds()
    c.watch_fd("f", pipe[0], start=False)
    c.call("set", watcher="f", path=fifo)
    assert evd.fds() == fds
    c.call("set", watcher="f", pid=os.getpid(), fd=pipe[0])
    state = c.call("get", watcher="f")
    assert "path" not in state and state["pid"] == os.getpid()
    c.call("start", watcher="f")
    os.write(pipe[1], b"x")
    assert c.event()["watcher"] == "f"


def test_path_is_charged():
    with Daemon(args=["--max-bytes", "100"]) as evd, evd.connect() as c:
        path = "/" + "x" * 98
        assert c.fails("watch", type="io", watcher="p", events="r", path=path).code == (
            "limit-exceeded"
        )
        c.watch("io", "p", events="r", path="/dev/null", start=False)
        error = c.fails("set", watcher="p", path=path)
        assert error.code == "limit-exceeded"
        assert c.call("get", watcher="p")["path"] == "/dev/null"
        c.call("unwatch", watcher="p")
        c.watch("io", "p", events="r", path=path[:90], start=False)


@pytest.mark.parametrize(
    "members, word",
    [
        ({"path": "relative"}, '"path"'),
        ({"path": ""}, '"path"'),
        ({"path": "/" + "x" * 4096}, '"path"'),
        ({"path": 1}, '"path"'),
        ({"path": "/dev/tty", "events": "rw"}, '"events"'),
        ({"path": "/dev/null", "pid": 1, "fd": 1}, '"pid"'),
        ({"pid": 1}, '"fd"'),
        ({"fd": 1}, '"pid"'),
        ({"pid": 0, "fd": 1}, '"pid"'),
        ({"pid": 1, "fd": -1}, '"fd"'),
        ({"events": "x"}, '"events"'),
        ({"events": "wr"}, '"events"'),
        ({"events": 4}, '"events"'),
        ({"events": None}, '"events"'),
    ],
)
def test_bad_members(c, members, word):
    error = c.fails("watch", type="io", watcher="p", **{"events": "r", **members})
    assert error.code == "invalid-argument" and word in error.message


def test_events_are_required(c):
    error = c.fails("watch", type="io", watcher="p", path="/dev/null")
    assert error.code == "invalid-argument" and '"events"' in error.message


def test_descriptor_beside_a_path(evd, c, pipe):
    fds = evd.fds()
    error = c.fails_fds(
        "watch", pipe[0], type="io", watcher="p", events="r", path="/dev/null"
    )
    assert error.code == "invalid-argument" and '"fds"' in error.message
    assert evd.fds() == fds


# Another process's


def test_descriptor_of_a_process(c, pipe):
    c.watch("io", "p", events="r", pid=os.getpid(), fd=pipe[0])
    assert c.poll() == []
    os.write(pipe[1], b"x")
    assert c.event()["watcher"] == "p"
    state = c.call("get", watcher="p")
    assert (state["pid"], state["fd"]) == (os.getpid(), pipe[0])


def test_socket_of_a_process_is_copied_again_by_start(c, pair):
    c.watch("io", "p", events="r", pid=os.getpid(), fd=pair[0].fileno())
    c.call("stop", watcher="p")
    c.call("start", watcher="p")
    pair[1].send(b"x")
    assert c.event()["watcher"] == "p"


def test_process_that_has_ended(c):
    with subprocess.Popen(["/bin/true"]) as child:
        pass
    error = c.fails("watch", type="io", watcher="p", events="r", pid=child.pid, fd=0)
    assert error.code == "system-error" and "ESRCH" in error.message


def test_process_that_nobody_has_reaped(c):
    with subprocess.Popen(["/bin/true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        error = c.fails("watch", type="io", watcher="p", events="r", pid=child.pid, fd=0)
    assert error.code == "system-error"


def test_descriptor_that_is_not_there(c):
    error = c.fails("watch", type="io", watcher="p", events="r", pid=os.getpid(), fd=999999)
    assert error.code == "system-error" and "EBADF" in error.message


def test_process_of_another_uid(c):
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    with subprocess.Popen(
        ["/bin/sleep", "1000"],
        stdin=subprocess.PIPE,
        preexec_fn=lambda: os.setuid(65534),
    ) as child:
        try:
            error = c.fails(
                "watch", type="io", watcher="p", events="r", pid=child.pid, fd=0
            )
        finally:
            child.kill()
    assert error.code == "system-error" and "EPERM" in error.message


def test_yama_is_obeyed(c, pipe):
    scope = "/proc/sys/kernel/yama/ptrace_scope"
    if not os.path.exists(scope):
        pytest.skip("this kernel has no Yama (%s)" % scope)
    with open(scope) as file:
        level = int(file.read())
    if level == 0 or (level < 3 and os.getuid() == 0):
        pytest.skip("Yama lets us: ptrace_scope is %d, uid %d" % (level, os.getuid()))
    error = c.fails(
        "watch", type="io", watcher="p", events="r", pid=os.getpid(), fd=pipe[0]
    )
    assert error.code == "system-error" and "EPERM" in error.message


def test_descriptors_of_evd_itself(evd, c):
    error = c.fails("watch", type="io", watcher="p", events="r", pid=evd.pid, fd=0)
    assert error.code == "system-error" and "ESRCH" in error.message


def test_end_of_evds_own_connection_is_refused(evd, c):
    fds = evd.fds()
    error = c.fails_fds("watch", c.sock.fileno(), type="io", watcher="p", events="r")
    assert error.code == "invalid-argument" and "evd itself" in error.message
    error = c.fails(
        "watch", type="io", watcher="p", events="r", pid=os.getpid(), fd=c.sock.fileno()
    )
    assert error.code == "invalid-argument" and "evd itself" in error.message
    assert evd.fds() == fds
