"""What wakes a loop that waits: a pipe to itself.

Any thread and any signal handler may write to it; it takes no lock and does not
block. While a loop of the main thread waits, the interpreter itself writes the
number of each signal to it (see signal.set_wakeup_fd).
"""

from __future__ import annotations

import os
import signal
from typing import Optional

# What wake() writes; no signal has this number.
_BYTE = b"\0"


class Wakeup:
    """The pipe. Its descriptors are opened by the constructor (raises OSError)."""

    __slots__ = ("reader", "_writer", "_before")

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # Whose descriptor got the signals before; None: they don't come to us.
        self._before: Optional[int] = None

    def wake(self) -> None:
        """Make the reader readable; from any thread or signal handler."""
        try:
            os.write(self._writer, _BYTE)
        except OSError:
            pass  # full, so it is readable; or closed by a fork

    def drain(self) -> bool:
        """Read all there is; say whether a signal was among it."""
        try:
            data = os.read(self.reader, 65536)
        except BlockingIOError:
            return False
        signals = data.strip(_BYTE)
        if signals and self._before is not None and self._before >= 0:
            try:
                os.write(self._before, signals.replace(_BYTE, b""))
            except OSError:
                pass
        return bool(signals)

    def arm(self, anew: bool) -> None:
        """Have signals written to it from now on. In the main thread only.

        anew: whether no arm() without a disarm() is under way: what may be left is of
        one that was interrupted.
        """
        # A signal may come, and its handler raise, between any two of these.
        if self._before is None:
            self._before = -1
        elif not anew:
            return
        before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        if before != self._writer:
            self._before = before

    def disarm(self) -> None:
        """Give the signals back to who had them before arm(). In the main thread."""
        if self._before is None:
            return
        try:
            signal.set_wakeup_fd(self._before)
        except (OSError, ValueError):
            signal.set_wakeup_fd(-1)  # theirs was closed meanwhile
        self._before = None

    def close(self) -> None:
        """Close both ends; what is armed is given back first."""
        if self._writer < 0:
            return
        if self._before is not None:
            self.disarm()
        reader, writer = self.reader, self._writer
        self.reader = self._writer = -1
        os.close(reader)
        os.close(writer)
