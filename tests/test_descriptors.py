"""Passed descriptors: which line gets which, limits, and what ends with them."""

import array
import contextlib
import fcntl
import os
import resource
import signal
import socket
import subprocess
import termios

import pytest

from evdfds import connect, fixture_c, fixture_evd, fixture_other  # noqa: F401
from evdtest import (
    WRAPPER,
    Daemon,
    EvdError,
    barrier,
    command,
    encode,
    scaled,
    wait_until,
)


class Pipes:
    """Pipes of which every third is readable; close() closes them."""

    def __init__(self, count):
        self.pipes = [os.pipe() for _ in range(count)]
        self.read = [r for r, w in self.pipes]
        self.ready = set(range(0, count, 3))
        for i in self.ready:
            os.write(self.pipes[i][1], b"x")

    def close(self):
        for pipe in self.pipes:
            for fd in pipe:
                os.close(fd)


def pipes(count):
    return contextlib.closing(Pipes(count))


@pytest.fixture(name="pipe")
def fixture_pipe():
    with pipes(1) as made:
        yield made.pipes[0]


@pytest.fixture(name="many_files")
def fixture_many_files():
    """As many descriptors for this process as the system lets it have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def watch(watcher, fds=1, reply=False, **members):
    members = {"type": "io", "events": "r", **members}
    return command("watch", watcher=watcher, fds=fds, reply=reply, **members)


def fired(client):
    return {event["watcher"] for event in client.poll()}


def unsent(client):
    """How many bytes the daemon has not read yet."""
    number = array.array("i", [0])
    fcntl.ioctl(client.sock, termios.TIOCOUTQ, number)
    return number[0]


NOW = command("now", reply=False)

# Pairing


def test_many_lines_and_their_descriptors_in_one_sendmsg(c):
    with pipes(253) as p:
        c.send_fds([watch(i) for i in range(253)], p.read)
        assert fired(c) == p.ready


def test_lines_without_between_lines_with(c):
    with pipes(60) as p:
        for i, fd in enumerate(p.read):
            c.send(NOW)
            c.send_fds([NOW, watch(i), NOW], [fd])
            c.send(command("watch", type="async", watcher="a%d" % i, reply=False))
        assert fired(c) == p.ready


def test_thousands_one_sendmsg_after_another(c, many_files):
    with pipes(min(scaled(3000, 300), many_files // 3)) as p:
        for i, fd in enumerate(p.read):
            c.send_fds([watch(i)], [fd])
        assert fired(c) == p.ready


def test_lines_with_none_one_and_two(c):
    """One that takes two is refused, for a watcher takes one, and takes its two."""
    with pipes(90) as p:
        fds, errors = list(p.read), 0
        for i in range(0, 90, 3):
            c.send_fds([watch(i)], [fds[i]])
            c.send_fds([NOW, watch("two", fds=2), NOW], fds[i + 1 : i + 3])
            c.send(NOW)
            errors += 1
        c.send(command("now", id="end"))
        codes = {reply["error"]["code"] for reply in c.replies(errors)}
        assert codes == {"invalid-argument"} and c.reply()["id"] == "end"
        assert fired(c) == p.ready


@pytest.mark.parametrize("together", [True, False])
def test_cut_at_every_byte(c, together):
    """The first byte brings the descriptors, the rest of the lines comes later."""
    with pipes(2) as p:
        data = encode(watch("a")) + encode(watch("b"))
        for cut in range(1, len(data)):
            socket.send_fds(c.sock, [data[:cut]], p.read)
            if not together:
                wait_until(lambda: unsent(c) == 0, "evd has read the first part")
            c.sock.sendall(data[cut:])
            assert fired(c) == {"a"}, cut
            c.calls([command("unwatch", watcher=name) for name in ("a", "b")])


def test_messages_in_flight_at_every_offset_of_a_read(c):
    """evd reads up to 64 KiB at once: lines of all lengths walk over that border."""
    with pipes(50) as p:
        for start in range(65400, 65560, scaled(1, 13)):
            filler = b" " * (start - 120) + b'{"cmd":"now","reply":false}\n'
            assert len(filler) <= 65536
            c.raw(filler)
            for i, fd in enumerate(p.read):
                c.send_fds([NOW, watch(i)], [fd])
            assert fired(c) == p.ready, start
            c.send(*[command("unwatch", watcher=i, reply=False) for i in range(50)])


def test_one_descriptor_for_each_byte_of_a_line(evd, c, pipe):
    """No line can be meant like that, and none is kept."""
    before = evd.fds()
    for byte in encode(watch("a", reply=True)):
        socket.send_fds(c.sock, [bytes([byte])], [pipe[0]])
    error = c.reply()["error"]
    assert error["code"] == "invalid-argument" and "not taken" in error["message"]
    assert evd.fds() == before
    assert c.call_fds("watch", pipe[0], type="io", watcher="a", events="r") == {}


def test_end_of_input_inside_a_line_with_a_descriptor(c, pipe):
    line = encode(watch("a", reply=True)).rstrip(b"\n")
    socket.send_fds(c.sock, [line], [pipe[0]])
    c.shutdown()
    assert c.reply() == {"result": {}}
    assert c.event()["watcher"] == "a"
    c.eof()


# What does not fit


def test_more_asked_than_passed(evd, c, pipe):
    before = evd.fds()
    error = c.fails_fds("watch", pipe[0], type="io", watcher="p", events="r", fds=2)
    assert error.code == "invalid-argument" and '"fds" is 2' in error.message
    assert "at most 1" in error.message
    assert evd.fds() == before, "what was passed is closed"
    c.watch_fd("p", pipe[0])


def test_more_asked_than_passed_takes_nothing_of_later_lines(evd, other, c, pipe):
    """Whether evd has read these already or not."""
    before = evd.fds()
    os.kill(evd.pid, signal.SIGSTOP)
    # So many that it reads on before it comes to a.
    c.send(*[NOW] * 1000)
    c.send_fds([watch("a", fds=2)], [pipe[0]])
    for name in ("b", "c"):
        c.send_fds([watch(name)], [pipe[0]])
    os.kill(evd.pid, signal.SIGCONT)
    error = c.reply()["error"]
    assert error["watcher"] == "a" and "at most 1" in error["message"]
    assert fired(c) == {"b", "c"}
    assert evd.fds() == before + 2


def test_more_passed_than_asked(evd, c, pipe):
    before = evd.fds()
    c.send_fds([watch("a")], [pipe[0], pipe[0]])
    c.send_fds([watch("b", reply=True)], [pipe[0]])
    c.send_fds([watch("c", reply=True)], [pipe[0]])
    error = c.reply()["error"]
    assert error["code"] == "invalid-argument" and error["watcher"] == "b"
    assert "not taken (1)" in error["message"]
    assert c.reply() == {"result": {}}, "the next one is paired right"
    assert evd.fds() == before + 2, "a's and c's are open"


def test_line_that_takes_none_finds_what_is_left_as_well(c, pipe):
    c.send_fds([NOW], [pipe[0]])
    c.send_fds([NOW], [pipe[0]])
    assert "not taken (1)" in c.reply()["error"]["message"]


def test_what_nobody_asks_for_is_closed_with_the_connection(evd, other, pipe):
    before = evd.fds()
    with evd.connect() as client:
        client.send_fds([command("now")], [pipe[0]] * 5)
        client.reply()
        assert evd.fds() > before + 5
    wait_until(lambda: evd.fds() == before, "all descriptors are closed")


@pytest.mark.parametrize(
    "line", ["nonsense", "[]", '{"cmd":"watch","fds":1,', "", b"\xff", "x" * 70000]
)
def test_line_that_cannot_be_read_takes_its_own_along(evd, c, pipe, line):
    before = evd.fds()
    c.send_fds([line], [pipe[0]])
    assert c.reply()["error"]["code"] == "parse-error"
    assert evd.fds() == before
    c.watch_fd("p", pipe[0])
    assert fired(c) == {"p"}


@pytest.mark.parametrize("line", ["nonsense", "x" * 70000])
def test_line_that_cannot_be_read_takes_nothing_of_the_next(c, pipe, line):
    c.send(line)
    c.send_fds([watch("p", reply=True)], [pipe[0]])
    assert c.reply()["error"]["code"] == "parse-error"
    assert c.reply() == {"result": {}}


@pytest.mark.parametrize(
    "members",
    [
        {"cmd": "now"},
        {"cmd": "watch", "type": "io", "watcher": "p", "events": "x"},
        {"cmd": "watch", "type": "timer", "watcher": "p", "after": 1},
        {"cmd": "watch", "type": "nonsense", "watcher": "p"},
        {"cmd": "start", "watcher": "unknown"},
        {"cmd": "nonsense"},
        {"cmd": 1},
        {},
    ],
)
def test_refused_line_takes_its_own_and_no_other(evd, c, pipe, members):
    before = evd.fds()
    c.send_fds([{**members, "fds": 1}, watch("good")], [pipe[1], pipe[0]])
    assert "error" in c.reply()
    assert fired(c) == {"good"}
    assert evd.fds() == before + 1


@pytest.mark.parametrize("fds", [-1, 254, "1", 1.0, None, 1 << 40])
def test_number_that_is_none(evd, c, pipe, fds):
    before = evd.fds()
    error = c.fails_fds("watch", pipe[0], type="io", watcher="p", events="r", fds=fds)
    assert error.code == "invalid-argument" and '"fds"' in error.message
    assert evd.fds() == before, "what came with the line is closed"
    c.watch_fd("p", pipe[0])


@pytest.mark.parametrize("verb", ["now", "stop", "get", "ack", "poll"])
def test_verbs_that_take_none(evd, c, pipe, verb):
    before = evd.fds()
    error = c.fails_fds(verb, pipe[0])
    assert error.code == "invalid-argument" and "fds" in error.message
    assert evd.fds() == before


def test_two_for_one_watcher(evd, c, pipe):
    before = evd.fds()
    error = c.fails_fds("watch", *pipe, type="io", watcher="p", events="r")
    assert error.code == "invalid-argument" and "expected 0 or 1" in error.message
    c.watch_fd("p", pipe[0], start=False)
    for verb in ("start", "set"):
        error = c.fails_fds(verb, *pipe, watcher="p")
        assert error.code == "invalid-argument" and "expected 0 or 1" in error.message
    assert evd.fds() == before + 1


def test_none_is_as_good_as_no_member(c):
    c.call("watch", type="async", watcher="a", fds=0)
    c.call("start", watcher="a", fds=0)


def test_kernel_refuses_254(c, pipe):
    with pytest.raises(OSError):
        c.send_fds([watch("p")], [pipe[0]] * 254)
    assert c.call("now")


def test_too_many_in_flight_is_the_senders_to_wait_for():
    """As a user without privileges: ETOOMANYREFS, until evd has read some."""
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    program = """
import errno, os, resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
for i in range(600):
    r, w = os.pipe()
    line = b'{"cmd":"watch","type":"io","watcher":%d,"events":0,"fds":1,"reply":false}\\n' % i
    while True:
        try:
            socket.send_fds(s, [line], [r])
            break
        except OSError as error:
            assert error.errno == errno.ETOOMANYREFS, error
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
        limits = c.call("hello")["limits"]
        assert limits["uid"]["descriptors"] == limits["session"]["descriptors"] == 3
        before = evd.fds()
        for i in range(3):
            c.watch_fd(i, pipe[0])
        error = c.fails_fds("watch", pipe[0], type="io", watcher=3, events="r")
        assert error.code == "limit-exceeded"
        assert "descriptors" in error.message and "3" in error.message
        error = c.fails("watch", type="io", watcher=3, events="r", path="/dev/null")
        assert error.code == "limit-exceeded"
        assert evd.fds() == before + 3
        c.call("unwatch", watcher=0)
        c.watch_fd(3, pipe[0])


def test_what_is_queued_counts(pipe):
    with Daemon(args=["--max-session-descriptors", "3"]) as evd, connect(evd) as c:
        before = evd.fds()
        c.send_fds([command("now")], [pipe[0]] * 10)
        c.reply()
        assert evd.fds() == before + 3


def test_over_the_limit_lines_are_refused_one_by_one(pipe):
    with Daemon(args=["--max-session-descriptors", "3"]) as evd, connect(evd) as c:
        c.send_fds([watch(i, reply=True) for i in range(5)], [pipe[0]] * 5)
        replies = c.replies(5)
        assert ["error" in reply for reply in replies] == [False] * 3 + [True] * 2
        assert {reply["error"]["code"] for reply in replies[3:]} == {"limit-exceeded"}
        c.call("unwatch", watcher=0)
        c.watch_fd(5, pipe[0])


def test_many_that_no_line_takes_cost_nothing(pipe):
    """An endless line, and 253 descriptors with each byte of it."""
    args = ["--max-session-descriptors", "300"]
    with Daemon(args=args) as evd, connect(evd) as c, connect(evd) as other:
        memory = evd.memory()
        for _ in range(scaled(3000, 100)):
            socket.send_fds(c.sock, [b"x"], [pipe[0]] * 253)
        other.call("now")
        wait_until(lambda: unsent(c) == 0, "evd has read it all")
        assert evd.memory() - memory < 1000
        c.send("")
        assert c.reply()["error"]["code"] == "parse-error"
        c.watch_fd("p", pipe[0])


def test_limit_of_the_process_is_raised(pipe):
    if WRAPPER:
        pytest.skip("a wrapper has limits of its own")
    with Daemon(nofile=(64, 512)) as evd:
        with open("/proc/%d/limits" % evd.pid) as limits:
            (line,) = [line for line in limits if line.startswith("Max open files")]
        assert line.split()[3:5] == ["512", "512"]
        with connect(evd) as c:
            for i in range(400):
                c.watch_fd(i, pipe[0])


def test_at_the_limit_of_the_process_it_refuses_and_serves_on(pipe):
    """No spinning, answers to all, refusals that say why; then all is well again."""
    if WRAPPER:
        pytest.skip("a wrapper needs descriptors of its own")
    with Daemon(nofile=(128, 128)) as evd, connect(evd) as c, connect(evd) as other:
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
        error = other.fails("watch", type="io", watcher=0, events="r", path="/dev/null")
        assert error.code == "limit-exceeded" and "RLIMIT_NOFILE" in error.message
        with evd.connect() as third:
            assert third.call("now"), "there is a reserve for connections"
        crowd = [evd.connect() for _ in range(60)]
        for client in crowd[-5:]:
            (last,) = client.rest()
            assert (last["event"], last["reason"]) == ("bye", "limit-exceeded")
            assert "128 (RLIMIT_NOFILE)" in last["message"]
        evd.settle()
        for client in crowd:
            client.close()
        assert other.call("now")
        c.close()
        wait_until(lambda: evd.fds() == before - 1, "the descriptors are closed")
        other.watch_fd(0, pipe[0])
        evd.settle()


def test_full_table_loses_the_rest_of_a_message(pipe):
    """The kernel hands over as many as it can; all lines behind are refused."""
    if WRAPPER:
        pytest.skip("a wrapper needs descriptors of its own")
    with Daemon(nofile=(128, 128)) as evd, connect(evd) as c:
        before = evd.fds()
        c.send_fds([watch(i, reply=True) for i in range(253)], [pipe[0]] * 253)
        replies = c.replies(253)
        refused = ["error" in reply for reply in replies]
        first = refused.index(True)
        assert 50 < first < 120 and all(refused[first:])
        assert {reply["error"]["code"] for reply in replies[first:]} == {"limit-exceeded"}
        assert "too many descriptors: the daemon has room for" in evd.stderr
        assert evd.fds() == before + first
        c.call("unwatch", watcher=0)
        c.watch_fd(0, pipe[0])
        error = c.fails_fds("watch", pipe[0], type="io", watcher="p", events="r")
        assert error.code == "limit-exceeded"
        evd.settle()


# Neighbours


def test_churn_beside_a_quiet_client(evd, other, c, pipe):
    """Register ready ones, close them here, unregister: 10,000, and none is left."""
    before = evd.fds()
    for _ in range(scaled(50, 2)):
        for i in range(200):
            with contextlib.ExitStack() as stack:
                fd = os.dup(pipe[0])
                stack.callback(os.close, fd)
                c.send_fds([watch(i)], [fd])
        other.call("now")
        c.send(*[command("unwatch", watcher=i, reply=False) for i in range(200)])
        c.poll()
    assert evd.fds() == before
    barrier(other)
    evd.settle()
