#!/usr/bin/env python3
"""cron for one table, to the second if need be.

usage: cron_asyncio.py TABLE

A line of TABLE is a calendar of five fields (or six, with seconds first), a colon
and a command for sh; "#" begins a comment:

    30 6 * * MON-FRI: make coffee
    */10 * * * * *: date

A command that still runs when its time comes again is left alone. The table is read
again when it changes.
"""

import asyncio
import os
import sys

import pyev.evd


def parse(path):
    """The (calendar, command) pairs of a table."""
    jobs = []
    with open(path, encoding="utf-8") as table:
        for number, line in enumerate(table, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            calendar, colon, command = line.partition(":")
            if not colon:
                raise ValueError("%s:%d: no colon" % (path, number))
            jobs.append((calendar.strip(), command.strip()))
    return jobs


async def run_job(session, calendar, command):
    """Run a command whenever its time comes."""
    async with session.watch("scheduler", calendar=calendar) as times:
        async for event in times:
            if event.overrun:
                print("late: %s: %d times left out" % (command, event.overrun))
            async with session.spawn(
                ["sh", "-c", command],
                env=dict(os.environ),
                cwd=os.getcwd(),
                stdout=sys.stdout,
                stderr=sys.stderr,
            ) as child:
                status = await child.wait()
            if status != 0:
                print("failed: %s: %d" % (command, status), flush=True)


async def run_table(session, path):
    """Run all jobs of the table, until one cannot."""
    jobs = [run_job(session, *job) for job in parse(path)]
    print("%d jobs" % len(jobs), flush=True)
    await asyncio.gather(*jobs)


async def main(path):
    async with pyev.evd.connect() as session:
        async with session.watch("stat", path=os.path.abspath(path)) as changed:
            while True:
                table = asyncio.ensure_future(run_table(session, path))
                table.add_done_callback(complain)
                await changed.event()
                table.cancel()
                await asyncio.wait([table])


def complain(table):
    """A table with a mistake is told of, and waits to be mended."""
    if not table.cancelled() and table.exception():
        print("cron_asyncio: %s" % table.exception(), flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1]))
    except KeyboardInterrupt:
        pass
    except pyev.evd.Error as error:
        sys.exit("cron_asyncio: %s" % error)
