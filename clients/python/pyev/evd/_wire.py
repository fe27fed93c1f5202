"""Lines to and from the daemon."""

from __future__ import annotations

import base64
import collections
import errno
import fcntl
import json
import os
import socket
import struct
import termios
import time
from typing import Any, Deque, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from .._connection import PATIENCE_S
from .._errors import Error
from ._event import Event

LINE_MAX = 65536
_WRITE_SIZE = 1 << 18

Name = Union[str, int]
Message = Dict[str, Any]


def encode(command: Mapping[str, Any]) -> bytes:
    """A command as a line.

    Raises TypeError or ValueError for what is not JSON. What the protocol does
    not allow beyond that is the daemon's to refuse.
    """
    text = json.dumps(
        command, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    return text.encode() + b"\n"


def decode(line: bytes) -> Message:
    """What a line from the daemon says; raises Error if no daemon would say that.

    An Event, or a reply: with "result", or with "error".
    """
    try:
        message = json.loads(line)
        if "event" in message:
            return Event(message)
        if isinstance(message["error" if "error" in message else "result"], dict):
            return dict(message)
    except (ValueError, TypeError, KeyError):
        pass
    raise Error("what is connected is not evd: it said %r" % line[:64])


class Lines:
    """Cuts what is received into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> List[bytes]:
        """The lines that have come to their end with this; raises Error."""
        if b"\n" not in data:
            self._rest += data
            lines: List[bytes] = []
        else:
            *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_MAX:
            raise Error("what is connected is not evd: it said %r" % self._rest[:64])
        return lines


class Output:
    """What is to be written: lines, some of which bring descriptors along.

    Descriptors go with the first byte of their line, as the protocol wants it, and
    are duplicates: the caller may close what he passed at any time.
    """

    def __init__(self) -> None:
        self._chunks: Deque[Tuple[bytearray, List[int]]] = collections.deque()
        self.size = 0  # bytes
        # Since when descriptors are refused though none of ours are under way.
        self._refused: Optional[float] = None

    def add(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Put lines behind what is there; raises OSError for a bad descriptor."""
        if fds or not self._chunks or self._chunks[-1][1]:
            self._chunks.append((bytearray(data), _duplicates(fds)))
        else:
            self._chunks[-1][0].extend(data)
        self.size += len(data)

    def write(self, sock: socket.socket) -> bool:
        """Write until all is written or the socket takes no more; whether all is.

        sock does not block. Raises ConnectionError, and TooManyUnderWay of the first
        line that is left.
        """
        try:
            while self._chunks:
                self._sent(self._send(sock, *self._chunks[0]))
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:
                raise
            raise TooManyUnderWay(self._is_hopeless(sock)) from None
        return True

    def _is_hopeless(self, sock: socket.socket) -> bool:
        """Whether it was others' descriptors for some time that prevented passing."""
        answer = fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4))
        (unreceived,) = struct.unpack("i", answer)
        now = time.monotonic()
        if unreceived or self._refused is None:
            self._refused = None if unreceived else now
            return False
        if now - self._refused <= PATIENCE_S:
            return False
        self._refused = None
        return True

    def unwritten(self) -> int:
        """How many lines are here."""
        return sum(data.count(b"\n") for data, _ in self._chunks)

    def give_up(self) -> None:
        """Have the first line go without the descriptors that it says it brings."""
        _close(self._chunks[0][1])

    def clear(self) -> None:
        """Forget what was not written."""
        for _, fds in self._chunks:
            _close(fds)
        self._chunks.clear()
        self.size = 0

    @staticmethod
    def _send(sock: socket.socket, data: bytearray, fds: List[int]) -> int:
        # What has room now is enough: what is left is moved.
        with memoryview(data) as view, view[:_WRITE_SIZE] as piece:
            if fds:
                return socket.send_fds(sock, [piece], fds, socket.MSG_NOSIGNAL)
            return sock.send(piece, socket.MSG_NOSIGNAL)

    def _sent(self, count: int) -> None:
        data, fds = self._chunks[0]
        if fds:
            self._refused = None
        _close(fds)
        self.size -= count
        del data[:count]
        if not data:
            self._chunks.popleft()


class TooManyUnderWay(Exception):
    """As many descriptors are on their way as may be; evd takes them when it reads.

    hopeless: they are others', and have been for a while; else try again soon.
    """

    def __init__(self, hopeless: bool) -> None:
        super().__init__(hopeless)
        self.hopeless = hopeless


def _duplicates(fds: Sequence[int]) -> List[int]:
    made: List[int] = []
    try:
        for fd in fds:
            made.append(os.dup(fd))
    except BaseException:
        _close(made)
        raise
    return made


def _close(fds: List[int]) -> None:
    while fds:
        os.close(fds.pop())


# --- members ----------------------------------------------------------------


def fileno(file: Any) -> int:
    """The descriptor that an integer is, or that an object with fileno() has."""
    if isinstance(file, int):
        return file
    return int(file.fileno())


def hello_members(
    name: Optional[str], hold: Optional[bool], need: Sequence[str]
) -> Message:
    """The members of `hello` for these arguments."""
    members: Message = {}
    if name is not None:
        members["session"] = name
    if hold is not None:
        members["hold"] = hold
    if need:
        members["need"] = list(need)
    return members


def with_path(members: Message) -> Message:
    """Members whose path may be bytes, a path object, or not UTF-8."""
    if "path" not in members:
        return members
    path: Union[str, bytes] = os.fspath(members["path"])
    try:
        text = path.decode() if isinstance(path, bytes) else path
        text.encode()
    except UnicodeError:
        members = {k: v for k, v in members.items() if k != "path"}
        text = base64.b64encode(os.fsencode(path)).decode()
        return {**members, "path_base64": text}
    return {**members, "path": text}


def with_descriptors(
    members: Message, names: Sequence[str]
) -> Tuple[Message, List[int]]:
    """Members of spawn, where these name an open file: by index, and the files."""
    fds: List[int] = []
    members = dict(members)
    for name in names:
        file = members.pop(name, None)
        if file is not None:
            fd = fileno(file)
            if fd not in fds:
                fds.append(fd)
            members[name] = fds.index(fd)
    return members, fds
