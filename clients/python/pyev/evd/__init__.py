"""What the daemon evd adds to pyev, and an asyncio face for it.

For asyncio:

    import asyncio
    import pyev.evd

    async def main():
        async with pyev.evd.connect() as session:
            async with session.watch("timer", after=0, repeat=2) as tick:
                async for event in tick:
                    print(event.time)

    asyncio.run(main())

For a script that does one thing after the other:

    with pyev.evd.Connection() as connection:
        connection.call("watch", type="timer", watcher="tea", after=180)
        print(connection.event())

Commands, events and what they mean are those of evd's protocol
(protocol/protocol.md); times are in seconds. A refused command raises Error, whose
code says why; a session that has ended, Closed.

The daemon is that of $EVD_SOCKET, if that is set; else the user's own, which is
started if it does not run, unless $EVD_AUTOSTART is 0. $EVD_COMMAND may say where
the program evd is.
"""

from .._daemon import NoDaemon
from .._errors import Error
from ._connection import Connection
from ._errors import Closed
from ._event import Event
from ._session import Now, Session, connect
from ._watcher import Child, Cleared, Starting, Watcher

__all__ = [
    "Child",
    "Cleared",
    "Closed",
    "Connection",
    "Error",
    "Event",
    "NoDaemon",
    "Now",
    "Session",
    "Starting",
    "Watcher",
    "connect",
]
