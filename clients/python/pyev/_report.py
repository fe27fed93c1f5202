"""Exceptions that nobody can catch, as the interpreter itself reports them."""

from __future__ import annotations

import opcode
import signal
import sys
from types import CodeType, FunctionType, TracebackType
from typing import Any, List, Optional

__all__ = ["AFTER", "BEFORE", "INSIDE", "came", "report"]


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


# When an exception came that was caught around function(...): it is of the function,
# or a signal handler has raised it before that began, or after it returned.
BEFORE, INSIDE, AFTER = range(3)


def came(exception: BaseException, function: Any) -> int:
    """BEFORE, INSIDE or AFTER."""
    traceback = exception.__traceback__
    inner = traceback.tb_next if traceback else None
    if _from_handler(exception, inner):
        # From Python 3.11 on nothing looks for signals before C code is called, nor
        # after a function in Python has returned. Until then nobody knows.
        return AFTER if _RESUME is not None and _code(function) is None else BEFORE
    if inner is None or not _at_entry(inner):
        return INSIDE
    return BEFORE if _from_handler(exception, inner.tb_next) else INSIDE


def _from_handler(exception: BaseException, inner: Optional[TracebackType]) -> bool:
    """Whether what a frame has called, and was raised there, is a signal handler."""
    if inner is None:
        # Nothing but C code; such is Python's own handler of SIGINT.
        return isinstance(exception, KeyboardInterrupt)
    code = inner.tb_frame.f_code
    handlers = map(signal.getsignal, signal.valid_signals())
    return any(code is _code(handler) for handler in handlers)


def _code(function: Any) -> Optional[CodeType]:
    """What a function in Python runs; None: it is none."""
    function = getattr(function, "__func__", function)
    return function.__code__ if isinstance(function, FunctionType) else None


def _at_entry(frame: TracebackType) -> bool:
    """Whether a frame has not run its first instruction yet."""
    at = frame.tb_lasti
    code = frame.tb_frame.f_code.co_code
    return at < 0 or (code[at] == _RESUME and code[at + 1] == 0)


# Where functions look for signals before they begin, from Python 3.11 on.
_RESUME = opcode.opmap.get("RESUME")
