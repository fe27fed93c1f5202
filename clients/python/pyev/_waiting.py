"""How a loop waits, and what it then finds has happened.

The daemon's events, and what other threads, signal handlers and embedded loops have
left, become pending here.
"""

from __future__ import annotations

import collections
import select
import signal
import time
import weakref
from typing import TYPE_CHECKING, Deque, List, Optional, Tuple, cast

from . import _signals
from ._connection import Lost, Message
from ._constants import EV_ASYNC, EV_EMBED, EV_SIGNAL, EVRUN_NOWAIT
from ._errors import Error
from ._registry import Registry
from ._watcher import Table

if TYPE_CHECKING:
    from ._async import Async
    from ._child import Reaper
    from ._hooks import Embed

__all__ = ["Waiting"]

# Between attempts to reach a daemon again: the first pause, and the longest.
_PAUSE_S = 0.01
_PAUSE_MAX_S = 1.0


class Waiting(Registry):
    """The part of a loop that waits."""

    __slots__ = (
        "_ev_reconnect",
        "_ev_refs",
        "_ev_iteration",
        "_ev_embeds",
        "_ev_told",
        "_ev_sends",
        "_ev_signalled",
        "_ev_reaper",
        "_ev_now",
        "_ev_monotonic",
        "_ev_blur",
    )

    def __init__(self) -> None:
        super().__init__()
        self._ev_reconnect = False
        # What ref() and unref() have added to the number of active watchers.
        self._ev_refs = 0
        self._ev_iteration = 0
        self._ev_embeds: Table = {}
        # Whether the loop that this one is embedded into has seen something to read.
        self._ev_told = False
        # From other threads and signal handlers.
        self._ev_sends: Deque["weakref.ReferenceType[Async]"] = collections.deque()
        self._ev_signalled: Deque[int] = collections.deque()
        self._ev_reaper: Optional[Reaper] = None
        self._ev_read_clocks()

    def _ev_read_clocks(self) -> None:
        before = time.monotonic()
        self._ev_now = time.time()
        self._ev_monotonic = time.monotonic()
        # How far apart the two may have been read, at most.
        self._ev_blur = self._ev_monotonic - before

    def _ev_poll(self, flags: int) -> None:
        """Gather what has happened; wait for something unless that is not called for."""
        if self._ev_busy:  # of a nested start()
            self._ev_abandon()
        self._ev_read_clocks()
        self._ev_iteration += 1
        if self._ev_lost is not None:
            lost, self._ev_lost = self._ev_lost, None
            if not self._ev_reconnect:
                raise lost
        try:
            waits = not (
                flags & EVRUN_NOWAIT
                or len(self._ev_names) + self._ev_refs <= 0
                or self._ev_has_idles()
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
        self._ev_read_clocks()
        self._ev_take(connection.take())
        self._ev_take_local()
        if self._ev_embeds:
            self._ev_take_embeds(poller.poll(0))
        if waits and (self._ev_feeds != feeds or self._ev_due):
            # There may be such in each iteration: the daemon is listened to as well.
            connection.read()
            self._ev_read_clocks()
            self._ev_take(connection.take())
        self._ev_busy = False
        while waits and self._ev_feeds == feeds and not self._ev_due:
            ready = poller.poll()
            if self._ev_connection is not connection:
                return  # a handler has forked, and this is the child
            self._ev_busy = True
            for fd, _ in ready:
                if fd == connection.fileno():
                    connection.read()
                elif fd == wakeup.reader and (wakeup.drain() or self._ev_done):
                    # A handler may have left something to do.
                    waits = False
            self._ev_read_clocks()
            self._ev_take(connection.take())
            self._ev_take_local()
            if self._ev_embeds:
                self._ev_take_embeds(ready)
            self._ev_busy = False

    # Embedded loops

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
            or self._ev_count_pending()
        )

    # What has happened

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
        loop = self._ev_this()
        while self._ev_signalled:
            signum = self._ev_signalled[0]
            for signalled in self._ev_watchers(_signals.watched_by(loop, signum)):
                self._ev_feed(signalled, EV_SIGNAL)
            if signum == signal.SIGCHLD and self._ev_reaper is not None:
                self._ev_reaper.wake(loop)
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
            looks = watcher._ev_looks or "active" in message
            if looks and not watcher._ev_arrives(message):
                continue
            if watcher._ev_revents is None:
                watcher._ev_queue.append(ref)
                watcher._ev_revents = message["revents"]
            else:
                watcher._ev_revents |= message["revents"]
            if not looks:
                # Not before it is pending: what was seen does not come again.
                watcher._ev_seen = now
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
