#!/usr/bin/env python3
"""A supervisor: keeps programs running, and prints what they print.

usage: supervise_asyncio.py COMMAND...

Each COMMAND is given to sh. One that fails is started again after a pause, which
is one second at first and doubles up to a minute; one that ends well is not. When
this program ends, however it does, evd terminates what it has started.
"""

import asyncio
import os
import sys

import pyev.evd

FIRST_PAUSE_S = 1
LAST_PAUSE_S = 60


def say(number, text):
    print("[%d] %s" % (number, text), flush=True)


async def print_output(session, number, fd):
    """Print the lines that come, to their end."""
    rest = b""
    with open(fd, "rb", buffering=0) as output:
        async with session.watch("io", fd=output, events="r") as readable:
            async for _ in readable:
                data = output.read(65536)
                if not data:
                    break
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    say(number, line.decode("utf-8", "replace"))
    if rest:
        say(number, rest.decode("utf-8", "replace"))


async def run(session, number, command):
    """Run it once, and give how it ended."""
    reader, writer = os.pipe()
    try:
        async with session.spawn(
            ["sh", "-c", command],
            env=dict(os.environ),
            cwd=os.getcwd(),
            stdout=writer,
            stderr=writer,
        ) as child:
            os.close(writer)
            writer = -1
            say(number, "started, pid %d" % child.pid)
            await print_output(session, number, reader)
            return await child.wait()
    finally:
        if writer >= 0:
            os.close(reader)
            os.close(writer)


async def keep_running(session, number, command):
    pause = FIRST_PAUSE_S
    while True:
        status = await run(session, number, command)
        if status == 0:
            say(number, "done")
            return
        how = "signal %d" % -status if status < 0 else "status %d" % status
        say(number, "failed: %s; again in %d s" % (how, pause))
        await asyncio.sleep(pause)
        pause = min(2 * pause, LAST_PAUSE_S)


async def main(commands):
    async with pyev.evd.connect() as session:
        await asyncio.gather(
            *(
                keep_running(session, number, command)
                for number, command in enumerate(commands, 1)
            )
        )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1:]))
    except KeyboardInterrupt:
        pass
    except pyev.evd.Error as error:
        sys.exit("supervise_asyncio: %s" % error)
