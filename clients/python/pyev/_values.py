"""What the arguments of pyev's functions may be, and what its attributes give."""

from __future__ import annotations

import operator
from typing import Any, Callable

INT_MIN, INT_MAX = -(1 << 31), (1 << 31) - 1
# What evd takes as seconds, and the shortest period that it takes.
SECONDS_MAX = 1e10
PERIOD_MIN = 1e-9


class Seconds(float):
    """A number of seconds that may also be called, and then gives itself.

    What is an attribute in pyev 0.9.0 is a method in 0.8.1; this is both.
    """

    __slots__ = ()

    def __call__(self) -> float:
        return float(self)


def integer(value: Any) -> int:
    """value as a C int; raises TypeError and OverflowError."""
    number: int = operator.index(value)
    if not INT_MIN <= number <= INT_MAX:
        raise OverflowError("%d does not fit into a C int" % number)
    return number


def flags(value: Any) -> int:
    """value as an unsigned C int, which wraps; raises TypeError."""
    number: int = operator.index(value)
    return number & 0xFFFFFFFF


def real(value: Any) -> float:
    """value as a float; raises TypeError for what is no number."""
    if not isinstance(value, (float, int)):
        if not hasattr(value, "__float__") and not hasattr(value, "__index__"):
            raise TypeError("must be real number, not %s" % type(value).__name__)
    number = float(value)
    if number != number:
        raise ValueError("is not a number of seconds: nan")
    return number


def period(value: Any) -> float:
    """value as a float of 0.0 or more; raises TypeError and ValueError."""
    number = real(value)
    if number < 0.0:
        raise ValueError("a positive float or 0.0 is required")
    return number


def function(value: Any) -> Callable[..., Any]:
    """value, which must be callable; raises TypeError."""
    if not callable(value):
        raise TypeError("a callable is required, not %s" % type(value).__name__)
    called: Callable[..., Any] = value
    return called


def descriptor(value: Any) -> int:
    """The number of a file descriptor, or of an object that has a fileno().

    Raises TypeError, and ValueError if it is negative.
    """
    if not isinstance(value, int):
        fileno = getattr(value, "fileno", None)
        if fileno is None:
            raise TypeError("argument must be an int, or have a fileno() method.")
        value = fileno()
        if not isinstance(value, int):
            raise TypeError("fileno() returned a non-integer")
    fd = integer(value)
    if fd < 0:
        raise ValueError("file descriptor cannot be a negative integer (%d)" % fd)
    return fd


def on_wire(seconds: float) -> float:
    """seconds as near as evd takes them."""
    return min(max(seconds, -SECONDS_MAX), SECONDS_MAX)


def on_wire_period(seconds: float) -> float:
    """A period as near as evd takes it; 0 remains 0."""
    return min(max(seconds, PERIOD_MIN), SECONDS_MAX) if seconds else 0.0
