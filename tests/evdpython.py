"""What tests of the Python client share: its place, and programs that use it."""

import asyncio
import contextlib
import gc
import os
import pathlib
import subprocess
import sys
import warnings

import evdtest

SOURCE = pathlib.Path(os.environ.get("EVD_SRCDIR") or pathlib.Path(__file__).parents[1])
PACKAGE = SOURCE / "clients" / "python"

sys.path.insert(0, str(PACKAGE))


def environment(**more):
    """An environment in which a program finds the package, and no daemon; None: unset."""
    env = evdtest.environment({"PYTHONPATH": str(PACKAGE), **more})
    return {name: value for name, value in env.items() if value is not None}


def python(*args, env=None, **options):
    """Run python3 with the package; gives a CompletedProcess with text."""
    return subprocess.run(
        [sys.executable, *args],
        env=environment(**(env or {})),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=evdtest.LIMIT,
        **options,
    )


@contextlib.contextmanager
def at(path):
    """Have this process find the daemon's socket here."""
    before = os.environ.get("EVD_SOCKET")
    os.environ["EVD_SOCKET"] = path
    try:
        yield
    finally:
        if before is None:
            del os.environ["EVD_SOCKET"]
        else:
            os.environ["EVD_SOCKET"] = before


def run(main):
    """asyncio.run in debug mode; fails for whatever goes wrong behind the scenes.

    main: a coroutine function. That is a ResourceWarning, a coroutine that was never
    awaited, an exception that nobody saw, and a wait of more than LIMIT seconds.
    """
    unseen = []

    async def guarded():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: unseen.append(context))
        # What a slow machine takes is not looked at.
        loop.slow_callback_duration = evdtest.LIMIT
        return await asyncio.wait_for(main(), evdtest.LIMIT)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            return asyncio.run(guarded(), debug=True)
        finally:
            gc.collect()
            assert not unseen, unseen
            assert not caught, [str(warning.message) for warning in caught]
