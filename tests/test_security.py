"""What a hostile client, or a hostile place for the socket, must not achieve."""

import base64
import os
import re
import select
import socket
import stat

import pytest

from evdtest import Daemon, command, run, wait_until

ESCAPE = "\x1b[2J\x1b]0;owned\x07\r\n\x9b31m\u202e\\"


# What clients say does not reach a terminal by the log


@pytest.mark.parametrize("level", ["notice", "debug"])
def test_log_is_plain_text(level, tmp_path):
    text = ESCAPE.replace("\n", "")
    with Daemon(["--log-level", level, "--max-sessions", "2"]) as evd:
        with evd.connect() as c:
            c.call("hello", session="bell \u202e\U0001f514")
            c.raw(text.encode("utf-8", "surrogatepass") + b"\xff\xfe\x9b\n")
            c.reply()
            for members in (
                {"type": text},
                {"type": "async", "watcher": text},
                {text: 1},
                {"type": "async", "watcher": "w", "data": text},
                {"type": "scheduler", "watcher": "s", "calendar": text},
                {"type": "scheduler", "watcher": "s", "calendar": "* * * * *"},
            ):
                c.send(command("watch", **members))
                c.reply()
            c.send(command(text), command("spawn", argv=[text], watcher="w" + text))
            c.replies(2)
            # A path is said in the log where it has to be polled.
            path = base64.b64encode(b"/proc/\x1b[2J\x9b\xff").decode()
            assert c.watch("stat", "p", path_base64=path)["via"] == "poll"
            c.send(command("send", watcher="w"))
            c.replies(1)
            with evd.connect(), evd.connect() as refused:
                assert refused.rest()
        evd.stop()
        with open(evd.log, "rb") as log:
            said = log.read()
    assert b"\\x1b[2J" in said
    assert re.fullmatch(rb"[ -~\n]*", said), said


# The place of the socket


@pytest.mark.parametrize(
    "name, what",
    [
        ("socket", "link"),
        ("socket", "dangling"),
        ("socket", "directory"),
        ("socket", "fifo"),
        ("socket.lock", "link"),
        ("socket.lock", "dangling"),
        ("socket.lock", "directory"),
    ],
)
def test_what_is_there_already_is_not_followed(name, what, tmp_path):
    """A link to somebody's file is neither opened nor deleted nor written to."""
    target = tmp_path / "target"
    target.write_text("precious")
    place = tmp_path / name
    if what == "link":
        place.symlink_to(target)
    elif what == "dangling":
        place.symlink_to(tmp_path / "nowhere")
    elif what == "directory":
        place.mkdir()
    else:
        os.mkfifo(place)
    before = os.lstat(place)
    result = run("--socket", str(tmp_path / "socket"))
    assert result.returncode == 1, result.stderr
    assert str(place) in result.stderr
    after = os.lstat(place)
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    assert target.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


def test_files_are_of_the_user_alone():
    with Daemon() as evd:
        assert stat.S_IMODE(os.stat(evd.path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(evd.path + ".lock").st_mode) == 0o600


# Descriptors


def chain(length):
    """Epolls in epolls; gives all of them, the outermost last."""
    inner = select.epoll()
    all_of_them = [inner]
    for _ in range(length):
        outer = select.epoll()
        outer.register(all_of_them[-1], select.EPOLLIN)
        all_of_them.append(outer)
    return all_of_them


def test_chain_of_epolls():
    """The kernel refuses what would be too deep, and evd says so."""
    epolls = chain(4)
    with Daemon() as evd, evd.connect() as c:
        outcomes = set()
        for n, epoll in enumerate(epolls):
            c.send_fds(
                [command("watch", type="io", watcher=n, events="r", fds=1)],
                [epoll.fileno()],
            )
            reply = c.reply()
            outcomes.add("result" if "result" in reply else reply["error"]["code"])
        assert outcomes == {"result", "system-error"}
        c.call("now")


def test_sockets_full_of_sockets(tmp_path):
    """Descriptors in flight inside of passed ones are the sender's affair."""
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        other.call("now")
        c.call("now")
        fds = evd.fds()
        for n in range(20):
            a, b = socket.socketpair()
            reader, writer = os.pipe()
            for _ in range(5):
                socket.send_fds(a, [b"x"], [writer, b.fileno()])
            c.watch_fd(n, b.fileno())
            for fd in (reader, writer):
                os.close(fd)
            a.close()
            b.close()
        assert evd.fds() == fds + 20
        other.call("now")
        c.close()
        wait_until(lambda: evd.fds() == fds - 1, "all are closed")


def test_descriptors_without_lines_are_charged():
    with Daemon(["--max-descriptors", "100"]) as evd, evd.connect() as other:
        with evd.connect() as c:
            c.call("now")
            fds = evd.fds()
            null = os.open("/dev/null", os.O_RDONLY)
            for _ in range(30):
                # No line is ever complete, so that none takes them.
                socket.send_fds(c.sock, [b"x"], [null] * 253)
                other.call("now")
                # All of a message are there for a moment.
                wait_until(lambda: evd.fds() <= fds + 100, "no more than are charged")
            os.close(null)
        wait_until(lambda: evd.fds() == fds - 1, "all are closed")


def test_pids_that_are_none():
    with Daemon() as evd, evd.connect() as c:
        for pid in (0, -1, 2**31, 2**53, evd.pid):
            for fd in (0, 3, 2**31, -1):
                members = {"type": "io", "watcher": 1, "events": "r"}
                error = c.fails("watch", pid=pid, fd=fd, **members)
                assert error.code in ("invalid-argument", "system-error")
