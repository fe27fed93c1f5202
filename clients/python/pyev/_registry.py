"""What the daemon is told: what to watch, and what no longer.

It is noted (_unsent, _gone, _later) and goes out in one write before the loop waits.
All watchers are held: the daemon tells of each once, until the acknowledgement of the
whole batch goes out with that write.

Whatever happens to the connection (the daemon has ended, the process was forked,
an exception such as KeyboardInterrupt came up while a line was read) has the same
answer: everything that is active is registered again on a new connection. Each
watcher knows enough to do that without losing anything.
"""

from __future__ import annotations

import itertools
import os
import select
import threading
from typing import Dict, List, Optional, Set, Tuple

from . import _daemon, _values
from ._connection import FDS_MAX, Connection, Lost, Message
from ._constants import EVFLAG_FORKCHECK
from ._errors import Error
from ._pending import Pending
from ._wakeup import Wakeup
from ._watcher import Watcher

__all__ = ["Registry"]

# What a loop cannot do without.
_FEATURES = ["io", "timer", "periodic", "child", "stat"]


class Registry(Pending):
    """The part of a loop that speaks to the daemon, and keeps the connection."""

    __slots__ = (
        "_ev_flags",
        "_ev_io_interval",
        "_ev_timeout_interval",
        "_ev_counter",
        "_ev_unsent",
        "_ev_sent",
        "_ev_gone",
        "_ev_later",
        "_ev_immediate",
        "_ev_seq",
        "_ev_acked",
        "_ev_depth",
        "_ev_postfork",
        "_ev_busy",
        "_ev_thread",
        "_ev_lost",
        "_ev_connection",
        "_ev_poller",
        "_ev_supported",
        "_ev_embeddable",
        "_ev_wakeup",
    )

    def __init__(self) -> None:
        super().__init__()
        self._ev_flags = 0
        self._ev_io_interval = 0.0
        self._ev_timeout_interval = 0.0
        # The next name of a run.
        self._ev_counter = itertools.count(1)
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
        # How many calls of start() are under way.
        self._ev_depth = 0
        # Whether Fork watchers are to fire.
        self._ev_postfork = False
        # Whether the connection is in use; after an exception, in an unknown state.
        self._ev_busy = False
        self._ev_thread = threading.get_ident()
        # What the next start() is to raise, or to begin anew after.
        self._ev_lost: Optional[Error] = None
        self._ev_connection: Optional[Connection] = None
        self._ev_poller: Optional[select.poll] = None
        # EVBACKEND_ bits, as the daemon says.
        self._ev_supported = 0
        self._ev_embeddable = 0
        self._ev_wakeup: Optional[Wakeup] = None

    # What is noted

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
        try:
            old = watcher._ev_name
            new = next(self._ev_counter)
            self._ev_release(old)
            if register:
                self._ev_unsent[new] = None
            self._ev_names[new] = watcher._ev_ref
            watcher._ev_name = new
            self._ev_names.pop(old, None)
        except BaseException:
            if not busy:
                self._ev_abandon()
            raise
        self._ev_busy = busy

    def _ev_note_intervals(self) -> None:
        self._ev_later.append(
            '{"cmd":"loop","io_interval":%r,"timeout_interval":%r,"reply":false}\n'
            % (
                _values.on_wire(self._ev_io_interval),
                _values.on_wire(self._ev_timeout_interval),
            )
        )

    # Writing it

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
        except BaseException as error:
            there = self._ev_connection is not None
            self._ev_abandon()
            if isinstance(error, Error) and (isinstance(error, Lost) or not there):
                self._ev_lost = error
                return
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
        # Of those that were not given up after all the daemon still knows.
        self._ev_sent.update(name for name in gone if name in self._ev_names)
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
        names = self._ev_names_to_send()
        while len(names) > FDS_MAX:
            self._ev_flush_part(names[:FDS_MAX], None)
            del names[:FDS_MAX]
        self._ev_immediate = False
        return self._ev_flush_part(names, barrier)

    def _ev_names_to_send(self) -> List[int]:
        """Timers in order of time: evd takes some at a time, and what is due fires."""
        if len(self._ev_unsent) < 2:
            return list(self._ev_unsent)
        table = self._ev_names

        def due(name: int) -> float:
            ref = table.get(name)
            watcher = ref() if ref is not None else None
            return watcher._ev_due() if watcher is not None else 0.0

        return sorted(self._ev_unsent, key=due)

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
            for name in registered:
                if name not in self._ev_names:
                    self._ev_release(name)  # a handler has stopped it meanwhile
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

    # The connection

    def _ev_connect(self) -> None:
        """Make a connection, and note everything active to be registered on it."""
        if self._ev_wakeup is None:
            self._ev_wakeup = Wakeup()
        sock, result = _daemon.greet(hold=True, need=_FEATURES)
        connection = Connection(sock)
        self._ev_supported = result["backend"]["supported"]
        self._ev_embeddable = result["backend"]["embeddable"]
        self._ev_poller = None
        self._ev_seq = self._ev_acked = 0
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
        self._ev_sent = set()
        self._ev_gone = []
        connection, self._ev_connection = self._ev_connection, None
        self._ev_poller = None
        self._ev_busy = False
        if connection is not None:
            connection.close()

    def _ev_arm(self) -> None:
        """Have signals wake this loop, in the thread that handles them."""
        if threading.current_thread() is threading.main_thread():
            if self._ev_wakeup is not None:
                self._ev_wakeup.arm(anew=self._ev_depth <= 1)

    def _ev_after_fork(self) -> None:
        """In the child: the connection is the parent's."""
        self._ev_postfork = bool(self._ev_flags & EVFLAG_FORKCHECK) or self._ev_postfork
        self._ev_thread = threading.get_ident()
        self._ev_abandon()
        wakeup, self._ev_wakeup = self._ev_wakeup, None
        if wakeup is not None:
            wakeup.close()
