"""Async: a loop woken by other threads and by signal handlers."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Callable, cast

from ._watcher import Watcher

if TYPE_CHECKING:
    from ._loop import Loop

__all__ = ["Async"]


class Async(Watcher):
    """Async(loop, callback[, data=None, priority=0])

    Calls back, in the thread of its loop, after send() was called in any thread or
    signal handler.
    """

    __module__ = "pyev"
    __slots__ = ("_ev_sent",)

    def __init__(
        self,
        loop: Loop,
        callback: Callable[[Any, int], Any],
        data: Any = None,
        priority: int = 0,
    ) -> None:
        super().__init__(loop, callback, data, priority)
        self._ev_sent = False

    @property
    def sent(self) -> bool:
        """Whether send() was called, and the loop has not noticed yet; read only."""
        return self._ev_sent

    def send(self) -> None:
        """Make it fire; without effect while inactive.

        Takes no lock and does not block. Several calls before the callback are one.
        """
        if self._ev_sent or not self.active:
            return
        loop = self._ev_loop
        ref = cast("weakref.ReferenceType[Async]", self._ev_ref)
        self._ev_sent = True
        try:
            loop._ev_sends.append(ref)
            if loop._ev_wakeup is not None:
                loop._ev_wakeup.wake()
        except BaseException:
            # An interrupt. What comes next is not to be taken for one with this.
            self._ev_sent = False
            raise

    def _ev_starts(self, name: int) -> None:
        self._ev_sent = False
