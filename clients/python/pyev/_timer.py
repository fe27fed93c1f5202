"""Timer: times that pass.

The daemon is told the deadline, not how long it is until then: the command may wait
in the loop's buffer, and by then some of the time has passed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable, List

from . import _values
from ._constants import EV_TIMER
from ._watcher import Watcher

if TYPE_CHECKING:
    from ._connection import Message
    from ._loop import Loop

__all__ = ["Timer"]


class Timer(Watcher):
    """Timer(after, repeat, loop, callback[, data=None, priority=0])

    Calls back when seconds have passed.

    after: seconds until the first time, from loop.now(); 0 or less: at once.
    repeat: seconds between further times; 0.0: there are none, and the timer is
        stopped before its callback is called.

    A timer that is stopped keeps what remained, and goes on from there when it is
    started again. Raises TypeError, and ValueError for a negative repeat.
    """

    __module__ = "pyev"
    __slots__ = ("_ev_after", "_ev_repeat", "_ev_at")

    def __init__(
        self,
        after: float,
        repeat: float,
        loop: Loop,
        callback: Callable[[Any, int], Any],
        data: Any = None,
        priority: int = 0,
    ) -> None:
        super().__init__(loop, callback, data, priority)
        # While active: the time (of CLOCK_MONOTONIC) from which repeats count.
        self._ev_at = 0.0
        self._ev_set(after, repeat)

    def set(self, after: float, repeat: float) -> None:
        """Set both times; not while active (Error)."""
        self._ev_must_be_inactive("the time")
        self._ev_set(after, repeat)

    def _ev_set(self, after: float, repeat: float) -> None:
        # Repeats are counted from there: it must not be infinitely long ago.
        first = max(_values.real(after), -_values.SECONDS_MAX)
        self._ev_repeat = _values.period(repeat)
        self._ev_looks = not self._ev_repeat
        # While inactive: what remains.
        self._ev_after = first

    def reset(self) -> None:
        """Start (again) with repeat as the time until the next; without one: stop.

        Forgets what is pending. This is the cheap way to put off a timeout.
        """
        self._ev_revents = None
        if self._ev_repeat:
            active = self.active
            self._ev_after = self._ev_repeat
            if active:
                self._ev_begin()
                self._ev_loop._ev_rename(self)
            else:
                self.start()
        elif self.active:
            self.stop()

    @property
    def repeat(self) -> float:
        """Seconds between times; a change takes effect the next time."""
        return self._ev_repeat

    @repeat.setter
    def repeat(self, repeat: float) -> None:
        repeat = _values.period(repeat)
        if not self.active:
            self._ev_repeat = repeat
            self._ev_looks = not repeat
            return
        self._ev_at = self._ev_next()
        self._ev_seen = -math.inf
        self._ev_repeat = repeat
        self._ev_looks = not repeat
        if self._ev_name in self._ev_loop._ev_sent:
            self._ev_loop._ev_later.append(
                '{"cmd":"set","watcher":%d,"repeat":%r,"reply":false}\n'
                % (self._ev_name, _values.on_wire_period(repeat))
            )

    @property
    def remaining(self) -> _values.Seconds:
        """Seconds until it fires or, while inactive, that it would begin with."""
        if self.active:
            return _values.Seconds(self._ev_next() - self._ev_loop._ev_monotonic)
        return _values.Seconds(self._ev_after)

    def _ev_next(self) -> float:
        """When it fires next, while active."""
        late = self._ev_seen - self._ev_at
        if late < 0 or not self._ev_repeat:
            return self._ev_at
        return self._ev_at + (math.floor(late / self._ev_repeat) + 1) * self._ev_repeat

    def _ev_due(self) -> float:
        return self._ev_next()

    def _ev_begin(self) -> None:
        self._ev_at = at = self._ev_loop._ev_monotonic + self._ev_after
        self._ev_seen = -math.inf
        if at <= self._ev_loop._ev_monotonic:
            self._ev_loop._ev_immediate = True

    def _ev_starts(self, name: int) -> None:
        self._ev_begin()
        self._ev_loop._ev_unsent[name] = None

    def _ev_stops(self, name: int) -> None:
        self._ev_after = self._ev_next() - self._ev_loop._ev_monotonic
        self._ev_loop._ev_release(name)

    def _ev_command(self, name: int, fds: List[int], opened: List[int]) -> str:
        at = self._ev_next()
        if not -_values.SECONDS_MAX <= at <= _values.SECONDS_MAX:
            at = _values.on_wire(at)
        if not self._ev_repeat:
            return '{"cmd":"watch","type":"timer","watcher":%d,"at":%r%s' % (
                name,
                at,
                self._ev_common(),
            )
        return '{"cmd":"watch","type":"timer","watcher":%d,"at":%r,"repeat":%r%s' % (
            name,
            at,
            _values.on_wire_period(self._ev_repeat),
            self._ev_common(),
        )

    def _ev_arrives(self, event: Message) -> bool:
        loop = self._ev_loop
        # First pending, then all else, so that an interrupt loses nothing.
        loop._ev_feed(self, EV_TIMER)
        name = self._ev_name
        if self._ev_repeat:
            self._ev_seen = loop._ev_monotonic
            if "active" in event:
                # It was given its repeat after it had fired.
                self._ev_seen = max(self._ev_seen, self._ev_at)
                loop._ev_ended(name)
                loop._ev_rename(self)
            return False
        if "active" in event:
            loop._ev_ended(name)
        else:
            loop._ev_release(name)
        self._ev_after = self._ev_at - loop._ev_monotonic
        loop._ev_names.pop(name, None)
        return False

    def _ev_is_spent(self) -> bool:
        return not self._ev_repeat and bool((self._ev_revents or 0) & EV_TIMER)

    def _ev_resumes(self, paused: float) -> None:
        self._ev_at = self._ev_next() + paused
        self._ev_seen = -math.inf
        self._ev_loop._ev_rename(self)
