"""The io type: descriptors that are passed, opened by path, or another process's."""

import contextlib
import errno
import fcntl
import os
import pty
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

import pytest

from evdtest import Daemon, EvdError, WRAPPER, command, encode, scaled, wait_until

READ, WRITE = 1, 2


@contextlib.contextmanager
def closing(*fds):
    """Close what is still open of these descriptors at the end."""
    try:
        yield fds
    finally:
        for fd in fds:
            with contextlib.suppress(OSError):
                os.close(fd)


@pytest.fixture
def evd():
    with Daemon() as daemon:
        yield daemon


def connect(evd):
    """A client that has been accepted: its connection is among evd.fds()."""
    client = evd.connect()
    client.call("now")
    return client


@pytest.fixture
def c(evd):
    with connect(evd) as client:
        yield client


@pytest.fixture
def pipe():
    with closing(*os.pipe()) as ends:
        yield ends


@pytest.fixture
def pair():
    a, b = socket.socketpair()
    with a, b:
        yield a, b


def revents(events):
    return [(event["watcher"], event["revents"]) for event in events]


def fails_fds(client, cmd, *fds, **members):
    with pytest.raises(EvdError) as caught:
        client.call_fds(cmd, *fds, **members)
    return caught.value


# Kinds of descriptors


def test_pipe(c, pipe):
    c.watch_fd("p", pipe[0])
    assert c.poll() == []
    os.write(pipe[1], b"x")
    event = c.event()
    assert (event["event"], event["watcher"], event["revents"]) == ("io", "p", READ)
    assert "active" not in event


def test_level_triggered_paced_by_ack(c, pipe):
    os.write(pipe[1], b"x")
    c.watch_fd("p", pipe[0])
    assert revents(c.poll()) == [("p", READ)]
    assert c.poll() == [], "held until the ack"
    assert c.call("ack") == {"freed": 1}
    assert revents(c.poll()) == [("p", READ)], "still readable"
    os.read(pipe[0], 1)
    c.call("ack")
    assert c.poll() == []
    os.write(pipe[1], b"y")
    assert c.event()["watcher"] == "p"


def test_evd_reads_and_changes_nothing(c, pipe):
    flags = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in pipe]
    os.write(pipe[1], b"abc")
    c.watch_fd("p", pipe[0])
    c.poll()
    c.call("unwatch", watcher="p")
    assert os.read(pipe[0], 10) == b"abc"
    assert [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in pipe] == flags


def test_socket_both_directions(c, pair):
    a, b = pair
    c.watch_fd("s", a.fileno(), "rw")
    assert revents(c.poll()) == [("s", WRITE)]
    b.send(b"x")
    c.call("ack")
    assert revents(c.poll()) == [("s", READ | WRITE)]


@pytest.mark.parametrize("events, expected", [("w", [("s", WRITE)]), ("r", [])])
def test_one_direction(c, pair, events, expected):
    c.watch_fd("s", pair[0].fileno(), events)
    assert revents(c.poll()) == expected


@pytest.mark.parametrize("bits, name", [(1, "r"), (2, "w"), (3, "rw")])
def test_events_as_bits_or_letters(c, pair, bits, name):
    c.watch_fd("bits", pair[0].fileno(), bits)
    c.watch_fd("name", pair[0].fileno(), name)
    assert c.call("get", watcher="bits")["events"] == bits
    assert c.call("get", watcher="name")["events"] == bits


def test_no_events_is_legal_and_silent(c, pair):
    pair[1].send(b"x")
    c.watch_fd("s", pair[0].fileno(), 0)
    pair[1].close()
    assert c.poll() == []
    c.call("unwatch", watcher="s")


def test_hang_up_of_the_writer(c, pipe):
    c.watch_fd("p", pipe[0])
    os.close(pipe[1])
    assert c.event()["revents"] == READ


def test_hang_up_of_the_reader(c, pipe):
    c.watch_fd("p", pipe[1], "w")
    assert revents(c.poll()) == [("p", WRITE)]
    os.close(pipe[0])
    c.call("ack")
    assert c.event()["revents"] == WRITE


def test_hang_up_is_readiness_for_both(c, pair):
    c.watch_fd("s", pair[0].fileno(), "rw")
    c.poll()
    pair[1].close()
    c.call("ack")
    assert c.event()["revents"] == READ | WRITE


def test_terminal(c):
    master, slave = pty.openpty()
    with closing(master, slave):
        c.watch_fd("t", slave)
        assert c.poll() == []
        os.write(master, b"line\n")
        assert c.event()["watcher"] == "t"


def test_eventfd(c):
    with closing(os.eventfd(0) if hasattr(os, "eventfd") else -1) as (fd,):
        if fd < 0:
            pytest.skip("this Python has no os.eventfd")
        c.watch_fd("e", fd)
        assert c.poll() == []
        os.eventfd_write(fd, 1)
        assert c.event()["watcher"] == "e"


@pytest.mark.parametrize("path", ["/dev/null", __file__])
def test_always_ready_paced_by_ack(c, path):
    with closing(os.open(path, os.O_RDONLY)) as (fd,):
        c.watch_fd("f", fd)
        for _ in range(3):
            assert revents(c.poll()) == [("f", READ)]
            assert c.poll() == []
            c.call("ack")
        c.call("stop", watcher="f")
        c.poll()


def test_epoll_inside(c, pipe):
    with select.epoll() as inner:
        inner.register(pipe[0], select.EPOLLIN)
        c.watch_fd("e", inner.fileno())
        assert c.poll() == []
        os.write(pipe[1], b"x")
        assert c.event()["watcher"] == "e"


def test_inotify_and_signalfd(c):
    program = r"""
import ctypes, os, sys, socket, tempfile
libc = ctypes.CDLL(None, use_errno=True)
"""
    libc = __import__("ctypes").CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory() as directory:
        with closing(libc.inotify_init1(os.O_CLOEXEC)) as (fd,):
            IN_CREATE = 0x100
            libc.inotify_add_watch(fd, directory.encode(), IN_CREATE)
            c.watch_fd("i", fd)
            assert c.poll() == []
            open(os.path.join(directory, "x"), "w").close()
            assert c.event()["watcher"] == "i"


def test_epoll_in_a_circle_is_refused(c):
    with select.epoll() as a, select.epoll() as b:
        a.register(b.fileno(), select.EPOLLIN)
        chain = b
        deeper = [select.epoll() for _ in range(6)]
        for epoll in deeper:
            with contextlib.suppress(OSError):
                epoll.register(chain.fileno(), select.EPOLLIN)
                chain = epoll
        error = fails_fds(
            c, "watch", chain.fileno(), type="io", watcher="e", events="r"
        )
        assert error.code == "system-error" and "ELOOP" in error.message
        for epoll in deeper:
            epoll.close()


# Several watchers


def test_same_description_twice(c, pipe):
    c.watch_fd("a", pipe[0])
    c.watch_fd("b", pipe[0])
    os.write(pipe[1], b"x")
    assert sorted(revents(c.poll())) == [("a", READ), ("b", READ)]
    c.call("unwatch", watcher="a")
    c.call("ack")
    assert revents(c.poll()) == [("b", READ)]


def test_two_clients_on_one_description(evd, c, pipe):
    with evd.connect() as other:
        c.watch_fd("a", pipe[0])
        other.watch_fd("b", pipe[0])
        os.write(pipe[1], b"x")
        assert c.event()["watcher"] == "a"
        assert other.event()["watcher"] == "b"


def test_priority_and_once(c, pipe):
    os.write(pipe[1], b"x")
    c.watch_fd("low", pipe[0], start=False, priority=-1)
    c.watch_fd("high", pipe[0], start=False, priority=1, once=True)
    c.calls([command("start", watcher="low"), command("start", watcher="high")])
    events = c.poll()
    assert [event["watcher"] for event in events] == ["high", "low"]
    assert events[0]["active"] is False and "active" not in events[1]


# The life of a watcher


def test_stop_closes_before_the_reply(evd, c, pair):
    """The peer sees the end as soon as both copies are closed."""
    a, b = pair
    for verb in ("stop", "unwatch"):
        left, right = socket.socketpair()
        c.watch_fd(verb, left.fileno())
        left.close()
        c.call(verb, watcher=verb)
        right.setblocking(False)
        assert right.recv(1) == b"", "end of file right after the reply"
        right.close()


def test_listener_can_be_bound_again(c):
    address = None
    for _ in range(scaled(50, 5)):
        with socket.socket() as listener:
            listener.bind(address or ("127.0.0.1", 0))
            address = listener.getsockname()
            listener.listen()
            c.watch_fd("l", listener.fileno())
        c.call("unwatch", watcher="l")


def test_start_after_stop_needs_a_descriptor_again(c, pipe):
    c.watch_fd("p", pipe[0])
    c.call("stop", watcher="p")
    error = c.fails("start", watcher="p")
    assert error.code == "invalid-argument" and '"fds"' in error.message
    assert c.call("get", watcher="p")["active"] is False
    c.call_fds("start", pipe[0], watcher="p")
    os.write(pipe[1], b"x")
    assert c.event()["watcher"] == "p"


def test_registered_without_start_keeps_the_descriptor(c, pipe):
    c.watch_fd("p", pipe[0], start=False)
    os.write(pipe[1], b"x")
    assert c.poll() == []
    c.call("start", watcher="p")
    assert revents(c.poll()) == [("p", READ)]


def test_no_descriptor_at_all(c):
    error = c.fails("watch", type="io", watcher="p", events="r")
    assert error.code == "invalid-argument" and '"fds"' in error.message
    assert c.fails("get", watcher="p").code == "no-such-watcher"


@pytest.mark.parametrize("moment", ["quiet", "pending", "written", "acked"])
@pytest.mark.parametrize("verb", ["stop", "unwatch", "restart", "set"])
def test_ended_at_each_moment(evd, c, pipe, verb, moment):
    c.watch_fd("p", pipe[0])
    before = evd.fds() - 1
    if moment != "quiet":
        os.write(pipe[1], b"x")
    if moment in ("written", "acked"):
        assert c.event()["watcher"] == "p"
    if moment == "acked":
        os.read(pipe[0], 1)
        c.call("ack")
    c.events.clear()
    if verb == "set":
        assert c.fails("set", watcher="p", events="w").code == "watcher-active"
    c.call("unwatch" if verb == "unwatch" else "stop", watcher="p")
    c.events.clear()
    assert c.poll() == [], "nothing follows the reply"
    assert evd.fds() == before
    if verb == "unwatch":
        return
    if verb == "set":
        c.call("set", watcher="p", events="r")
    with contextlib.suppress(BlockingIOError):
        os.set_blocking(pipe[0], False)
        os.read(pipe[0], 1)
    c.call_fds("start", pipe[0], watcher="p")
    assert c.poll() == []
    os.write(pipe[1], b"y")
    assert c.event()["watcher"] == "p"


def test_set_replaces_the_descriptor(evd, c, pipe):
    with closing(*os.pipe()) as (r, w):
        c.watch_fd("p", pipe[0], start=False)
        fds = evd.fds()
        c.call_fds("set", r, watcher="p")
        assert evd.fds() == fds
        c.call("start", watcher="p")
        os.write(w, b"x")
        assert c.event()["watcher"] == "p"


def test_given_to_an_active_one(evd, c, pipe):
    c.watch_fd("p", pipe[0])
    fds = evd.fds()
    error = fails_fds(c, "start", pipe[0], watcher="p")
    assert error.code == "watcher-active" and '"fds"' in error.message
    assert evd.fds() == fds


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


def test_client_killed_closes_everything(evd, pipe):
    before = evd.fds()
    with evd.connect() as client:
        for i in range(100):
            client.watch_fd(i, pipe[0])
        assert evd.fds() > before + 100
    wait_until(lambda: evd.fds() == before, "all descriptors are closed")


# Pairing lines and descriptors


def watch_line(watcher, fds=1, **members):
    members.setdefault("type", "io")
    members.setdefault("events", "r")
    return command("watch", watcher=watcher, fds=fds, reply=False, **members)


def ready_pipes(count):
    """Pipes of which every third is readable; gives them and those numbers."""
    pipes = [os.pipe() for _ in range(count)]
    ready = set(range(0, count, 3))
    for i in ready:
        os.write(pipes[i][1], b"x")
    return pipes, ready


def close_pipes(pipes):
    for r, w in pipes:
        os.close(r)
        os.close(w)


def test_many_lines_and_their_descriptors_in_one_sendmsg(c):
    pipes, ready = ready_pipes(253)
    c.send_fds([watch_line(i) for i in range(253)], [r for r, w in pipes])
    assert {event["watcher"] for event in c.poll()} == ready
    close_pipes(pipes)


def test_lines_without_between_lines_with(c):
    pipes, ready = ready_pipes(60)
    for i, (r, w) in enumerate(pipes):
        c.send(command("now", reply=False))
        c.send_fds(
            [command("now", reply=False), watch_line(i), command("now", reply=False)],
            [r],
        )
        c.send(command("watch", type="async", watcher="a%d" % i, reply=False))
    assert {event["watcher"] for event in c.poll()} == ready
    close_pipes(pipes)


def test_thousands_one_sendmsg_after_another(c):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    pipes, ready = ready_pipes(min(scaled(3000, 300), hard // 3))
    for i, (r, w) in enumerate(pipes):
        c.send_fds([watch_line(i)], [r])
    assert {event["watcher"] for event in c.poll()} == ready
    close_pipes(pipes)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_one_open_file_polled_too_often_for_the_kernel(evd, c, pipe):
    """Its limit for files below two layers of epoll is 500."""
    for i in range(500):
        c.watch_fd(i, pipe[0])
    fds = evd.fds()
    error = fails_fds(c, "watch", pipe[0], type="io", watcher="p", events="r")
    assert error.code == "system-error" and "500" in error.message
    assert evd.fds() == fds
    os.write(pipe[1], b"x")
    assert len(c.poll()) == 500


def test_message_cut_at_every_byte(c):
    """The first bytes bring the descriptors, the rest of the lines comes later."""
    pipes, ready = ready_pipes(2)
    data = encode(watch_line("a")) + encode(watch_line("b"))
    for cut in range(1, len(data)):
        socket.send_fds(c.sock, [data[:cut]], [pipes[0][0], pipes[1][0]])
        c.sock.sendall(data[cut:])
        assert revents(c.poll()) == [("a", READ)], cut
        c.calls([command("unwatch", watcher=name) for name in ("a", "b")])
    close_pipes(pipes)


def test_more_asked_than_passed(evd, c, pipe):
    before = evd.fds()
    error = fails_fds(c, "watch", pipe[0], type="io", watcher="p", events="r", fds=2)
    assert error.code == "invalid-argument" and '"fds" is 2' in error.message
    assert evd.fds() == before, "what was passed is closed"
    c.watch_fd("p", pipe[0])


def test_more_passed_than_asked(evd, c, pipe):
    before = evd.fds()
    c.send_fds([watch_line("a")], [pipe[0], pipe[0]])
    c.send_fds([command("watch", type="io", watcher="b", events="r", fds=1)], [pipe[0]])
    error = c.reply()["error"]
    assert error["code"] == "invalid-argument" and error["watcher"] == "b"
    assert "not taken" in error["message"]
    assert evd.fds() == before + 1, "only a's is open"
    c.watch_fd("b", pipe[0])


def test_passed_and_never_asked_for_is_closed_with_the_connection(evd, pipe):
    before = evd.fds()
    with evd.connect() as client:
        client.send_fds([command("now")], [pipe[0]] * 5)
        client.reply()
        assert evd.fds() > before + 5
    wait_until(lambda: evd.fds() == before, "all descriptors are closed")


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"cmd":"watch","fds":1,'])
def test_line_that_cannot_be_read_takes_its_descriptors_along(evd, c, pipe, line):
    before = evd.fds()
    c.send_fds([line], [pipe[0]])
    assert c.reply()["error"]["code"] == "parse-error"
    assert evd.fds() == before
    c.watch_fd("p", pipe[0])
    os.write(pipe[1], b"x")
    assert c.event()["watcher"] == "p"


@pytest.mark.parametrize(
    "members",
    [
        {"cmd": "now"},
        {"cmd": "watch", "type": "io", "watcher": "p", "events": "x"},
        {"cmd": "watch", "type": "timer", "watcher": "p", "after": 1},
        {"cmd": "nonsense"},
        {},
    ],
)
def test_refused_line_takes_its_own_and_no_other(evd, c, pipe, members):
    before = evd.fds()
    c.send_fds([dict(members, fds=1), watch_line("good")], [pipe[1], pipe[0]])
    assert "error" in c.reply()
    os.write(pipe[1], b"x")
    assert revents(c.poll()) == [("good", READ)]
    assert evd.fds() == before + 1


@pytest.mark.parametrize("fds", [-1, 254, "1", 1.0, None])
def test_wrong_number(evd, c, pipe, fds):
    error = c.fails("watch", type="io", watcher="p", events="r", fds=fds)
    assert error.code == "invalid-argument" and '"fds"' in error.message
    c.watch_fd("p", pipe[0])


def test_two_for_one_watcher(evd, c, pipe):
    before = evd.fds()
    error = fails_fds(c, "watch", *pipe, type="io", watcher="p", events="r")
    assert error.code == "invalid-argument" and "expected 0 or 1" in error.message
    assert evd.fds() == before


def test_kernel_refuses_254(c, pipe):
    with pytest.raises(OSError):
        c.send_fds([watch_line("p")], [pipe[0]] * 254)
    assert c.call("now")


def test_too_many_in_flight_is_the_senders_to_wait_for(pipe):
    """As a user without privileges: ETOOMANYREFS, until evd has read some."""
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    program = """
import errno, os, resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
waited = 0
for i in range(600):
    r, w = os.pipe()
    line = b'{"cmd":"watch","type":"io","watcher":%d,"events":0,"fds":1,"reply":false}\\n' % i
    while True:
        try:
            socket.send_fds(s, [line], [r])
            break
        except OSError as error:
            assert error.errno == errno.ETOOMANYREFS, error
            waited += 1
    os.close(r)
    os.close(w)
s.sendall(b'{"cmd":"get","watcher":599}\\n')
print(s.recv(1000).decode())
"""
    with Daemon(args=["--socket-mode", "0666"]) as evd:
        os.chmod(evd.directory, 0o755)
        done = subprocess.run(
            ["/usr/bin/python3", "-c", program, evd.path],
            stdout=subprocess.PIPE,
            timeout=60,
            check=True,
        )
        assert b'"active":true' in done.stdout


# Limits


def test_limit_of_descriptors(pipe):
    with Daemon(args=["--max-descriptors", "3"]) as evd, connect(evd) as c:
        before = evd.fds()
        for i in range(3):
            c.watch_fd(i, pipe[0])
        error = fails_fds(c, "watch", pipe[0], type="io", watcher=3, events="r")
        assert error.code == "limit-exceeded"
        assert "descriptors" in error.message and "3" in error.message
        assert evd.fds() == before + 3
        c.call("unwatch", watcher=0)
        c.watch_fd(3, pipe[0])


def test_queued_descriptors_count(pipe):
    with Daemon(args=["--max-session-descriptors", "3"]) as evd, connect(evd) as c:
        before = evd.fds()
        c.send_fds([command("now")], [pipe[0]] * 10)
        c.reply()
        assert evd.fds() == before + 3


def test_process_limit_refuses_and_serves_on(pipe):
    """No spinning, answers to all, refusals that say why; then all is well again."""
    limited = ["/bin/sh", "-c", 'ulimit -n 128; exec "$0" "$@"']
    if WRAPPER:
        pytest.skip("a wrapper needs descriptors of its own")
    import evdtest

    saved = evdtest.WRAPPER
    evdtest.WRAPPER = limited
    try:
        with Daemon() as evd, connect(evd) as c, connect(evd) as other:
            before = evd.fds()
            refused = 0
            for i in range(200):
                try:
                    c.watch_fd(i, pipe[0])
                except EvdError as error:
                    assert error.code == "limit-exceeded", error
                    assert "RLIMIT_NOFILE" in error.message
                    refused += 1
            assert 80 < refused < 180
            with evd.connect() as third:
                assert third.call("now"), "there is a reserve for connections"
            crowd = [evd.connect() for _ in range(60)]
            for client in crowd[-5:]:
                last = client.rest()
                assert last[-1]["event"] == "bye"
                assert last[-1]["reason"] == "limit-exceeded"
            for client in crowd:
                client.close()
            assert other.call("now")
            c.close()
            wait_until(lambda: evd.fds() == before - 1, "the descriptors are closed")
            evd.settle()
    finally:
        evdtest.WRAPPER = saved


# Opened by path


@pytest.fixture
def fifo():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "fifo")
        os.mkfifo(path)
        yield path


def test_fifo_by_path(c, fifo):
    c.watch("io", "f", events="r", path=fifo)
    assert c.poll() == []
    with open(fifo, "wb") as writer:
        writer.write(b"hello")
        writer.flush()
        assert c.event()["watcher"] == "f"


def test_fifo_can_be_started_again_and_unlinked(c, fifo):
    c.watch("io", "f", events="r", path=fifo)
    c.call("stop", watcher="f")
    c.call("start", watcher="f")
    writer = os.open(fifo, os.O_WRONLY)
    os.unlink(fifo)
    os.write(writer, b"x")
    assert c.event()["watcher"] == "f"
    c.call("stop", watcher="f")
    error = c.fails("start", watcher="f")
    assert error.code == "system-error" and "ENOENT" in error.message
    os.close(writer)


def test_fifo_for_writing_needs_a_reader(c, fifo):
    error = c.fails("watch", type="io", watcher="f", events="w", path=fifo)
    assert error.code == "system-error" and "ENXIO" in error.message
    with closing(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)):
        c.watch("io", "f", events="w", path=fifo)
        assert revents(c.poll()) == [("f", WRITE)]


def test_socket_by_path_is_refused(evd, c):
    error = c.fails("watch", type="io", watcher="s", events="r", path=evd.path)
    assert error.code == "system-error" and "ENXIO" in error.message


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
        ({"events": 4}, '"events"'),
    ],
)
def test_bad_members(c, members, word):
    error = c.fails("watch", type="io", watcher="p", **{"events": "r", **members})
    assert error.code == "invalid-argument" and word in error.message


def test_events_are_required(c):
    error = c.fails("watch", type="io", watcher="p", path="/dev/null")
    assert error.code == "invalid-argument" and '"events"' in error.message


def test_descriptor_beside_a_path(evd, c, pipe):
    before = evd.fds()
    error = fails_fds(
        c, "watch", pipe[0], type="io", watcher="p", events="r", path="/dev/null"
    )
    assert error.code == "invalid-argument" and '"fds"' in error.message
    assert evd.fds() == before


# Another process's


def test_descriptor_of_a_process(c, pipe):
    c.watch("io", "p", events="r", pid=os.getpid(), fd=pipe[0])
    assert c.poll() == []
    os.write(pipe[1], b"x")
    assert c.event()["watcher"] == "p"
    state = c.call("get", watcher="p")
    assert (state["pid"], state["fd"]) == (os.getpid(), pipe[0])


def test_process_that_has_ended(c):
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    error = c.fails("watch", type="io", watcher="p", events="r", pid=child.pid, fd=0)
    assert error.code == "system-error" and "ESRCH" in error.message


def test_descriptor_that_is_not_there(c):
    error = c.fails("watch", type="io", watcher="p", events="r", pid=os.getpid(), fd=99999)
    assert error.code == "system-error" and "EBADF" in error.message


def test_process_of_another_uid(c):
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    with subprocess.Popen(
        ["/bin/sleep", "1000"], stdin=subprocess.PIPE, preexec_fn=lambda: os.setuid(65534)
    ) as child:
        error = c.fails("watch", type="io", watcher="p", events="r", pid=child.pid, fd=0)
        child.kill()
    assert error.code == "system-error" and "EPERM" in error.message


def test_descriptors_of_evd_itself(evd, c):
    error = c.fails("watch", type="io", watcher="p", events="r", pid=evd.pid, fd=0)
    assert error.code == "system-error"


def test_an_end_of_evds_own_connection_is_refused(evd, c):
    before = evd.fds()
    error = fails_fds(c, "watch", c.sock.fileno(), type="io", watcher="p", events="r")
    assert error.code == "invalid-argument" and "evd itself" in error.message
    assert evd.fds() == before


# Rights


def other_user(evd, lines, fds=()):
    """Run a client as another uid; gives the lines that it receives."""
    program = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
r, w = os.pipe(); os.write(w, b"x")
for line in sys.stdin.buffer:
    fds = [r] if b'"fds"' in line else []
    socket.send_fds(s, [line], fds)
s.shutdown(socket.SHUT_WR)
print(b"".join(iter(lambda: s.recv(65536), b"")).decode(), end="")
"""
    os.chmod(evd.directory, 0o755)
    done = subprocess.run(
        ["/usr/bin/python3", "-c", program, evd.path],
        input=b"".join(map(encode, lines)),
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    import json

    return [json.loads(line) for line in done.stdout.splitlines()]


def test_other_uid_may_pass_but_not_name(fifo):
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    with Daemon(args=["--socket-mode", "0666"]) as evd:
        replies = other_user(
            evd,
            [
                command("watch", type="io", watcher=1, events="r", path=fifo),
                command("watch", type="io", watcher=2, events="r", pid=1, fd=1),
                command("watch", type="io", watcher=3, events="r", fds=1),
            ],
        )
        for reply in replies[:2]:
            assert reply["error"]["code"] == "permission-denied"
            assert "uid is 65534 and evd's is 0" in reply["error"]["message"]
        assert replies[2] == {"result": {}}
        assert replies[3]["watcher"] == 3


# Neighbours


def test_churn_of_ready_descriptors_beside_a_quiet_client(evd):
    """Register, close in the client, unregister: evd ends with none, others served."""
    with connect(evd) as churn, connect(evd) as quiet, closing(*os.pipe()) as (r, w):
        before = evd.fds()
        os.write(w, b"x")
        for _ in range(scaled(10, 2)):
            for i in range(200):
                churn.send_fds([watch_line(i)], [r])
            quiet.call("now")
            churn.send(*[command("unwatch", watcher=i, reply=False) for i in range(200)])
            churn.poll()
        assert evd.fds() == before
        evd.settle()
