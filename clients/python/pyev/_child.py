"""Child: processes that end, and those that stop and go on.

The end of one process is told by the daemon, which is passed a pidfd. Any child, and
what only a parent is told, takes SIGCHLD. Either way it is this process that waits
for its children, one after the other: each has callbacks of its own.
"""

from __future__ import annotations

import collections
import os
import signal
import weakref
from typing import TYPE_CHECKING, Any, Callable, Deque, Iterator, List, Optional, Tuple

from . import _signals, _values
from ._constants import EV_CHILD, EV_MAXPRI
from ._errors import Error
from ._watcher import Table, Watcher

if TYPE_CHECKING:
    from ._connection import Message
    from ._loop import Loop

__all__ = ["Child", "Reaper"]

_TRACED = os.WUNTRACED | os.WCONTINUED
_PEEK = os.WEXITED | os.WNOHANG | os.WNOWAIT


class Child(Watcher):
    """Child(pid, trace, loop, callback[, data=None, priority=0])

    Calls back when a child of this process has ended. It stays active then.

    pid: of the child; 0: of any child.
    trace: whether also when it is stopped by a signal, and when it goes on.
    loop: the default loop; Error otherwise.

    The child is waited for then: rpid and rstatus say what came of it. A child that
    the program itself has waited for has no callback. With pid 0 or trace, start()
    is for the main thread only (Error).
    """

    __module__ = "pyev"
    __slots__ = ("_ev_pid", "_ev_trace", "_ev_rpid", "_ev_rstatus", "_ev_over")

    def __init__(
        self,
        pid: int,
        trace: bool,
        loop: Loop,
        callback: Callable[[Any, int], Any],
        data: Any = None,
        priority: int = 0,
    ) -> None:
        super().__init__(loop, callback, data, priority)
        if not loop.default:
            raise Error("Child watchers are only available in the default loop")
        self._ev_priority = EV_MAXPRI
        self._ev_rpid = 0
        self._ev_rstatus = 0
        # Whether its process has ended.
        self._ev_over = False
        self._ev_set(pid, trace)

    def set(self, pid: int, trace: bool) -> None:
        """Watch another process; not while active (Error)."""
        self._ev_must_be_inactive("the process")
        self._ev_set(pid, trace)

    def _ev_set(self, pid: int, trace: bool) -> None:
        self._ev_pid = _values.integer(pid)
        self._ev_trace = bool(trace)

    @property
    def pid(self) -> int:
        """The process that is watched, 0 for any child; read only."""
        return self._ev_pid

    @property
    def rpid(self) -> int:
        """The process that the last callback was for."""
        return self._ev_rpid

    @rpid.setter
    def rpid(self, pid: int) -> None:
        self._ev_rpid = _values.integer(pid)

    @property
    def rstatus(self) -> int:
        """Its status, as from os.waitpid()."""
        return self._ev_rstatus

    @rstatus.setter
    def rstatus(self, status: int) -> None:
        self._ev_rstatus = _values.integer(status)

    def _ev_takes_signal(self) -> bool:
        return self._ev_pid == 0 or self._ev_trace

    def _ev_starts(self, name: int) -> None:
        loop = self._ev_loop
        self._ev_over = False
        if loop._ev_reaper is None:
            loop._ev_reaper = Reaper(loop)
        if self._ev_takes_signal():
            _signals.acquire(loop, signal.SIGCHLD).others.add(name)
            # It may have ended already.
            loop._ev_signalled.append(signal.SIGCHLD)
        else:
            loop._ev_unsent[name] = None
            loop._ev_immediate = True
        loop._ev_reaper.children[name] = self._ev_ref

    def _ev_stops(self, name: int) -> None:
        self._ev_loop._ev_release(name)
        if self._ev_loop._ev_reaper is not None:
            self._ev_loop._ev_reaper.children.pop(name, None)
        if self._ev_takes_signal():
            _signals.release(signal.SIGCHLD, name)

    def _ev_command(self, name: int, fds: List[int], opened: List[int]) -> str:
        if self._ev_over or self._ev_takes_signal():
            return ""
        try:
            pidfd = os.pidfd_open(self._ev_pid)
        except ProcessLookupError:
            return ""
        except OSError:  # an old kernel, or too many descriptors
            process = '"pid":%d' % self._ev_pid
        else:
            opened.append(pidfd)
            fds.append(pidfd)
            process = '"fds":1'
        return '{"cmd":"watch","type":"child","watcher":%d,%s%s' % (
            name,
            process,
            self._ev_common(),
        )

    def _ev_arrives(self, event: Message) -> bool:
        loop = self._ev_loop
        loop._ev_ended(self._ev_name)
        assert loop._ev_reaper is not None
        loop._ev_reaper.ended.append(self._ev_pid)
        loop._ev_reaper.wake(loop)
        return False

    def _ev_changed(self, pid: int, status: int) -> None:
        """A process was waited for; 0: none."""
        goes_on = os.WIFSTOPPED(status) or os.WIFCONTINUED(status)
        if not pid or self._ev_pid not in (0, pid) or goes_on and not self._ev_trace:
            return
        self._ev_rpid = pid
        self._ev_rstatus = status
        if pid == self._ev_pid and not goes_on:
            self._ev_over = True
        if self.active:
            self._ev_loop._ev_feed(self, EV_CHILD)


class Reaper(Watcher):
    """Waits for one child at a time, and makes its watchers pending.

    It becomes pending itself, and again as long as there are more: so the callbacks
    for one child have run before the next one is waited for.

    children: active Childs by name. ended: processes of which the daemon has told.
    reaped: the one that was waited for, as (pid, status), while there are untold ones
    of the Childs, the first one last.
    """

    __slots__ = ("children", "ended", "reaped", "untold", "_ev_of")

    def __init__(self, loop: Loop) -> None:
        # Not the base's: it is no watcher of the program's, and does not keep the
        # loop alive.
        self._ev_of = weakref.ref(loop)
        self._ev_ref = weakref.ref(self)
        self._ev_name = 0
        self._ev_revents = None
        self._ev_priority = EV_MAXPRI
        self._ev_callback = Reaper._ev_reap
        self._ev_failure = None
        self.children: Table = {}
        self.ended: Deque[int] = collections.deque()
        self.reaped: List[Tuple[int, int]] = []
        self.untold: List[Any] = []

    def _ev_is_ours(self) -> bool:
        return True

    def wake(self, loop: Loop) -> None:
        """Something may have happened to a child."""
        if self._ev_find(loop) is not None:
            loop._ev_feed(self, EV_CHILD)

    def _ev_find(self, loop: Loop) -> Optional[int]:
        """A child that can be waited for."""
        for kind, pid, options in self._ev_candidates(loop):
            try:
                found = os.waitid(kind, pid, options | _PEEK)
            except ChildProcessError:
                found = None
            if found is not None:
                return found.si_pid
            if self.ended and self.ended[0] == pid:
                self.ended.popleft()
        return None

    def _ev_candidates(self, loop: Loop) -> Iterator[Any]:
        while self.ended:
            before = self.ended[0]
            yield os.P_PID, before, 0
            if self.ended and self.ended[0] == before:
                self.ended.popleft()
        children: List[Any] = loop._ev_watchers(self.children)
        if any(child._ev_pid == 0 for child in children):
            yield os.P_ALL, 0, os.WSTOPPED | os.WCONTINUED
            return
        for child in children:
            if child._ev_trace and not child._ev_over:
                yield os.P_PID, child._ev_pid, os.WSTOPPED | os.WCONTINUED

    def _ev_reap(self, revents: int) -> None:
        loop = self._ev_of()
        if loop is None:
            return
        if not self.reaped:
            found = self._ev_find(loop)
            if found is None:
                return
            self.untold = loop._ev_watchers(self.children)[::-1]
            options = os.WNOHANG | _TRACED
            try:
                # Noted in the same call: nobody is told a second time, and between two
                # there may be an interrupt.
                self.reaped.extend(map(os.waitpid, (found,), (options,)))
            except ChildProcessError:
                pass
        loop._ev_feed(self, EV_CHILD)
        pid, status = self.reaped[0] if self.reaped else (0, 0)
        while self.untold:
            self.untold[-1]._ev_changed(pid, status)
            self.untold.pop()
        self.reaped.clear()
