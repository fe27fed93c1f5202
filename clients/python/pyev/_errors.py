"""The exceptions of this package: Error, and Error as the system says it."""

from __future__ import annotations

from typing import Any, Mapping, Optional

__all__ = ["Error", "SystemFailure"]


class Error(Exception):
    """What goes wrong with a loop, a watcher or the daemon.

    Error(text): not from the daemon; code and message are None.
    Error(code, message): what the daemon refused, as its error reply says.

    code: one of the codes of evd's protocol, such as "invalid-argument".
    message: which member, what was found, what was expected; for people.
    line, cmd, watcher: of the command that was refused, where the reply has
        them, else None. line counts the lines of the connection from 1.
    """

    __module__ = "pyev"

    code: Optional[str] = None
    message: Optional[str] = None
    line: Optional[int] = None
    cmd: Optional[str] = None
    watcher: Any = None

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        if len(args) == 2 and all(isinstance(arg, str) for arg in args):
            self.code, self.message = map(str, args)

    @classmethod
    def from_reply(cls, error: Mapping[str, Any]) -> Error:
        """The exception for the member "error" of a reply."""
        self = cls(error["code"], error["message"])
        self.line = error.get("line")
        self.cmd = error.get("cmd")
        self.watcher = error.get("watcher")
        return self

    def __str__(self) -> str:
        if self.code is not None:
            return "%s: %s" % (self.code, self.message)
        return super().__str__()


class SystemFailure(Error, OSError):
    """SystemFailure(errno, strerror): a watcher can do its work no more.

    pyev raises OSError or Error, whichever libev has left it; programs are ready for
    the one or for the other.
    """
