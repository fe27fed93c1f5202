"""Watchers of a session: their verbs, their events, and how they end."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Coroutine,
    Generator,
    Generic,
    NamedTuple,
    Optional,
    Type,
    TypeVar,
    Union,
)

from .._errors import Error
from ._errors import Closed
from ._event import Event
from ._stream import Ended, Stream
from ._wire import Message, Name, fileno, with_path

if TYPE_CHECKING:
    from ._session import Session

__all__ = ["Child", "Cleared", "Starting", "Watcher"]

_LEVEL_TRIGGERED = ("io", "idle")


class Cleared(NamedTuple):
    """An event that was taken back before this program saw it.

    revents: its bits. overrun: how many more firings were merged into it.
    """

    revents: int
    overrun: int


class Watcher:
    """A watcher of a session, as Session.watch() registers it.

    Its events come from the session's stream, until the watcher is asked for them:
    by "async with", by iterating over it or by event(). From then on they come here,
    those included that were waiting in the session's.

        async with session.watch("io", fd=sock, events="r") as readable:
            async for event in readable:
                print(sock.recv(4096))

    Iterating ends when the watcher has stopped (a timer without repeat after its
    one event) or was unwatched, and raises Closed if the session is lost, and Error
    if the watcher can do its work no more. A held watcher (any io) is acknowledged
    when the loop comes back for the next event. event() leaves that to ack().

    session: the Session. name, type: of the watcher.
    result: of the command that has registered or last started it: a stat has "attr".
    """

    def __init__(
        self, session: Session, type: str, name: Name, hold: bool, release: bool
    ) -> None:
        self.session = session
        self.type = type
        self.name = name
        self.result: Message = {}
        self._held = hold or type in _LEVEL_TRIGGERED
        self._release = release
        self._stream: Optional[Stream] = None
        self._spent = False  # its last event said that it is not active
        self._owed = False  # an event was given out that is not acknowledged
        self._gone = False
        self._unwanted = False  # who wanted it does not wait any more

    def __repr__(self) -> str:
        gone = " gone" if self._gone else ""
        return "<%s %s %r%s>" % (type(self).__name__, self.type, self.name, gone)

    # Events

    def __aiter__(self) -> Watcher:
        self._claim()
        return self

    async def __anext__(self) -> Event:
        if self._owed:
            self._acknowledge()
        stream = self._claim()
        if self._spent and len(stream) == 0:
            raise StopAsyncIteration
        try:
            event = await stream.get()
        except Ended:
            self.session._check_end()
            raise StopAsyncIteration from None
        self._owed = self._held
        if event.error:
            raise Error(
                "system-error",
                "%s watcher %r can do its work no more: %s"
                % (self.type, self.name, event.error),
            )
        return event

    async def event(self) -> Event:
        """The next event, however long it takes.

        Raises Closed if the session ends, and Error if the watcher is unwatched.
        """
        try:
            return await self._claim().get()
        except Ended:
            if self.session.closed:
                raise Closed(self.session.reason) from None
            raise Error("watcher %r was unwatched" % (self.name,)) from None

    @property
    def queued(self) -> int:
        """How many of its events were read and not taken yet, once asked for them."""
        return len(self._stream) if self._stream is not None else 0

    # Verbs

    async def start(self, *, fd: Any = None) -> Message:
        """Start it, if it is inactive; gives what the type says of that.

        fd: a descriptor (or file) to pass along, for a watcher that has none now.
        """
        fds = () if fd is None else (fileno(fd),)
        command = {"cmd": "start", "watcher": self.name}
        return await self.session._request(command, fds, done=self._registered)

    async def stop(self) -> Optional[Cleared]:
        """Stop it, and take back what this program has not seen of its events.

        When this returns, the daemon has closed a descriptor that it was passed.
        Gives what was taken back, or None.
        """
        return await self._taking_back("stop")

    async def reset(self) -> Optional[Cleared]:
        """Restart a timer, periodic or scheduler; gives what was taken back."""
        return await self._taking_back("reset", self._revived)

    async def clear(self) -> Optional[Cleared]:
        """Take back what this program has not seen of its events; gives it."""
        return await self._taking_back("clear")

    async def set(self, **members: Any) -> Optional[Cleared]:
        """Change members of it: see the protocol; gives what was taken back."""
        result = await self.session.call("set", watcher=self.name, **with_path(members))
        return _cleared(result)

    async def unwatch(self) -> Optional[Cleared]:
        """Stop and forget it; gives what was taken back."""
        return await self._taking_back("unwatch", self._forget)

    async def get(self, **members: Any) -> Message:
        """How it is now; next: how many of its times to come are wanted."""
        return await self.session.call("get", watcher=self.name, **members)

    async def feed(self, revents: int) -> None:
        """Make an event pending, as if it had fired."""
        await self.session.call("feed", watcher=self.name, revents=revents)

    async def send(self) -> bool:
        """Wake an async watcher; whether it was active."""
        return await self.session.send(self.name)

    async def stat(self) -> Message:
        """Look at the file of a stat now; gives its "attr"."""
        result = await self.session.call("stat", watcher=self.name)
        return dict(result["attr"])

    async def ack(self) -> int:
        """Acknowledge the event of a held watcher; gives how many were freed."""
        self._owed = False
        return await self.session.ack(watcher=self.name)

    # For the session

    def _acknowledge(self) -> None:
        """As ack(), and nobody waits; one that is forgotten by now needs none."""
        self._owed = False
        self.session.post("ack", watcher=self.name)

    def _registered(self, result: Message) -> None:
        """The daemon has it, or has started it."""
        self.result = result
        self._revived()

    def _fired(self, event: Event, stream: Stream, merge: bool) -> None:
        """Take an event of it, or put it into the session's stream."""
        if self._unwanted:
            return
        self._spent = not event.active
        (stream if self._stream is None else self._stream).put(event, merge)
        if self._spent and self._release:
            self._forget()

    def _forget(self) -> None:
        """The daemon does not have it any more."""
        self._gone = True
        self.session._forget(self)
        if self._stream is not None:
            self._stream.end()

    def _when_ended(self) -> None:
        """The session has ended."""
        if self._stream is not None:
            self._stream.end()

    def _undo(self) -> None:
        """Have nothing left of it: who wanted it does not wait any more."""
        self._unwanted = True
        self._take_back({})
        if self.session._open:
            command = {"cmd": "unwatch", "watcher": self.name}
            self.session._write(command, lambda result, error: self._forget())

    def _enter(self) -> None:
        """Its events come here, and not from the session's stream."""
        self._claim()

    async def _leave(self) -> None:
        """The end of "async with": nothing is left of it."""
        if self._gone or not self.session._open:
            return
        try:
            await self.unwatch()
        except Closed:
            pass
        except Error as error:
            if error.code != "no-such-watcher":
                raise
            self._forget()

    # The inside

    def _revived(self) -> None:
        self._spent = False

    def _claim(self) -> Stream:
        if self._stream is None:
            self._stream = self.session._new_stream()
            for event in self.session._take_back(self.name):
                self._stream.put(event, False)
            if self._gone or self.session.closed:
                self._stream.end()
        return self._stream

    async def _taking_back(
        self, cmd: str, done: Callable[[], None] = lambda: None
    ) -> Optional[Cleared]:
        """A verb after which no earlier event may be seen."""
        cleared: Optional[Event] = None

        def replied(result: Message) -> None:
            nonlocal cleared
            cleared = self._take_back(result)
            done()

        await self.session._request({"cmd": cmd, "watcher": self.name}, done=replied)
        return None if cleared is None else Cleared(cleared.revents, cleared.overrun)

    def _take_back(self, result: Message) -> Optional[Event]:
        stream = self._stream
        taken = (
            self.session._take_back(self.name)
            if stream is None
            else stream.take_back(self.name)
        )
        if "cleared" in result:
            taken.append(Event(result["cleared"]))
        if not taken:
            return None
        first = taken.popleft()
        for event in taken:
            first.merge(event)
        return first


def _cleared(result: Message) -> Optional[Cleared]:
    cleared = result.get("cleared")
    return Cleared(cleared["revents"], cleared["overrun"]) if cleared else None


class Child(Watcher):
    """A program that Session.spawn() has started, and the watcher of its end.

    With "async with" it is terminated when the block is left.

    pid: of the program.
    returncode: how it ended, once it has: its exit status, or minus the signal.
    """

    def __init__(
        self, session: Session, name: Name, hold: bool, release: bool
    ) -> None:
        super().__init__(session, "child", name, hold, release)
        self.pid = 0
        self.returncode: Optional[int] = None
        self._ended: asyncio.Future[int] = session._future()

    async def wait(self) -> int:
        """Wait for its end, and give the returncode; any number of tasks may.

        Raises Closed if the session ends before.
        """
        return await asyncio.shield(self._ended)

    async def kill(
        self, signum: Union[int, str] = "TERM", *, group: bool = False
    ) -> None:
        """Send a signal to it; group: to all of its process group.

        Raises Error "system-error" (ESRCH) if it has ended.
        """
        await self.session.call(
            "kill", watcher=self.name, signum=signum, group=group
        )

    def _registered(self, result: Message) -> None:
        super()._registered(result)
        self.pid = result.get("pid", self.pid)

    def _fired(self, event: Event, stream: Stream, merge: bool) -> None:
        code = event.get("exit", -event.get("signal", 0))
        if ("exit" in event or "signal" in event) and not self._ended.done():
            self.returncode = code
            self._ended.set_result(code)
        super()._fired(event, stream, merge)

    def _when_ended(self) -> None:
        super()._when_ended()
        self._no_end(Closed(self.session.reason))

    def _forget(self) -> None:
        super()._forget()
        self._no_end(Error("child %r was unwatched" % (self.name,)))

    def _undo(self) -> None:
        self._terminate()
        super()._undo()

    async def _leave(self) -> None:
        self._terminate()
        await super()._leave()

    def _terminate(self) -> None:
        if self.returncode is None and not self._gone and self.session._open:
            command = {"cmd": "kill", "watcher": self.name, "group": True}
            # It may have ended by itself by then.
            self.session._write(command, lambda result, error: None)

    def _no_end(self, error: Error) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)
            self._ended.exception()  # nobody needs to ask for it


W = TypeVar("W", bound=Watcher)


class Starting(Generic[W]):
    """A watcher to be: "await" registers it, "async with" also unwatches it.

    Nothing is done before. A task that is cancelled while it waits leaves no watcher
    behind.
    """

    def __init__(self, watcher: W, register: Callable[[], Coroutine[Any, Any, W]]):
        self._watcher = watcher
        self._register = register

    def __await__(self) -> Generator[Any, None, W]:
        return self._register().__await__()

    async def __aenter__(self) -> W:
        self._watcher._enter()
        return await self._register()

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self._watcher._leave()
