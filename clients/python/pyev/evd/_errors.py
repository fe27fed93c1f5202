"""The end of a session, as an exception."""

from __future__ import annotations

from typing import Dict, Optional

from .._errors import Error

_TEXTS: Dict[Optional[str], str] = {
    None: "the daemon has closed the connection without a word: it was killed, or "
    "has failed",
    "end": 'the session has ended: a watcher with "end" has fired',
    "exit": "the daemon has ended",
    "half-close": "the session has ended, as its input had",
    "close": "the session was closed by this program",
    "fork": "the session belongs to the process that this one was forked from",
}


class Closed(Error):
    """The session has ended, so nothing more comes from it.

    reason: "close": this program has closed it; "half-close": it had no more to
        do after a shutdown(); "end": a watcher with "end" has fired; "exit": the
        daemon has ended; None: the daemon is gone without a word; or another
        reason of the daemon's.
    expected: whether this program wanted it so (the first three).
    """

    __module__ = "pyev.evd"

    def __init__(self, reason: Optional[str] = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.expected = reason in ("close", "half-close", "end")

    def __str__(self) -> str:
        reason = self.reason
        return _TEXTS.get(reason) or "the session has ended: %s" % reason
