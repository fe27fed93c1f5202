"""Where the daemon is, and a connection to it.

If $EVD_SOCKET is set, the daemon is there and nowhere else, and none is ever
started. Else it is at the user's own socket, $XDG_RUNTIME_DIR/evd/socket or
/tmp/evd-UID/socket, in a directory that must be ours alone; if nobody listens
there, "evd --ensure" starts one, unless $EVD_AUTOSTART is 0.

connect() gives a socket, hello() has the first exchange on it, and greet()
does both: it is what to use, as it also gets past a daemon that is just ending.

What has to wait is written once, as a generator of Waits that is sent whether
what it waits for has come: run() plays it for a program that may block, and
pyev.evd for one with an event loop.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pathlib
import select
import shutil
import socket
import stat
import struct
import subprocess
import time
from typing import Any, Dict, Generator, Iterator, NamedTuple, Optional, Tuple, TypeVar

from ._errors import Error

__all__ = ["NoDaemon", "Place", "connect", "find", "greet", "hello"]

# A daemon answers within milliseconds; one that takes that long is stopped.
ANSWER_TIMEOUT_S = 10.0
# evd --ensure has time limits of its own.
ENSURE_TIMEOUT_S = 60.0
# A daemon may end between "evd --ensure" and our connect.
ATTEMPTS = 5
# How long to wait for room among those who wait to be accepted.
BACKLOG_PAUSE_S = 0.01
LINE_MAX = 65536
PROTOCOL = 1


class Place(NamedTuple):
    """Where a daemon listens.

    path: of its socket.
    own: whether it is the user's own, where one is started if there is none.
    """

    path: str
    own: bool


class NoDaemon(Error):
    """Nobody listens, or who did has just ended."""

    __module__ = "pyev.evd"


class Wait(NamedTuple):
    """Until a descriptor is readable (None: just so), at most so many seconds."""

    fd: Optional[int]
    seconds: float


T = TypeVar("T")
Steps = Generator[Wait, bool, T]


def run(steps: Steps[T]) -> T:
    """Take the steps, blocking where they wait, and give what they come to."""
    try:
        wait = next(steps)
        while True:
            wait = steps.send(_block(wait))
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        steps.close()


def _block(wait: Wait) -> bool:
    if wait.fd is None:
        time.sleep(wait.seconds)
        return False
    poll = select.poll()
    poll.register(wait.fd, select.POLLIN)
    return bool(poll.poll(wait.seconds * 1000))


def find() -> Place:
    """Say where the daemon is, or would be; raises Error if that is no safe place.

    Connects to nothing and starts nothing.
    """
    path = os.environ.get("EVD_SOCKET")
    if path:
        return Place(path, False)
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        directory = runtime + "/evd"
    else:
        directory = "/tmp/evd-%d" % os.geteuid()
    _check_directory(directory)
    return Place(directory + "/socket", True)


def connect(place: Optional[Place] = None) -> socket.socket:
    """Connect to the daemon, and start it first if that is called for.

    place: as from find(), which is the default.

    Gives a blocking stream socket that is closed on exec. For the user's own
    socket it is made sure that the listener is ours; for any other one only the
    answer to `hello` can tell that it is evd. Raises Error.
    """
    sock = run(connecting(place or find()))
    sock.setblocking(True)
    return sock


def hello(
    sock: socket.socket, place: Optional[Place] = None, **members: Any
) -> Dict[str, Any]:
    """Say hello on a fresh connection, and give the result of the reply.

    place: what error messages name. members: of `hello`: session, hold, need.

    Nothing is read beyond the reply. Raises Error, with the code if the daemon
    refused; whoever does not answer as evd does within 10 seconds is none.
    """
    return run(saying_hello(sock, place.path if place else "the socket", members))


def greet(**members: Any) -> Tuple[socket.socket, Dict[str, Any]]:
    """Connect as connect() does, say hello() and give the socket and the result."""
    sock, result = run(greeting(find(), members))
    sock.setblocking(True)
    return sock, result


# --- connecting -------------------------------------------------------------


def greeting(
    place: Place, members: Dict[str, Any]
) -> Steps[Tuple[socket.socket, Dict[str, Any]]]:
    """The steps of greet(); the socket that they come to does not block."""
    for attempt in range(1, ATTEMPTS + 1):
        sock = yield from connecting(place)
        try:
            result = yield from saying_hello(sock, place.path, members)
            return sock, result
        except BaseException as error:
            sock.close()
            ended = isinstance(error, NoDaemon) and place.own
            if not ended or attempt == ATTEMPTS:
                raise
    raise AssertionError


def connecting(place: Place) -> Steps[socket.socket]:
    """The steps of connect(); the socket that they come to does not block."""
    try:
        return (yield from _connecting(place))
    except NoDaemon as nobody:
        if not place.own:
            raise
        evd = _starter(nobody)
    yield from _ensuring(evd)
    return (yield from _connecting(place))


def _connecting(place: Place) -> Steps[socket.socket]:
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    sock = _socket()
    try:
        while True:
            try:
                sock.connect(place.path)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise _refused(place, error) from None
            except OSError as error:
                raise _refused(place, error) from None
            yield Wait(None, BACKLOG_PAUSE_S)
        if place.own:
            _check_listener(sock, place.path)
        return sock
    except BaseException:
        sock.close()
        raise


def _socket() -> socket.socket:
    """A socket that does not block, and is not one of the standard descriptors.

    Where these are closed, what is printed must not go to the daemon.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if sock.fileno() <= 2:
            fd = fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, 3)
            sock.close()
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=fd)
        sock.setblocking(False)
        return sock
    except BaseException:
        sock.close()
        raise


def _check_listener(sock: socket.socket, path: str) -> None:
    form = "iII"  # struct ucred
    credentials = sock.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(form)
    )
    uid = struct.unpack(form, credentials)[1]
    if uid != os.geteuid():
        raise Error(
            "%s: its listener has uid %d, expected %d" % (path, uid, os.geteuid())
        )


def _refused(place: Place, error: OSError) -> Error:
    """What to raise as connect(2) has failed."""
    path = place.path
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
        text = "no evd listens at %s" % path
        if not place.own:
            text += (
                ", which EVD_SOCKET names: start one with 'evd --socket %s', or "
                "unset EVD_SOCKET" % path
            )
        return NoDaemon(text)
    if error.errno in (errno.EACCES, errno.EPERM):
        return Error(
            "%s: permission denied: uid %d may not connect to what listens there "
            "(for evd see --socket-mode)" % (path, os.geteuid())
        )
    if error.errno == errno.EAGAIN:
        return Error(
            "%s: who listens there has taken no connection for %d s: is it stopped?"
            % (path, ANSWER_TIMEOUT_S)
        )
    if error.errno == errno.EPROTOTYPE:
        return Error("%s: a socket, but not evd's, which is a stream socket" % path)
    return Error("%s: %s" % (path, error.strerror or error))


# --- the user's own socket --------------------------------------------------


def _check_directory(directory: str) -> None:
    """Raise Error if anybody else could have put a socket there."""
    try:
        status = os.lstat(directory)
    except FileNotFoundError:
        return  # evd --ensure makes it
    except OSError as error:
        raise Error("%s: %s" % (directory, error.strerror)) from None
    uid, mode = status.st_uid, stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        if uid == os.geteuid() and not mode & 0o077:
            return
        kind = "directory"
    else:
        kind = "link" if stat.S_ISLNK(status.st_mode) else "file"
    raise Error(
        "%s is a %s of uid %d with mode %04o, expected a directory of uid %d with "
        "mode 0700: mend or remove it, or name a daemon's socket in EVD_SOCKET"
        % (directory, kind, uid, mode, os.geteuid())
    )


def _starter(nobody: Error) -> str:
    """The program that can start a daemon; raises Error if none is to be had."""
    if os.environ.get("EVD_AUTOSTART") == "0":
        raise NoDaemon("%s, and EVD_AUTOSTART=0 says not to start one" % nobody)
    evd = _command()
    if evd is None:
        raise Error(
            "%s, and there is no program evd in PATH to start one: install evd, or "
            "say in EVD_COMMAND where the program is, or in EVD_SOCKET where a "
            "daemon listens" % nobody
        )
    return evd


def _command() -> Optional[str]:
    """The program evd: $EVD_COMMAND, what belongs to this package, what is in PATH."""
    named = os.environ.get("EVD_COMMAND")
    if named:
        return named
    for program in _beside(pathlib.Path(__file__).resolve()):
        if os.access(program, os.X_OK):
            return str(program)
    return shutil.which("evd")


def _beside(module: pathlib.Path) -> Iterator[pathlib.Path]:
    """Where the program is that was built or installed with a module of this package."""
    # In the source tree this is clients/python/pyev/_daemon.py.
    if len(module.parents) > 3 and (module.parents[3] / "configure.ac").exists():
        yield module.parents[3] / "build" / "evd"
    for directory in module.parents:
        if directory.name == "lib":
            yield directory.parent / "bin" / "evd"


def _ensuring(evd: str) -> Steps[None]:
    """Start a daemon at the user's own socket, if there is none by now."""
    # Not a pipe: whoever starts the daemon in a wrapper may keep it open.
    with open(os.memfd_create("evd --ensure"), "w+b") as log:
        try:
            process = subprocess.Popen(
                [evd, "--ensure"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        except OSError as error:
            raise Error("%s: %s" % (evd, error.strerror)) from None
        try:
            ended = yield from _ending(process.pid)
        finally:
            process.kill()
            status = process.wait()
        if not ended:
            raise Error(
                "'%s --ensure' has not come to an end in %d s" % (evd, ENSURE_TIMEOUT_S)
            )
        if status != 0:
            log.seek(0)
            said = log.read(4096).decode("utf-8", "replace").strip()
            raise Error(
                "'%s --ensure' failed with status %d: %s"
                % (evd, status, said or "it said nothing")
            )


def _ending(pid: int) -> Steps[bool]:
    """Whether a child of ours has ended in time."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True  # reaped by somebody else in this program
    try:
        return (yield Wait(pidfd, ENSURE_TIMEOUT_S))
    finally:
        os.close(pidfd)


# --- the first answer -------------------------------------------------------


def saying_hello(
    sock: socket.socket, path: str, members: Dict[str, Any]
) -> Steps[Dict[str, Any]]:
    """The steps of hello(); path: what error messages name."""
    line = json.dumps({"cmd": "hello", **members}).encode() + b"\n"
    if len(line) > LINE_MAX:
        raise ValueError("hello of more than %d bytes" % LINE_MAX)
    try:
        # On a fresh connection there is room for a line.
        sock.send(line, socket.MSG_NOSIGNAL)
        answer = yield from _reading_line(sock, path)
    except (BrokenPipeError, ConnectionResetError):
        answer = b""
    if not answer:
        raise NoDaemon(
            "%s: whoever listens there closed the connection without an answer" % path
        )
    return _check_hello(answer, path)


def _reading_line(sock: socket.socket, path: str) -> Steps[bytes]:
    """The first line that comes, b"" if none does; not a byte beyond it is read."""
    line = b""
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    while len(line) <= LINE_MAX:
        left = deadline - time.monotonic()
        if left <= 0 or not (yield Wait(sock.fileno(), left)):
            raise Error(
                "%s: no answer within %d s: what listens there is stopped, or is not "
                "evd" % (path, ANSWER_TIMEOUT_S)
            )
        ahead = sock.recv(LINE_MAX, socket.MSG_PEEK)
        end = ahead.find(b"\n")
        line += sock.recv(end + 1 if end >= 0 else len(ahead))
        if end >= 0:
            return line
        if not ahead:
            return b""
    raise _not_evd(path, line)


def _not_evd(path: str, line: bytes) -> Error:
    return Error("%s: what listens there is not evd: it said %r" % (path, line[:64]))


def _check_hello(line: bytes, path: str) -> Dict[str, Any]:
    """The result of the reply to hello, or the right exception."""
    try:
        answer = json.loads(line)
        if "error" in answer:
            raise Error.from_reply(answer["error"])
        if answer.get("event") == "bye":
            raise _bye(path, answer["reason"], answer.get("message"))
        result: Dict[str, Any] = answer["result"]
        protocol = result["protocol"]
        result["pid"], result["session"], result["limits"]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _not_evd(path, line) from None
    if protocol != PROTOCOL:
        raise Error(
            "%s: this evd speaks protocol %r, expected %d" % (path, protocol, PROTOCOL)
        )
    return result


def _bye(path: str, reason: str, message: Optional[str]) -> Error:
    """What to raise if the daemon takes its leave instead of answering."""
    if reason == "limit-exceeded":
        return Error(reason, message or "too many sessions")
    return NoDaemon("%s: the daemon there is just ending" % path)
