"""pyev: an event loop for Python, on the event daemon evd.

A drop-in for pyev 0.8.1 and 0.9.0, Python's interface to libev: programs that were
written for these run unchanged. What a program waits for (times, descriptors, files,
processes) is waited for by the daemon, which is started if there is none.

pyev.evd has what the daemon can do beyond that.
"""

from __future__ import annotations

import importlib as _importlib
import time as _time
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

from . import _constants, _daemon, _values
from ._async import Async
from ._child import Child
from ._constants import *  # noqa: F403
from ._errors import Error
from ._hooks import Check, Embed, Fork, Idle, Prepare
from ._io import Io
from ._loop import Loop, default_loop
from ._periodic import Periodic, Scheduler
from ._signals import Signal, feed_signal
from ._stat import Stat, Statdata
from ._timer import Timer
from ._watcher import Watcher

__version__ = "0.9.0"

__all__ = [
    "Async",
    "Check",
    "Child",
    "Embed",
    "Error",
    "Fork",
    "Idle",
    "Io",
    "Loop",
    "Periodic",
    "Prepare",
    "Scheduler",
    "Signal",
    "Stat",
    "Statdata",
    "Timer",
    "Watcher",
    "__version__",
    "abi_version",
    "default_loop",
    "embeddable_backends",
    "feed_signal",
    "recommended_backends",
    "sleep",
    "supported_backends",
    "time",
    "version",
]
__all__ += [name for name in vars(_constants) if name.startswith("EV")]

_hello: Optional[Dict[str, Any]] = None


def _daemon_says(member: str) -> Any:
    """A member of the daemon's answer to hello, which is asked for once."""
    global _hello
    if _hello is None:
        sock, _hello = _daemon.greet()
        sock.close()
    return _hello[member]


def supported_backends() -> int:
    """The EVBACKEND_ bits that libev has; raises Error if there is no daemon."""
    backends: int = _daemon_says("backend")["supported"]
    return backends


def recommended_backends() -> int:
    """The EVBACKEND_ bits that work well here; raises Error if there is no daemon."""
    backends: int = _daemon_says("backend")["recommended"]
    return backends


def embeddable_backends() -> int:
    """The EVBACKEND_ bits that Embed takes; raises Error if there is no daemon."""
    backends: int = _daemon_says("backend")["embeddable"]
    return backends


def abi_version() -> Tuple[int, int]:
    """The version of libev; raises Error if there is no daemon."""
    major, minor = _daemon_says("libev")
    return major, minor


version = abi_version


def time() -> float:
    """Seconds since the Epoch."""
    return _time.time()


def sleep(interval: float) -> None:
    """Sleep for seconds; not at all if they are 0 or less."""
    seconds = _values.real(interval)
    if seconds > 0.0:
        _time.sleep(seconds)


if not TYPE_CHECKING:  # else any name would be an attribute

    def __getattr__(name: str) -> Any:
        """pyev.evd, which is not loaded unless it is used."""
        if name == "evd":
            return _importlib.import_module("pyev.evd")
        raise AttributeError("module 'pyev' has no attribute %r" % name)
