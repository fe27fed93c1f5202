"""A session in an asyncio program."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import warnings
from types import TracebackType
from typing import (
    Any,
    AsyncIterator,
    Callable,
    Deque,
    Dict,
    Generator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Type,
    TypeVar,
    Union,
)

from .. import _daemon
from .._connection import too_many_under_way
from .._errors import Error
from . import _fork
from ._errors import Closed
from ._event import Event
from ._stream import Ended, Stream
from ._watcher import Child, Starting, Watcher
from ._wire import (
    Lines,
    Message,
    Name,
    Output,
    TooManyUnderWay,
    decode,
    encode,
    fileno,
    hello_members,
    with_descriptors,
    with_path,
)

__all__ = ["Now", "Session", "connect"]

_READ_SIZE = 1 << 18
# Bytes: who has more to say than the first waits until it is down to the second.
_WRITE_HIGH = 1 << 18
_WRITE_LOW = 1 << 16
_CLOSE_TIMEOUT_S = 10.0
_DESCRIPTORS_PAUSE_S = 0.01
_RECONNECT_FIRST_S = 0.1
_RECONNECT_LAST_S = 5.0
# How often a list is begun again, as what it went on from was gone.
_LIST_ATTEMPTS = 10

Replied = Callable[[Message, Optional[Error]], None]
T = TypeVar("T")


class Now(NamedTuple):
    """The clocks as the session's loop has read them last, in seconds.

    now: since the Epoch. monotonic: CLOCK_MONOTONIC, as time.monotonic().
    """

    now: float
    monotonic: float


class Session:
    """A session with the daemon, as connect() gives it.

    Events of all watchers that are not asked themselves come by iterating over it,
    or by event(). When the loop comes back for the next one, the event before is
    acknowledged if its watcher is held; event() leaves that to ack().

        async with pyev.evd.connect() as session:
            await session.watch("timer", "tick", after=0, repeat=2)
            async for event in session:
                print(event.watcher, event.overrun)

    Iterating ends with the session where this program wanted it to end, and raises
    Closed where it did not. So does every other method once the session has ended.
    A command that the daemon refuses raises Error, with its code.

    A program that takes no events for a while need not care: some 1,000 are read
    ahead, then the daemon keeps and merges the others, as "overrun" says.

    It belongs to the event loop that it was made in, and starts no thread.

    hello: the result of the last `hello`, a dict.
    on_error: called with the Error if a command is refused that nobody waits for
        (reply=False, post()); by default the event loop's exception handler is.
    """

    def __init__(
        self,
        sock: socket.socket,
        hello: Optional[Mapping[str, Any]] = None,
        *,
        hold: bool = False,
        max_queue: int = 1024,
    ) -> None:
        """Use a connected socket, on which `hello` was said alone, or nothing."""
        sock.setblocking(False)
        self.hello: Dict[str, Any] = dict(hello or {})
        self.on_error: Optional[Callable[[Error], None]] = None
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._hold = hold
        self._max_queue = max_queue

        self._lines = Lines()
        self._output = Output()
        self._sent = 1 if hello is not None else 0  # lines
        self._pending: Dict[int, Replied] = {}  # by line
        self._watchers: Dict[Name, Watcher] = {}
        self._numbers: Dict[str, int] = {}  # of names made here, by type

        self._queued = 0  # events, in all streams
        self._waiters = 0  # for events, or for the end
        self._reading = False
        self._flushing = False  # a flush is scheduled, or waits for room
        self._turn = asyncio.Lock()  # of those who wait for room to write
        self._room: Optional[asyncio.Future[None]] = None
        self._stream = Stream(self, max_queue)
        self._owed: Optional[Watcher] = None

        self._closed = False
        self._half_closed = False
        self._reason: Optional[str] = None
        self._end = self._loop.create_future()
        _fork.add(self)
        self._changed()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return "<Session %s %s>" % (self.name, state)

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn("unclosed %r" % self, ResourceWarning, source=self)
            self._sock.close()
            self._output.clear()

    # What it is

    @property
    def name(self) -> str:
        """Its name, by which others can send to it: "#N" unless it has taken one."""
        return str(self.hello.get("session", ""))

    @property
    def pid(self) -> int:
        """The daemon's process."""
        return int(self.hello.get("pid", 0))

    @property
    def features(self) -> List[str]:
        """What the daemon has: see `hello` in the protocol."""
        return list(self.hello.get("features", ()))

    @property
    def limits(self) -> Dict[str, Any]:
        """What the daemon grants: see `hello` in the protocol."""
        return dict(self.hello.get("limits", {}))

    @property
    def closed(self) -> bool:
        """Whether it has ended. Events that were read before can still be taken."""
        return self._closed

    @property
    def reason(self) -> Optional[str]:
        """Why it has ended: see Closed."""
        return self._reason

    @property
    def queued(self) -> int:
        """How many events were read and not taken yet, but for watchers' own."""
        return len(self._stream)

    # Events

    def __aiter__(self) -> Session:
        return self

    async def __anext__(self) -> Event:
        owed, self._owed = self._owed, None
        if owed is not None:
            owed._acknowledge()
        try:
            event = await self._stream.get()
        except Ended:
            self._check_end()
            raise StopAsyncIteration from None
        watcher = self._watchers.get(event["watcher"])
        if watcher is not None and watcher._held:
            self._owed = watcher
        return event

    async def event(self) -> Event:
        """The next event, however long it takes; raises Closed if none will come."""
        try:
            return await self._stream.get()
        except Ended:
            raise Closed(self._reason) from None

    # Commands in general

    async def call(self, cmd: str, *, fds: Sequence[Any] = (), **members: Any) -> Message:
        """Send a command, and give the result of its reply.

        members: of the command, as the protocol has them.
        fds: descriptors (or files) to pass along; they can be closed at once.
        reply=False: nobody waits, and the result is empty; see on_error.

        A task that is cancelled before the command was sent has had no effect;
        afterwards the command takes its course.
        """
        return await self._request({"cmd": cmd, **members}, fds)

    def post(self, cmd: str, **members: Any) -> None:
        """Send a command that nobody waits for; for a few at a time.

        (call() with reply=False waits while too much is unsent, this does not.)
        """
        if self._open:
            self._write({"cmd": cmd, **members, "reply": False}, None)

    async def hello_again(
        self, name: Optional[str] = None, *, hold: Optional[bool] = None
    ) -> Message:
        """Say hello once more: to name the session, or to set the default of hold."""

        def done(result: Message) -> None:
            self.hello = dict(result)
            if hold is not None:
                self._hold = hold

        return await self._request(
            {"cmd": "hello", **hello_members(name, hold, ())}, done=done
        )

    # Watchers

    def watch(
        self,
        type: str,
        watcher: Optional[Name] = None,
        *,
        fd: Any = None,
        pidfd: Any = None,
        **members: Any
    ) -> Starting[Watcher]:
        """Register a watcher: to be awaited, or for "async with".

        type: "timer", "io", "stat" …; members: of `watch` and of the type, as in the
            protocol.
        watcher: its name; by default one is made of the type and a number.
        fd: of an io: a descriptor (or file) that is passed along. With pid, the
            number of a descriptor of that process.
        pidfd: of a child: a descriptor of the process that is passed along.
        path: text, bytes or a path object.

        Gives the Watcher; leaving "async with" unwatches it.
        """
        fds = []
        if fd is not None and "pid" in members:
            members["fd"] = fd
        elif fd is not None:
            fds.append(fileno(fd))
        if pidfd is not None:
            fds.append(fileno(pidfd))
        name = self._new_name(type) if watcher is None else watcher
        command = {"cmd": "watch", "type": type, "watcher": name, **with_path(members)}
        made = Watcher(self, type, name, *self._options(members))
        return Starting(made, lambda: self._register(made, command, fds))

    def spawn(
        self,
        argv: Sequence[Union[str, "os.PathLike[str]"]],
        watcher: Optional[Name] = None,
        *,
        cwd: Union[str, "os.PathLike[str]", None] = None,
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
        **members: Any
    ) -> Starting[Child]:
        """Have the daemon start a program: to be awaited, or for "async with".

        argv: the program and its arguments; no shell reads them.
        watcher: the name of the watcher of its end; by default one is made.
        cwd: absolute, "/" by default.
        stdin, stdout, stderr: descriptors (or files), by default /dev/null.
        members: env, on_end, trace … as in the protocol. Without env the program
            has little more than PATH and HOME.

        Gives the Child; leaving "async with" terminates it. The session's end does
        so too, unless on_end="leave".
        """
        members.update(stdin=stdin, stdout=stdout, stderr=stderr)
        members, fds = with_descriptors(members, ("stdin", "stdout", "stderr"))
        if cwd is not None:
            members["cwd"] = os.fspath(cwd)
        name = self._new_name("child") if watcher is None else watcher
        command = {
            "cmd": "spawn",
            "argv": [os.fspath(arg) for arg in argv],
            "watcher": name,
            **members,
        }
        made = Child(self, name, *self._options(members))
        return Starting(made, lambda: self._register(made, command, fds))

    def watcher(self, name: Name) -> Optional[Watcher]:
        """The watcher of this name that was registered by watch() or spawn()."""
        return self._watchers.get(name)

    # The other verbs

    async def send(self, watcher: Name, session: Optional[str] = None) -> bool:
        """Wake an async watcher, of this or another session; whether it was active."""
        members: Message = {"watcher": watcher}
        if session is not None:
            members["session"] = session
        return bool((await self.call("send", **members))["sent"])

    async def ack(
        self, seq: Union[int, Event, None] = None, *, watcher: Optional[Name] = None
    ) -> int:
        """Free held watchers, and give how many.

        seq: those whose event had this number or less (or an event: its number).
        watcher: this one. Without either: all whose event was written.
        """
        members: Message = {}
        if seq is not None:
            members["seq"] = seq.seq if isinstance(seq, Event) else seq
        if watcher is not None:
            members["watcher"] = watcher
        return int((await self.call("ack", **members))["freed"])

    async def now(self) -> Now:
        """The clocks, as the daemon's loop has read them last."""
        return _now(await self.call("now"))

    async def update(self) -> Now:
        """The clocks, as they are read for this."""
        return _now(await self.call("update"))

    async def poll(self) -> int:
        """Wait until all that is ready now was read; gives the last event's number."""
        return int((await self.call("poll"))["seq"])

    async def reset(self) -> None:
        """Reset the session as a loop: its fork watchers fire."""
        await self.call("reset")

    async def suspend(self) -> None:
        """Stand still: no events, and no time that passes, until resume()."""
        await self.call("suspend")

    async def resume(self) -> None:
        """Go on after suspend()."""
        await self.call("resume")

    async def ref(self) -> int:
        """Count one more active watcher than there are; gives how many more in all."""
        return int((await self.call("ref"))["refs"])

    async def unref(self) -> int:
        """Count one active watcher less than there are; as ref()."""
        return int((await self.call("unref"))["refs"])

    async def loop(self, **members: Any) -> Message:
        """The session as a loop: its counters, its intervals, which can be set."""
        return await self.call("loop", **members)

    async def verify(self) -> None:
        """Have the daemon check its own structures."""
        await self.call("verify")

    async def feed_signal(self, signum: Union[int, str]) -> None:
        """Have the signal watchers of this session fire; no process is signalled."""
        await self.call("feed_signal", signum=signum)

    async def kill(
        self, pid: int, signum: Union[int, str] = "TERM", *, group: bool = False
    ) -> None:
        """Signal a child that this session has spawned, by its pid."""
        await self.call("kill", pid=pid, signum=signum, group=group)

    async def calendar(
        self,
        calendar: str,
        *,
        timezone: Optional[str] = None,
        after: Optional[float] = None,
        next: int = 10
    ) -> List[float]:
        """When a cron expression comes next: seconds since the Epoch, at most 10.

        timezone: a name of tzdata, by default the daemon's.
        after: times after this one, by default after now.
        """
        members: Message = {"calendar": calendar, "next": next}
        if timezone is not None:
            members["timezone"] = timezone
        if after is not None:
            members["from"] = after
        return list((await self.call("calendar", **members))["next"])

    async def list(
        self, session: Optional[str] = None, *, uid: Optional[int] = None
    ) -> List[Message]:
        """All sessions, or all watchers of one, as dicts: see the protocol."""
        about: Message = {}
        if session is not None:
            about["session"] = session
        if uid is not None:
            about["uid"] = uid
        for attempt in range(1, _LIST_ATTEMPTS + 1):
            try:
                return await self._list(about)
            except Error as error:
                # What a page went on from may be gone by then.
                if error.code != "no-such-watcher" or attempt == _LIST_ATTEMPTS:
                    raise
        raise AssertionError

    async def stats(self) -> Message:
        """What the daemon has done since its start: see the protocol."""
        return await self.call("stats")

    # The end

    async def shutdown(self) -> None:
        """Say that no more commands come: the session ends when it has no more to do.

        Its events still come.
        """
        self._check_open()
        while self._output.size and not self._closed:
            await self._wait_for_room(0)
        self._half_closed = True
        if not self._closed:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)

    async def close(self) -> None:
        """Write what is unsent, for 10 seconds at most, and end the session."""
        try:
            if self._output.size and not self._closed:
                self._flush()
            if self._output.size and not self._closed:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._wait_for_room(0), _CLOSE_TIMEOUT_S)
        finally:
            self._finish("close")

    async def wait_closed(self) -> Optional[str]:
        """Wait until the session has ended, and give the reason: see Closed."""
        self._changed(waiters=1)
        try:
            await asyncio.shield(self._end)
        finally:
            self._changed(waiters=-1)
        return self._reason

    # For its watchers

    def _new_stream(self) -> Stream:
        """A stream for the events of one watcher."""
        return Stream(self, self._max_queue)

    def _future(self) -> asyncio.Future[int]:
        """A future of the session's event loop."""
        return self._loop.create_future()

    def _take_back(self, watcher: Name) -> Deque[Event]:
        """Take the events of a watcher out of the session's own stream."""
        return self._stream.take_back(watcher)

    def _forget(self, watcher: Watcher) -> None:
        """It is not registered any more."""
        if self._watchers.get(watcher.name) is watcher:
            del self._watchers[watcher.name]

    def _check_end(self) -> None:
        """Raise Closed if the session has ended, and this program did not want that."""
        closed = Closed(self._reason)
        if self._closed and not closed.expected:
            raise closed

    def _changed(self, events: int = 0, waiters: int = 0) -> None:
        """Read while that is of use: see _wants_to_read()."""
        self._queued += events
        self._waiters += waiters
        if self._closed or self._reading == self._wants_to_read():
            return
        self._reading = not self._reading
        if self._reading:
            self._loop.add_reader(self._sock.fileno(), self._on_readable)
        else:
            self._loop.remove_reader(self._sock.fileno())

    def _end_in_child(self) -> None:
        """In a child of this process: the session, and the loop, are the parent's."""
        self._closed = True
        self._reason = "fork"
        self._sock.close()
        self._output.clear()

    async def _request(
        self,
        command: Message,
        fds: Sequence[Any] = (),
        *,
        done: Callable[[Message], None] = lambda result: None,
        undo: Callable[[], None] = lambda: None
    ) -> Message:
        """Send a command, and give the result of its reply.

        done: called with the result before the line behind the reply is looked at.
        undo: called instead of giving the result if nobody waits for it any more.
        """
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("%r belongs to another event loop" % self)
        self._check_open()
        while self._output.size > _WRITE_HIGH:
            async with self._turn:
                await self._wait_for_room(_WRITE_HIGH)
            self._check_open()
        if command.get("reply") is False:
            self._write(command, None, fds)
            return {}
        future: asyncio.Future[Message] = self._loop.create_future()

        def replied(result: Message, error: Optional[Error]) -> None:
            if error is None:
                done(result)
            if not future.cancelled():
                _settle(future, result, error)
            elif error is None:
                undo()

        self._write(command, replied, fds)
        try:
            return await future
        except asyncio.CancelledError:
            # The reply and the cancellation may come at the same moment.
            if not future.cancelled() and future.exception() is None:
                undo()
            raise

    def _write(
        self, command: Message, replied: Optional[Replied], fds: Sequence[Any] = ()
    ) -> None:
        """Put a command into the output; replied: called with the reply, or Closed."""
        if "id" in command:
            raise TypeError("a session has ids of its own, expected none")
        number = self._sent + 1
        if replied is not None:
            command = {**command, "id": number}
        if fds:
            command = {**command, "fds": len(fds)}
        self._output.add(encode(command), [fileno(fd) for fd in fds])
        self._sent = number
        if replied is not None:
            self._pending[number] = replied
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)
        self._changed()

    # The inside

    @property
    def _open(self) -> bool:
        """Whether it takes commands."""
        return not self._closed and not self._half_closed

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(self._reason)
        if self._half_closed:
            raise Error("the session takes no more commands, after shutdown()")

    def _new_name(self, type: str) -> str:
        while True:
            self._numbers[type] = self._numbers.get(type, 0) + 1
            name = "%s-%d" % (type, self._numbers[type])
            if name not in self._watchers:
                return name

    def _options(self, members: Message) -> Any:
        """Whether a new watcher is held, and forgotten when it has fired."""
        return bool(members.get("hold", self._hold)), bool(members.get("release"))

    async def _register(self, watcher: W, command: Message, fds: Sequence[int]) -> W:
        def done(result: Message) -> None:
            self._watchers[watcher.name] = watcher
            watcher._registered(result)

        await self._request(command, fds, done=done, undo=watcher._undo)
        return watcher

    async def _list(self, about: Message) -> List[Message]:
        entries: List[Message] = []
        page = await self.call("list", **about)
        while True:
            entries += page["watchers" if "session" in about else "sessions"]
            if "next" not in page:
                return entries
            page = await self.call("list", **about, after=page["next"])

    def _wants_to_read(self) -> bool:
        """Not while many events wait to be taken: the daemon keeps them better.

        But who waits for a reply, for room to write, or for another event must not
        wait for those that take these.
        """
        return (
            self._queued < self._max_queue
            or self._waiters > 0
            or bool(self._pending)
            or self._output.size > 0
        )

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._finish("half-close" if self._half_closed else None)
            return
        try:
            for line in self._lines.feed(data):
                self._on_message(decode(line))
        except Error as error:
            self._finish(str(error))
        self._changed()

    def _on_message(self, message: Message) -> None:
        if not isinstance(message, Event):
            self._on_reply(message)
        elif message.type == "bye":
            self._reason = message["reason"]
        else:
            merge = self._queued >= self._max_queue
            watcher = self._watchers.get(message["watcher"])
            if watcher is not None:
                watcher._fired(message, self._stream, merge)
            else:
                self._stream.put(message, merge)

    def _on_reply(self, reply: Message) -> None:
        error = Error.from_reply(reply["error"]) if "error" in reply else None
        replied = self._pending.pop(error.line if error else reply["id"], None)
        if replied is not None:
            replied(reply.get("result", {}), error)
        elif error is not None:
            self._on_refused(error)

    def _on_refused(self, error: Error) -> None:
        """A command was refused that nobody waits for."""
        if error.cmd == "ack" and error.code == "no-such-watcher":
            return  # it has gone meanwhile
        if self.on_error is not None:
            self.on_error(error)
            return
        self._loop.call_exception_handler(
            {
                "message": "evd refused a command that nobody waits for",
                "exception": error,
            }
        )

    def _flush(self) -> None:
        """Write what can be written, and see to it that the rest will be."""
        self._flushing = False
        if self._closed:
            return
        self._loop.remove_writer(self._sock.fileno())
        try:
            if not self._output.write(self._sock):
                self._flushing = True
                self._loop.add_writer(self._sock.fileno(), self._flush)
        except TooManyUnderWay as refused:
            self._flushing = True
            self._loop.call_later(_DESCRIPTORS_PAUSE_S, self._flush)
            if refused.hopeless:
                self._give_up(too_many_under_way())
        except ConnectionError:
            # What came before the end is still to be read.
            self._output.clear()
        if self._output.size <= _WRITE_LOW:
            self._tell_room()
        self._changed()

    def _give_up(self, error: Error) -> None:
        """The first unsent line brings descriptors that cannot be passed.

        It goes without them, so that the numbers of the lines remain; the daemon
        refuses it, which is no news by then.
        """
        number = self._sent - self._output.unwritten() + 1
        replied = self._pending.get(number)
        self._pending[number] = lambda result, error: None
        self._output.give_up()
        if replied is not None:
            replied({}, error)
        else:
            self._on_refused(error)

    def _tell_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    async def _wait_for_room(self, size: int) -> None:
        """Until no more than size bytes are unsent, or the session has ended."""
        while self._output.size > size and not self._closed:
            if self._room is None or self._room.done():
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)

    def _finish(self, reason: Optional[str]) -> None:
        if self._closed:
            return
        self._closed = True
        self._reason = reason if self._reason is None else self._reason
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        self._output.clear()
        self._tell_room()
        pending, self._pending = self._pending, {}
        for replied in pending.values():
            replied({}, Closed(self._reason))
        self._stream.end()
        for watcher in list(self._watchers.values()):
            watcher._when_ended()
        self._end.set_result(None)


W = TypeVar("W", bound=Watcher)


def _settle(
    future: asyncio.Future[Message], result: Message, error: Optional[Error]
) -> None:
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _now(result: Message) -> Now:
    return Now(result["now"], result["monotonic"])


class connect:
    """Connect to the daemon: to be awaited, or for "async with", or "async for".

    name: the session takes this name, by which others can send to it.
    hold: whether watchers are held, unless their "watch" says otherwise.
    need: features without which the program cannot work.
    max_queue: how many events are read ahead.

        async with pyev.evd.connect() as session:
            ...

    A daemon is started if there is none (see the package). Raises NoDaemon or
    another Error if none can be had, or if it refuses.

    Iterating gives one session after the other, each as soon as a daemon can be
    had after the one before was lost:

        async for session in pyev.evd.connect():
            try:
                ...
            except pyev.evd.Closed:
                continue
    """

    def __init__(
        self,
        name: Optional[str] = None,
        *,
        hold: bool = False,
        need: Sequence[str] = (),
        max_queue: int = 1024
    ) -> None:
        self._members = hello_members(name, hold or None, need)
        self._options: Dict[str, Any] = {"hold": hold, "max_queue": max_queue}
        self._session: Optional[Session] = None

    def __await__(self) -> Generator[Any, None, Session]:
        return self._connect().__await__()

    async def __aenter__(self) -> Session:
        self._session = await self
        return self._session

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aiter__(self) -> AsyncIterator[Session]:
        pause = _RECONNECT_FIRST_S
        while True:
            try:
                session = await self
            except _daemon.NoDaemon:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _RECONNECT_LAST_S)
                continue
            pause = _RECONNECT_FIRST_S
            async with session:
                yield session

    async def _connect(self) -> Session:
        steps = _daemon.greeting(_daemon.find(), self._members)
        sock, hello = await _run(steps)
        return Session(sock, hello, **self._options)


async def _run(steps: _daemon.Steps[T]) -> T:
    """As _daemon.run(), but only this task waits."""
    try:
        wait = next(steps)
        while True:
            wait = steps.send(await _comes(wait))
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        steps.close()


async def _comes(wait: _daemon.Wait) -> bool:
    if wait.fd is None:
        await asyncio.sleep(wait.seconds)
        return False
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[bool] = loop.create_future()

    def settle(value: bool) -> None:
        if not ready.done():
            ready.set_result(value)

    timer = loop.call_later(wait.seconds, settle, False)
    loop.add_reader(wait.fd, settle, True)
    try:
        return await ready
    finally:
        loop.remove_reader(wait.fd)
        timer.cancel()
