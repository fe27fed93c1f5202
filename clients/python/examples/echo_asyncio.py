#!/usr/bin/env python3
"""An echo server with a time limit for each client, all of it watched by evd.

usage: echo_asyncio.py [PORT]

Listens on PORT of this machine (by default one that is free), says which, and sends
back what it gets. A client that is silent for 30 seconds is told so, and closed.
"""

import asyncio
import socket
import sys

import pyev.evd

IDLE_S = 30


async def serve(session, sock):
    """Send back what comes on a connection, to its end."""
    with sock:
        name = "%s:%d" % sock.getpeername()
        async with session.watch("io", fd=sock, events="r") as readable:
            while True:
                try:
                    await asyncio.wait_for(readable.event(), IDLE_S)
                except asyncio.TimeoutError:
                    sock.send(b"bye\n")
                    print("too quiet:", name, flush=True)
                    return
                data = sock.recv(4096)
                if not data:
                    print("gone:", name, flush=True)
                    return
                # A client that does not read loses what there is no room for.
                sock.send(data)
                await readable.ack()


async def main(port=0):
    with socket.create_server(("127.0.0.1", int(port))) as server:
        server.setblocking(False)
        print("listening on port %d" % server.getsockname()[1], flush=True)
        clients = set()
        async with pyev.evd.connect() as session:
            async with session.watch("io", fd=server, events="r") as connecting:
                async for _ in connecting:
                    sock, _ = server.accept()
                    sock.setblocking(False)
                    client = asyncio.ensure_future(serve(session, sock))
                    clients.add(client)
                    client.add_done_callback(clients.discard)


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        pass
    except pyev.evd.Error as error:
        sys.exit("echo_asyncio: %s" % error)
