"""Events, as the daemon writes them."""

from __future__ import annotations

import collections
from typing import Any, Deque, Dict, Optional, Tuple, Union, cast

__all__ = ["Event"]

# What a later firing does not change when it is merged into an earlier one.
_OF_THE_FIRST = ("seq", "time", "prev")


class Event(Dict[str, Any]):
    """An event: a dict of the members of its line, the common ones as attributes.

    What the type adds is got as from any dict, such as event["status"].
    """

    __slots__ = ()

    @property
    def type(self) -> str:
        """The type of its watcher, or "bye"."""
        return cast(str, self["event"])

    @property
    def watcher(self) -> Union[str, int, None]:
        """The name of its watcher; None of "bye"."""
        return self.get("watcher")

    @property
    def revents(self) -> int:
        """What happened, as bits of libev."""
        return int(self.get("revents", 0))

    @property
    def seq(self) -> int:
        """Its number in the session, from 1; 0 of "bye"."""
        return int(self.get("seq", 0))

    @property
    def time(self) -> float:
        """When the watcher first fired, in seconds since the Epoch."""
        return float(self.get("time", 0.0))

    @property
    def active(self) -> bool:
        """Whether the watcher was still active when this was written."""
        return bool(self.get("active", True))

    @property
    def overrun(self) -> int:
        """How many more firings this event stands for."""
        return int(self.get("overrun", 0))

    @property
    def data(self) -> Any:
        """What the watcher was registered with, or None."""
        return self.get("data")

    @property
    def error(self) -> Optional[str]:
        """The name of an errno, if the watcher can do its work no more."""
        return self.get("error")

    def merge(self, later: Event) -> None:
        """Become one with a later event of the same watcher, as in the daemon."""
        revents, overrun = self.revents, self.overrun
        kept = {name: self[name] for name in _OF_THE_FIRST if name in self}
        self.clear()
        self.update(later)
        self.update(kept)
        self["revents"] = revents | later.revents
        self["overrun"] = overrun + later.overrun + 1

    def __repr__(self) -> str:
        return "<Event %s>" % super().__repr__()


class Backlog:
    """Events that were read and not taken yet, in order.

    From limit events on, a later event of a watcher becomes one with the one that is
    here already, as they would in the daemon had they not been read: so however
    much is read ahead, what is kept is bounded by limit and the watchers.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: Deque[Tuple[int, Event]] = collections.deque()
        self._newest: Dict[Any, Event] = {}

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event, number: int = 0, merge: bool = False) -> None:
        """Put it at the end. number: given back by first(). merge: also below limit."""
        key = self._key(event)
        newest = self._newest.get(key)
        if newest is not None and (merge or len(self) >= self._limit):
            newest.merge(event)
            return
        self._newest[key] = event
        self._events.append((number, event))

    def first(self) -> int:
        """The number of the first one."""
        return self._events[0][0]

    def get(self) -> Event:
        """Take the first one."""
        _, event = self._events.popleft()
        self._forget(event)
        return event

    def take_back(self, watcher: Union[str, int, None]) -> Deque[Event]:
        """Take all of one watcher."""
        taken: Deque[Event] = collections.deque()
        kept: Deque[Tuple[int, Event]] = collections.deque()
        for number, event in self._events:
            if event.watcher == watcher:
                taken.append(event)
                self._forget(event)
            else:
                kept.append((number, event))
        self._events = kept
        return taken

    def _forget(self, event: Event) -> None:
        if self._newest.get(self._key(event)) is event:
            del self._newest[self._key(event)]

    @staticmethod
    def _key(event: Event) -> Any:
        # Events of several children of one watcher never become one.
        return event.watcher, event.get("pid")
