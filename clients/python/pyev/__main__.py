"""python3 -m pyev: which daemon programs of this user talk to."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Dict, List, Optional

from . import _daemon
from ._errors import Error

_BACKENDS = {1: "select", 2: "poll", 4: "epoll", 64: "linuxaio", 128: "io_uring"}


def describe(path: str, hello: Dict[str, Any]) -> List[str]:
    """Lines about the daemon at a path, for people."""
    limits = hello["limits"]["session"]
    backend = hello["backend"]["current"]
    rows = [
        ("socket", path),
        ("evd", "%s, protocol %d" % (hello["version"], hello["protocol"])),
        ("pid", str(hello["pid"])),
        (
            "libev",
            "%d.%d, %s" % (*hello["libev"], _BACKENDS.get(backend, str(backend))),
        ),
        ("session", ", ".join("%s %d" % limit for limit in limits.items())),
        ("features", " ".join(hello["features"])),
    ]
    return ["%-9s %s" % (name + ":", text) for name, text in rows]


def main(args: Optional[List[str]] = None) -> int:
    """Print that, and give the exit status: 1 if there is no daemon."""
    parser = argparse.ArgumentParser(
        prog="python3 -m pyev",
        description="Says which evd the programs of this user talk to, and what a "
        "session may hold there. Starts one if they would.",
        epilog="Exit status: 0, or 1 if there is none.",
    )
    parser.parse_args(args)
    try:
        place = _daemon.find()
        sock, hello = _daemon.greet()
    except Error as error:
        print("pyev: %s" % error, file=sys.stderr)
        return 1
    sock.close()
    print("\n".join(describe(place.path, hello)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
