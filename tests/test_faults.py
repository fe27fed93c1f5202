"""Calls that fail, one after another, over a session that uses everything.

Each of them gives an error reply that says so, or is made up for, or ends the daemon
with a message and status 1: never a crash, a descriptor or a process left, a spin, or
a reply that is not true. EVD_FAULTS=all in the environment tries each call; without
it, some of each kind.
"""

import contextlib
import errno
import os
import signal
import socket
import struct
import subprocess

import pytest

import evdtest
from evdfaults import FOR_EVER, SHORT, Faults, allocates_by_itself, name_of
from evdtest import Closed, DidNotStart, EvdError, wait_until

pytestmark = pytest.mark.skipif(
    bool(evdtest.WRAPPER), reason="the faults are the daemon's, not its wrapper's"
)

ALL = os.environ.get("EVD_FAULTS") == "all"
FAR = 10**9


class Refused(Exception):
    """An event with EV_ERROR, and what it says."""

    code = "system-error"

    def __init__(self, message):
        super().__init__(message)
        self.message = message


class Session:
    """What the steps of the session need, and clean up by itself."""

    def __init__(self, evd, directory):
        self.evd = evd
        self.directory = directory
        self.stack = contextlib.ExitStack()
        self.clients = []

    def path(self, name):
        return os.path.join(self.directory, name)

    def connect(self):
        self.clients.append(self.stack.enter_context(self.evd.connect()))
        return self.clients[-1]

    def event(self, client, *watchers):
        """The next event, which is of one of these watchers."""
        event = client.event()
        if "error" in event:
            raise Refused(event["error"])
        assert event.get("watcher") in watchers, event
        return event

    def is_turned_away(self):
        """Whether evd has closed a connection and said that it had to."""
        lines = []
        for client in self.clients:
            with contextlib.suppress(OSError, AssertionError):
                client.sock.settimeout(0)
                lines += client.rest()
        return any(line.get("reason") == "limit-exceeded" for line in lines)

    def pipe(self):
        ends = os.pipe()
        for end in ends:
            self.stack.callback(os.close, end)
        return ends


def step_verbs(s):
    c = s.connect()
    c.call("hello", session="verbs")
    c.watch("timer", 1, at=FAR, repeat=1, data={"a": [1, None]})
    c.call("set", watcher=1, repeat=2)
    assert c.call("get", watcher=1)["repeat"] == 2
    c.call("feed", watcher=1, revents=256)
    assert s.event(c, 1)["data"] == {"a": [1, None]}
    c.call("reset", watcher=1)
    c.call("stop", watcher=1)
    c.call("unwatch", watcher=1)
    assert c.call("list")["sessions"]
    assert c.call("list", session="verbs")["watchers"] == []
    c.call("stats")
    assert c.call("calendar", calendar="0 9 * * MON", timezone="Europe/Berlin")
    c.call("update")
    assert c.fails("get", watcher=1).code == "no-such-watcher"


def step_timer(s):
    c = s.connect()
    c.watch("timer", "once", after=0)
    assert s.event(c, "once")["active"] is False
    c.watch("timer", "again", after=0, repeat=0.001, hold=True)
    first = s.event(c, "again")
    c.call("ack", seq=first["seq"])
    s.event(c, "again")


def step_periodic(s):
    c = s.connect()
    c.watch("periodic", "p", interval=0.01, once=True)
    s.event(c, "p")
    c.watch("scheduler", "s", calendar="0 9 * * *", timezone="Europe/Berlin")
    assert len(c.call("get", watcher="s", next=3)["next"]) == 3
    c.call("unwatch", watcher="s")


def step_signal(s):
    c = s.connect()
    c.watch("signal", "usr1", signum="USR1")
    os.kill(s.evd.pid, signal.SIGUSR1)
    assert s.event(c, "usr1")["signum"] == signal.SIGUSR1
    c.call("feed_signal", signum="USR1")
    s.event(c, "usr1")


def step_spawn(s):
    c = s.connect()
    reader, writer = s.pipe()
    c.call_fds(
        "spawn",
        reader,
        argv=["sh", "-c", "read line; exit 3"],
        watcher="child",
        stdin=0,
        cwd="/",
        env={"A": "b"},
    )
    os.write(writer, b"go\n")
    event = s.event(c, "child")
    assert (event["exit"], event["status"]) == (3, 768), event
    c.call("spawn", argv=["sleep", "600"], watcher="sleep")
    c.call("kill", watcher="sleep", signum="KILL")
    assert s.event(c, "sleep")["signal"] == signal.SIGKILL


def step_child(s):
    c = s.connect()
    process = subprocess.Popen(["sleep", "600"])
    try:
        c.watch("child", "other", pid=process.pid)
    finally:
        process.kill()
        process.wait()
    assert s.event(c, "other")["pid"] == process.pid


def step_left_behind(s):
    with s.evd.connect() as c:
        c.call("spawn", argv=["sleep", "600"], watcher="left")


def step_stat(s):
    c = s.connect()
    path, link = s.path("file"), s.path("link")
    for name in (path, link):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    os.symlink("file", link)
    for follow, name in ((False, path), (True, link)):
        c.watch("stat", name, path=name, interval=0.1, follow=follow)
    with open(path, "w") as file:
        file.write("hello")
    waiting = {path, link}
    while waiting:
        event = s.event(c, path, link)
        if event["attr"]["size"] == 5:
            waiting.discard(event["watcher"])
    assert c.call("stat", watcher=path)["attr"]["size"] == 5
    os.unlink(path)
    waiting = {path, link}
    while waiting:
        event = s.event(c, path, link)
        if event["attr"]["nlink"] == 0:
            waiting.discard(event["watcher"])


def step_loop(s):
    c = s.connect()
    for type in ("prepare", "check", "fork", "idle"):
        c.watch(type, type)
    s.event(c, "check")
    s.event(c, "idle")
    s.event(c, "prepare")
    c.call("reset")
    s.event(c, "check")
    s.event(c, "fork")
    s.event(c, "prepare")
    c.call("ref")
    c.call("unref")
    c.call("verify")
    assert c.call("loop")["backend"]


def step_io(s):
    c = s.connect()
    reader, writer = s.pipe()
    c.watch_fd("passed", reader)
    os.write(writer, b"x")
    seq = s.event(c, "passed")["seq"]
    c.call("ack", seq=seq)
    s.event(c, "passed")
    c.call("unwatch", watcher="passed")
    c.watch("io", "other", events="r", pid=os.getpid(), fd=reader)
    s.event(c, "other")
    c.call("unwatch", watcher="other")
    fifo = s.path("fifo")
    if not os.path.exists(fifo):
        os.mkfifo(fifo)
    c.watch("io", "fifo", events="r", path=fifo)
    with open(fifo, "wb") as file:
        file.write(b"x")
        file.flush()
        s.event(c, "fifo")
        c.call("unwatch", watcher="fifo")


def step_linger(s):
    c = s.connect()
    a, b = socket.socketpair()
    with a, b:
        a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1))
        c.watch_fd("linger", a.fileno())
        b.send(b"x")
        s.event(c, "linger")
        c.call("unwatch", watcher="linger")


def step_async(s):
    a, b = s.connect(), s.connect()
    a.call("hello", session="bell")
    a.watch("async", "ring")
    assert b.call("send", session="bell", watcher="ring") == {"sent": True}
    s.event(a, "ring")


def step_half_close(s):
    c = s.connect()
    c.watch("timer", "last", after=0.001)
    c.send({"cmd": "now", "id": "last"})
    c.shutdown()
    lines = c.rest()
    assert [line.get("event") for line in lines].count("timer") == 1, lines
    assert any(line.get("id") == "last" for line in lines)


def step_end(s):
    c = s.connect()
    c.watch("timer", "end", after=0, end=True)
    s.event(c, "end")
    assert c.recv() == {"event": "bye", "reason": "end"}
    c.eof()


def step_much(s):
    c = s.connect()
    size = 3000
    c.send(*[{"cmd": "now", "id": [n, "x" * size]} for n in range(100)])
    for n, reply in enumerate(c.replies(100)):
        assert reply["id"] == [n, "x" * size]


def step_gone(s):
    c = s.connect()
    c.watch("timer", "t", at=FAR)
    c.shutdown()
    c.close()


STEPS = [value for name, value in sorted(globals().items()) if name[:5] == "step_"]

# What can fail while the daemon runs, and how. Where it can go on to fail for long,
# that is tried as well.
FOR_LONG = {
    ("epoll_ctl", errno.ENOMEM),
    ("inotify_add_watch", errno.ENOSPC),
    ("inotify_init1", errno.EMFILE),
    ("open", errno.EMFILE),
    ("pidfd_open", errno.EMFILE),
    ("pipe2", errno.EMFILE),
    ("pthread_create", errno.EAGAIN),
    ("send", SHORT),
    ("vfork", errno.EAGAIN),
    ("write", errno.ENOSPC),
}
FAULTS = {
    "accept4": "EMFILE ENFILE ENOMEM ECONNABORTED EINTR EPERM",
    "close": "EIO EINTR",
    "epoll_ctl": "ENOMEM ENOSPC",
    "epoll_wait": "EINTR",
    "fcntl": "EMFILE",
    "fopen": "EMFILE ENOMEM",
    "fstat": "EIO",
    "fstatfs": "EIO ENOMEM",
    "inotify_add_watch": "ENOSPC ENOMEM EACCES",
    "inotify_init1": "EMFILE ENOMEM",
    "inotify_rm_watch": "EINVAL",
    "ioctl": "EIO ENOTTY",
    "kill": "EPERM ESRCH",
    "lstat": "EIO ENOMEM",
    "open": "EMFILE ENFILE EIO ENOMEM",
    "pidfd_getfd": "EMFILE EPERM",
    "pidfd_open": "EMFILE ENFILE ENOMEM",
    "pidfd_send_signal": "EPERM ESRCH",
    "pipe2": "EMFILE ENFILE",
    "poll": "ENOMEM EINTR",
    "pthread_create": "EAGAIN",
    "read": "EINTR EIO",
    "readlink": "EIO ENOMEM",
    "recv": "EINTR ENOMEM",
    "recvmsg": "EINTR ENOMEM ENOBUFS",
    "send": "short EINTR EAGAIN ENOBUFS ENOMEM",
    "signalfd": "ENOMEM",
    "stat": "EIO ENOMEM",
    "vfork": "EAGAIN ENOMEM",
    "write": "EIO ENOSPC short",
}
CASES = [
    (function, getattr(errno, name, SHORT))
    for function, errors in FAULTS.items()
    for name in errors.split()
]


def is_said(error, fault):
    """Whether an error tells of the fault: its name, its text, or a limit."""
    if error.code in ("limit-exceeded", "not-supported"):
        return True
    return errno.errorcode[fault] in error.message or (
        os.strerror(fault) in error.message
    )


def play(evd, step, directory, fault=None):
    """One step of the session. With a fault, a refusal is fine that says so."""
    session = Session(evd, directory)
    with session.stack:
        try:
            step(session)
        except (EvdError, Refused) as error:
            if fault is None or not is_said(error, fault):
                raise
        except (Closed, BrokenPipeError, ConnectionResetError):
            if fault is None:
                raise
            if not session.is_turned_away() and "disconnected" not in evd.stderr:
                raise


def play_all(evd, directory, fault=None):
    for step in STEPS:
        play(evd, step, directory, fault)


@pytest.fixture(name="faults")
def fixture_faults():
    with Faults() as faults:
        yield faults


@pytest.fixture(name="directory")
def fixture_directory(tmp_path):
    return str(tmp_path)


def nothing_left(evd, fds):
    """Nothing is left of any session."""
    wait_until(lambda: not evd.children(), "no child is left")
    wait_until(lambda: evd.fds() == fds, "no descriptor is left")


def some(number, most):
    """Which of so many calls are to fail: all, or some that lie far apart."""
    if ALL or number <= most:
        return range(number)
    return sorted({round(n * (number - 1) / (most - 1)) for n in range(most)})


@pytest.mark.parametrize(
    "function, error", CASES, ids=["%s-%s" % (f, name_of(e)) for f, e in CASES]
)
def test_call_that_fails(faults, directory, function, error):
    with faults.daemon(["--log-level", "info"]) as evd:
        play_all(evd, directory)
        evd.settle()
        fds = evd.fds()
        before = faults.calls()[function]
        play_all(evd, directory)
        number = faults.calls()[function] - before
        for skip in some(number, 4):
            faults.on(function, error, skip)
            play_all(evd, directory, error)
            faults.off()
            nothing_left(evd, fds)
        if (function, error) in FOR_LONG:
            faults.on(function, error, times=FOR_EVER)
            play_all(evd, directory, error)
            evd.settle()
            faults.off()
        play_all(evd, directory)
        nothing_left(evd, fds)
        evd.settle()


@pytest.mark.parametrize(
    "step, function, error",
    [
        (step_child, "epoll_ctl", errno.ENOMEM),
        (step_io, "epoll_ctl", errno.ENOMEM),
        (step_signal, "signalfd", errno.ENOMEM),
        (step_spawn, "epoll_ctl", errno.ENOMEM),
        (step_stat, "lstat", errno.EIO),
        (step_stat, "stat", errno.EIO),
    ],
    ids=lambda part: getattr(part, "__name__", None),
)
def test_each_call_of_a_step(faults, directory, step, function, error):
    """One after another, from the first that a daemon ever makes."""
    skip = 0
    failed = 1
    while failed:
        with faults.daemon() as evd:
            faults.on(function, error, skip)
            play(evd, step, directory, error)
            failed = faults.off()
            play(evd, step, directory)
            wait_until(lambda: not evd.children(), "no child is left")
        skip += 1
    assert skip > 1


SLEEP = ["sleep", "600"]
WATCH_SIGNAL = {"watcher": "w", "type": "signal", "signum": "HUP"}


@pytest.mark.parametrize(
    "function, error, cmd, members",
    [
        ("lstat", errno.EIO, "watch", {"watcher": "w", "type": "stat", "path": "/"}),
        ("stat", errno.EIO, "stat", {"watcher": "active"}),
        ("lstat", errno.EIO, "stat", {"watcher": "inactive"}),
        ("pidfd_open", errno.EMFILE, "watch", {"watcher": "w", "type": "child", "pid": 1}),
        ("epoll_ctl", errno.ENOMEM, "watch", {"watcher": "w", "type": "child", "pid": 1}),
        ("signalfd", errno.ENOMEM, "watch", WATCH_SIGNAL),
        ("fcntl", errno.EMFILE, "spawn", {"argv": SLEEP}),
        ("pipe2", errno.EMFILE, "spawn", {"argv": SLEEP}),
        ("epoll_ctl", errno.ENOMEM, "spawn", {"argv": SLEEP}),
        ("pidfd_send_signal", errno.EPERM, "kill", {"watcher": "child"}),
    ],
)
def test_a_command_says_that_its_call_has_failed(faults, function, error, cmd, members):
    """And what was refused can be asked for again."""
    with faults.daemon() as evd, evd.connect() as c:
        c.watch("stat", "active", path="/", follow=True)
        c.watch("stat", "inactive", path="/", start=False)
        c.call("spawn", argv=SLEEP, watcher="child")
        faults.on(function, error)
        refused = c.fails(cmd, **members)
        assert faults.off() == 1
        assert refused.code == "system-error"
        assert errno.errorcode[error] in refused.message
        c.call(cmd, **members)


def test_nobody_can_be_accepted_for_a_while(faults):
    with faults.daemon() as evd, evd.connect() as c:
        c.call("now")
        fds, cpu = evd.fds(), evd.cpu()
        faults.on("accept4", errno.EMFILE, times=FOR_EVER)
        with evd.connect() as waiting:
            waiting.send({"cmd": "now"})
            # One that is refused is told so, but not even that is possible here.
            wait_until(lambda: faults.off_after(10), "evd tries again and again")
            assert evd.cpu() - cpu < 20, "it spins"
            assert "result" in waiting.recv()
            c.call("now")
        wait_until(lambda: evd.fds() == fds, "it is closed")


def test_log_without_room_says_so(faults):
    with faults.daemon(["--log-level", "debug"]) as evd, evd.connect() as c:
        c.call("now")
        faults.on("write", errno.ENOSPC, times=3)
        c.call("now")
        c.call("now")
        wait_until(lambda: faults.off_after(3), "three lines are dropped")
        c.call("now")
        said = "3 log lines were dropped: " + os.strerror(errno.ENOSPC)
        wait_until(lambda: said in evd.stderr, "it says so")


def test_log_line_that_was_cut_is_ended(faults):
    with faults.daemon(["--log-level", "debug"]) as evd, evd.connect() as c:
        c.call("now")
        faults.on("write", SHORT)
        c.call("now")
        c.call("now")
        lines = evd.stderr.splitlines()
        assert lines.count("e") == 1
        assert all(line[:5] == "evd: " for line in lines if line != "e")


# Memory


def ends_well(evd):
    """That the daemon has ended itself, and said why."""
    assert evd.wait() == 1, evd.stderr
    assert "evd: error: out of memory: " in evd.stderr
    evd.check_reports()


@pytest.mark.skipif(
    allocates_by_itself(), reason="a sanitizer allocates in its own way, and so does gcov"
)
@pytest.mark.parametrize("function", ["malloc", "calloc", "realloc"])
def test_memory_that_cannot_be_had(faults, directory, function):
    with faults.daemon() as evd:
        before = faults.calls()[function]
        play_all(evd, directory)
        number = faults.calls()[function] - before
        assert number > 0
    ended = 0
    for skip in some(number, 25):
        with contextlib.ExitStack() as stack:
            evd = faults.daemon()
            stack.callback(evd.kill_if_it_runs)
            faults.on(function, errno.ENOMEM, skip)
            try:
                play_all(evd, directory, errno.ENOMEM)
            except (OSError, Closed, AssertionError):
                ends_well(evd)
                ended += 1
            faults.off()
    assert ended > 0


# The start. (Without epoll_ctl: libev does not start if it can't wait for its own
# wake-up, which is its to say.)

STARTS = [
    ("bind", errno.EACCES),
    ("clock_gettime", errno.EPERM),
    ("epoll_create1", errno.EMFILE),
    ("eventfd", errno.EMFILE),
    ("fcntl", errno.EMFILE),
    ("flock", errno.ENOLCK),
    ("fstat", errno.EIO),
    ("getrandom", errno.ENOSYS),
    ("getrlimit", errno.EPERM),
    ("listen", errno.EADDRINUSE),
    ("lstat", errno.EIO),
    ("malloc", errno.ENOMEM),
    ("calloc", errno.ENOMEM),
    ("realloc", errno.ENOMEM),
    ("open", errno.EMFILE),
    ("setrlimit", errno.EPERM),
    ("signalfd", errno.EMFILE),
    ("socket", errno.ENFILE),
    ("stat", errno.ENOMEM),
    ("timerfd_create", errno.EMFILE),
    ("timerfd_settime", errno.EINVAL),
]


@pytest.mark.parametrize(
    "function, error", STARTS, ids=["%s-%s" % (f, name_of(e)) for f, e in STARTS]
)
def test_start_that_fails(faults, directory, function, error):
    if function in ("malloc", "calloc", "realloc") and allocates_by_itself():
        pytest.skip("a sanitizer allocates in its own way, and so does gcov")
    with faults.daemon():
        number = faults.calls()[function]
    for skip in some(number, 8):
        faults.on(function, error, skip)
        with contextlib.ExitStack() as stack:
            try:
                evd = faults.daemon()
            except DidNotStart as end:
                assert end.status == 1, end
                assert "evd: error: " in str(end), end
                assert not evdtest.REPORT.search(str(end)), end
                continue
            stack.callback(evd.kill_if_it_runs)
            try:
                play_all(evd, directory)
                assert evd.stop() == 0, evd.stderr
            except (OSError, Closed):
                assert evd.wait() == 1, evd.stderr
                assert "evd: error: " in evd.stderr
            evd.check_reports()
