"""A connection for programs that do one thing after the other."""

from __future__ import annotations

import collections
import select
import socket
import time
from types import TracebackType
from typing import (
    Any,
    Callable,
    Deque,
    Dict,
    Iterator,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Type,
    Union,
)

from .. import _daemon
from .._connection import too_many_under_way
from .._errors import Error
from . import _fork
from ._errors import Closed
from ._event import Backlog, Event
from ._wire import (
    Lines,
    Message,
    Output,
    TooManyUnderWay,
    decode,
    encode,
    fileno,
    hello_members,
)

__all__ = ["Connection"]

_READ_SIZE = 1 << 18
_BACKLOG = 10_000  # events


class Connection:
    """A blocking connection to the daemon: commands out, replies and events in.

    name: the session takes this name, by which others can send to it.
    hold: whether watchers are held, unless their "watch" says otherwise.
    need: features without which the program cannot work.
    sock: a connected socket to use; then nothing is said on it, hello included.

    Raises Error if there is no daemon and none can be started, or if it refuses.
    Not for several threads at once.

        with pyev.evd.Connection() as connection:
            connection.call("watch", type="timer", watcher="tea", after=180)
            for event in connection:
                print(event.watcher)

    hello: the result of the first command, a dict (empty with sock).
    closed: whether the connection has come to its end.
    """

    def __init__(
        self,
        name: Optional[str] = None,
        *,
        hold: Optional[bool] = None,
        need: Sequence[str] = (),
        sock: Optional[socket.socket] = None,
    ) -> None:
        self.hello: Dict[str, Any] = {}
        self.closed = False
        self._lines = Lines()
        self._arrived = 0  # messages
        self._replies: Deque[Tuple[int, Message]] = collections.deque()
        self._events = Backlog(_BACKLOG)
        self._output = Output()
        self._sent = 0  # lines
        self._reason: Optional[str] = None
        if sock is None:
            sock, self.hello = _daemon.greet(**hello_members(name, hold, need))
            self._sent = 1
        self._sock = sock
        self._sock.setblocking(False)
        _fork.add(self)

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        """Every event, until the session has ended as it was to; see event()."""
        while True:
            try:
                yield self.event()
            except Closed as closed:
                if closed.expected:
                    return
                raise

    def fileno(self) -> int:
        """The descriptor of the socket: readable when there is something to recv.

        Events that were read while a reply was waited for are here already: see
        pending().
        """
        return self._sock.fileno()

    def pending(self) -> int:
        """How many replies and events recv() gives without reading."""
        return len(self._replies) + len(self._events)

    def call(self, cmd: str, *, fds: Sequence[Any] = (), **members: Any) -> Message:
        """Send a command and wait for the result of its reply.

        members: of the command, as the protocol has them.
        fds: descriptors (or files) to pass along.

        Events that come before it are kept for event(), and so are replies to what
        was sent by send() for recv(). With reply=False nothing is waited for, and a
        refusal is left for recv() too. Raises Error with the code if the command is
        refused, and Closed if the session ends before.
        """
        line = self._sent + 1
        id = "call %d" % line
        command: Message = {"cmd": cmd, "id": id, **members}
        if command["id"] is not id:
            raise TypeError("call() has ids of its own, expected none")
        if fds:
            command["fds"] = len(fds)
        if command.get("reply") is False:
            self.send(command, fds=fds)
            return {}
        before = len(self._replies)
        self.send(command, fds=fds)
        while True:
            while len(self._replies) == before:
                self._wait_for_more(None)
            reply = self._replies[before][1]
            error = reply.get("error")
            if reply.get("id") != id and not (error and error["line"] == line):
                before += 1
                continue
            del self._replies[before]
            if error:
                raise Error.from_reply(error)
            return dict(reply["result"])

    def send(
        self, *commands: Union[Mapping[str, Any], bytes], fds: Sequence[Any] = ()
    ) -> None:
        """Send commands, each a mapping, or a line as bytes without its LF.

        fds: descriptors (or files) that the lines take, 253 at most.

        All are sent at once, and what comes meanwhile is read ahead, so that
        neither side can wait for the other. Raises Closed, and Error if descriptors
        cannot be passed, as too many of this user's are under way; then what they
        were for was not sent.
        """
        lines = [c if isinstance(c, bytes) else encode(c)[:-1] for c in commands]
        self._sent += len(lines)
        data = b"".join(line + b"\n" for line in lines)
        self._output.add(data, [fileno(fd) for fd in fds])
        self._flush()

    def recv(self, timeout: Optional[float] = None) -> Message:
        """The next line as a dict: an Event, or a reply with "result" or "error".

        The last one may be the event "bye", which says why the session ends.

        timeout: how many seconds to wait; None: as long as it takes.

        Raises TimeoutError, and Closed at the end of the session.
        """
        self._wait_until(lambda: self.pending() > 0, timeout)
        if self._replies and not (
            self._events and self._events.first() < self._replies[0][0]
        ):
            return self._replies.popleft()[1]
        return self._events.get()

    def event(self, timeout: Optional[float] = None) -> Event:
        """The next event; replies before it are left for recv(). Raises as recv()."""
        self._wait_until(lambda: len(self._events) > 0, timeout)
        event = self._events.get()
        if event.type == "bye":
            raise Closed(self._reason)
        return event

    def shutdown(self) -> None:
        """Say that no more commands come: the session ends when it has no more to do."""
        self._reason = self._reason or "half-close"
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has ended

    def close(self) -> None:
        """Close the connection; the session and its watchers end."""
        self._end("close")

    def _end_in_child(self) -> None:
        """In a child of this process: the session is the parent's."""
        self._end("fork")

    # The inside

    def _end(self, reason: Optional[str]) -> None:
        self.closed = True
        self._reason = reason
        self._output.clear()
        self._sock.close()

    def _wait_until(
        self, condition: Callable[[], bool], timeout: Optional[float]
    ) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not condition():
            if deadline is None:
                self._wait_for_more(None)
                continue
            left = deadline - time.monotonic()
            if not self._wait_for_more(max(0, left)) and left <= 0:
                raise TimeoutError("nothing came in %g s" % (timeout or 0))

    def _wait_for_more(self, seconds: Optional[float]) -> int:
        if self.closed:
            raise Closed(self._reason)
        return self._wait(select.POLLIN, seconds)

    def _wait(self, events: int, seconds: Optional[float] = None) -> int:
        """Wait for the socket, and read what there is; the events that came."""
        poll = select.poll()
        poll.register(self._sock, events)
        ready = poll.poll(None if seconds is None else seconds * 1000)
        if not ready:
            return 0
        if ready[0][1] & ~select.POLLOUT:
            self._fill()
        return ready[0][1]

    def _fill(self) -> None:
        try:
            data = self._sock.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._end(self._reason)
            return
        for line in self._lines.feed(data):
            self._arrived += 1
            message = decode(line)
            if not isinstance(message, Event):
                self._replies.append((self._arrived, message))
                continue
            self._events.put(message, self._arrived)
            if message.type == "bye":
                self._end(message["reason"])

    def _flush(self) -> None:
        while not self.closed:
            try:
                if self._output.write(self._sock):
                    return
                self._wait(select.POLLIN | select.POLLOUT)
            except TooManyUnderWay as refused:
                if refused.hopeless:
                    self._sent -= self._output.unwritten()
                    self._output.clear()
                    raise too_many_under_way() from None
                self._wait(select.POLLIN, 0.01)
            except ConnectionError:
                # What came before the end is still to be read.
                while not self.closed:
                    self._wait(select.POLLIN)
        self._output.clear()
        raise Closed(self._reason)
