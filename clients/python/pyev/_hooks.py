"""Idle, Prepare, Check, Fork and Embed: what happens in the loop itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional

from . import _values
from ._constants import EV_MAXPRI, EVRUN_NOWAIT
from ._errors import Error
from ._watcher import Base, Table, Watcher

if TYPE_CHECKING:
    from ._loop import Loop

__all__ = ["Check", "Embed", "Fork", "Idle", "Prepare"]


class _Hook(Watcher):
    """Is in a table of its loop while active."""

    __slots__ = ()

    def _ev_table(self) -> Table:
        raise NotImplementedError

    def _ev_starts(self, name: int) -> None:
        self._ev_table()[name] = self._ev_ref

    def _ev_stopped(self, name: int) -> None:
        self._ev_table().pop(name, None)


class Idle(_Hook):
    """Idle(loop, callback[, data=None, priority=0])

    Calls back in each iteration in which nothing of its priority or a higher one is
    pending. While one is active the loop does not wait.
    """

    __module__ = "pyev"
    __slots__ = ()

    def _ev_table(self) -> Table:
        return self._ev_loop._ev_idles[EV_MAXPRI - self._ev_priority]


class Prepare(_Hook):
    """Prepare(loop, callback[, data=None, priority=0])

    Calls back in each iteration, right before the loop waits.
    """

    __module__ = "pyev"
    __slots__ = ()

    def _ev_table(self) -> Table:
        return self._ev_loop._ev_prepares


class Check(_Hook):
    """Check(loop, callback[, data=None, priority=0])

    Calls back in each iteration, right after the loop has waited.
    """

    __module__ = "pyev"
    __slots__ = ()

    def _ev_table(self) -> Table:
        return self._ev_loop._ev_checks


class Fork(_Hook):
    """Fork(loop, callback[, data=None, priority=0])

    Calls back in the iteration after Loop.reset(), and in a child if the loop has
    EVFLAG_FORKCHECK.
    """

    __module__ = "pyev"
    __slots__ = ()

    def _ev_table(self) -> Table:
        return self._ev_loop._ev_forks


class Embed(_Hook):
    """Embed(other, loop[, callback=None, data=None, priority=0])

    Calls back when another loop has events to handle.

    other: that loop; its backend must be embeddable (Error).
    callback: should call sweep(); None: other is swept when it is called for.
    """

    __module__ = "pyev"
    __slots__ = ("_ev_other",)

    def __init__(
        self,
        other: Loop,
        loop: Loop,
        callback: Optional[Callable[[Any, int], Any]] = None,
        data: Any = None,
        priority: int = 0,
    ) -> None:
        super().__init__(loop, _sweep if callback is None else callback, data, priority)
        self._ev_set(other)

    def set(self, other: Loop) -> None:
        """Embed another loop; not while active (Error)."""
        self._ev_must_be_inactive("the loop")
        self._ev_set(other)

    def _ev_set(self, other: Loop) -> None:
        if not isinstance(other, Base):
            raise TypeError("a pyev.Loop is required, not %s" % type(other).__name__)
        if other is self._ev_loop:
            raise Error("a loop cannot be embedded into itself")
        if not other.backend & other._ev_embeddable:
            raise Error("'other' must be embeddable")
        self._ev_other = other

    @property
    def other(self) -> Loop:
        """The embedded loop; read only."""
        return self._ev_other

    @property
    def callback(self) -> Any:
        """What is called as callback(watcher, revents); or None."""
        return None if self._ev_callback is _sweep else self._ev_callback

    @callback.setter
    def callback(self, callback: Optional[Callable[[Any, int], Any]]) -> None:
        if callback is None:
            callback = _sweep
        self._ev_callback = _values.function(callback)

    def sweep(self) -> None:
        """Handle what there is of the other loop, without waiting."""
        self._ev_other.start(EVRUN_NOWAIT)

    def _ev_table(self) -> Table:
        return self._ev_loop._ev_embeds

    def _ev_is_ours(self) -> bool:
        return self._ev_callback is _sweep


def _sweep(watcher: Any, revents: int) -> None:
    watcher.sweep()
