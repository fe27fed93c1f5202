"""What a session with a million timers costs another client.

usage: loop.py [TIMERS]

One client registers TIMERS (1000000) timers; then its session is closed, half-closed,
suspended and resumed again and again; all of them are due at the same instant; or all
are held, and acknowledged. Another client asks for the time meanwhile. Prints how long
it waits for the answers; the first line is without anybody else, for comparison with
what the machine itself does.
"""

import os
import sys
import time

import waits
from evdtest import Daemon, command, encode

BATCH = 10000
SECONDS = 2.0  # that are measured


def register(client, count, **members):
    """count timers, all the same."""
    for first in range(0, count, BATCH):
        client.raw(
            b"".join(
                encode(
                    command(
                        "watch", type="timer", watcher=n, reply=False, **members
                    )
                )
                for n in range(first, min(first + BATCH, count))
            )
        )
    client.call("now")


def read_events(client, count):
    """Read so many, and look at none; there may be no others."""
    while count > 0:
        client.fill()
        count -= client._buffer.count(b"\n")
        client._buffer.clear()


class Load:
    """prepare is not measured; run is, and what comes of it."""

    def prepare(self, client, count):
        register(client, count, after=9000)

    def run(self, client, count):
        pass


class Closed(Load):
    def run(self, client, count):
        client.close()


class HalfClosed(Load):
    def run(self, client, count):
        client.shutdown()


class Suspended(Load):
    def run(self, client, count):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            client.call("suspend")
            client.call("resume")


class Due(Load):
    """All at the moment of the resume."""

    def prepare(self, client, count):
        client.call("suspend")
        register(client, count, after=0)

    def run(self, client, count):
        client.call("resume")
        read_events(client, count)


class Acknowledged(Load):
    def prepare(self, client, count):
        client.call("suspend")
        register(client, count, after=0, repeat=9000, hold=True)
        client.call("resume")
        read_events(client, count)

    def run(self, client, count):
        client.call("ack")


LOADS = {
    "nobody else": None,
    "closed": Closed(),
    "half-closed": HalfClosed(),
    "suspended and resumed": Suspended(),
    "due at once": Due(),
    "acknowledged": Acknowledged(),
}


def load_in_child(evd, load, count):
    """Gives (process, ready, go): a byte comes, and is waited for."""
    ready, ready_in = os.pipe()
    go_out, go = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(go)
        with evd.connect() as client:
            load.prepare(client, count)
            os.write(ready_in, b"x")
            os.read(go_out, 1)
            load.run(client, count)
            os.read(go_out, 1)
        os._exit(0)
    os.close(ready_in)
    os.close(go_out)
    return process, ready, go


def ask(quiet):
    """Ask for the time for a while; gives what each answer took, in ms."""
    taken = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        taken.append(waits.ask(quiet))
    return taken


def measure(name, load, count):
    limits = ["--max-watchers", str(count + 1), "--max-bytes", str(1 << 32)]
    with Daemon(limits) as evd, evd.connect() as quiet:
        quiet.call("now")
        if load is not None:
            process, ready, go = load_in_child(evd, load, count)
            os.read(ready, 1)
            os.write(go, b"x")
        taken = ask(quiet)
        if load is not None:
            os.close(go)
            os.close(ready)
            os.waitpid(process, 0)
    waits.show(name, taken)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000000
    for name, load in LOADS.items():
        measure(name, load, count)


if __name__ == "__main__":
    main()
