"""Signal: signals to this process.

Python's own handlers run between two instructions of the main thread, at any time.
Ours takes a note and wakes the loop, and does nothing else: no lock, and nothing is
written to the daemon.
"""

from __future__ import annotations

import signal
import weakref
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Set

from . import _values
from ._errors import Error
from ._watcher import Table, Watcher

if TYPE_CHECKING:
    from ._loop import Loop

__all__ = ["Signal", "feed_signal"]


class _Entry:
    """Who watches a signal: loop, which is the only one that may.

    watchers: active Signals by their names. others: names of Childs.
    """

    __slots__ = ("loop", "watchers", "others")

    def __init__(self, loop: Loop) -> None:
        self.loop = weakref.ref(loop)
        self.watchers: Table = {}
        self.others: Set[int] = set()


_entries: Dict[int, _Entry] = {}


def _handle(signum: int, frame: Any) -> None:
    entry = _entries.get(signum)
    loop = entry.loop() if entry is not None else None
    if loop is not None:
        loop._ev_signalled.append(signum)
        if loop._ev_wakeup is not None:
            loop._ev_wakeup.wake()


def number(signum: Any) -> int:
    """signum as the number of a signal; raises TypeError, OverflowError and Error."""
    checked = _values.integer(signum)
    if not 0 < checked < signal.NSIG:
        raise Error("illegal signal number: %d" % checked)
    return checked


def feed_signal(signum: int) -> None:
    """Let watchers of a signal fire, as if it had come."""
    _handle(number(signum), None)


def watched_by(loop: Loop, signum: int) -> Table:
    """The Signals of a loop that watch a signal."""
    entry = _entries.get(signum)
    return entry.watchers if entry is not None and entry.loop() is loop else {}


def acquire(loop: Loop, signum: int) -> _Entry:
    """Have a signal handled for a loop; raises Error."""
    entry = _entries.get(signum)
    owner = entry.loop() if entry is not None else None
    if entry is not None and owner is loop:
        return entry
    if owner is not None:
        raise Error("signal %d is watched by another loop" % signum)
    _entries[signum] = entry = _Entry(loop)
    try:
        signal.signal(signum, _handle)
    except (OSError, ValueError) as error:
        del _entries[signum]
        raise Error("signal %d cannot be watched: %s" % (signum, error)) from None
    except BaseException:
        _give_back(signum)
        raise
    return entry


def release(signum: int, name: int) -> None:
    """name no longer watches a signal; after the last one it has its default action."""
    entry = _entries.get(signum)
    if entry is None:
        return
    entry.watchers.pop(name, None)
    entry.others.discard(name)
    if not entry.watchers and not entry.others:
        _give_back(signum)


def forget(name: int, loop: Optional[Loop]) -> None:
    """name, of a watcher of this loop that was dropped, watches nothing any more."""
    for signum, entry in list(_entries.items()):
        if entry.loop() is loop:
            release(signum, name)


def forget_loop(loop: Loop) -> None:
    """A loop that is dropped watches nothing any more."""
    for signum, entry in list(_entries.items()):
        if entry.loop() in (None, loop):
            _give_back(signum)


def _give_back(signum: int) -> None:
    try:
        signal.signal(signum, signal.SIG_DFL)
    except ValueError:
        pass  # in another thread: the handler remains, and does nothing
    _entries.pop(signum, None)


class Signal(Watcher):
    """Signal(signum, loop, callback[, data=None, priority=0])

    Calls back when the process gets a signal. A Python handler of the signal is
    replaced; when the last watcher of the signal stops, it has its default action.

    Signals can be watched in the main thread only, and each by one loop at a time:
    start() raises Error otherwise. Raises TypeError, OverflowError, and Error for a
    number that no signal has.
    """

    __module__ = "pyev"
    __slots__ = ("_ev_signum",)

    def __init__(
        self,
        signum: int,
        loop: Loop,
        callback: Callable[[Any, int], Any],
        data: Any = None,
        priority: int = 0,
    ) -> None:
        super().__init__(loop, callback, data, priority)
        self._ev_signum = number(signum)

    def set(self, signum: int) -> None:
        """Watch another signal; not while active (Error)."""
        self._ev_must_be_inactive("the signal")
        self._ev_signum = number(signum)

    @property
    def signum(self) -> int:
        """The number of the signal; read only."""
        return self._ev_signum

    def _ev_starts(self, name: int) -> None:
        acquire(self._ev_loop, self._ev_signum).watchers[name] = self._ev_ref

    def _ev_stops(self, name: int) -> None:
        release(self._ev_signum, name)
