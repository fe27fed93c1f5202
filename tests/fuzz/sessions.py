"""usage: sessions.py SECONDS [SEED]

Plays mutated conversations to a running daemon, $EVD, best one that was built with
--enable-sanitizers: several connections at once, lines dropped, doubled, swapped and
changed, cut into pieces, with descriptors or without, ended in every way. They start
from the protocol's transcripts. The daemon must live, answer others, and keep nothing.
What was played when it did not is left in fuzz/sessions.found of $EVD_BUILDDIR.

Exit status 0 if nothing was found.
"""

import contextlib
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import sys
import time

import evdtest
from evdtest import Daemon, wait_until

TRANSCRIPTS = (
    pathlib.Path(os.environ.get("EVD_SRCDIR") or pathlib.Path(__file__).parents[2])
    / "protocol"
    / "transcripts"
)
BYTES = b'{}[]",:0123456789-+.eEtfn \\u\xc3\xa9\x00\x1f\n'
# What starts programs and signals them is played as it stands.
AS_IT_STANDS = re.compile(rb"spawn|kill|argv")
ROUND = 100


def conversations():
    """What clients say in each of the transcripts."""
    found = []
    for path in sorted(TRANSCRIPTS.glob("*.txt")):
        lines = []
        for line in path.read_bytes().splitlines():
            match = re.match(rb"[A-Z]?>[!?]? (.*?)( \+[^\"}]*)?$", line)
            if match:
                lines.append(match.group(1))
        if lines:
            found.append(lines)
    return found


def change_line(rng, line):
    if AS_IT_STANDS.search(line):
        return line
    line = bytearray(line or b" ")
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(line))
        how = rng.randrange(5)
        if how == 0:
            line[at] = rng.choice(BYTES)
        elif how == 1:
            del line[at : at + rng.randrange(1, 4)]
        elif how == 2:
            line[at:at] = line[at : at + rng.randrange(1, 30)]
        elif how == 3:
            line[at] = rng.randrange(256)
        else:
            number = rng.choice([b"0", b"-1", b"1e308", b"9" * 20, b"253", b"1e-9"])
            line = bytearray(re.sub(rb"\d+", number, bytes(line), count=1))
        line = line or bytearray(b" ")
    return bytes(line)


def mutated(rng, all_lines):
    """The bytes of a conversation."""
    lines = list(rng.choice(all_lines))
    if rng.random() < 0.3:
        lines += rng.choice(all_lines)
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(lines))
        how = rng.randrange(4)
        if how == 0 and len(lines) > 1:
            del lines[at]
        elif how == 1:
            lines[at:at] = [lines[at]] * rng.randrange(1, 20)
        elif how == 2:
            lines.insert(at, rng.choice(rng.choice(all_lines)))
        else:
            rng.shuffle(lines)
    lines = [
        change_line(rng, line) if rng.random() < 0.3 else line for line in lines
    ]
    return b"\n".join(lines) + (b"\n" if rng.random() < 0.9 else b"")


class Peer:
    """One connection that plays a conversation, in pieces."""

    def __init__(self, rng, path, data, fds):
        self.rng = rng
        self.data = data
        self.fds = fds
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(path)
        self.sock.setblocking(False)

    def step(self):
        """Returns False when it is over."""
        rng = self.rng
        try:
            if rng.random() < 0.7:
                self.sock.recv(1 << 16)
        except BlockingIOError:
            pass
        except ConnectionError:
            self.sock.close()
            return False
        try:
            size = rng.choice([1, 10, 100, 1000, 100000])
            if self.data and rng.random() < 0.3:
                fds = [rng.choice(self.fds) for _ in range(rng.randrange(1, 4))]
                sent = socket.send_fds(self.sock, [self.data[:size]], fds)
            elif self.data:
                sent = self.sock.send(self.data[:size])
            else:
                return self.leave()
            self.data = self.data[sent:]
        except BlockingIOError:
            pass
        except OSError:
            self.sock.close()
            return False
        return True

    def leave(self):
        how = self.rng.randrange(6)
        if how == 0:
            self.sock.shutdown(socket.SHUT_WR)
        elif how == 1:
            self.sock.shutdown(socket.SHUT_RD)
        elif how > 3:
            self.sock.close()
            return False
        # It stays for a while.
        return self.rng.random() < 0.8 or bool(self.sock.close())


def play_round(rng, path, all_lines, fds):
    """A hundred conversations, some of them at once; gives what was played."""
    played = [mutated(rng, all_lines) for _ in range(ROUND)]
    left = list(played)
    peers = []
    while left or peers:
        if left and len(peers) < 8:
            peers.append(Peer(rng, path, left.pop(), fds))
        peer = rng.choice(peers)
        if not peer.step():
            peers.remove(peer)
    return played


def is_sanitized():
    with open(evdtest.EVD, "rb") as program:
        return b"__asan_init" in program.read()


def keep(played):
    """Write what was played to where it is looked for."""
    found = pathlib.Path(os.environ.get("EVD_BUILDDIR", ".")) / "fuzz/sessions.found"
    shutil.rmtree(found, ignore_errors=True)
    found.mkdir(parents=True)
    for n, data in enumerate(played):
        (found / ("%03d" % n)).write_bytes(data)
    return found


def run(seconds, seed):
    """Gives the number of conversations and of bytes."""
    rng = random.Random(seed)
    all_lines = conversations()
    reader, writer = os.pipe()
    a, b = socket.socketpair()
    null = os.open("/dev/null", os.O_RDWR)
    fds = [reader, writer, a.fileno(), b.fileno(), null]
    end = time.monotonic() + seconds
    sessions = size = 0
    played = []
    try:
        with Daemon() as evd, evd.connect() as c:
            c.watch("stat", "s", path="/")
            # The one signalfd, the one of inotify and of mounts are there from now on.
            open_before = evd.fds()
            while time.monotonic() < end:
                played = play_round(rng, evd.path, all_lines, fds)
                sessions += len(played)
                size += sum(map(len, played))
                c.call("now")
                wait_until(
                    lambda: len(c.call("list")["sessions"]) == 1, "all have ended"
                )
                # Some were asked to be left alone, or have stopped themselves.
                for pid in evd.children():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                wait_until(lambda: not evd.children(), "no child is left")
                wait_until(lambda: evd.fds() <= open_before, "all is closed")
    except BaseException:
        print("sessions: found something, see %s" % keep(played), file=sys.stderr)
        raise
    return sessions, size


if __name__ == "__main__":
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() & 0xFFFFFFFF
    print("sessions: %s s, seed %d" % (sys.argv[1], seed), flush=True)
    sessions, size = run(float(sys.argv[1]), seed)
    print(
        "%s sessions: %s s%s, %d conversations of %d bytes, seed %d: nothing found"
        % (
            time.strftime("%Y-%m-%d", time.gmtime()),
            sys.argv[1],
            "" if is_sanitized() else " (without sanitizers)",
            sessions,
            size,
            seed,
        )
    )
