"""Stat: files that change."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any, Callable, List, Mapping, NamedTuple, Optional

from . import _values
from ._constants import EV_STAT
from ._watcher import Watcher

if TYPE_CHECKING:
    from ._connection import Message
    from ._loop import Loop

__all__ = ["Stat", "Statdata"]

# libev makes no interval but 0 shorter than that.
_INTERVAL_MIN = 0.1074891


class Statdata(NamedTuple):
    """What is at a path. If nothing is there, nlink and all the others are 0.

    Times are in seconds since the Epoch.
    """

    dev: int
    rdev: int
    ino: int
    size: int
    nlink: int
    mode: int
    uid: int
    gid: int
    atime: float
    mtime: float
    ctime: float


Statdata.__module__ = "pyev"

_NOTHING = Statdata(0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0)


def _from_wire(attr: Mapping[str, Any]) -> Statdata:
    # Times are text: see _connection.
    numbers = (float(attr[n]) if n[1:] == "time" else attr[n] for n in Statdata._fields)
    return Statdata(*numbers)


def _from_system(status: os.stat_result) -> Statdata:
    return Statdata(*(getattr(status, "st_" + name) for name in Statdata._fields))


class Stat(Watcher):
    """Stat(path, interval, loop, callback[, data=None, priority=0])

    Calls back when what is at a path has changed; nothing need be there.

    path: a relative one is of the directory that is the working one at start().
    interval: seconds between looks where the system does not tell of changes; 0.0:
        evd's choice. start() raises what is less than 0.1074891.

    Not followed if it is a symbolic link. start() waits for the daemon, and raises
    Error if that may not look at paths. Raises TypeError and ValueError.
    """

    __module__ = "pyev"
    __slots__ = ("_ev_path", "_ev_interval", "_ev_attr", "_ev_prev", "_ev_fresh")

    def __init__(
        self,
        path: str,
        interval: float,
        loop: Loop,
        callback: Callable[[Any, int], Any],
        data: Any = None,
        priority: int = 0,
    ) -> None:
        super().__init__(loop, callback, data, priority)
        self._ev_attr: Optional[Statdata] = None
        self._ev_prev: Optional[Statdata] = None
        # Whether no answer has come since the start.
        self._ev_fresh = False
        self._ev_set(path, interval)

    def set(self, path: str, interval: float) -> None:
        """Watch another path; not while active (Error)."""
        self._ev_must_be_inactive("the path")
        self._ev_set(path, interval)

    def _ev_set(self, path: str, interval: float) -> None:
        if b"\0" in os.fsencode(path):
            raise ValueError("embedded null character")
        self._ev_interval = _values.period(interval)
        self._ev_path = path

    @property
    def path(self) -> str:
        """The path, as it was given; read only."""
        return self._ev_path

    @property
    def interval(self) -> float:
        """Seconds between looks; read only."""
        return self._ev_interval

    @property
    def attr(self) -> Optional[Statdata]:
        """What is there, as last seen; None before the first start. Read only."""
        return self._ev_attr

    @property
    def prev(self) -> Optional[Statdata]:
        """What was there before the last change; None before that. Read only."""
        return self._ev_prev

    current = attr
    previous = prev

    def stat(self) -> None:
        """Look now, and set attr; raises OSError if nothing is there."""
        try:
            self._ev_attr = _from_system(os.lstat(self._ev_path))
        except OSError:
            self._ev_attr = _NOTHING
            raise

    def _ev_starts(self, name: int) -> None:
        if 0.0 < self._ev_interval < _INTERVAL_MIN:
            self._ev_interval = _INTERVAL_MIN
        self._ev_fresh = True
        self._ev_loop._ev_register(name)

    def _ev_started(self, name: int) -> None:
        self._ev_loop._ev_register_now(self)
        if self._ev_fresh and self.active:
            # There was nobody to ask.
            try:
                self.stat()
            except OSError:
                pass

    def _ev_stops(self, name: int) -> None:
        self._ev_loop._ev_release(name)

    def _ev_command(self, name: int, fds: List[int], opened: List[int]) -> str:
        if not self._ev_path:
            return ""  # nothing ever is there
        path = os.path.join(os.getcwdb(), os.fsencode(self._ev_path))
        try:
            member = '"path":' + json.dumps(path.decode("utf-8"))
        except UnicodeDecodeError:
            member = '"path_base64":"%s"' % base64.b64encode(path).decode("ascii")
        return (
            '{"cmd":"watch","type":"stat","watcher":%d,"id":%d,%s,"interval":%r,'
            '"priority":%d}\n'
            % (
                name,
                name,
                member,
                min(self._ev_interval, _values.SECONDS_MAX),
                self._ev_priority,
            )
        )

    def _ev_registered(self, result: Message) -> None:
        attr = _from_wire(result["attr"])
        if not self._ev_fresh and attr != self._ev_attr:
            self._ev_changes(self._ev_attr, attr)
        self._ev_fresh = False
        self._ev_attr = attr

    def _ev_arrives(self, event: Message) -> bool:
        if event["revents"] < 0:
            self._ev_fails(OSError(event["error"], "the path cannot be watched"))
            return False
        self._ev_changes(_from_wire(event["prev"]), _from_wire(event["attr"]))
        return False

    def _ev_changes(self, prev: Optional[Statdata], attr: Statdata) -> None:
        # attr last: until then what it was compared with is there to be compared again.
        if not (self._ev_revents or 0) & EV_STAT:
            self._ev_prev = prev
        self._ev_loop._ev_feed(self, EV_STAT)
        self._ev_attr = attr
