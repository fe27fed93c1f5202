"""The methods of a loop that make watchers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional

from ._async import Async
from ._child import Child
from ._hooks import Check, Embed, Fork, Idle, Prepare
from ._io import Io
from ._periodic import Periodic, Scheduler
from ._signals import Signal
from ._stat import Stat
from ._timer import Timer
from ._watcher import Base

if TYPE_CHECKING:
    from ._loop import Loop

Callback = Callable[[Any, int], Any]


class Factories(Base):
    """Each method makes a watcher of this loop, and takes what its type takes.

    No arguments by keyword, and none for the loop.
    """

    __slots__ = ()

    def io(
        self,
        fd: Any,
        events: int,
        callback: Callback,
        data: Any = None,
        priority: int = 0,
        /,
    ) -> Io:
        """Io(fd, events, self, callback, data, priority)."""
        return Io(fd, events, self._ev_this(), callback, data, priority)

    def timer(
        self,
        after: float,
        repeat: float,
        callback: Callback,
        data: Any = None,
        priority: int = 0,
        /,
    ) -> Timer:
        """Timer(after, repeat, self, callback, data, priority)."""
        return Timer(after, repeat, self._ev_this(), callback, data, priority)

    def periodic(
        self,
        offset: float,
        interval: float,
        callback: Callback,
        data: Any = None,
        priority: int = 0,
        /,
    ) -> Periodic:
        """Periodic(offset, interval, self, callback, data, priority)."""
        return Periodic(offset, interval, self._ev_this(), callback, data, priority)

    def scheduler(
        self,
        scheduler: Callable[[Any, float], float],
        callback: Callback,
        data: Any = None,
        priority: int = 0,
        /,
    ) -> Scheduler:
        """Scheduler(scheduler, self, callback, data, priority)."""
        return Scheduler(scheduler, self._ev_this(), callback, data, priority)

    def signal(
        self,
        signum: int,
        callback: Callback,
        data: Any = None,
        priority: int = 0,
        /,
    ) -> Signal:
        """Signal(signum, self, callback, data, priority)."""
        return Signal(signum, self._ev_this(), callback, data, priority)

    def child(
        self,
        pid: int,
        trace: bool,
        callback: Callback,
        data: Any = None,
        priority: int = 0,
        /,
    ) -> Child:
        """Child(pid, trace, self, callback, data, priority)."""
        return Child(pid, trace, self._ev_this(), callback, data, priority)

    def stat(
        self,
        path: str,
        interval: float,
        callback: Callback,
        data: Any = None,
        priority: int = 0,
        /,
    ) -> Stat:
        """Stat(path, interval, self, callback, data, priority)."""
        return Stat(path, interval, self._ev_this(), callback, data, priority)

    def idle(
        self, callback: Callback, data: Any = None, priority: int = 0, /
    ) -> Idle:
        """Idle(self, callback, data, priority)."""
        return Idle(self._ev_this(), callback, data, priority)

    def prepare(
        self, callback: Callback, data: Any = None, priority: int = 0, /
    ) -> Prepare:
        """Prepare(self, callback, data, priority)."""
        return Prepare(self._ev_this(), callback, data, priority)

    def check(
        self, callback: Callback, data: Any = None, priority: int = 0, /
    ) -> Check:
        """Check(self, callback, data, priority)."""
        return Check(self._ev_this(), callback, data, priority)

    def fork(
        self, callback: Callback, data: Any = None, priority: int = 0, /
    ) -> Fork:
        """Fork(self, callback, data, priority)."""
        return Fork(self._ev_this(), callback, data, priority)

    def embed(
        self,
        other: Loop,
        callback: Optional[Callback] = None,
        data: Any = None,
        priority: int = 0,
        /,
    ) -> Embed:
        """Embed(other, self, callback, data, priority)."""
        return Embed(other, self._ev_this(), callback, data, priority)

    def _ev_async(
        self, callback: Callback, data: Any = None, priority: int = 0, /
    ) -> Async:
        """Async(self, callback, data, priority)."""
        return Async(self._ev_this(), callback, data, priority)


# Since Python 3.7 only getattr() can name it.
setattr(Factories, "async", Factories._ev_async)
