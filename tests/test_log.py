"""The log: what an operator finds in it, and what no client can do to it."""

import contextlib
import ctypes
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

import pytest

from evdtest import (
    EVD,
    WRAPPER,
    Client,
    Daemon,
    command,
    encode,
    environment,
    logging_to,
    scaled,
    temporary_directory,
)

# Of REFUSAL_PROCESS_MAX and REFUSAL_UID_MAX, in REFUSAL_SECONDS.
PROCESS_MAX = 5
UID_MAX = 20
SECONDS = 10


def spans(begin):
    """How many spans of so many seconds may have begun since a time."""
    return 1 + int((time.monotonic() - begin) / SECONDS)


def refusals(evd):
    return [line for line in evd.stderr.splitlines() if ": refused " in line]


def test_start():
    with Daemon(["--max-watchers", "7", "--max-bytes", "5555"]) as evd:
        first = evd.stderr.splitlines()[0]
        assert re.fullmatch(
            r"evd: evd \d+\.\d+\.\d+ listening on %s, libev \d+\.\d+ with epoll, "
            r"a uid may have 16384 sessions, 7 watchers, 5555 bytes, "
            r"\d+ descriptors, \d+ children" % re.escape(evd.path),
            first,
        ), first


def test_connections_at_debug_only():
    me = "pid %d of uid %d (" % (os.getpid(), os.geteuid())
    for level in ("debug", "notice"):
        with Daemon(["--log-level", level]) as evd:
            with evd.connect() as c:
                c.call("now")
            assert evd.stop() == 0
            assert ("#1: connected, " + me in evd.stderr) == (level == "debug")
            assert ("#1: ended" in evd.stderr) == (level == "debug")


def test_refused_right():
    with Daemon(["--no-spawn"]) as evd, evd.connect() as c:
        error = c.fails("spawn", argv=["true"])
        (line,) = refusals(evd)
        with open("/proc/self/comm") as comm:
            me = (os.getpid(), os.geteuid(), comm.read().rstrip("\n"))
        assert line == "evd: refused pid %d of uid %d (%s): %s" % (*me, error.message)


def test_refused_limit():
    with Daemon(["--max-session-watchers", "1"]) as evd, evd.connect() as c:
        c.watch("async", 1)
        c.fails("watch", type="async", watcher=2)
        (line,) = refusals(evd)
        assert "too many watchers" in line and "--max-session-watchers" in line


def test_refused_session():
    with Daemon(["--max-sessions", "1"]) as evd, evd.connect() as c:
        c.call("now")
        with evd.connect() as other:
            assert other.event()["reason"] == "limit-exceeded"
        (line,) = refusals(evd)
        assert "too many sessions" in line and "pid %d " % os.getpid() in line


def test_other_errors_are_the_clients_business():
    with Daemon() as evd, evd.connect() as c:
        before = evd.stderr
        c.fails("nonsense")
        c.fails("watch", type="timer", watcher="w", after="soon")
        c.fails("stop", watcher="none")
        c.raw(b"{\n")
        c.reply()
        assert evd.stderr == before


def test_flood_of_one_process():
    begin = time.monotonic()
    with Daemon(["--no-spawn"]) as evd, evd.connect() as c:
        for _ in range(scaled(20, 2)):
            c.calls([command("spawn", argv=["true"])] * 100)
        assert 1 <= len(refusals(evd)) <= PROCESS_MAX * spans(begin)
        assert evd.stop() == 0
        # What was left out is said at the latest at the end.
        left_out = map(int, re.findall(r"(\d+) (?:such )?lines", evd.stderr))
        assert sum(left_out) + len(refusals(evd)) == scaled(2000, 200)


def forked(function):
    """Call a function in a process of its own, which must succeed."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_flood_of_many_processes():
    """A uid has a share of its own, which new processes don't add to."""

    def refused():
        with evd.connect() as c:
            c.fails("spawn", argv=["true"])

    begin = time.monotonic()
    with Daemon(["--no-spawn"]) as evd:
        for _ in range(scaled(100, 30)):
            forked(refused)
        assert PROCESS_MAX < len(refusals(evd)) <= UID_MAX * spans(begin)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be several users")
def test_flood_of_another_uid_hides_nothing():
    def refused(uid, number):
        def run():
            os.setgid(uid)
            os.setuid(uid)
            with evd.connect() as c:
                for _ in range(number):
                    c.fails("spawn", argv=["true"])

        return run

    with Daemon(["--socket-mode", "0666"]) as evd:
        os.chmod(evd.directory, 0o755)
        for _ in range(10):
            forked(refused(2001, 30))
        before = len(refusals(evd))
        forked(refused(2002, 1))
        assert "of uid 2002" in refusals(evd)[-1]
        assert len(refusals(evd)) == before + 1


@pytest.mark.parametrize(
    "name",
    [b"\x1b[31mred", b"two\nlines", b"\xff\xfe\x80", b"\\x41", b"%s%n%s", b") x: ("],
)
def test_hostile_name_of_a_program(name):
    def refused():
        assert ctypes.CDLL(None).prctl(15, ctypes.c_char_p(name), 0, 0, 0) == 0
        with evd.connect() as c:
            c.fails("spawn", argv=["true"])

    with Daemon(["--no-spawn"]) as evd:
        forked(refused)
        (line,) = refusals(evd)
        assert re.fullmatch(r"evd: refused pid \d+ of uid \d+ \([ -~]*\): [ -~]*", line)
        # As ps(1) has it, up to the end of the line.
        shown = name.partition(b"\n")[0].replace(b"\\", b"\\x5c")
        if shown.isascii() and shown.decode().isprintable():
            assert "(%s)" % shown.decode() in line


@pytest.mark.parametrize("level", ["debug", "notice"])
def test_hostile_bytes(level):
    """Nothing but printable ASCII comes into the log, a line for each thing."""
    hostile = [
        b"\x1b]0;title\x07\x1b[2J",
        b'{"cmd":"\x1b[31m\xe2\x80\xae"}',
        b'{"cmd":"watch","type":"async","watcher":"\\u001b[2J\xc2\x9b"}',
        b'{"cmd":"hello","session":"evd: ending: forged \xe2\x80\xa8"}',
        b'{"cmd":"watch","type":"stat","watcher":"s","path":"/\xc2\x85\xe2\x80\xaetxt"}',
        b'{"cmd":"spawn","argv":["%s%n\\nevd: forged"]}',
        bytes(set(range(256)) - {10}),
        b"\xff" * 5000,
        b"\r" * 3000 + b"<0>evd: forged",
    ]
    with Daemon(["--log-level", level, "--no-spawn", "--no-paths"]) as evd:
        with evd.connect() as c:
            c.raw(b"".join(map(encode, hostile)))
            c.replies(len(hostile))
        assert evd.stop() == 0
        with open(evd.log, "rb") as log:
            text = log.read()
        if not WRAPPER:
            assert re.fullmatch(rb"(evd: [ -~]{1,1000}\n)+", text), text
            assert b"\nevd: forged" not in text


# Where the log can't be written


def say_much(client, lines=200):
    for _ in range(lines):
        client.call("now", id="x" * 1000)


@pytest.fixture
def pipe():
    """A pipe's two ends, as files."""
    reader, writer = os.pipe()
    with open(reader, "rb", 0) as reader, open(writer, "wb", 0) as writer:
        yield reader, writer


def test_reader_that_stops_and_goes_on(pipe):
    reader, writer = pipe
    with logging_to(writer) as c:
        say_much(c)
        os.set_blocking(reader.fileno(), False)
        said = reader.read(1 << 20)
        assert b"listening on" in said
        c.call("now")
        said += reader.read(1 << 20)
    assert re.search(rb"evd: warning: \d+ log lines were dropped", said)


def test_reader_that_stops_for_ever(pipe):
    with logging_to(pipe[1]) as c:
        say_much(c)


def test_reader_that_goes_away(pipe):
    reader, writer = pipe
    with logging_to(writer, broken=True) as c:
        reader.close()
        say_much(c)


@pytest.mark.skipif(bool(WRAPPER), reason="the wrapper writes to the log as well")
def test_disk_full():
    with Daemon(["--log-level", "debug"]) as evd, evd.connect() as c:
        c.call("now")
        room = os.path.getsize(evd.log) + 100
        hard = resource.RLIM_INFINITY
        resource.prlimit(evd.pid, resource.RLIMIT_FSIZE, (room, hard))
        say_much(c)
        assert os.path.getsize(evd.log) <= room
        resource.prlimit(evd.pid, resource.RLIMIT_FSIZE, (hard, hard))
        c.call("now")
        assert evd.stop() == 0
        lines = evd.stderr.splitlines()
        # A line that was cut is ended before the next one begins.
        assert all(line.startswith("evd: ") for line in lines)
        assert any("log lines were dropped" in line for line in lines)
        assert "evd: ending: Terminated" in lines


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_nothing_can_be_written_at_all():
    with open("/dev/full", "w") as full, logging_to(full, broken=True) as c:
        say_much(c)


# Syslog

# In a mount namespace of its own: $1 becomes /dev.
WITH_DEV = """
for device in null zero full random urandom; do
    : >"$1/$device" && mount --bind "/dev/$device" "$1/$device" || exit 1
done
mount --rbind "$1" /dev || exit 1
shift
exec "$@"
"""


@pytest.fixture
def syslog():
    """What runs a command with a /dev/log of ours, and that socket."""
    directory = temporary_directory()
    dev = os.path.join(directory, "dev")
    os.mkdir(dev)
    prefix = ["unshare", "--mount", "sh", "-c", WITH_DEV, "sh", dev]
    can = os.geteuid() == 0 and shutil.which("unshare")
    if not can or subprocess.call([*prefix, "true"], stderr=subprocess.DEVNULL):
        shutil.rmtree(directory)
        pytest.skip("a /dev/log of the test's own needs root and unshare(1)")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(os.path.join(dev, "log"))
        yield prefix, sock
    shutil.rmtree(directory)


def received(sock):
    """What is there now, without waiting."""
    texts = []
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            texts.append(sock.recv(8192))
    return texts


def test_syslog(syslog):
    """A line as syslog knows it; and one that does not read stops nothing."""
    prefix, sock = syslog
    path = os.path.join(os.path.dirname(os.path.dirname(sock.getsockname())), "socket")
    args = ["--ensure", "--socket", path, "--log-level", "debug"]
    subprocess.run([*prefix, *WRAPPER, EVD, *args], env=environment(), check=True)
    with Client(path) as c:
        pid = c.call("hello")["pid"]
        say_much(c)
        texts = received(sock)
        c.call("now")
        texts += received(sock)
        assert any(b"log lines were dropped" in text for text in texts)
        for text in texts:
            # Facility daemon, and a severity; no LF.
            form = rb"<(2[4-9]|3[01])>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d evd\[%d\]: "
            assert re.match(form % pid, text), text
            assert b"\n" not in text
        os.kill(pid, signal.SIGTERM)
        c.rest()
