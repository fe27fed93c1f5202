"""Where the daemon is, and a connection to it.

If $EVD_SOCKET is set, the daemon is there and nowhere else, and none is ever
started. Else it is at the user's own socket, $XDG_RUNTIME_DIR/evd/socket or
/tmp/evd-UID/socket, in a directory that must be ours alone; if nobody listens
there, "evd --ensure" starts one, unless $EVD_AUTOSTART is 0.

connect() gives a socket, hello() has the first exchange on it, and greet()
does both: it is what to use, as it also gets past a daemon that is just ending.
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
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple

from ._errors import Error

__all__ = ["NoDaemon", "Place", "connect", "find", "greet", "hello"]

# A daemon answers within milliseconds; one that takes that long is stopped.
ANSWER_TIMEOUT_S = 10.0
# evd --ensure has time limits of its own.
ENSURE_TIMEOUT_S = 60.0
# A daemon may end between "evd --ensure" and our connect.
ATTEMPTS = 5
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
    place = place or find()
    try:
        return _connect(place)
    except NoDaemon as nobody:
        _ensure(place, nobody)
    return _connect(place)


def greet(**members: Any) -> Tuple[socket.socket, Dict[str, Any]]:
    """Connect, and say hello: gives the socket and the result of the reply.

    members: of `hello`: session, hold, need. Raises Error, with the code if the
    daemon refused them. Nothing has been read beyond the reply.
    """
    place = find()
    for attempt in range(ATTEMPTS):
        sock = connect(place)
        try:
            return sock, hello(sock, place, **members)
        except NoDaemon:
            sock.close()
            if not place.own or attempt == ATTEMPTS - 1:
                raise
        except BaseException:
            sock.close()
            raise
    raise AssertionError


def hello(
    sock: socket.socket, place: Optional[Place] = None, **members: Any
) -> Dict[str, Any]:
    """Say hello on a fresh connection, and give the result of the reply.

    place: what error messages name. members: as for greet().

    Whoever does not answer as evd does within 10 seconds is none: Error.
    """
    path = place.path if place else "the socket"
    line = json.dumps({"cmd": "hello", **members}).encode() + b"\n"
    if len(line) > LINE_MAX:
        raise Error("hello: more than %d bytes" % LINE_MAX)
    try:
        sock.sendall(line, socket.MSG_NOSIGNAL)
        answer = _first_line(sock, path)
    except (BrokenPipeError, ConnectionResetError):
        answer = b""
    if not answer:
        raise NoDaemon(
            "%s: whoever listens there closed the connection without an answer" % path
        )
    return _check_hello(answer, path)


# --- the user's own place ---------------------------------------------------


def _check_directory(directory: str) -> None:
    """Raise Error if anybody else could have put a socket there."""
    try:
        status = os.lstat(directory)
    except FileNotFoundError:
        return  # evd --ensure makes it
    except OSError as error:
        raise Error("%s: %s" % (directory, error.strerror)) from None
    uid, mode = status.st_uid, stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode) and uid == os.geteuid() and not mode & 0o077:
        return
    kind = "link" if stat.S_ISLNK(status.st_mode) else "file"
    if stat.S_ISDIR(status.st_mode):
        kind = "directory"
    raise Error(
        "%s is a %s of uid %d with mode %04o, expected a directory of uid %d with "
        "mode 0700: mend or remove it, or name a daemon's socket in EVD_SOCKET"
        % (directory, kind, uid, mode, os.geteuid())
    )


def _connect(place: Place) -> socket.socket:
    sock = _socket()
    try:
        # A time limit of the kernel's: with one of Python's connect(2) would
        # not wait for room in the backlog.
        _set_send_timeout(sock, ANSWER_TIMEOUT_S)
        try:
            _connect_to(sock, place.path)
        except OSError as error:
            raise _refused(place, error) from None
        _set_send_timeout(sock, 0)
        if place.own:
            _check_listener(sock, place.path)
    except BaseException:
        sock.close()
        raise
    return sock


def _connect_to(sock: socket.socket, path: str) -> None:
    while True:
        sock.connect(path)
        try:
            sock.getpeername()
            return
        except OSError as error:
            # A signal came while it waited, and Python thinks that this
            # connect(2) goes on in the background.
            if error.errno != errno.ENOTCONN:
                raise


def _socket() -> socket.socket:
    """A socket that is not one of the standard descriptors.

    Where these are closed, what is printed must not go to the daemon.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Whatever socket.setdefaulttimeout() says.
        sock.settimeout(None)
        if sock.fileno() > 2:
            return sock
        fd = fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, 3)
    except BaseException:
        sock.close()
        raise
    sock.close()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=fd)
    sock.settimeout(None)
    return sock


def _set_send_timeout(sock: socket.socket, seconds: float) -> None:
    limit = struct.pack("ll", int(seconds), 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def _check_listener(sock: socket.socket, path: str) -> None:
    size = struct.calcsize("3i")
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, uid, _ = struct.unpack("iIi", credentials)
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
    if error.errno in (errno.EAGAIN, errno.ETIMEDOUT):
        return Error(
            "%s: who listens there has taken no connection for %d s: is it stopped?"
            % (path, ANSWER_TIMEOUT_S)
        )
    if error.errno == errno.EPROTOTYPE:
        return Error("%s: a socket, but not evd's, which is a stream socket" % path)
    return Error("%s: %s" % (path, error.strerror or error))


# --- starting one -----------------------------------------------------------


def _ensure(place: Place, nobody: Error) -> None:
    """Start a daemon at the user's own socket; raises Error if none can be had."""
    if not place.own:
        raise nobody
    if os.environ.get("EVD_AUTOSTART") == "0":
        raise Error("%s, and EVD_AUTOSTART=0 says not to start one" % nobody)
    evd = _command()
    if evd is None:
        raise Error(
            "%s, and there is no program evd in PATH to start one: install evd, or "
            "say in EVD_COMMAND where the program is, or in EVD_SOCKET where a "
            "daemon listens" % nobody
        )
    # Not a pipe: whoever started the daemon with a wrapper may keep it open.
    fd = os.memfd_create("evd --ensure", os.MFD_CLOEXEC)
    with open(fd, "w+b") as log:
        try:
            status = subprocess.run(
                [evd, "--ensure"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                timeout=ENSURE_TIMEOUT_S,
            ).returncode
        except OSError as error:
            raise Error("%s: %s" % (evd, error.strerror)) from None
        except subprocess.TimeoutExpired:
            raise Error(
                "'%s --ensure' has not come to an end in %d s" % (evd, ENSURE_TIMEOUT_S)
            ) from None
        if status != 0:
            log.seek(0)
            said = log.read(4096).decode("utf-8", "replace").strip()
            raise Error(
                "'%s --ensure' failed with status %d: %s"
                % (evd, status, said or "it said nothing")
            )


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


# --- the first answer -------------------------------------------------------


def _first_line(sock: socket.socket, path: str) -> bytes:
    """The first line that comes, or b"" at the end; not a byte beyond it."""
    line = b""
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise Error(
                "%s: no answer within %d s: what listens there is stopped, or is not "
                "evd" % (path, ANSWER_TIMEOUT_S)
            )
        ahead = sock.recv(LINE_MAX, socket.MSG_PEEK)
        end = ahead.find(b"\n")
        line += sock.recv(end + 1 if end >= 0 else len(ahead) or 1)
        if end >= 0 or not ahead:
            return line
        if len(line) > LINE_MAX:
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
            raise _bye(path, answer)
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


def _bye(path: str, event: Dict[str, Any]) -> Error:
    """What to raise if the daemon takes leave instead of answering."""
    if event["reason"] == "limit-exceeded":
        return Error("limit-exceeded", str(event.get("message", "too many sessions")))
    return NoDaemon("%s: the daemon there is just ending" % path)
