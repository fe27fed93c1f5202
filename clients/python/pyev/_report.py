"""Exceptions that nobody can catch, as the interpreter itself reports them."""

from __future__ import annotations

import opcode
import signal
import sys
from types import CodeType, TracebackType
from typing import Any, List, Optional

__all__ = ["from_inside", "report"]


class _Raises:
    def __del__(self) -> None:
        raise RuntimeError


def _find_arguments_type() -> Any:
    """The type of what sys.unraisablehook takes, which has no name anywhere."""
    types: List[Any] = []
    hook = sys.unraisablehook
    sys.unraisablehook = lambda unraisable: types.append(type(unraisable))
    try:
        _Raises()
    finally:
        sys.unraisablehook = hook
    return types[0]


_arguments_type = _find_arguments_type()


def report(exception: BaseException, function: Any) -> None:
    """Give an exception of function to sys.unraisablehook."""
    try:
        sys.unraisablehook(_arguments(exception, function))
    except Exception as error:
        sys.__unraisablehook__(_arguments(error, sys.unraisablehook))


def _arguments(exception: BaseException, function: Any) -> Any:
    kind = type(exception)
    return _arguments_type((kind, exception, exception.__traceback__, None, function))


def from_inside(exception: BaseException, function: Any) -> bool:
    """Whether an exception that was caught around function(...) is of the function.

    Else a signal handler has raised it before the function began, or after it
    returned: the function knows nothing of it.
    """
    traceback = exception.__traceback__
    inner = traceback.tb_next if traceback else None
    if _from_handler(exception, inner):
        return False
    if inner is None or inner.tb_frame.f_code is not _code(function):
        return True
    return not (_at_entry(inner) and _from_handler(exception, inner.tb_next))


def _from_handler(exception: BaseException, inner: Optional[TracebackType]) -> bool:
    """Whether what a frame has called, and was raised there, is a signal handler."""
    if inner is None:
        # Nothing but C code; such is Python's own handler of SIGINT.
        return isinstance(exception, KeyboardInterrupt)
    code = inner.tb_frame.f_code
    handlers = map(signal.getsignal, signal.valid_signals())
    return any(code is _code(handler) for handler in handlers)


def _code(function: Any) -> Optional[CodeType]:
    return getattr(getattr(function, "__func__", function), "__code__", None)


def _at_entry(frame: TracebackType) -> bool:
    """Whether a frame has not run its first instruction yet."""
    at = frame.tb_lasti
    code = frame.tb_frame.f_code.co_code
    return at < 0 or (code[at] == _RESUME and code[at + 1] == 0)


# Where functions look for signals before they begin, from Python 3.11 on.
_RESUME = opcode.opmap.get("RESUME")
