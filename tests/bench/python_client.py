"""How fast the package pyev is, each figure beside that of its peer.

usage: python_client.py [dispatch | start | latency | timers]...

dispatch: events of canned batches to callbacks; the peer is a bare loop with one
    json.loads a line, which looks the callback up and calls it.
start: 100,000 timers started, and their commands taken by the daemon; the peer
    encodes the same commands, one json.dumps each, and sends them nowhere.
latency: from a byte written to the callback of an Io; the peer is a bare ping-pong
    over a Unix socket. Everything runs on one core.
timers: 1,000 repeating timers of 1 ms, for three seconds; the peer is asyncio.
"""

import asyncio
import json
import os
import socket
import statistics
import sys
import time

import pyev
from evdtest import Daemon

ROUNDS = 30
EVENTS = 500
TIMERS = 100000
PINGS = 5000
REPEATING = 1000
SECONDS = 3.0


def compare(name, goal, ours, peer, unit, scale=1.0):
    """Print a figure beside its peer's; the medians of rounds in turn."""
    print(
        "%-10s pyev %.3f %s, peer %.3f %s: %.2f times (goal: %s)"
        % (name, ours * scale, unit, peer * scale, unit, ours / peer, goal)
    )


def alternate(rounds, *functions):
    """The best time of each function, called in turn."""
    times = [[] for _ in functions]
    for _ in range(rounds):
        for function, list_of in zip(functions, times):
            list_of.append(function())
    return [min(list_of) for list_of in times]


def dispatch():
    loop = pyev.Loop()
    calls = []
    watchers = [
        loop.timer(1e6, 1e6, lambda watcher, revents: calls.append(revents))
        for _ in range(EVENTS)
    ]
    for watcher in watchers:
        watcher.start()
    callbacks = {w._ev_name: lambda event: calls.append(event) for w in watchers}
    line = '{"event":"timer","watcher":%d,"revents":256,"seq":%d,"time":%.6f}\n'
    now = time.time()
    batch = "".join(
        line % (w._ev_name, number, now) for number, w in enumerate(watchers, 1)
    ).encode()
    here, there = socket.socketpair()
    here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    connection = type(loop._ev_connection)(there)

    def by_pyev():
        here.sendall(batch)
        calls.clear()
        begin = time.perf_counter()
        connection.read()
        loop._ev_take(connection.take())
        loop._ev_invoke_pending()
        taken = time.perf_counter() - begin
        assert len(calls) == EVENTS
        return taken

    def by_lines():
        here.sendall(batch)
        calls.clear()
        begin = time.perf_counter()
        for text in there.recv(1 << 16).splitlines():
            event = json.loads(text)
            callbacks[event["watcher"]](event)
        taken = time.perf_counter() - begin
        assert len(calls) == EVENTS
        return taken

    ours, peer = alternate(ROUNDS * 10, by_pyev, by_lines)
    print(
        "dispatch   pyev %.2f us an event, peer %.2f us: %.2f times as fast (goal: 2.0)"
        % (ours / EVENTS * 1e6, peer / EVENTS * 1e6, peer / ours)
    )
    here.close()
    there.close()


def start():
    now = time.monotonic()

    def by_pyev():
        loop = pyev.Loop()
        watchers = [loop.timer(3600.0, 0.0, print) for _ in range(TIMERS)]
        begin = time.perf_counter()
        for watcher in watchers:
            watcher.start()
        loop.start(pyev.EVRUN_NOWAIT)
        return time.perf_counter() - begin

    def by_encoding():
        begin = time.perf_counter()
        lines = [
            json.dumps(
                {
                    "cmd": "watch",
                    "type": "timer",
                    "watcher": number,
                    "at": now + number,
                    "release": True,
                    "reply": False,
                },
                separators=(",", ":"),
            )
            for number in range(TIMERS)
        ]
        assert len(lines) == TIMERS
        return time.perf_counter() - begin

    ours, peer = alternate(5, by_pyev, by_encoding)
    compare("start", "at most 1.5", ours, peer, "s")


def latency():
    def ping_pong():
        here, there = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            here.close()
            while there.recv(64):
                there.send(b"x")
            os._exit(0)
        there.close()
        times = []
        for _ in range(PINGS):
            begin = time.perf_counter()
            here.send(b"x")
            here.recv(64)
            times.append(time.perf_counter() - begin)
        here.close()
        os.waitpid(pid, 0)
        return statistics.median(times)

    def by_pyev():
        loop = pyev.Loop()
        here, there = socket.socketpair()
        times = []

        def ready(watcher, revents):
            nonlocal begin
            times.append(time.perf_counter() - begin)
            there.recv(64)
            if len(times) == PINGS:
                watcher.stop()
                return
            begin = time.perf_counter()
            here.send(b"x")

        io = loop.io(there, pyev.EV_READ, ready)
        io.start()
        begin = time.perf_counter()
        here.send(b"x")
        loop.start()
        here.close()
        there.close()
        return statistics.median(times)

    ours, peer = alternate(5, by_pyev, ping_pong)
    compare("latency", "at most 3", ours, peer, "us", 1e6)


def timers(daemon):
    def report(name, calls, client, evd):
        print(
            "timers     %-8s %.0f calls a second, CPU %.2f s of %.0f s%s"
            % (name, calls / SECONDS, client, SECONDS, evd)
        )

    def by_pyev():
        loop = pyev.Loop()
        calls = 0

        def tick(watcher, revents):
            nonlocal calls
            calls += 1

        watchers = [loop.timer(0.001, 0.001, tick) for _ in range(REPEATING)]
        end = loop.timer(SECONDS, 0.0, lambda watcher, revents: loop.stop())
        for watcher in (*watchers, end):
            watcher.start()
        client, evd = time.process_time(), daemon.cpu()
        loop.start()
        ticks = os.sysconf("SC_CLK_TCK")
        evd = (daemon.cpu() - evd) / ticks
        report("pyev", calls, time.process_time() - client, ", evd's %.2f s" % evd)

    def by_asyncio():
        calls = 0

        async def main():
            loop = asyncio.get_running_loop()

            def tick(at):
                nonlocal calls
                calls += 1
                # As libev: a tick that is late is not made up for.
                at = max(at + 0.001, loop.time())
                loop.call_at(at, tick, at)

            for _ in range(REPEATING):
                at = loop.time() + 0.001
                loop.call_at(at, tick, at)
            await asyncio.sleep(SECONDS)

        client = time.process_time()
        asyncio.run(main())
        report("asyncio", calls, time.process_time() - client, "")

    for _ in range(2):
        by_pyev()
        by_asyncio()


def main(*names):
    names = names or ("dispatch", "start", "timers", "latency")
    cores = os.sched_getaffinity(0)
    for name in names:
        if name == "latency":
            os.sched_setaffinity(0, {min(cores)})
        with Daemon() as daemon:
            os.environ["EVD_SOCKET"] = daemon.path
            if name == "timers":
                timers(daemon)
            else:
                {"dispatch": dispatch, "start": start, "latency": latency}[name]()
        os.sched_setaffinity(0, cores)


if __name__ == "__main__":
    main(*sys.argv[1:])
