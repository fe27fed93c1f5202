"""Neighbours: floods, a thousand that never read, peers that die, a daemon that stood.

Beside each of them a quiet client, to whom nothing of it may show. EVD_LOAD=all in
the environment tries as many as the claims say; without it, some.
"""

import os
import signal
import socket
import threading
import time

import evdtest
from evdtest import Client, Daemon, command, count, due, encode, scaled, wait_until

ALL = os.environ.get("EVD_LOAD") == "all"
FAR = 10**9


def number(most, some):
    """How many: all that the claims say, or some."""
    return most if ALL else scaled(some, some // 20)


class Quiet:
    """A client that asks for a little while others do much; a context manager.

    At its end it has had an answer to all that it asked for, and each tick of its
    timer. No event of its is lost, and no command refused.
    """

    def __init__(self, evd):
        self.client = evd.connect()
        self.start = time.monotonic()
        self.client.watch("timer", "tick", at=self.start, repeat=0.01)
        self.asked = 0

    def __enter__(self):
        return self

    def ask(self):
        name = self.asked = self.asked + 1
        self.client.watch("async", name, data="x" * 100)
        assert self.client.call("send", watcher=name) == {"sent": True}
        self.client.call("unwatch", watcher=name)

    def while_true(self, busy):
        """Ask on and on, at least ten times."""
        while busy() or self.asked < 10:
            self.ask()

    def __exit__(self, kind, *exc):
        with self.client:
            if kind is not None:
                return
            ends = [command("stop", watcher="tick"), command("now")]
            stopped, now = (r["result"] for r in self.client.calls(ends))
            now = now["monotonic"]
            ticks = [e for e in self.client.events if e["watcher"] == "tick"]
            if "cleared" in stopped:
                ticks.append(stopped["cleared"])
            ticks = count(ticks)
            assert max(due(now - self.start, 0.01)) - 1 <= ticks
            assert ticks <= max(due(now - self.start, 0.01))


class Thread(threading.Thread):
    """One that tells its failure to who joins it."""

    def __init__(self, target, *args):
        super().__init__(target=self.go, args=(target, *args), daemon=True)
        self.error = None
        self.start()

    def go(self, target, *args):
        try:
            target(*args)
        except BaseException as error:
            self.error = error

    def end(self):
        self.join(evdtest.LIMIT * 5)
        assert not self.is_alive(), "it does not end"
        if self.error:
            raise self.error


def beside(evd, *floods):
    """Run floods, and a quiet client beside them."""
    with Quiet(evd) as quiet:
        threads = [Thread(flood, evd) for flood in floods]
        quiet.while_true(lambda: any(thread.is_alive() for thread in threads))
        for thread in threads:
            thread.end()


def flood_commands(evd):
    with evd.connect() as c:
        lines = encode(command("now", reply=False)) * 1000
        for _ in range(number(1000, 60)):
            c.raw(lines)
        c.call("now")


def flood_replies(evd):
    with evd.connect() as c:
        for _ in range(number(1000, 60)):
            assert len(c.calls([command("now", id="x" * 50)] * 200)) == 200


def flood_errors(evd):
    with evd.connect() as c:
        for _ in range(number(1000, 60)):
            c.send(*["{" * 50] * 200)
            assert all("error" in reply for reply in c.replies(200))


def flood_of_timers(evd):
    """They fire all the time, and are read."""
    with evd.connect() as c:
        for n in range(100):
            c.watch("timer", n, after=0, repeat=1e-9)
        for _ in range(number(100000, 5000)):
            c.event()


def flood_connections(evd):
    for n in range(number(600000, 6000)):
        with evd.connect() as c:
            if n % 3 == 0:
                c.raw(b'{"cmd":"now"}\n')
            if n % 3 == 1:
                c.raw(b'{"cmd":"wat')


def test_floods():
    with Daemon() as evd:
        beside(evd, flood_commands, flood_replies, flood_errors, flood_of_timers)


def test_connections_that_come_and_go_by_the_thousand():
    with Daemon() as evd, evd.connect() as c:
        c.call("now")
        fds = evd.fds()
        beside(evd, flood_connections, flood_connections)
        wait_until(lambda: evd.fds() == fds, "no descriptor is left")
        wait_until(lambda: len(c.call("list")["sessions"]) == 1, "nor a session")


def test_a_million_watchers_that_come_and_go():
    most = number(1000000, 250000)
    line = b'{"cmd":"watch","type":"timer","watcher":%d,"at":%d,"reply":false}\n'

    def register(evd):
        for _ in range(2):
            with evd.connect() as c:
                for first in range(0, most, 1000):
                    some = range(first, first + 1000)
                    c.raw(b"".join(line % (n, FAR + n % 1013) for n in some))
                c.call("now")
            # It ends by its connection's end, and what it had is free again.

    with Daemon(["--max-watchers", str(2 * most + 1000)]) as evd:
        beside(evd, register)
        with evd.connect() as c:
            wait_until(
                lambda: sum(s["watchers"] for s in c.call("list")["sessions"]) == 0,
                "all are freed",
            )


def test_a_thousand_that_never_read():
    """After their registration they cost neither memory nor time."""
    clients = number(1000, 1000)
    with Daemon(nofile=(4096, 4096)) as evd, evd.connect() as other:
        silent = [evd.connect() for _ in range(clients)]
        start = time.monotonic()
        for client in silent:
            client.send(
                *[
                    command(
                        "watch",
                        type="timer",
                        watcher=n,
                        at=start,
                        repeat=0.001,
                        data="x" * 4000,
                        reply=False,
                    )
                    for n in range(2)
                ]
            )
        other.call("now")
        wait_until(
            lambda: all(client.unread() > 100000 for client in silent),
            "the sockets are full",
        )
        evd.settle()
        before = evd.memory(), evd.wakeups(), evd.cpu()
        # Ten thousand of their ticks later nothing has changed.
        time.sleep(1)
        assert (evd.memory(), evd.wakeups(), evd.cpu()) == before
        for client in silent[:: clients // 10]:
            ends = [command("stop", watcher=n) for n in range(2)]
            client.send(*ends, command("now"))
            *stopped, now = (reply["result"] for reply in client.replies(3))
            for n in range(2):
                seen = [event for event in client.events if event["watcher"] == n]
                if stopped[n]:
                    seen.append(stopped[n]["cleared"])
                ticks = due(now["monotonic"] - start, 0.001)
                # The stop was a moment before the now.
                assert max(ticks) - 1000 <= count(seen) <= max(ticks)
        for client in silent:
            client.close()
        wait_until(lambda: len(other.call("list")["sessions"]) == 1, "they are gone")


def test_peer_that_dies_at_every_byte():
    script = [
        encode(command("hello", session="dies")),
        encode(command("watch", type="timer", watcher="t", after=0, repeat=1e-6)),
        encode(command("watch", type="io", watcher="io", events="w", fds=1)),
        encode(command("spawn", argv=["sleep", "1000"], watcher="child")),
        encode(command("watch", type="stat", watcher="stat", path="/etc/passwd")),
        encode(command("poll")),
    ]
    before, after = b"".join(script[:2]), b"".join(script[2:])
    with Daemon() as evd, evd.connect() as other:
        other.call("now")
        other.watch("stat", "s", path="/etc")
        fds = evd.fds()
        reader, writer = os.pipe()
        step = 1 if ALL else scaled(7, 40)
        for size in range(0, len(before + after) + 1, step):
            client = Client(evd.path)
            client.sock.sendall(before[:size])
            if size > len(before):
                part = after[: size - len(before)]
                socket.send_fds(client.sock, [part], [writer])
            if size % 2:
                client.shutdown()
            client.close()
            other.call("now")
        os.close(writer)
        wait_until(lambda: len(other.call("list")["sessions"]) == 1, "all have ended")
        wait_until(lambda: evd.fds() == fds, "no descriptor is left")
        # Nobody has the pipe's other end any more.
        assert os.read(reader, 1) == b""
        os.close(reader)
        wait_until(lambda: not evd.children(), "no child is left")


def test_stopped_and_continued():
    with Daemon() as evd, evd.connect() as c:
        start = time.monotonic()
        c.watch("timer", "t", at=start, repeat=0.001)
        c.watch("timer", "once", after=0.001)
        os.kill(evd.pid, signal.SIGSTOP)
        with open("/proc/%d/stat" % evd.pid) as stat:
            wait_until(
                lambda: stat.seek(0) == 0
                and stat.read().rpartition(")")[2].split()[0] == "T",
                "it stands",
            )
        others = [evd.connect() for _ in range(50)]
        for other in others:
            other.send(command("now"))
        time.sleep(0.2)
        os.kill(evd.pid, signal.SIGCONT)
        for other in others:
            assert "result" in other.recv()
            other.close()
        ends = [command("stop", watcher="t"), command("now")]
        stopped, now = (r["result"] for r in c.calls(ends))
        now = now["monotonic"]
        seen = [event for event in c.events if event["watcher"] == "t"]
        assert [e["watcher"] for e in c.events].count("once") == 1
        if stopped:
            seen.append(stopped["cleared"])
        ticks = max(due(now - start, 0.001))
        assert ticks - 100 <= count(seen) <= ticks
