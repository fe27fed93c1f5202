"""What all watchers have in common.

A watcher is active if its name, an integer that is new with each start, is in its
loop's table. It gets there, and out again, in one step that nothing can interrupt. A
start or stop that is interrupted before that is made again as if it had not been tried.
The table holds weak references only: a watcher that the program drops is stopped.

All that is not pyev's has names that begin with _ev_: programs derive from these
classes, and the other names are theirs.
"""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, cast

from . import _values
from ._constants import EV_ERROR, EV_MAXPRI, EV_MINPRI
from ._errors import Error, SystemFailure

if TYPE_CHECKING:
    from ._connection import Message
    from ._loop import Loop

__all__ = ["Base", "Table", "Watcher"]

# Watchers by the names of their runs.
Table = Dict[int, "weakref.ReferenceType[Watcher]"]


class Initialised:
    """What is of no use before its __init__, and says so."""

    __slots__ = ()

    if not TYPE_CHECKING:  # else any name would be an attribute

        def __getattr__(self, name: str) -> Any:
            kind = type(self).__name__
            if name.startswith("_ev_"):
                raise Error(
                    "this %s is not initialised: its __init__() must call "
                    "super().__init__() first" % kind
                )
            raise AttributeError("%r object has no attribute %r" % (kind, name))

    def _ev_has(self, name: str) -> bool:
        """Whether it has this attribute."""
        try:
            object.__getattribute__(self, name)
        except AttributeError:
            return False
        return True


class Base(Initialised):
    """What Loop is, for those that Loop itself needs."""

    __slots__ = ()

    def _ev_this(self) -> Loop:
        return cast("Loop", self)


class Watcher(Initialised):
    """The base of all watchers; cannot be used by itself.

    loop: the Loop that it belongs to.
    callback: called as callback(watcher, revents), with revents the union of the
        EV_ constants that say what happened.
    data: anything; the watcher does nothing with it.
    priority: from EV_MINPRI to EV_MAXPRI; higher ones have their callbacks first.

    A watcher that is active or pending must be kept: when the last reference to
    it goes, it is stopped.
    """

    __module__ = "pyev"
    # Whether stopping it waits until the daemon has let go of it.
    _ev_settles = False
    __slots__ = (
        "_ev_loop",
        "_ev_ref",
        "_ev_name",
        "_ev_revents",
        "_ev_priority",
        "_ev_queue",
        "_ev_looks",
        "_ev_seen",
        "_ev_callback",
        "_ev_data",
        "_ev_failure",
        "__weakref__",
    )

    def __init__(
        self,
        loop: Loop,
        callback: Callable[[Any, int], Any],
        data: Any = None,
        priority: int = 0,
    ) -> None:
        if not isinstance(loop, Base):
            raise TypeError("a pyev.Loop is required, not %s" % type(loop).__name__)
        loop._ev_names  # raises Error if it is not initialised
        # A fresh one has no _ev_ref; to ask for that is the quickest.
        fresh = not weakref.getweakrefcount(self)
        if not fresh and self._ev_has("_ev_loop") and self.active:
            raise Error("cannot initialise a watcher while it is active")
        self._ev_callback: Callable[[Any, int], Any] = _values.function(callback)
        self._ev_priority = _values.integer(priority)
        self._ev_data = data
        # The bits that are pending; None: nothing is.
        self._ev_revents: Optional[int] = None
        # Of the loop, while it is active: where it is put when it is pending.
        self._ev_queue: List["weakref.ReferenceType[Watcher]"] = []
        # Whether it looks at each of its events, and not only at its last one; if
        # not, when the loop has last seen one (of CLOCK_MONOTONIC).
        self._ev_looks = True
        self._ev_seen = -math.inf
        # In the loop's table while it is active.
        self._ev_name = 0
        # Why the next EV_ERROR; None: nobody knows.
        self._ev_failure: Optional[Exception] = None
        self._ev_ref = weakref.ref(self)
        self._ev_loop = loop

    def __del__(self) -> None:
        # May run at any time, in any thread: so it only leaves a note.
        try:
            loop = self._ev_loop
        except Error:
            return  # never initialised
        try:
            if self._ev_name in loop._ev_names:
                loop._ev_dropped(self, self._ev_name)
        except AttributeError:
            pass  # the interpreter ends

    def __delattr__(self, name: str) -> None:
        if name == "data":
            self._ev_data = None
        elif name != "loop" and isinstance(getattr(type(self), name, None), property):
            raise TypeError("cannot delete attribute %r" % name)
        else:
            super().__delattr__(name)

    # Attributes

    @property
    def loop(self) -> Loop:
        """The loop that it belongs to; read only."""
        return self._ev_loop

    @property
    def active(self) -> bool:
        """Whether it was started and not stopped since; read only."""
        return self._ev_name in self._ev_loop._ev_names

    @property
    def pending(self) -> bool:
        """Whether its callback is going to be called; read only."""
        return self._ev_revents is not None

    @property
    def callback(self) -> Callable[[Any, int], Any]:
        """What is called as callback(watcher, revents)."""
        return self._ev_callback

    @callback.setter
    def callback(self, callback: Callable[[Any, int], Any]) -> None:
        self._ev_callback = _values.function(callback)

    @property
    def data(self) -> Any:
        """Anything that the program wants to keep here; None by default."""
        return self._ev_data

    @data.setter
    def data(self, data: Any) -> None:
        self._ev_data = data

    @property
    def priority(self) -> int:
        """From EV_MINPRI to EV_MAXPRI; 0 by default.

        Cannot be set (Error) while the watcher is active or pending. A number
        out of range is brought into it by start().
        """
        return self._ev_priority

    @priority.setter
    def priority(self, priority: int) -> None:
        self._ev_must_be_inactive("priority")
        if self._ev_revents is not None:
            raise Error("cannot set the priority of a watcher while it is pending")
        self._ev_priority = _values.integer(priority)

    # Methods

    def start(self) -> None:
        """Start watching; does nothing if it is active."""
        loop = self._ev_loop
        if self._ev_name in loop._ev_names:
            return
        self._ev_priority = min(max(self._ev_priority, EV_MINPRI), EV_MAXPRI)
        self._ev_queue = loop._ev_queues[EV_MAXPRI - self._ev_priority]
        name = self._ev_name = next(loop._ev_counter)
        self._ev_starts(name)
        loop._ev_names[name] = self._ev_ref
        try:
            self._ev_started(name)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop watching, and forget what is pending; does nothing if inactive."""
        self._ev_revents = None
        loop = self._ev_loop
        name = self._ev_name
        if name in loop._ev_names:
            self._ev_stops(name)
            loop._ev_names.pop(name, None)
            self._ev_stopped(name)

    def invoke(self, revents: int) -> None:
        """Call the callback now, whatever is active or pending.

        With loop.debug an exception of the callback comes out as SystemError,
        with the exception as its cause; else sys.unraisablehook gets it.
        """
        self._ev_loop._ev_invoke_now(self, _values.integer(revents))

    def feed(self, revents: int) -> None:
        """Make revents pending, as if that had happened."""
        self._ev_loop._ev_feed(self, _values.integer(revents))

    def clear(self) -> int:
        """Forget what is pending, and give its revents; 0 if nothing is."""
        revents = self._ev_revents
        self._ev_revents = None
        return revents or 0

    # What the types fill in

    def _ev_starts(self, name: int) -> None:
        """Prepare the start under this name; an exception prevents it."""

    def _ev_started(self, name: int) -> None:
        """It is active now; an exception stops it."""

    def _ev_stops(self, name: int) -> None:
        """Prepare the end of what runs under this name."""

    def _ev_stopped(self, name: int) -> None:
        """It is inactive now."""

    def _ev_command(self, name: int, fds: List[int], opened: List[int]) -> str:
        """The command that registers it with the daemon; "" if none does.

        A descriptor to be passed is added to fds, and to opened as well if it is
        to be closed then. Raises OSError if it can't be watched.
        """
        return ""

    def _ev_due(self) -> float:
        """When it is due, of a timer: those that are due already go in that order."""
        return -math.inf

    def _ev_registered(self, result: Message) -> None:
        """The reply to its command has come, if that asked for one."""

    def _ev_arrives(self, event: Message) -> bool:
        """An event has come from the daemon; say whether it is to be fed."""
        return True

    def _ev_recurs(self, event: Message) -> Optional[BaseException]:
        """It has put itself into the loop's _due: find the next time."""
        return None

    def _ev_is_ours(self) -> bool:
        """Whether the callback is this package's, and no interrupt is of it."""
        return False

    def _ev_is_spent(self) -> bool:
        """Whether it has fired for good, and an interrupt kept it active."""
        return False

    def _ev_resumes(self, paused: float) -> None:
        """Loop.resume(): that many seconds have not passed."""

    # Helpers of the types

    def _ev_must_be_inactive(self, what: str) -> None:
        if self._ev_name in self._ev_loop._ev_names:
            raise Error("cannot set %s of a watcher while it is active" % what)

    def _ev_fails(self, failure: Exception) -> None:
        """It can do its work no more: failure is what the loop is to raise."""
        self.stop()
        self._ev_failure = failure
        if isinstance(failure, OSError):
            self._ev_failure = SystemFailure(failure.errno, failure.strerror)
            self._ev_failure.__cause__ = failure
        self._ev_loop._ev_feed(self, EV_ERROR)

    def _ev_take_failure(self) -> Exception:
        """What EV_ERROR raises."""
        failure, self._ev_failure = self._ev_failure, None
        return failure or Error("EV_ERROR was fed to %r" % self)

    def _ev_common(self) -> str:
        """The members of its command that all types have."""
        if self._ev_priority:
            return ',"priority":%d,"release":true,"reply":false}\n' % self._ev_priority
        return ',"release":true,"reply":false}\n'
