"""One connection to the daemon, as a loop uses it.

It never writes without being ready to read: evd reads no further commands while
256 KiB of what it has said are unread. What is read while something else is waited
for is set aside in order, and is what the next take() gives.

Any exception but Lost that comes out of a method, such as KeyboardInterrupt, may
have cut a line in two: the connection is then of no more use.
"""

from __future__ import annotations

import array
import errno
import itertools
import json
import resource
import select
import socket
import time
from typing import Any, Dict, List, Sequence

from ._errors import Error

Message = Dict[str, Any]

# How many descriptors one sendmsg passes at most.
FDS_MAX = 253
# What is read at a time, and how often in a row.
_CHUNK = 65536
_CHUNKS = 16
# Reals remain text, as most (the time of each event) are never looked at.
_decoder = json.JSONDecoder(parse_float=str)
# Between attempts to pass descriptors when too many are under way, and how long
# to go on with that when none of these are for evd any more.
_PAUSE_S = 0.001
PATIENCE_S = 5.0


class Lost(Error):
    """The daemon has gone away."""

    __module__ = "pyev"
    __qualname__ = "Error"


def too_many_under_way() -> Error:
    """What to raise as descriptors cannot be passed: ETOOMANYREFS."""
    return Error(
        "descriptors cannot be passed to evd: too many of this user's "
        "are under way, in sockets from which nobody receives them "
        "(at most RLIMIT_NOFILE, here %d, may be)"
        % resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    )


class Connection:
    """A session. sock: connected, and greeted.

    aside: what was read and not taken yet: replies and events, in order.
    """

    __slots__ = ("aside", "_sock", "_rest", "_ids", "_poll")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.aside: List[Message] = []
        self._sock = sock
        self._rest = b""
        self._ids = itertools.count(-1, -1)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        """Close the descriptor, without a byte to the daemon."""
        self._sock.close()

    def send(self, text: str, fds: Sequence[int] = ()) -> None:
        """Send whole lines and at most FDS_MAX descriptors; raises Lost.

        Raises OSError with EBADF if one of the descriptors is not open, and Error
        if too many of this user's are under way; then nothing was sent.
        """
        data = memoryview(text.encode("ascii"))
        while data:
            try:
                if fds:
                    sent = self._send_fds(data, fds)
                    fds = ()
                else:
                    sent = self._sock.send(data, socket.MSG_NOSIGNAL)
                data = data[sent:]
            except BlockingIOError:
                self._read_or_wait(select.POLLIN | select.POLLOUT)
            except (BrokenPipeError, ConnectionResetError):
                self._say_lost()

    def _send_fds(self, data: memoryview, fds: Sequence[int]) -> int:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
        deadline = None
        while True:
            try:
                return self._sock.sendmsg([data], [rights], socket.MSG_NOSIGNAL)
            except OSError as error:
                if error.errno != errno.ETOOMANYREFS:
                    raise
            if deadline is None:
                # With the reply evd has taken all that it was passed here.
                self.call("now")
                deadline = time.monotonic() + PATIENCE_S
            elif time.monotonic() > deadline:
                raise too_many_under_way()
            else:
                # Others may receive theirs.
                time.sleep(_PAUSE_S)

    def _say_lost(self) -> None:
        """Raise Lost, with the reason if the daemon gave one before it went."""
        try:
            while self._receive():
                pass
        except Lost:
            raise
        except OSError:
            pass
        raise Lost(self._farewell())

    def _farewell(self) -> str:
        last = self.aside[-1] if self.aside else {}
        if last.get("event") == "bye":
            return "evd has closed the connection: %s" % last["reason"]
        return "the connection to evd is lost"

    def _receive(self) -> bool:
        """Read what there is, at most a chunk; False if there was nothing."""
        try:
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data = b""
        if not data:
            raise Lost(self._farewell())
        end = data.rfind(b"\n")
        if end < 0:
            self._rest += data
            return True
        lines = self._rest + data[:end] if self._rest else data[:end]
        self._rest = data[end + 1 :]
        # No LF is inside of a line's JSON, so all lines are one array.
        try:
            text = (b"[" + lines.replace(b"\n", b",") + b"]").decode()
            messages = _decoder.decode(text)
        except ValueError:
            raise Lost("evd has said what is not JSON: %r" % lines[:64]) from None
        if self.aside:
            self.aside += messages
        else:
            self.aside = messages
        return True

    def _read_or_wait(self, events: int) -> None:
        """Read; if nothing is there, wait for one of the poll events."""
        if self._receive():
            return
        self._poll.modify(self._sock, events)
        self._poll.poll()
        self._poll.modify(self._sock, select.POLLIN)

    def read(self) -> None:
        """Set aside all that is there, without waiting; raises Lost if it is over.

        Lines that came before the end are set aside in any case.
        """
        for _ in range(_CHUNKS):
            if not self._receive():
                break

    def take(self) -> List[Message]:
        """What was set aside, which is then not aside any more."""
        messages = self.aside
        self.aside = []
        return messages

    def call(self, verb: str) -> None:
        """Send a command without members, and wait for its reply; raises Lost.

        All replies to earlier commands are aside then.
        """
        self.wait(self.ask(verb))

    def ask(self, verb: str) -> int:
        """Send a command without members, and give what to wait() for."""
        number = next(self._ids)
        self.send(self.command(verb, number))
        return number

    def new_id(self) -> int:
        """An `id` that no other command has."""
        return next(self._ids)

    @staticmethod
    def command(verb: str, number: int) -> str:
        """The line of a command without members."""
        return '{"cmd":"%s","id":%d}\n' % (verb, number)

    def wait(self, number: int) -> None:
        """Wait for the reply with this `id`, which is dropped; raises Lost."""
        seen = 0
        while True:
            for index in range(seen, len(self.aside)):
                if self.aside[index].get("id") == number:
                    del self.aside[index]
                    return
            seen = len(self.aside)
            if not self._receive():
                self._poll.poll()
