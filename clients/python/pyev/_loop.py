"""The event loop: libev's, but for waiting, which the daemon does.

Each loop has a connection of its own, which is a session of the daemon. What a
watcher wants from the daemon is noted (_unsent, _gone, _later) and goes out in one
write before the loop waits. All watchers are held: the daemon tells of each once,
until the acknowledgement of the whole batch goes out with that write.

An iteration is libev's: fork and prepare watchers, then what has happened is
gathered (_poll) and becomes pending, then idle and check watchers, then callbacks.

Whatever happens to the connection (the daemon has ended, the process was forked,
an exception such as KeyboardInterrupt came up while a line was read) has the same
answer: everything that is active is registered again on a new connection. Each
watcher knows enough to do that without losing anything.
"""

from __future__ import annotations

import collections
import itertools
import os
import select
import signal
import threading
import time
import warnings
import weakref
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Deque,
    Dict,
    List,
    Optional,
    Set,
    Tuple,
    cast,
)

from . import _daemon, _signals, _values
from ._connection import FDS_MAX, Connection, Lost, Message
from ._constants import (
    EV_ASYNC,
    EV_CHECK,
    EV_EMBED,
    EV_FORK,
    EV_IDLE,
    EV_MAXPRI,
    EV_MINPRI,
    EV_PREPARE,
    EV_SIGNAL,
    EVBACKEND_ALL,
    EVBACKEND_EPOLL,
    EVBACKEND_MASK,
    EVBACKEND_POLL,
    EVBACKEND_SELECT,
    EVBREAK_ALL,
    EVBREAK_CANCEL,
    EVBREAK_ONE,
    EVFLAG_FORKCHECK,
    EVFLAG_NOENV,
    EVRUN_NOWAIT,
    EVRUN_ONCE,
)
from ._errors import Error
from ._factories import Factories
from ._report import from_inside, report
from ._wakeup import Wakeup
from ._watcher import Watcher

if TYPE_CHECKING:
    from ._async import Async
    from ._child import Reaper
    from ._hooks import Embed

__all__ = ["Loop", "default_loop"]

Table = Dict[int, "weakref.ReferenceType[Watcher]"]

# What a loop cannot do without.
_FEATURES = ["io", "timer", "periodic", "child", "stat"]
# Between attempts to reach a daemon again: the first pause, and the longest.
_PAUSE_S = 0.01
_PAUSE_MAX_S = 1.0


class Loop(Factories):
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
        "_ev_reconnect",
        "_ev_io_interval",
        "_ev_timeout_interval",
        "_ev_callback",
        "_ev_data",
        "_ev_debug",
        "_ev_default",
        "_ev_flags",
        "_ev_names",
        "_ev_counter",
        "_ev_refs",
        "_ev_forks",
        "_ev_prepares",
        "_ev_checks",
        "_ev_idles",
        "_ev_embeds",
        "_ev_queues",
        "_ev_feeds",
        "_ev_due",
        "_ev_broken",
        "_ev_unsent",
        "_ev_sent",
        "_ev_gone",
        "_ev_later",
        "_ev_immediate",
        "_ev_seq",
        "_ev_acked",
        "_ev_drops",
        "_ev_sends",
        "_ev_signalled",
        "_ev_depth",
        "_ev_done",
        "_ev_iteration",
        "_ev_postfork",
        "_ev_busy",
        "_ev_thread",
        "_ev_raised",
        "_ev_reaper",
        "_ev_lost",
        "_ev_connection",
        "_ev_wakeup",
        "_ev_told",
        "_ev_poller",
        "_ev_backend",
        "_ev_now",
        "_ev_monotonic",
        "_ev_supported",
        "_ev_embeddable",
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
        self._ev_reconnect = bool(reconnect)
        self._ev_io_interval = _values.period(io_interval)
        self._ev_timeout_interval = _values.period(timeout_interval)
        self._ev_callback = callback
        self._ev_data = data
        self._ev_debug = bool(debug)
        self._ev_default = False
        self._ev_flags = flags

        # All active watchers by the name of their run, and the next name.
        self._ev_names: Table = {}
        self._ev_counter = itertools.count(1)
        # What ref() and unref() have added to their number.
        self._ev_refs = 0
        # Active ones that have work to do in each iteration; those that are not
        # in _names (any more) don't count.
        self._ev_forks: Table = {}
        self._ev_prepares: Table = {}
        self._ev_checks: Table = {}
        self._ev_idles: List[Table] = [{} for _ in range(EV_MINPRI, EV_MAXPRI + 1)]
        self._ev_embeds: Table = {}
        # Pending watchers by priority, the highest first; the last one added is
        # the next. One whose _revents is None is not pending any more.
        self._ev_queues: List[List["weakref.ReferenceType[Watcher]"]] = [
            [] for _ in range(EV_MINPRI, EV_MAXPRI + 1)
        ]
        # How often something was added to them.
        self._ev_feeds = 0
        # Recurring ones that are due, with their events.
        self._ev_due: List[Tuple[Any, Message]] = []
        # Callbacks that have failed outside of the loop, with their watchers.
        self._ev_broken: List[Tuple[Watcher, Any, BaseException]] = []

        # Names to register, and those that are; commands to go out before and
        # after. A name that is in _gone and in _names was not given up after all.
        self._ev_unsent: Dict[int, None] = {}
        self._ev_sent: Set[int] = set()
        self._ev_gone: List[int] = []
        self._ev_later: List[str] = []
        # Whether what is registered next may be ready at once.
        self._ev_immediate = False
        # The number of the last event taken, and of the last acknowledged.
        self._ev_seq = 0
        self._ev_acked = 0

        # From other threads and signal handlers.
        self._ev_drops: Deque[int] = collections.deque()
        self._ev_sends: Deque["weakref.ReferenceType[Async]"] = collections.deque()
        self._ev_signalled: Deque[int] = collections.deque()

        self._ev_depth = 0
        self._ev_done = EVBREAK_CANCEL
        self._ev_iteration = 0
        self._ev_postfork = False
        # Whether the connection is in use; after an exception, in an unknown state.
        self._ev_busy = False
        self._ev_thread = threading.get_ident()
        self._ev_raised: Optional[BaseException] = None
        self._ev_reaper: Optional[Reaper] = None
        self._ev_lost: Optional[Error] = None
        self._ev_connection: Optional[Connection] = None
        self._ev_wakeup: Optional[Wakeup] = None
        # Whether the loop that this one is embedded into has seen something to read.
        self._ev_told = False
        self._ev_poller: Optional[select.poll] = None
        self.update()
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
        return sum(_is_pending(ref) for queue in self._ev_queues for ref in queue)

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

        flags: EVRUN_NOWAIT: handle what there is, and return; EVRUN_ONCE: wait
            until there is something, handle that, and return.

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
        self._ev_now = time.time()
        self._ev_monotonic = time.monotonic()

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

    # Callbacks

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
                    queue.clear()
                    continue
                break
            else:
                return
        except BaseException as exception:
            self._ev_caught(exception, watcher, revents)
        for queue in self._ev_queues:
            queue[:] = [ref for ref in queue if _is_pending(ref)]
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
                    # Indexed, as a signal may be noticed after any call.
                    watcher = queue[-1]()
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
        if not from_inside(exception, watcher._ev_callback):
            # The callback has not run: it is pending again.
            if watcher._ev_revents is None:
                self._ev_feed(watcher, revents)
            raise exception
        self._ev_failed(watcher._ev_callback, exception)

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
            if not from_inside(exception, watcher._ev_callback):
                raise
            if self._ev_debug:
                self._ev_done = EVBREAK_ALL
                raise SystemError("the callback has raised an exception") from exception
            report(exception, watcher._ev_callback)

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

    def _ev_queue_idles(self) -> None:
        """Make the idles of one priority pending, unless an event has it or more."""
        for queue, idles in zip(self._ev_queues, self._ev_idles):
            if any(map(_is_pending, queue)):
                return
            if self._ev_watchers(idles):
                self._ev_queue(idles, EV_IDLE)
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
            name = self._ev_drops.popleft()
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
        while self._ev_broken:
            watcher, function, exception = self._ev_broken.pop(0)
            watcher.stop()
            self._ev_failed(function, exception)

    def _ev_recur(self) -> None:
        """Let recurring watchers that are due find their next time."""
        while self._ev_due:
            watcher, event = self._ev_due[0]
            exception = watcher._ev_recurs(event)
            del self._ev_due[0]
            if exception is not None:
                self._ev_failed(watcher._ev_scheduler, exception)

    # What the watchers want from the daemon

    def _ev_register(self, name: int) -> None:
        """Register the watcher of this name when the loop waits next."""
        self._ev_unsent[name] = None

    def _ev_release(self, name: int) -> None:
        """What was registered by this name is no longer wanted."""
        self._ev_unsent.pop(name, None)
        if name in self._ev_sent:
            self._ev_gone.append(name)
            self._ev_sent.discard(name)

    def _ev_ended(self, name: int) -> None:
        """The daemon has forgotten this name by itself."""
        self._ev_sent.discard(name)

    def _ev_rename(self, watcher: Watcher, register: bool = True) -> None:
        """Give an active watcher a new run, which begins with a registration."""
        # Both names are in the table for a moment: what is interrupted here is
        # repaired with the connection.
        busy, self._ev_busy = self._ev_busy, True
        old = watcher._ev_name
        new = next(self._ev_counter)
        self._ev_release(old)
        if register:
            self._ev_unsent[new] = None
        self._ev_names[new] = watcher._ev_ref
        watcher._ev_name = new
        self._ev_names.pop(old, None)
        self._ev_busy = busy

    def _ev_note_intervals(self) -> None:
        self._ev_later.append(
            '{"cmd":"loop","io_interval":%r,"timeout_interval":%r,"reply":false}\n'
            % (
                _values.on_wire(self._ev_io_interval),
                _values.on_wire(self._ev_timeout_interval),
            )
        )

    def _ev_settle(self, waits: bool = True) -> None:
        """Tell the daemon what was given up; wait until it has let go of it."""
        if self._ev_busy or self._ev_connection is None:
            return
        self._ev_busy = True
        try:
            self._ev_connection.send("".join(self._ev_gone_lines()))
            if waits:
                self._ev_connection.call("now")
        except Lost as lost:
            self._ev_abandon()
            self._ev_lost = lost
        except BaseException:
            self._ev_abandon()
            raise
        self._ev_busy = False

    def _ev_register_now(self, watcher: Watcher) -> None:
        """Register a watcher, and wait for the answer; raises Error if refused.

        If there is no daemon just now the loop does it later.
        """
        if self._ev_busy:
            return
        self._ev_busy = True
        try:
            if self._ev_connection is None:
                self._ev_connect()
            assert self._ev_connection is not None
            self._ev_flush(False)
            self._ev_busy = True
            self._ev_connection.call("now")
            answer = self._ev_pick(watcher._ev_name)
        except Lost as lost:
            self._ev_abandon()
            self._ev_lost = lost
            return
        except BaseException:
            self._ev_abandon()
            raise
        self._ev_busy = False
        if answer is None:
            return
        if "error" in answer:
            raise Error.from_reply(answer["error"])
        watcher._ev_registered(answer["result"])

    def _ev_pick(self, number: int) -> Optional[Message]:
        """Take the reply with this id from what was set aside."""
        assert self._ev_connection is not None
        aside = self._ev_connection.aside
        for index, message in enumerate(aside):
            if message.get("id") == number:
                return aside.pop(index)
        return None

    def _ev_gone_lines(self) -> List[str]:
        gone, self._ev_gone = self._ev_gone, []
        return [
            '{"cmd":"unwatch","watcher":%d,"reply":false}\n' % name
            for name in gone
            if name not in self._ev_names
        ]

    def _ev_flush(self, barrier: bool) -> int:
        """Write what is noted. barrier: and ask for all that is ready.

        Returns what to wait for, 0 for nothing. Many registrations go out in
        parts: what went out stays so if an interrupt comes between them.
        """
        barrier = barrier or self._ev_immediate
        names = list(self._ev_unsent)
        while len(names) > FDS_MAX:
            self._ev_flush_part(names[:FDS_MAX], None)
            del names[:FDS_MAX]
        self._ev_immediate = False
        return self._ev_flush_part(names, barrier)

    def _ev_flush_part(self, names: List[int], barrier: Optional[bool]) -> int:
        """Write the registrations of names, at most FDS_MAX, and what else there is.

        barrier: as above; None: more parts follow.
        """
        connection = self._ev_connection
        assert connection is not None
        fds: List[int] = []
        opened: List[int] = []
        try:
            registered, commands = self._ev_registrations(names, fds, opened)
            self._ev_busy = True
            lines = self._ev_gone_lines() if self._ev_gone else []
            if self._ev_seq > self._ev_acked:
                lines.append('{"cmd":"ack","seq":%d,"reply":false}\n' % self._ev_seq)
                self._ev_acked = self._ev_seq
            lines += commands
            if self._ev_later and barrier is not None:
                later, self._ev_later = self._ev_later, []
                lines += later
            number = 0
            if barrier and (self._ev_sent or registered):
                number = connection.new_id()
                lines.append(connection.command("poll", number))
            if lines:
                connection.send("".join(lines), fds)
            self._ev_sent.update(registered)
            for name in names:
                self._ev_unsent.pop(name, None)
            # A handler may have stopped them meanwhile.
            self._ev_gone += [n for n in registered if n not in self._ev_names]
            self._ev_busy = False
        finally:
            for fd in opened:
                os.close(fd)
        return number

    def _ev_registrations(
        self, names: List[int], fds: List[int], opened: List[int]
    ) -> Tuple[List[int], List[str]]:
        """Those of the names that the daemon is to know, and the commands for them.

        opened: descriptors that the caller is to close.
        """
        registered = []
        commands = []
        table = self._ev_names
        for name in names:
            ref = table.get(name)
            watcher = ref() if ref is not None else None
            if watcher is None:
                continue
            try:
                command = watcher._ev_command(name, fds, opened)
            except OSError as error:
                watcher._ev_fails(error)
                continue
            if command:
                registered.append(name)
                commands.append(command)
        return registered, commands

    # Waiting

    def _ev_poll(self, flags: int) -> None:
        """Gather what has happened; wait for something unless that is not called for."""
        if self._ev_busy:  # of a nested start()
            self._ev_abandon()
        self.update()
        self._ev_iteration += 1
        if self._ev_lost is not None:
            lost, self._ev_lost = self._ev_lost, None
            if not self._ev_reconnect:
                raise lost
        try:
            waits = not (
                flags & EVRUN_NOWAIT
                or len(self._ev_names) + self._ev_refs <= 0
                or any(self._ev_idles)
            )
            told, self._ev_told = self._ev_told, False
            if waits or told or self._ev_names or self._ev_gone:
                self._ev_gather_from_any(waits)
        except BaseException:
            # While it only waited the connection is as it was.
            if self._ev_busy:
                self._ev_abandon()
            raise

    def _ev_gather_from_any(self, waits: bool) -> None:
        """Gather; if the daemon has gone and may come back, from the next one."""
        pause = 0.0
        while True:
            try:
                if self._ev_connection is None:
                    self._ev_connect()
                self._ev_gather(waits)
                return
            except Lost:
                self._ev_abandon()
                if not self._ev_reconnect:
                    raise
            except Error:
                if self._ev_connection is not None or not self._ev_reconnect:
                    raise
                if not waits:
                    return
                pause = pause or _PAUSE_S
            # One that comes and goes at once is not asked for ever, either.
            if pause and (not waits or self._ev_rest(pause)):
                return
            pause = min(max(pause * 2, _PAUSE_S), _PAUSE_MAX_S)

    def _ev_rest(self, seconds: float) -> bool:
        """Without a daemon, wait for a while; say whether there is something to do."""
        assert self._ev_wakeup is not None
        poll = select.poll()
        poll.register(self._ev_wakeup.reader, select.POLLIN)
        signalled = False
        if poll.poll(seconds * 1000):
            signalled = self._ev_wakeup.drain()
        feeds = self._ev_feeds
        self._ev_take_local()
        return signalled or self._ev_feeds != feeds or bool(self._ev_done)

    def _ev_gather(self, waits: bool) -> None:
        connection = self._ev_connection
        wakeup = self._ev_wakeup
        assert connection is not None and wakeup is not None
        feeds = self._ev_feeds
        number = self._ev_flush(not waits)
        if self._ev_embeds:
            self._ev_poller = None
            for embed in self._ev_embedded():
                embed._ev_other._ev_prepare_embedded()
        poller = self._ev_poller or self._ev_make_poller()
        self._ev_busy = True
        if number:
            connection.wait(number)
        elif not waits:
            connection.read()
        self.update()
        self._ev_take(connection.take())
        self._ev_take_local()
        if self._ev_embeds:
            self._ev_take_embeds(poller.poll(0))
        if waits and (self._ev_feeds != feeds or self._ev_due):
            # There may be such in each iteration: the daemon is listened to as well.
            connection.read()
            self._ev_take(connection.take())
        self._ev_busy = False
        while waits and self._ev_feeds == feeds and not self._ev_due:
            ready = poller.poll()
            self._ev_busy = True
            for fd, _ in ready:
                if fd == connection.fileno():
                    connection.read()
                elif fd == wakeup.reader and (wakeup.drain() or self._ev_done):
                    # A handler may have left something to do.
                    waits = False
            self.update()
            self._ev_take(connection.take())
            self._ev_take_local()
            if self._ev_embeds:
                self._ev_take_embeds(ready)
            self._ev_busy = False

    def _ev_embedded(self) -> List[Embed]:
        return cast("List[Embed]", self._ev_watchers(self._ev_embeds))

    def _ev_prepare_embedded(self) -> None:
        """Another loop is going to wait for this one: write what is noted."""
        if self._ev_busy:
            return
        self._ev_busy = True
        try:
            if self._ev_connection is None:
                self._ev_connect()
            self._ev_flush(False)
        except Error as error:
            self._ev_abandon()
            self._ev_lost = error
        except BaseException:
            self._ev_abandon()
            raise
        self._ev_busy = False

    def _ev_make_poller(self) -> select.poll:
        poller = select.poll()
        for fd in self._ev_descriptors():
            poller.register(fd, select.POLLIN)
        self._ev_poller = poller
        return poller

    def _ev_descriptors(self) -> List[int]:
        """What to wait for: readable if there may be something to gather."""
        fds = []
        if self._ev_connection is not None:
            fds.append(self._ev_connection.fileno())
        if self._ev_wakeup is not None:
            fds.append(self._ev_wakeup.reader)
        for embed in self._ev_embedded():
            fds += embed._ev_other._ev_descriptors()
        return fds

    def _ev_take_embeds(self, ready: List[Tuple[int, int]]) -> None:
        """Feed the embeds whose loops have something to gather."""
        fds = {fd for fd, _ in ready}
        for embed in self._ev_embedded():
            other = embed._ev_other
            if other._ev_wakeup is not None and other._ev_wakeup.reader in fds:
                # What it was woken for was noted before that: see _ev_has_news.
                other._ev_wakeup.drain()
                fds.discard(other._ev_wakeup.reader)
            told = not fds.isdisjoint(other._ev_descriptors())
            if told or other._ev_has_news():
                other._ev_told = told
                self._ev_feed(embed, EV_EMBED)

    def _ev_has_news(self) -> bool:
        """Whether something was read, or noted, that was not gathered yet."""
        return bool(
            (self._ev_connection is not None and self._ev_connection.aside)
            or self._ev_sends
            or self._ev_signalled
            or self._ev_lost is not None
            or self.pending
        )

    def _ev_take_local(self) -> None:
        """Feed what other threads and signal handlers have sent."""
        # Removed when it is pending, so that an interrupt loses nothing.
        while self._ev_sends:
            watcher = self._ev_sends[0]()
            if watcher is not None and watcher._ev_sent:
                if watcher.active:
                    self._ev_feed(watcher, EV_ASYNC)
                watcher._ev_sent = False
            self._ev_sends.popleft()
        while self._ev_signalled:
            signum = self._ev_signalled[0]
            for signalled in self._ev_watchers(_signals.watched_by(self, signum)):
                self._ev_feed(signalled, EV_SIGNAL)
            if signum == signal.SIGCHLD and self._ev_reaper is not None:
                self._ev_reaper.wake(self)
            self._ev_signalled.popleft()

    def _ev_take(self, messages: List[Message]) -> None:
        """Feed what the daemon has said."""
        names = self._ev_names
        now = self._ev_monotonic
        others = []
        fed = False
        # The last one fed is the first one called.
        for message in reversed(messages):
            try:
                ref = names[message["watcher"]]
            except KeyError:
                others.append(message)
                continue
            watcher = ref()
            if watcher is None:
                continue
            if watcher._ev_looks or "active" in message:
                if not watcher._ev_arrives(message):
                    continue
            else:
                watcher._ev_seen = now
            if watcher._ev_revents is None:
                watcher._ev_queue.append(ref)
                watcher._ev_revents = message["revents"]
            else:
                watcher._ev_revents |= message["revents"]
            fed = True
        if fed:
            self._ev_feeds += 1
        for message in reversed(messages):
            if "seq" in message:
                self._ev_seq = message["seq"]
                break
        for message in reversed(others):
            self._ev_take_other(message)

    def _ev_take_other(self, message: Message) -> None:
        """A reply, a farewell, or an event of a name that was given up."""
        if "event" in message:
            if message["event"] == "bye":
                raise Lost("evd has closed the connection: %s" % message["reason"])
            return
        error = message.get("error")
        number = message.get("id") if error is None else error.get("watcher")
        ref = self._ev_names.get(number) if number is not None else None
        watcher = ref() if ref is not None else None
        if error is None:
            if watcher is not None:
                watcher._ev_registered(message["result"])
        elif watcher is not None:
            watcher._ev_fails(Error.from_reply(error))
        elif number is None:
            raise Error.from_reply(error)

    # The connection

    def _ev_connect(self) -> None:
        """Make a connection, and note everything active to be registered on it."""
        if self._ev_wakeup is None:
            self._ev_wakeup = Wakeup()
        sock, result = _daemon.greet(hold=True, need=_FEATURES)
        connection = Connection(sock)
        self._ev_supported: int = result["backend"]["supported"]
        self._ev_embeddable: int = result["backend"]["embeddable"]
        self._ev_poller = None
        self._ev_seq = self._ev_acked = 0
        self._ev_sent = set()
        self._ev_gone = []
        self._ev_later = []
        if self._ev_io_interval or self._ev_timeout_interval:
            self._ev_note_intervals()
        self._ev_unsent = dict.fromkeys(self._ev_names)
        if self._ev_depth:
            self._ev_arm()
        self._ev_immediate = True
        self._ev_connection = connection

    def _ev_abandon(self) -> None:
        """Close the connection; the next iteration makes a new one."""
        # What was interrupted between two steps is undone or done.
        for name, ref in list(self._ev_names.items()):
            watcher = ref()
            if watcher is not None:
                if watcher._ev_name != name or watcher._ev_is_spent():
                    self._ev_names.pop(name, None)
        connection, self._ev_connection = self._ev_connection, None
        self._ev_poller = None
        self._ev_busy = False
        if connection is not None:
            connection.close()

    def _ev_arm(self) -> None:
        """Have signals wake this loop, in the thread that handles them."""
        if threading.current_thread() is threading.main_thread():
            if self._ev_wakeup is not None:
                self._ev_wakeup.arm()

    def _ev_after_fork(self) -> None:
        """In the child: the connection is the parent's."""
        self._ev_postfork = bool(self._ev_flags & EVFLAG_FORKCHECK) or self._ev_postfork
        self._ev_thread = threading.get_ident()
        self._ev_abandon()
        wakeup, self._ev_wakeup = self._ev_wakeup, None
        if wakeup is not None:
            wakeup.close()

    def _ev_choose_backend(self) -> int:
        wanted = self._ev_flags & EVBACKEND_MASK or EVBACKEND_ALL
        for backend in (EVBACKEND_EPOLL, EVBACKEND_POLL, EVBACKEND_SELECT):
            if backend & wanted & self._ev_supported:
                return backend
        raise Error("no backend of flags 0x%x is supported" % self._ev_flags)


def _is_pending(ref: "weakref.ReferenceType[Watcher]") -> bool:
    watcher = ref()
    return watcher is not None and watcher._ev_revents is not None


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
