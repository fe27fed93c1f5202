"""Events on their way to those who wait for them."""

from __future__ import annotations

import asyncio
import collections
from typing import Deque, Protocol

from ._event import Backlog, Event
from ._wire import Name


class Source(Protocol):
    """Where a stream's events come from, which reads on while it makes sense."""

    def _changed(self, events: int = 0, waiters: int = 0) -> None:
        """There are so many more (or fewer) events, and who waits for some."""


class Ended(Exception):
    """There are no more events, and none will come."""


class Stream:
    """A queue of events for the tasks of one event loop."""

    def __init__(self, source: Source, limit: int) -> None:
        self._source = source
        self._waiters: Deque[asyncio.Future[None]] = collections.deque()
        self._events = Backlog(limit)
        self._ended = False

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event, merge: bool) -> None:
        """Put an event at the end, or merge it with one of the same watcher.

        merge: even if the limit is not reached: the source has too many in all.
        """
        before = len(self)
        self._events.put(event, merge=merge)
        self._count(len(self) - before)
        self._wake_one()

    def take_back(self, watcher: Name) -> Deque[Event]:
        """Take all events of a watcher."""
        taken = self._events.take_back(watcher)
        self._count(-len(taken))
        return taken

    def end(self) -> None:
        """No more events come; those that are here can still be taken.

        They are no concern of the source's any more, whether anybody takes them or not.
        """
        self._count(-len(self))
        self._ended = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def get(self) -> Event:
        """The next event; raises Ended when there is none and none will come."""
        while not self._events:
            if self._ended:
                raise Ended
            await self._wait()
        event = self._events.get()
        self._count(-1)
        return event

    async def _wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._source._changed(waiters=1)
        try:
            await waiter
        except asyncio.CancelledError:
            # Somebody else shall have what this one was woken for.
            if waiter.done() and not waiter.cancelled() and self._events:
                self._wake_one()
            raise
        finally:
            self._waiters.remove(waiter)
            self._source._changed(waiters=-1)

    def _count(self, events: int) -> None:
        if not self._ended:
            self._source._changed(events=events)

    def _wake_one(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
                return
