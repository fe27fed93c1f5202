"""How long a quiet client waits for answers, while others do much."""

import time

from evdtest import command, encode

REQUEST = encode(command("now"))


def ask(quiet):
    """Ask for the time once; gives what the answer took, in ms."""
    begin = time.perf_counter()
    quiet.sock.sendall(REQUEST)
    quiet.sock.recv(4096)
    return (time.perf_counter() - begin) * 1000


def show(name, waits):
    """Print a line of what is to be known about so many waits."""
    waits = sorted(waits)
    print(
        "%-24s median %.3f ms, 99 %% %.3f ms, worst %.3f ms (%d requests)"
        % (
            name,
            waits[len(waits) // 2],
            waits[len(waits) * 99 // 100],
            waits[-1],
            len(waits),
        ),
        flush=True,
    )
