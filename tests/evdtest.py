"""The harness of all tests of the running daemon: a Daemon and its Clients.

Standard library only. The environment says what is tested:

    EVD             the daemon's path (default: evd beside the working directory)
    EVD_WRAPPER     a command put before the daemon, such as "valgrind -q"

Nothing here waits for a while and hopes: every wait is for a condition, and fails
after LIMIT seconds, which is only ever reached where something is broken.
"""

import array
import atexit
import collections
import contextlib
import ctypes
import fcntl
import json
import math
import os
import re
import resource
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

LIMIT = 60.0
EVD = os.path.abspath(os.environ.get("EVD", "evd"))
WRAPPER = shlex.split(os.environ.get("EVD_WRAPPER", ""))

# As at a terminal, also where the tests run behind nohup or as a shell's background
# job: those have them ignored, and hand that down.
for _signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_signum) == signal.SIG_IGN:
        signal.signal(_signum, signal.SIG_DFL)

READ = 0x1
WRITE = 0x2
TIMER = 0x100
PERIODIC = 0x200
ASYNC = 0x80000

REPORT = re.compile(
    r"(Address|Leak|Memory|Thread|UndefinedBehavior)Sanitizer"
    r"|runtime error:"
    r"|ERROR SUMMARY: [1-9]"
    r"|(definitely|indirectly|possibly) lost:? (in loss record|[1-9])"
    r"|== (Invalid|Conditional jump|Use of uninit|Syscall param)"
)


class EvdError(Exception):
    """An error reply, with its members as attributes (None where absent)."""

    def __init__(self, error):
        super().__init__("%s: %s" % (error["code"], error["message"]))
        self.error = error
        self.code = error["code"]
        self.message = error["message"]
        self.line = error.get("line")
        self.cmd = error.get("cmd")
        self.watcher = error.get("watcher")


class Closed(EOFError):
    """The daemon closed the connection where a line was expected."""


def wait_until(predicate, what):
    """Call predicate until it gives something true, and return that.

    what says in words what is waited for; it is the message after LIMIT seconds.
    """
    deadline = time.monotonic() + LIMIT
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("not so after %d s: %s" % (LIMIT, what))
        time.sleep(0.005)


def scaled(number, slow):
    """number, or slow where the daemon runs under a wrapper that slows it down."""
    return slow if WRAPPER else number


def skip_if_wrapper_lacks(line):
    """Skip the test if a line says that valgrind lacks a system call."""
    if WRAPPER and (b": ENOSYS (" in line or b" unhandled " in line):
        raise unittest.SkipTest("not under %s: %s" % (WRAPPER[0], line.decode()))


def command(cmd, **members):
    """A command as a dict, for Client.send and Client.calls."""
    return {"cmd": cmd, **members}


def encode(line):
    """The bytes of one line: a dict as compact JSON; str and bytes as they are."""
    if isinstance(line, dict):
        line = json.dumps(line, separators=(",", ":"), ensure_ascii=False)
    if isinstance(line, str):
        line = line.encode("utf-8")
    return line + b"\n"


def count(events):
    """How many firings events stand for: each one, and what was merged into it.

    Takes events as well as the "cleared" members of replies.
    """
    return sum(1 + event.get("overrun", 0) for event in events)


def due(elapsed, period):
    """The counts of ticks that may be due elapsed seconds after the first one.

    A set of one number, or of two where a tick is due so close to the end that
    rounding decides.
    """
    ticks = elapsed / period
    return {max(0, math.floor(ticks + edge) + 1) for edge in (-0.001, 0.001)}


def _object(pairs):
    members = dict(pairs)
    assert len(members) == len(pairs), "a member twice: %r" % (pairs,)
    return members


def decode(line):
    """The object of one line from the daemon; strict about UTF-8 and duplicates."""
    message = json.loads(line.decode("utf-8"), object_pairs_hook=_object)
    assert isinstance(message, dict), "not an object: %r" % (line,)
    return message


def environment(extra=None):
    """A clean environment for the daemon: nothing of the caller's own evd or unit."""
    env = dict(os.environ)
    for name in (
        "EVD_SOCKET",
        "EVD_AUTOSTART",
        "NOTIFY_SOCKET",
        "LISTEN_FDNAMES",
        "LISTEN_FDS",
        "LISTEN_PID",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        "JOURNAL_STREAM",
    ):
        env.pop(name, None)
    env.update(extra or {})
    return env


def run(*args, env=None, **options):
    """Run the daemon's program to its end; gives a CompletedProcess with text."""
    # Files, not pipes: valgrind keeps copies of them open in what is started.
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.run(
            [*WRAPPER, EVD, *args],
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            timeout=LIMIT,
            **options,
        )
        for name, file in (("stdout", stdout), ("stderr", stderr)):
            file.seek(0)
            setattr(process, name, file.read())
    return process


# Becomes the program of its arguments, with a descriptor as systemd passes it.
_PASS = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execvp(sys.argv[2], sys.argv[2:])
"""


def passed(fd, command):
    """The command with a descriptor passed to it; Popen needs pass_fds=[fd]."""
    return [sys.executable, "-c", _PASS, str(fd), *command]


def temporary_directory():
    """A new private directory whose path leaves room for a socket's name in it.

    What is left of it when the tests end is removed then.
    """
    base = tempfile.gettempdir()
    path = tempfile.mkdtemp(prefix="evd-", dir=base if len(base) < 60 else "/tmp")
    atexit.register(_remove, path, os.getpid())
    return path


def _remove(path, pid):
    # Not for a child that has come here.
    if os.getpid() == pid:
        shutil.rmtree(path, ignore_errors=True)


class DidNotStart(AssertionError):
    """The daemon has ended before it listened; says with which exit status."""

    def __init__(self, evd):
        super().__init__("the daemon did not start: %s" % evd.stderr)
        self.status = evd.process.poll()


class Client:
    """One connection to a daemon.

    path: the daemon's socket.

    Events met while a reply was waited for are kept in .events, in order. What send
    and raw cannot write at once is written while reading, so that no pipeline is too
    long; a test that must not read uses .sock.
    """

    def __init__(self, path):
        self.events = collections.deque()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._buffer = bytearray()
        self._scanned = 0
        self._seq = 0
        self._id = 0
        try:
            # With a time limit of Python's a full backlog is an error (EAGAIN);
            # with one of the kernel's connect(2) waits for room.
            limit = struct.pack("ll", int(LIMIT), 0)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            self.sock.connect(path)
            self.sock.settimeout(LIMIT)
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # Writing

    def raw(self, data, fds=()):
        """Write bytes as they are; the first of them bring the descriptors."""
        view = memoryview(data)
        if fds:
            view = view[socket.send_fds(self.sock, [view], fds) :]
        poll = select.poll()
        poll.register(self.sock, select.POLLIN | select.POLLOUT)
        while view:
            ready = poll.poll(LIMIT * 1000)
            assert ready, "the daemon neither reads nor writes"
            if ready[0][1] & (select.POLLOUT | select.POLLERR | select.POLLHUP):
                view = view[self.sock.send(view, socket.MSG_DONTWAIT) :]
            elif not self.fill():
                raise Closed("while writing; what came: %r" % bytes(self._buffer))

    def send(self, *lines):
        """Write lines in one go: each a dict, or a str or bytes without its LF."""
        self.raw(b"".join(map(encode, lines)))

    def send_fds(self, lines, fds):
        """Write lines in one sendmsg that passes descriptors, which stay ours too."""
        self.raw(b"".join(map(encode, lines)), list(fds))

    def shutdown(self):
        """Half-close: the end of this client's input."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    # Reading

    def fill(self, size=1 << 18):
        """Read at most size bytes ahead; False at the end."""
        try:
            data = self.sock.recv(size)
        except socket.timeout:
            raise AssertionError("no line from the daemon in %d s" % LIMIT) from None
        except ConnectionResetError:
            return False
        self._buffer += data
        return bool(data)

    def unread(self):
        """How many bytes the kernel holds for this client."""
        number = array.array("i", [0])
        fcntl.ioctl(self.sock, termios.FIONREAD, number)
        return number[0]

    def has_more(self):
        """Whether something has come that was not given out yet."""
        return bool(self.events or self._buffer) or self.unread() > 0

    def line(self):
        """The next line as bytes, without its LF; Closed at the end."""
        while True:
            end = self._buffer.find(b"\n", self._scanned)
            if end >= 0:
                break
            self._scanned = len(self._buffer)
            if not self.fill():
                raise Closed("what came last: %r" % bytes(self._buffer))
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._scanned = 0
        skip_if_wrapper_lacks(line)
        # Only what recv reads is known to be an event or not.
        self._seq = None
        return line

    def recv(self):
        """The next line as a dict; asserts that the events' seq counts by one."""
        before = self._seq
        message = decode(self.line())
        self._seq = message.get("seq", before)
        if before is not None and "seq" in message:
            assert message["seq"] == before + 1, message
        return message

    def event(self):
        """The next event; a reply in its place is a failure."""
        if self.events:
            return self.events.popleft()
        message = self.recv()
        assert "event" in message, "a reply in place of an event: %r" % (message,)
        return message

    def reply(self):
        """The next reply, result or error; events before it go to .events."""
        while True:
            message = self.recv()
            if "event" not in message:
                return message
            self.events.append(message)

    def replies(self, count):
        """The next count replies."""
        return [self.reply() for _ in range(count)]

    def eof(self):
        """Assert that the daemon closes, and says nothing more before."""
        while self.fill():
            pass
        assert not self.events, "unread events: %r" % list(self.events)
        assert not self._buffer, "more came: %r" % bytes(self._buffer[:2000])

    def rest(self):
        """All that comes until the daemon closes, as a list of dicts."""
        lines = list(self.events)
        self.events.clear()
        while True:
            try:
                lines.append(self.recv())
            except Closed:
                assert not self._buffer, "cut: %r" % bytes(self._buffer[-2000:])
                return lines

    # Commands

    def call(self, cmd, **members):
        """Send a command with a fresh id and return its result; raises EvdError."""
        self._id += 1
        self.send(command(cmd, **{"id": self._id, **members}))
        return self._result(members.get("id", self._id))

    def _result(self, id):
        """The result of the command with this id; raises EvdError."""
        reply = self.reply()
        if "error" in reply:
            raise EvdError(reply["error"])
        assert reply.get("id") == id, "out of order: %r" % (reply,)
        return reply["result"]

    def call_fds(self, cmd, *fds, **members):
        """As call, with descriptors passed along; "fds" says how many they are."""
        self._id += 1
        members.setdefault("fds", len(fds))
        self.send_fds([command(cmd, id=self._id, **members)], fds)
        return self._result(self._id)

    def fails(self, cmd, **members):
        """Send a command that must be refused; gives the EvdError."""
        try:
            result = self.call(cmd, **members)
        except EvdError as error:
            return error
        raise AssertionError("%s was accepted: %r" % (cmd, result))

    def fails_fds(self, cmd, *fds, **members):
        """As fails, with descriptors passed along."""
        try:
            result = self.call_fds(cmd, *fds, **members)
        except EvdError as error:
            return error
        raise AssertionError("%s was accepted: %r" % (cmd, result))

    def calls(self, commands):
        """Send many commands in one go; gives their replies, in order."""
        self.send(*commands)
        return self.replies(len(commands))

    def watch(self, type, watcher, **members):
        """Register a watcher; gives the result of the reply."""
        return self.call("watch", type=type, watcher=watcher, **members)

    def watch_fd(self, watcher, fd, events="r", **members):
        """Register an io watcher of a descriptor, which is passed."""
        return self.call_fds(
            "watch", fd, type="io", watcher=watcher, events=events, **members
        )

    def poll(self):
        """The barrier: every event that was ready, and those kept before."""
        self.call("poll")
        events = list(self.events)
        self.events.clear()
        return events


def connected(path):
    """A client of what is being started, as soon as that listens."""

    def attempt():
        try:
            return Client(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    return wait_until(attempt, "somebody listens at " + path)


@contextlib.contextmanager
def logging_to(stderr, broken=False):
    """A client of a daemon that logs all there is to a descriptor, which stays ours.

    The daemon has to end well. broken: nothing can be written there, of which a
    wrapper makes what it likes.
    """
    directory = temporary_directory()
    path = os.path.join(directory, "socket")
    process = subprocess.Popen(
        [*WRAPPER, EVD, "--socket", path, "--log-level", "debug"],
        env=environment(),
        stderr=stderr,
    )
    try:
        with connected(path) as client:
            yield client
        process.terminate()
        status = process.wait(LIMIT)
        assert status == 0 or (broken and WRAPPER)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(directory)


def barrier(other):
    """Return when evd has read what any client wrote before (256 commands at most).

    other: a client with nothing outstanding.
    """
    # Each call takes an iteration at least, where a client's turn is 64 commands.
    for _ in range(1 + 256 // 64):
        other.call("now")


def stall(client, other):
    """Let replies pile up until evd holds client's events back.

    More than 64 KiB are unsent then, yet so much less than 256 KiB that client's
    commands are still read. other is another client. Gives the number of replies
    that client has to read first.
    """
    command = encode({"cmd": "now", "id": "x" * 4000})
    replies = 0
    while replies * 4000 - client.unread() < 96 << 10:
        client.sock.sendall(command * 4)
        replies += 4
        barrier(other)
    return replies


def write_until_refused(client, other, line):
    """Write a line again and again, reading nothing, until evd takes no more.

    other is another client. Gives how many bytes went.
    """
    client.sock.setblocking(False)
    sent = refused = 0
    while refused < 3:
        try:
            sent += client.sock.send(line[sent % len(line) :])
            refused = 0
        except BlockingIOError:
            # Only what is refused after evd had its turn is refused.
            refused += 1
            barrier(other)
        assert sent < 64 << 20, "evd reads on and on"
    client.sock.settimeout(LIMIT)
    return sent


class Daemon:
    """A daemon on a private socket; a context manager.

    args: more options for the daemon.
    env: more environment variables.
    nofile: its RLIMIT_NOFILE, as (soft, hard).
    uid: who runs it; only root can say.
    path: the socket; by default one in a new directory that is removed at the end.
    listener: a listening socket that it is passed, in place of one of its own.

    Leaving the context ends it by SIGTERM (if it still runs) and asserts that it
    exited with status 0 and reported no error of a sanitizer or of valgrind.
    """

    def __init__(
        self, args=(), env=None, path=None, nofile=None, uid=None, listener=None
    ):
        self.directory = temporary_directory()
        self.path = path or os.path.join(self.directory, "socket")
        command = [*WRAPPER, EVD, "--socket", self.path, *args]
        if listener:
            self.path = listener.getsockname()
            command = passed(listener.fileno(), [*WRAPPER, EVD, *args])
        self.log = os.path.join(self.directory, "stderr")
        self._stderr = None
        self.process = None

        def prepare():
            if nofile:
                resource.setrlimit(resource.RLIMIT_NOFILE, nofile)
            if uid:
                os.chown(self.directory, uid, uid)
                os.setgid(uid)
                os.setuid(uid)

        try:
            with open(self.log, "wb") as log:
                self.process = subprocess.Popen(
                    command,
                    env=environment(env),
                    stdin=subprocess.DEVNULL,
                    stderr=log,
                    pass_fds=[listener.fileno()] if listener else [],
                    preexec_fn=prepare if nofile or uid else None,
                )
            self.pid = self.process.pid
            self._wait_ready(quiet="--log-level" in args)
        except BaseException:
            if self.process is not None:
                self.process.kill()
                self.process.wait()
            self._clean()
            raise

    def _wait_ready(self, quiet):
        # The log line rather than a connection, which would be a session.
        def ready():
            ended = self.process.poll() is not None
            if "listening on" in self.stderr:
                return True
            if ended:
                raise DidNotStart(self)
            if not quiet:
                return False
            try:
                Client(self.path).close()
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            return True

        wait_until(ready, "the daemon listens")

    def __enter__(self):
        return self

    def __exit__(self, kind, *exc):
        try:
            status = self.stop()
            if kind is None:
                assert status == 0, "exit status %r: %s" % (status, self.stderr)
                self.check_reports()
        finally:
            self._clean()

    def _clean(self):
        if self._stderr is None:
            self._stderr = self.stderr
            shutil.rmtree(self.directory, ignore_errors=True)

    def check_reports(self):
        """Assert that no sanitizer and no valgrind had anything to say."""
        assert not REPORT.search(self.stderr), self.stderr

    @property
    def stderr(self):
        """What the daemon has logged so far."""
        if self._stderr is not None:
            return self._stderr
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def connect(self):
        return Client(self.path)

    def stop(self, sig=signal.SIGTERM):
        """Send a signal unless it has ended, and give its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.wait()

    def kill_if_it_runs(self):
        """Kill it unless it has ended, whatever it was doing."""
        self.stop(signal.SIGKILL)
        self._clean()

    def kill(self):
        """Kill it, as the last thing: a socket that it was given stays behind."""
        assert self.stop(signal.SIGKILL) == -signal.SIGKILL
        self._clean()

    def wait(self):
        """Wait for the daemon's end, and give its exit status."""
        try:
            return self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("does not end: " + self.stderr[-2000:]) from None

    # What the kernel says about it

    def fds(self):
        """How many descriptors it has open."""
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def children(self):
        """The pids of its children, zombies too."""
        with open("/proc/%d/task/%d/children" % (self.pid, self.pid)) as children:
            return [int(pid) for pid in children.read().split()]

    def cpu(self):
        """Its CPU time so far, in clock ticks."""
        with open("/proc/%d/stat" % self.pid) as stat:
            fields = stat.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def _status(self, name):
        with open("/proc/%d/status" % self.pid) as status:
            for line in status:
                if line.startswith(name + ":"):
                    return int(line.split()[1])
        raise KeyError(name)

    def wakeups(self):
        """How often it went to sleep so far: voluntary context switches."""
        return self._status("voluntary_ctxt_switches")

    def settle(self):
        """Wait until it sleeps, and has nothing to wake up for at once."""
        seen = collections.deque(maxlen=20)

        def asleep():
            with open("/proc/%d/stat" % self.pid) as stat:
                state = stat.read().rpartition(")")[2].split()[0]
            seen.append(self.wakeups() if state == "S" else object())
            return len(seen) == 20 and len(set(seen)) == 1

        wait_until(asleep, "the daemon sleeps")

    def timeout(self):
        """For how long it sleeps if nothing happens, in ms; None if that is unknown."""
        with open("/proc/%d/syscall" % self.pid) as syscall:
            fields = syscall.read().split()
        if fields[0] not in ("232", "281") or os.uname().machine != "x86_64":
            return None
        return ctypes.c_int(int(fields[4], 16) & 0xFFFFFFFF).value

    def memory(self):
        """Its resident memory, in KiB; 0 where a wrapper or a sanitizer adds to it."""
        with open(EVD, "rb") as program:
            added = WRAPPER or b"__asan_init" in program.read()
        return 0 if added else self._status("VmRSS")
