"""What a client that churns ready descriptors costs another one.

usage: io.py [DESCRIPTORS [IDLE]]

One client holds IDLE descriptors (8000) that are never ready. Another one passes,
closes and unregisters DESCRIPTORS (10000) that are ready, over and over; for
comparison it does the same with timers. A third one asks for the time meanwhile, a
thousand times a second at most. Prints how long it waits for the answers.
"""

import contextlib
import os
import resource
import socket
import sys
import time

import waits
from evdtest import Daemon, command

BATCH = 200


def churn_timers(client, count):
    for first in range(0, count, BATCH):
        names = range(first, min(first + BATCH, count))
        for name in names:
            client.send(
                command("watch", type="timer", watcher=name, after=9, reply=False)
            )
        client.send(*[command("unwatch", watcher=name, reply=False) for name in names])
        client.call("now")


def churn_descriptors(client, count):
    left, right = socket.socketpair()
    with left, right:
        right.send(b"ready")
        for first in range(0, count, BATCH):
            names = range(first, min(first + BATCH, count))
            for name in names:
                fd = os.dup(left.fileno())
                line = command(
                    "watch", type="io", watcher=name, events="r", fds=1, reply=False
                )
                client.send_fds([line], [fd])
                os.close(fd)
            client.send(
                *[command("unwatch", watcher=name, reply=False) for name in names]
            )
            client.poll()


def measure(evd, name, churn, count):
    """Print what a quiet client waits while another process churns."""
    taken = []
    with evd.connect() as quiet:
        churner = os.fork()
        if churner == 0:
            with evd.connect() as client:
                churn(client, count)
            os._exit(0)
        while os.waitpid(churner, os.WNOHANG)[0] == 0:
            taken.append(waits.ask(quiet))
            time.sleep(0.001)
    waits.show(name, taken)


def main(count=10000, idle=8000):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Daemon() as evd, evd.connect() as holder, contextlib.ExitStack() as stack:
        for i in range(idle):
            left, right = map(stack.enter_context, socket.socketpair())
            holder.watch_fd(i, left.fileno())
        for _ in range(2):
            measure(evd, "no neighbour", lambda client, count: time.sleep(1), count)
            measure(evd, "a neighbour with timers", churn_timers, count)
            measure(evd, "one with descriptors", churn_descriptors, count)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
