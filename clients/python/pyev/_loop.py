"""The event loop: libev's, but for waiting, which the daemon does.

Each loop has a connection of its own, which is a session of the daemon.

An iteration is libev's: fork and prepare watchers, then what has happened is
gathered (_poll) and becomes pending, then idle and check watchers, then callbacks.

It is made of parts, each built on the one before: what is pending (_pending.py),
what the daemon is told (_registry.py), and how it waits (_waiting.py).
"""

from __future__ import annotations

import collections
import os
import threading
import warnings
import weakref
from typing import Any, Callable, Deque, Optional

from . import _signals, _values
from ._constants import (
    EV_CHECK,
    EV_FORK,
    EV_PREPARE,
    EVBACKEND_ALL,
    EVBACKEND_EPOLL,
    EVBACKEND_MASK,
    EVBACKEND_POLL,
    EVBACKEND_SELECT,
    EVBREAK_CANCEL,
    EVBREAK_ONE,
    EVFLAG_NOENV,
    EVRUN_NOWAIT,
    EVRUN_ONCE,
)
from ._errors import Error
from ._factories import Factories
from ._waiting import Waiting
from ._watcher import Table, Watcher

__all__ = ["Loop", "default_loop"]


class Loop(Waiting, Factories):
    """An event loop, with a session of evd.

    Loop([flags[, callback[, data[, io_interval[, timeout_interval[, debug]]]]]],
    reconnect=False)

    flags: EVFLAG_ and EVBACKEND_ constants. The backend is the daemon's business:
        here it only says what the attribute backend and Embed go by.
    callback: called as callback(loop) where pending callbacks are due, in place of
        invoke(), which it should call.
    data: anything.
    io_interval, timeout_interval: seconds for which events of Io, and of Timer,
        Periodic and Scheduler, may wait for others.
    debug: whether an exception in a callback stops the loop and comes out of
        start(); otherwise sys.unraisablehook gets it and the loop goes on.
    reconnect: whether start() goes on with the daemon that comes back when the
        daemon has gone away, instead of raising Error. Only evd's pyev has it.

    Raises Error if no daemon is to be had, TypeError and ValueError. A class that is
    derived from this one or from a watcher's calls super().__init__() before it makes
    use of the object, which raises Error otherwise.
    """

    __module__ = "pyev"
    __slots__ = (
        "_ev_data",
        "_ev_default",
        "_ev_forks",
        "_ev_prepares",
        "_ev_checks",
        "_ev_drops",
        "_ev_backend",
        "__weakref__",
    )

    def __init__(
        self,
        flags: int = 0,
        callback: Optional[Callable[[Any], Any]] = None,
        data: Any = None,
        io_interval: float = 0.0,
        timeout_interval: float = 0.0,
        debug: bool = False,
        *,
        reconnect: bool = False,
    ) -> None:
        flags = _environment_flags(_values.flags(flags))
        if callback is not None:
            _values.function(callback)
        if self._ev_has("_ev_names"):
            raise Error("a Loop is initialised once")
        intervals = _values.period(io_interval), _values.period(timeout_interval)
        super().__init__()
        self._ev_reconnect = bool(reconnect)
        self._ev_io_interval, self._ev_timeout_interval = intervals
        self._ev_callback = callback
        self._ev_data = data
        self._ev_debug = bool(debug)
        self._ev_default = False
        self._ev_flags = flags
        # Active ones that have work to do in each iteration.
        self._ev_forks: Table = {}
        self._ev_prepares: Table = {}
        self._ev_checks: Table = {}
        # Names of those that were dropped while active, by any thread.
        self._ev_drops: Deque[int] = collections.deque()
        self._ev_connect()
        self._ev_backend = self._ev_choose_backend()
        _loops.add(self)

    def __del__(self) -> None:
        if not self._ev_has("_ev_wakeup"):
            return
        try:
            self._ev_abandon()
            if self._ev_wakeup is not None:
                self._ev_wakeup.close()
            _signals.forget_loop(self)
        except AttributeError:
            pass  # the interpreter ends

    def __delattr__(self, name: str) -> None:
        if name == "data":
            self._ev_data = None
        elif isinstance(getattr(type(self), name, None), property):
            raise TypeError("cannot delete attribute %r" % name)
        else:
            super().__delattr__(name)

    # Attributes

    @property
    def data(self) -> Any:
        """Anything that the program wants to keep here; None by default."""
        return self._ev_data

    @data.setter
    def data(self, data: Any) -> None:
        self._ev_data = data

    @property
    def callback(self) -> Optional[Callable[[Any], Any]]:
        """Called as callback(loop) where pending callbacks are due; or None."""
        return self._ev_callback

    @callback.setter
    def callback(self, callback: Optional[Callable[[Any], Any]]) -> None:
        self._ev_callback = None if callback is None else _values.function(callback)

    @property
    def debug(self) -> bool:
        """Whether an exception in a callback stops the loop."""
        return self._ev_debug

    @debug.setter
    def debug(self, debug: bool) -> None:
        self._ev_debug = bool(debug)

    @property
    def reconnect(self) -> bool:
        """Whether start() goes on with the daemon that comes back."""
        return self._ev_reconnect

    @reconnect.setter
    def reconnect(self, reconnect: bool) -> None:
        self._ev_reconnect = bool(reconnect)

    @property
    def io_interval(self) -> float:
        """Seconds that events of Io may wait for others; 0.0 by default."""
        return self._ev_io_interval

    @io_interval.setter
    def io_interval(self, interval: float) -> None:
        self._ev_io_interval = _values.period(interval)
        self._ev_note_intervals()

    @property
    def timeout_interval(self) -> float:
        """Seconds that events of Timer, Periodic and Scheduler may wait for others."""
        return self._ev_timeout_interval

    @timeout_interval.setter
    def timeout_interval(self, interval: float) -> None:
        self._ev_timeout_interval = _values.period(interval)
        self._ev_note_intervals()

    @property
    def default(self) -> bool:
        """Whether this is the default loop; read only."""
        return self._ev_default

    @property
    def backend(self) -> int:
        """The EVBACKEND_ constant that libev would choose by the flags; read only."""
        return self._ev_backend

    @property
    def pending(self) -> int:
        """How many callbacks are due; read only."""
        return self._ev_count_pending()

    @property
    def iteration(self) -> int:
        """How often the loop has looked for events so far; read only."""
        return self._ev_iteration

    @property
    def depth(self) -> int:
        """How many calls of start() are under way, one in the other; read only."""
        return self._ev_depth

    # Running

    def start(self, flags: int = 0) -> bool:
        """Handle events until no watcher is active, or until stop().

        flags: EVRUN_NOWAIT: handle what there is, as the daemon answers, and return;
            EVRUN_ONCE: wait until there is something, handle that, and return.

        Returns whether anything is still active. Raises Error if the daemon has
        gone away (see reconnect) or refuses something, what a callback raised if
        debug is true, and KeyboardInterrupt unless SIGINT is watched.
        """
        flags = _values.flags(flags)
        depth = self._ev_depth
        if self._ev_busy and depth:
            raise Error("start() of a loop that waits: from a signal handler?")
        self._ev_thread = threading.get_ident()
        try:
            self._ev_depth = depth + 1
            self._ev_done = EVBREAK_CANCEL
            if not flags & EVRUN_NOWAIT:
                self._ev_arm()
            self._ev_run(flags)
            if self._ev_gone and not depth:
                self._ev_settle(waits=False)
        finally:
            self._ev_depth = depth
            if self._ev_done == EVBREAK_ONE:
                self._ev_done = EVBREAK_CANCEL
            if not depth and self._ev_wakeup is not None:
                self._ev_wakeup.disarm()
        return self._ev_is_active()

    def stop(self, how: int = EVBREAK_ONE) -> None:
        """Make start() return when all that is pending has been handled.

        how: EVBREAK_ONE: the innermost start(); EVBREAK_ALL: all of them.

        May be called by signal handlers. Outside of start() it has no effect.
        """
        self._ev_done = _values.integer(how)

    def invoke(self) -> None:
        """Call all pending callbacks now.

        With debug an exception of a callback comes out as SystemError, with the
        exception as its cause.
        """
        try:
            self._ev_invoke_pending()
        except BaseException as exception:
            if exception is not self._ev_raised:
                raise
            raise SystemError("a callback has raised an exception") from exception
        finally:
            self._ev_raised = None

    def reset(self) -> None:
        """Tell the loop, in a child, that the process was forked.

        The loop works there without it too; Fork watchers need it, unless the
        loop has EVFLAG_FORKCHECK. In the parent it makes them fire as well.
        """
        self._ev_postfork = True

    def now(self) -> float:
        """The loop's time: seconds since the Epoch, as of when it last waited."""
        return self._ev_now

    def update(self) -> None:
        """Read the clocks anew."""
        self._ev_read_clocks()

    def suspend(self) -> None:
        """Halt the time of timers, until resume(); the loop must not run meanwhile."""
        self.update()

    def resume(self) -> None:
        """Go on after suspend(), as if no time had passed for timers.

        Times of Periodic and Scheduler that were passed by are skipped.
        """
        before = self._ev_monotonic
        self.update()
        for watcher in self._ev_watchers(self._ev_names):
            watcher._ev_resumes(self._ev_monotonic - before)

    def ref(self) -> None:
        """Take back an unref()."""
        self._ev_refs += 1

    def unref(self) -> None:
        """Let start() return as if one active watcher fewer were there."""
        self._ev_refs -= 1

    def verify(self) -> None:
        """Check what the loop knows; raises Error if it contradicts itself."""
        for name in list(self._ev_sent):
            if name not in self._ev_names:
                raise Error("%d is registered, but not active" % name)

    def _ev_is_active(self) -> bool:
        if self._ev_drops:
            self._ev_sweep()
        return len(self._ev_names) + self._ev_refs > 0

    def _ev_run(self, flags: int) -> None:
        if self._ev_busy:
            self._ev_abandon()
        if self._ev_due:
            # An interrupt came between: what has fired must not run before it is over.
            self._ev_recur()
        self._ev_invoke_pass()
        while True:
            if self._ev_drops or self._ev_broken:
                self._ev_sweep()
            if self._ev_postfork and self._ev_forks:
                self._ev_queue(self._ev_forks, EV_FORK)
                self._ev_invoke_pass()
            if self._ev_prepares:
                self._ev_queue(self._ev_prepares, EV_PREPARE)
                self._ev_invoke_pass()
            if self._ev_done:
                return
            self._ev_postfork = False
            self._ev_poll(flags)
            if self._ev_due:
                self._ev_recur()
            if any(self._ev_idles):
                self._ev_queue_idles()
            if self._ev_checks:
                self._ev_queue(self._ev_checks, EV_CHECK)
            self._ev_invoke_pass()
            if (
                self._ev_done
                or flags & (EVRUN_NOWAIT | EVRUN_ONCE)
                or not self._ev_is_active()
            ):
                return

    # Between iterations

    def _ev_dropped(self, watcher: Watcher, name: int) -> None:
        """A watcher was dropped while active; in any thread, at any time."""
        self._ev_drops.append(name)
        if (
            watcher._ev_settles
            and name in self._ev_sent
            and not self._ev_busy
            and self._ev_thread == threading.get_ident()
        ):
            self._ev_sweep()
            self._ev_settle()

    def _ev_sweep(self) -> None:
        """Forget watchers that were dropped, and report what has failed."""
        while self._ev_drops:
            # Removed when it is done, so that an interrupt leaves nothing behind.
            name = self._ev_drops[0]
            self._ev_release(name)
            self._ev_names.pop(name, None)
            _signals.forget(name, self)
            for table in (
                self._ev_forks,
                self._ev_prepares,
                self._ev_checks,
                self._ev_embeds,
                *self._ev_idles,
            ):
                table.pop(name, None)
            if self._ev_reaper is not None:
                self._ev_reaper.children.pop(name, None)
            self._ev_drops.popleft()
        while self._ev_broken:
            name, function, exception = self._ev_broken.pop(0)
            ref = self._ev_names.get(name)
            watcher = ref() if ref is not None else None
            if watcher is not None:
                watcher.stop()
            self._ev_failed(function, exception)

    def _ev_choose_backend(self) -> int:
        wanted = self._ev_flags & EVBACKEND_MASK or EVBACKEND_ALL
        for backend in (EVBACKEND_EPOLL, EVBACKEND_POLL, EVBACKEND_SELECT):
            if backend & wanted & self._ev_supported:
                return backend
        raise Error("no backend of flags 0x%x is supported" % self._ev_flags)


def _environment_flags(flags: int) -> int:
    """flags, or those that LIBEV_FLAGS asks for."""
    text = os.environ.get("LIBEV_FLAGS", "")
    if flags & EVFLAG_NOENV or not text.isdigit():
        return flags
    return int(text) & 0xFFFFFFFF


# Fork

_loops: "weakref.WeakSet[Loop]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for loop in list(_loops):
        loop._ev_after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)


# The default loop

_default: Optional["weakref.ReferenceType[Loop]"] = None


def default_loop(*args: Any, **kwargs: Any) -> Loop:
    """The default loop, with the arguments of Loop if there is none yet.

    If there is one the arguments are not looked at, and a RuntimeWarning says so.
    It lives as long as something refers to it. Raises what Loop raises.
    """
    global _default
    loop = _default() if _default is not None else None
    if loop is None:
        loop = Loop(*args, **kwargs)
        loop._ev_default = True
        _default = weakref.ref(loop)
    elif args or kwargs:
        warnings.warn(
            "arguments are ignored: the default loop exists already",
            RuntimeWarning,
            stacklevel=2,
        )
    return loop
