"""What is pending, and how its callbacks are called.

Watchers that are pending wait in a queue of their priority. The last one that was
fed is the first that is called, as in libev.
"""

from __future__ import annotations

import weakref
from typing import Any, Callable, List, Optional, Tuple

from ._connection import Message
from ._constants import EV_IDLE, EV_MAXPRI, EV_MINPRI, EVBREAK_ALL, EVBREAK_CANCEL
from ._report import BEFORE, INSIDE, came, report
from ._watcher import Base, Table, Watcher

__all__ = ["Pending"]


class Pending(Base):
    """The part of a loop that calls callbacks."""

    __slots__ = (
        "_ev_callback",
        "_ev_debug",
        "_ev_names",
        "_ev_idles",
        "_ev_queues",
        "_ev_feeds",
        "_ev_due",
        "_ev_broken",
        "_ev_done",
        "_ev_raised",
    )

    def __init__(self) -> None:
        self._ev_callback: Optional[Callable[[Any], Any]] = None
        self._ev_debug = False
        # All active watchers by the name of their run.
        self._ev_names: Table = {}
        # Of these, the idles by priority, the highest first. As in all tables of
        # this kind, those that are not in _names (any more) don't count.
        self._ev_idles: List[Table] = [{} for _ in range(EV_MINPRI, EV_MAXPRI + 1)]
        # Pending watchers by priority, the highest first; the last one added is
        # the next. One whose _revents is None is not pending any more.
        self._ev_queues: List[List["weakref.ReferenceType[Watcher]"]] = [
            [] for _ in range(EV_MINPRI, EV_MAXPRI + 1)
        ]
        # How often something was added to them.
        self._ev_feeds = 0
        # Recurring ones that are due, with their events.
        self._ev_due: List[Tuple[Any, Message]] = []
        # Callbacks that have failed outside of the loop, with the names of their runs.
        self._ev_broken: List[Tuple[int, Any, BaseException]] = []
        # What stop() has asked for: EVBREAK_.
        self._ev_done = EVBREAK_CANCEL
        # What a callback has raised, while it is on its way out.
        self._ev_raised: Optional[BaseException] = None

    # Feeding

    def _ev_count_pending(self) -> int:
        """How many callbacks are due."""
        return sum(_is_pending(ref) for queue in self._ev_queues for ref in queue)

    def _ev_feed(self, watcher: Watcher, revents: int) -> None:
        if watcher._ev_revents is None:
            priority = min(max(watcher._ev_priority, EV_MINPRI), EV_MAXPRI)
            self._ev_queues[EV_MAXPRI - priority].append(watcher._ev_ref)
            watcher._ev_revents = revents
            self._ev_feeds += 1
        else:
            watcher._ev_revents |= revents

    def _ev_watchers(self, table: Table) -> List[Watcher]:
        """The active watchers of a table, in order of their start."""
        names = self._ev_names
        found = (ref() for name, ref in list(table.items()) if name in names)
        return [watcher for watcher in found if watcher is not None]

    def _ev_queue(self, table: Table, revents: int) -> None:
        for watcher in self._ev_watchers(table):
            self._ev_feed(watcher, revents)

    def _ev_has_idles(self) -> bool:
        return any(self._ev_idles) and any(map(self._ev_watchers, self._ev_idles))

    def _ev_queue_idles(self) -> None:
        """Make the idles of one priority pending, unless an event has it or more."""
        for queue, idles in zip(self._ev_queues, self._ev_idles):
            if any(map(_is_pending, queue)):
                return
            if self._ev_watchers(idles):
                self._ev_queue(idles, EV_IDLE)
                return

    def _ev_recur(self) -> None:
        """Let recurring watchers that are due find their next time."""
        while self._ev_due:
            watcher, event = self._ev_due[0]
            exception = watcher._ev_recurs(event)
            del self._ev_due[0]
            if exception is not None:
                self._ev_failed(watcher._ev_scheduler, exception)

    # Calling

    def _ev_invoke_pass(self) -> None:
        if self._ev_callback is None:
            self._ev_invoke_pending()
            return
        try:
            self._ev_callback(self)
        except BaseException:
            self._ev_done = EVBREAK_ALL
            raise

    def _ev_invoke_pending(self) -> None:
        """Call what is pending, the highest priority first, the last one fed first.

        This is for the many that only handle their own events: it leaves all in
        the queues until a queue is done. Any disturbance ends it.
        """
        watcher: Optional[Watcher] = None
        revents: Optional[int] = None
        feeds = self._ev_feeds
        try:
            for queue in self._ev_queues:
                count = len(queue)
                for ref in reversed(queue):
                    watcher = ref()
                    if watcher is None:
                        continue
                    revents = watcher._ev_revents
                    if revents is None:
                        continue
                    if revents < 0:
                        break
                    watcher._ev_revents = None
                    watcher._ev_callback(watcher, revents)
                    revents = None
                    if self._ev_feeds != feeds:
                        break
                else:
                    # A handler may have fed one since the last look.
                    del queue[:count]
                    if not queue:
                        continue
                break
            else:
                return
        except BaseException as exception:
            self._ev_caught(exception, watcher, revents)
        for queue in self._ev_queues:
            count = len(queue)
            queue[:count] = [ref for ref in queue[:count] if _is_pending(ref)]
        while self._ev_invoke_next():
            pass

    def _ev_invoke_next(self) -> bool:
        """Call those of the highest priority until something is fed; False if none."""
        watcher: Optional[Watcher] = None
        revents: Optional[int] = None
        feeds = self._ev_feeds
        try:
            for queue in self._ev_queues:
                while queue:
                    # Indexed, as a signal may be noticed after any call; and what its
                    # handler has fed is the last one then.
                    ref = queue[-1]
                    watcher = ref()
                    if not queue or queue[-1] is not ref:
                        continue
                    if watcher is None or watcher._ev_revents is None:
                        del queue[-1]
                        continue
                    revents = watcher._ev_revents
                    watcher._ev_revents = None
                    del queue[-1]
                    if revents < 0:
                        revents = None
                        self._ev_done = EVBREAK_ALL
                        raise watcher._ev_take_failure()
                    watcher._ev_callback(watcher, revents)
                    revents = None
                    if self._ev_feeds != feeds:
                        return True
        except BaseException as exception:
            self._ev_caught(exception, watcher, revents)
            return True
        return False

    def _ev_caught(
        self,
        exception: BaseException,
        watcher: Optional[Watcher],
        revents: Optional[int],
    ) -> None:
        """Handle what came up while the callback of a watcher was to be called."""
        if watcher is None or revents is None:
            raise exception
        when = came(exception, watcher._ev_callback)
        if watcher._ev_is_ours() and isinstance(exception, KeyboardInterrupt):
            when = BEFORE
        if when == INSIDE:
            self._ev_failed(watcher._ev_callback, exception)
            return
        if when == BEFORE and watcher._ev_revents is None:
            # The callback has not run: it is pending again.
            self._ev_feed(watcher, revents)
        raise exception

    def _ev_failed(self, function: Any, exception: BaseException) -> None:
        """A callback has raised an exception: report it, or stop and raise it."""
        if self._ev_debug:
            self._ev_done = EVBREAK_ALL
            self._ev_raised = exception
            raise exception
        report(exception, function)

    def _ev_invoke_now(self, watcher: Watcher, revents: int) -> None:
        if revents < 0:
            self._ev_done = EVBREAK_ALL
            raise watcher._ev_take_failure()
        try:
            watcher._ev_callback(watcher, revents)
        except BaseException as exception:
            if came(exception, watcher._ev_callback) != INSIDE:
                raise
            if self._ev_debug:
                self._ev_done = EVBREAK_ALL
                raise SystemError("the callback has raised an exception") from exception
            report(exception, watcher._ev_callback)


def _is_pending(ref: "weakref.ReferenceType[Watcher]") -> bool:
    watcher = ref()
    return watcher is not None and watcher._ev_revents is not None
