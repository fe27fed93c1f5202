"""Periodic and Scheduler: times of the wall clock.

The daemon is told one time after the other; it says when the time has come, and
when the clock was set, so that the next time is to be found anew.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable, List, Optional

from . import _values
from ._constants import EV_PERIODIC
from ._errors import Error
from ._report import INSIDE, came
from ._watcher import Watcher

if TYPE_CHECKING:
    from ._connection import Message
    from ._loop import Loop

__all__ = ["Periodic", "Scheduler"]

# libev makes no interval shorter than that.
_INTERVAL_MIN = 1 / 8192
# The time of a Scheduler that has failed.
_NEVER = 1e30
# So many seconds are due to how such numbers are rounded.
_ROUNDING = 1e-5


class _Recurring(Watcher):
    """What has one time after the other."""

    __slots__ = ("_ev_at", "_ev_clock", "_ev_blur")

    def __init__(
        self,
        loop: Loop,
        callback: Callable[[Any, int], Any],
        data: Any,
        priority: int,
    ) -> None:
        super().__init__(loop, callback, data, priority)
        self._ev_at = 0.0
        # By which clock that was found: how far it is ahead of CLOCK_MONOTONIC.
        # That is the same until the clock is set, but for how it was read.
        self._ev_clock = 0.0
        self._ev_blur = 0.0

    @property
    def at(self) -> _values.Seconds:
        """When it fires next, in seconds since the Epoch; read only."""
        return _values.Seconds(self._ev_at)

    def reset(self) -> None:
        """Find the next time anew; starts the watcher if it is inactive."""
        self.stop()
        self.start()

    def _ev_look_at_clock(self) -> float:
        """The loop's time, by which the next one is to be found."""
        loop = self._ev_loop
        self._ev_clock = loop._ev_now - loop._ev_monotonic
        self._ev_blur = loop._ev_blur
        return loop._ev_now

    def _ev_command(self, name: int, fds: List[int], opened: List[int]) -> str:
        loop = self._ev_loop
        moved = abs(loop._ev_now - loop._ev_monotonic - self._ev_clock)
        if moved > self._ev_blur + loop._ev_blur + _ROUNDING:
            # It was set before the daemon knows of this watcher.
            loop._ev_due.append((self, {"watcher": name, "jump": True}))
        return '{"cmd":"watch","type":"periodic","watcher":%d,"offset":%r%s%s' % (
            name,
            _values.on_wire(self._ev_at),
            ',"jumps":true',
            self._ev_common(),
        )

    def _ev_stops(self, name: int) -> None:
        self._ev_loop._ev_release(name)

    def _ev_arrives(self, event: Message) -> bool:
        self._ev_loop._ev_due.append((self, event))
        return False

    def _ev_fires(self) -> None:
        self._ev_loop._ev_feed(self, EV_PERIODIC)


class Periodic(_Recurring):
    """Periodic(offset, interval, loop, callback[, data=None, priority=0])

    Calls back at times of the wall clock.

    offset: with an interval, seconds to add to its multiples; without, the time
        itself, in seconds since the Epoch.
    interval: seconds; calls back whenever the time is offset plus a multiple of
        it. 0.0: once, and the watcher is stopped before its callback is called.

    Raises TypeError, and ValueError for a negative interval.
    """

    __module__ = "pyev"
    __slots__ = ("_ev_offset", "_ev_interval")

    def __init__(
        self,
        offset: float,
        interval: float,
        loop: Loop,
        callback: Callable[[Any, int], Any],
        data: Any = None,
        priority: int = 0,
    ) -> None:
        super().__init__(loop, callback, data, priority)
        self._ev_set(offset, interval)

    def set(self, offset: float, interval: float) -> None:
        """Set both; not while active (Error)."""
        self._ev_must_be_inactive("the times")
        self._ev_set(offset, interval)

    def _ev_set(self, offset: float, interval: float) -> None:
        shift = _values.real(offset)
        self._ev_interval = _values.period(interval)
        self._ev_offset = shift

    @property
    def offset(self) -> float:
        """Seconds; a change takes effect when it fires next, or at reset()."""
        return self._ev_offset

    @offset.setter
    def offset(self, offset: float) -> None:
        self._ev_offset = _values.real(offset)

    @property
    def interval(self) -> float:
        """Seconds; a change takes effect when it fires next, or at reset()."""
        return self._ev_interval

    @interval.setter
    def interval(self, interval: float) -> None:
        self._ev_interval = _values.period(interval)

    def _ev_find(self) -> float:
        """The first time after now."""
        now = self._ev_look_at_clock()
        if not self._ev_interval:
            return self._ev_offset
        # Infinite ones, too, make times that are numbers.
        interval = _values.on_wire(max(self._ev_interval, _INTERVAL_MIN))
        offset = _values.on_wire(self._ev_offset)
        at = offset + interval * math.floor((now - offset) / interval)
        while at <= now:
            following = at + interval
            if following == at:  # an interval below the resolution of such numbers
                return now
            at = following
        return at

    def _ev_starts(self, name: int) -> None:
        self._ev_at = at = self._ev_find()
        self._ev_loop._ev_unsent[name] = None
        if at <= self._ev_loop._ev_now:
            self._ev_loop._ev_immediate = True

    def _ev_recurs(self, event: Message) -> Optional[BaseException]:
        loop = self._ev_loop
        name = self._ev_name
        if name != event["watcher"] or name not in loop._ev_names:
            return None
        if "active" in event:
            loop._ev_ended(name)
        jumped = "jump" in event and (self._ev_interval or self._ev_offset > loop._ev_now)
        if not jumped:
            self._ev_fires()
            if not self._ev_interval:
                loop._ev_release(name)
                loop._ev_names.pop(name, None)
                return None
        self._ev_at = self._ev_find()
        loop._ev_rename(self)
        return None

    def _ev_is_spent(self) -> bool:
        return not self._ev_interval and bool((self._ev_revents or 0) & EV_PERIODIC)

    def _ev_resumes(self, paused: float) -> None:
        self._ev_at = self._ev_find()
        self._ev_loop._ev_rename(self)


class Scheduler(_Recurring):
    """Scheduler(scheduler, loop, callback[, data=None, priority=0])

    Calls back at times that a function of the program says.

    scheduler: called as scheduler(watcher, now) when the watcher starts, each time
        before the callback is called, and when the wall clock was set. Gives the
        next time, not before now; both are seconds since the Epoch.

    If scheduler raises an exception, or gives what is no such time, the watcher is
    stopped, and the loop treats the exception as one of a callback.
    """

    __module__ = "pyev"
    __slots__ = ("_ev_scheduler",)

    def __init__(
        self,
        scheduler: Callable[[Any, float], float],
        loop: Loop,
        callback: Callable[[Any, int], Any],
        data: Any = None,
        priority: int = 0,
    ) -> None:
        super().__init__(loop, callback, data, priority)
        self._ev_scheduler = _values.function(scheduler)

    @property
    def scheduler(self) -> Callable[[Any, float], float]:
        """The function that says the next time."""
        return self._ev_scheduler

    @scheduler.setter
    def scheduler(self, scheduler: Callable[[Any, float], float]) -> None:
        self._ev_scheduler = _values.function(scheduler)

    def _ev_find(self) -> Optional[BaseException]:
        """Ask for the next time; gives what went wrong."""
        now = self._ev_look_at_clock()
        try:
            at = self._ev_scheduler(self, now)
            if not isinstance(at, (float, int)):
                raise TypeError(
                    "must be real number, not %s" % type(at).__name__
                )
            if not at >= now:
                raise Error("returned value must be >= 'now' param")
            self._ev_at = float(at)
        except BaseException as exception:
            if came(exception, self._ev_scheduler) != INSIDE:
                raise
            self._ev_at = _NEVER
            return exception
        return None

    def _ev_started(self, name: int) -> None:
        self._ev_ask()

    def _ev_ask(self) -> None:
        name = self._ev_name
        exception = self._ev_find()
        if name != self._ev_name or name not in self._ev_loop._ev_names:
            return  # stopped, or started anew, by its own scheduler
        if exception is None:
            self._ev_loop._ev_unsent[name] = None
            self._ev_loop._ev_immediate = True
        else:
            self._ev_loop._ev_broken.append((name, self._ev_scheduler, exception))

    def _ev_recurs(self, event: Message) -> Optional[BaseException]:
        loop = self._ev_loop
        name = self._ev_name
        if name != event["watcher"] or name not in loop._ev_names:
            return None
        exception = self._ev_find()
        if name != self._ev_name or name not in loop._ev_names:
            return exception
        if "jump" not in event:
            self._ev_fires()
        if "active" in event:
            loop._ev_ended(name)
        if exception is None:
            loop._ev_rename(self)
        else:
            loop._ev_release(name)
            loop._ev_names.pop(name, None)
        return exception

    def _ev_resumes(self, paused: float) -> None:
        self._ev_loop._ev_rename(self, register=False)
        self._ev_ask()
