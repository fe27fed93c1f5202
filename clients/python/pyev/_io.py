"""Io: descriptors that become readable or writable.

The daemon is passed a copy of the descriptor. It watches what the number meant at
the start, as the system's own poll(2) would not: a descriptor that the program
closes without stop() is still open there, and the other end of a pipe does not see
its end. What the number means is looked at with each event, so no callback is
called for a file that has taken the place of another one.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Tuple

from . import _values
from ._constants import EV_READ, EV_WRITE
from ._errors import Error
from ._watcher import Watcher

if TYPE_CHECKING:
    from ._connection import Message
    from ._loop import Loop

__all__ = ["Io"]


def _identity(fd: int) -> Tuple[int, int, int]:
    """What file a descriptor is of; raises OSError if it is closed."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino, stat.S_IFMT(status.st_mode)


class Io(Watcher):
    """Io(fd, events, loop, callback[, data=None, priority=0])

    Calls back while a descriptor is readable or writable, in each iteration.

    fd: a file descriptor, or an object that has a fileno().
    events: EV_READ, EV_WRITE, both, or 0 for nothing.

    stop() and dropping the watcher wait until the daemon has closed its copy, however
    long that takes. Close the descriptor after that. Raises TypeError, ValueError for a
    negative fd, OverflowError, and Error for other events. That the descriptor is
    closed is found out by the loop: its start() then raises an Error that is an OSError
    too.
    """

    __module__ = "pyev"
    __slots__ = ("_ev_fd", "_ev_events", "_ev_file")
    _ev_settles = True

    def __init__(
        self,
        fd: Any,
        events: int,
        loop: Loop,
        callback: Callable[[Any, int], Any],
        data: Any = None,
        priority: int = 0,
    ) -> None:
        super().__init__(loop, callback, data, priority)
        # What was registered.
        self._ev_file: Optional[Tuple[int, int, int]] = None
        self._ev_set(fd, events)

    def set(self, fd: Any, events: int) -> None:
        """Watch another descriptor, or for other events; not while active (Error)."""
        self._ev_must_be_inactive("the descriptor")
        self._ev_set(fd, events)

    def _ev_set(self, fd: Any, events: int) -> None:
        number = _values.descriptor(fd)
        bits = _values.integer(events)
        if bits & ~(EV_READ | EV_WRITE):
            raise Error("illegal event mask: %d" % bits)
        self._ev_fd = number
        self._ev_events = bits

    @property
    def fd(self) -> int:
        """The number of the descriptor; read only."""
        return self._ev_fd

    @property
    def events(self) -> int:
        """EV_READ, EV_WRITE, both or 0; read only."""
        return self._ev_events

    def _ev_starts(self, name: int) -> None:
        if self._ev_events:
            self._ev_loop._ev_register(name)
            self._ev_loop._ev_immediate = True

    def _ev_stops(self, name: int) -> None:
        self._ev_file = None
        self._ev_loop._ev_release(name)

    def _ev_stopped(self, name: int) -> None:
        if self._ev_loop._ev_gone:
            self._ev_loop._ev_settle()

    def _ev_command(self, name: int, fds: List[int], opened: List[int]) -> str:
        if not self._ev_events:
            return ""
        self._ev_file = _identity(self._ev_fd)
        fds.append(self._ev_fd)
        return '{"cmd":"watch","type":"io","watcher":%d,"events":%d,"fds":1%s' % (
            name,
            self._ev_events,
            self._ev_common(),
        )

    def _ev_arrives(self, event: Message) -> bool:
        if event["revents"] < 0:
            self._ev_fails(OSError(event["error"], "the descriptor cannot be polled"))
            return False
        try:
            if _identity(self._ev_fd) == self._ev_file:
                return True
            self._ev_loop._ev_rename(self)
        except OSError:
            self._ev_loop._ev_rename(self, register=False)
        return False
