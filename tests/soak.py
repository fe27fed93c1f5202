"""usage: soak.py MINUTES [CLIENTS]

So many mixed clients (1000 if it is not said) of one daemon for so long: timers,
schedulers, files, children, descriptors, wake-ups, slow readers, killers and those
that come and go. What must come came, memory is flat after the warm-up, and at the
end no descriptor, process or watch is left. Prints what it did; EVD and EVD_WRAPPER
are as for the tests.
"""

import collections
import contextlib
import os
import random
import resource
import signal
import sys
import threading
import time

import evdtest
from evdtest import Daemon, command, count, encode, wait_until

WORKERS = 6
# The most memory is told for each part of the time; so many of them are the warm-up.
PARTS = 6
WARM_UP = 2


class Actor:
    """One client: a step now and then, and at the end what must have come."""

    events = 0

    def __init__(self, soak, number):
        self.soak = soak
        self.number = number
        self.rng = random.Random(number)
        self.lock = threading.Lock()
        self.client = None
        self.begin()

    def begin(self):
        self.client = self.soak.evd.connect()
        self.set_up()

    def set_up(self):
        pass

    def take(self):
        """What has come so far, and is now dealt with."""
        events = list(self.client.events)
        self.client.events.clear()
        self.events += len(events)
        return events

    def next(self, watcher):
        """The next event of a watcher."""
        while True:
            event = self.client.event()
            self.events += 1
            assert "error" not in event and event["event"] != "bye", event
            if event["watcher"] == watcher:
                return event

    def finish(self):
        self.client.close()


class Ticker(Actor):
    """Each tick of its timer is counted."""

    period = 0.05
    members = {}

    def set_up(self):
        self.ticks = 0
        self.start = time.monotonic()
        self.client.watch(
            "timer", "tick", at=self.start, repeat=self.period, **self.members
        )

    def step(self):
        self.client.call("poll")
        self.ticks += count(self.take())

    def finish(self):
        self.client.call("poll")
        before = time.monotonic()
        stopped = self.client.call("stop", watcher="tick")
        after = time.monotonic()
        self.ticks += count(self.take())
        if "cleared" in stopped:
            self.ticks += count([stopped["cleared"]])
        least = int((before - self.start) / self.period)
        most = int((after - self.start) / self.period) + 1
        assert least <= self.ticks <= most, (least, self.ticks, most)
        super().finish()


class Slow(Ticker):
    """Much comes, and it reads little."""

    period = 0.001
    members = {"data": "x" * 1000}

    def step(self):
        if self.rng.random() < 0.2:
            self.ticks += count([self.client.event()])
            self.events += 1


class Second(Actor):
    """The seconds of the wall clock, by a calendar: they come, and none twice."""

    def set_up(self):
        self.client.watch("scheduler", "s", calendar="* * * * * *", timezone="UTC")
        self.seen = 0

    def step(self):
        self.client.call("poll")
        for event in self.take():
            assert event["at"] > event["time"] - 1
            self.seen += count([event])

    def finish(self):
        self.step()
        assert abs(self.seen - self.soak.elapsed()) < 30
        super().finish()


class File(Actor):
    def set_up(self):
        self.path = os.path.join(self.soak.evd.directory, "file-%d" % self.number)
        self.client.watch("stat", "file", path=self.path, interval=0.1)

    def step(self):
        if self.rng.random() < 0.2:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        with open(self.path, "a") as file:
            file.write("x" * self.rng.randrange(1, 100))
        st = os.stat(self.path)
        while True:
            attr = self.next("file")["attr"]
            if (attr["ino"], attr["size"]) == (st.st_ino, st.st_size):
                return


class Child(Actor):
    def step(self):
        status = self.rng.randrange(256)
        self.client.call("spawn", argv=["sh", "-c", "exit %d" % status], watcher="w")
        assert self.next("w")["exit"] == status
        self.client.call("unwatch", watcher="w")


class Killer(Actor):
    """Kills its children, and sometimes itself in the middle of a line."""

    def step(self):
        self.client.call("spawn", argv=["sleep", "1000"], watcher="sleep")
        if self.rng.random() < 0.5:
            line = encode(command("watch", type="timer", watcher=1, after=1000))
            self.client.sock.sendall(line + line[: self.rng.randrange(len(line))])
            self.client.close()
            self.begin()
            return
        self.client.call("kill", watcher="sleep", signum="TERM")
        assert self.next("sleep")["signal"] == signal.SIGTERM
        self.client.call("unwatch", watcher="sleep")


class Io(Actor):
    def set_up(self):
        self.reader, self.writer = os.pipe()
        self.client.watch_fd("pipe", self.reader)

    def step(self):
        os.write(self.writer, b"x")
        self.next("pipe")
        assert os.read(self.reader, 10) == b"x"
        self.client.call("ack", watcher="pipe")

    def finish(self):
        super().finish()
        os.close(self.reader)
        os.close(self.writer)


class Bell(Actor):
    """Wakes itself by another connection."""

    def set_up(self):
        self.client.call("hello", session="bell-%d" % self.number)
        self.client.watch("async", "bell")

    def step(self):
        with self.soak.evd.connect() as other:
            sent = other.call("send", session="bell-%d" % self.number, watcher="bell")
        assert sent == {"sent": True}
        self.next("bell")


class Reconnecter(Actor):
    """Comes, has something, and goes in one way or another."""

    def step(self):
        client = self.client
        for n in range(self.rng.randrange(20)):
            client.watch("timer", n, after=self.rng.choice([0, 0.001, 1000]))
        if self.rng.random() < 0.5:
            client.watch("timer", "end", after=0, end=True)
            lines = client.rest()
            self.events += len(lines)
            assert lines[-1] == {"event": "bye", "reason": "end"}
        client.close()
        self.begin()


KINDS = [Ticker, Ticker, Slow, Second, File, Child, Killer, Io, Bell, Reconnecter]


class Soak:
    def __init__(self, evd, seconds, clients):
        self.evd = evd
        self.seconds = seconds
        self.start = time.monotonic()
        self.actors = [KINDS[n % len(KINDS)](self, n) for n in range(clients)]
        self.steps = collections.Counter()
        self.memory = []
        self.errors = []

    def elapsed(self):
        return time.monotonic() - self.start

    def is_over(self):
        return self.elapsed() > self.seconds or bool(self.errors)

    def work(self, seed):
        rng = random.Random(seed)
        try:
            while not self.is_over():
                actor = rng.choice(self.actors)
                if actor.lock.acquire(blocking=False):
                    try:
                        actor.step()
                        self.steps[type(actor).__name__] += 1
                    finally:
                        actor.lock.release()
        except BaseException as error:
            self.errors.append((type(actor).__name__, error))

    def run(self):
        workers = [
            threading.Thread(target=self.work, args=(n,), daemon=True)
            for n in range(WORKERS)
        ]
        for worker in workers:
            worker.start()
        while not self.is_over():
            time.sleep(min(1, self.seconds / 20))
            self.memory.append((self.elapsed(), self.evd.memory()))
        for worker in workers:
            worker.join(2 * evdtest.LIMIT)
            assert not worker.is_alive(), "a step does not end"
        if self.errors:
            kind, error = self.errors[0]
            raise AssertionError("%s: %r" % (kind, error)) from error

    def check_memory(self):
        """No more than after the warm-up, but for what comes and goes."""
        parts = [0] * PARTS
        for at, kib in self.memory:
            part = min(int(PARTS * at / self.seconds), PARTS - 1)
            parts[part] = max(parts[part], kib)
        said = "memory at most %s KiB" % ", ".join(map(str, parts))
        assert max(parts) <= max(parts[:WARM_UP]) * 1.1 + 2048, said
        return said


def inotify_watches(evd):
    """How many the daemon has."""
    watches = 0
    for fd in os.listdir("/proc/%d/fdinfo" % evd.pid):
        with contextlib.suppress(FileNotFoundError):
            with open("/proc/%d/fdinfo/%s" % (evd.pid, fd)) as info:
                watches += sum(line.startswith("inotify") for line in info)
    return watches


def run(seconds, clients):
    """The whole; gives what it did, in a line."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Daemon() as evd, evd.connect() as c:
        c.watch("stat", "s", path="/")
        c.call("unwatch", watcher="s")
        evd.settle()
        fds = evd.fds()
        soak = Soak(evd, seconds, clients)
        soak.run()
        for actor in soak.actors:
            actor.finish()
        memory = soak.check_memory()
        wait_until(lambda: len(c.call("list")["sessions"]) == 1, "all have gone")
        wait_until(lambda: not evd.children(), "no process is left")
        wait_until(lambda: evd.fds() == fds, "no descriptor is left")
        wait_until(lambda: inotify_watches(evd) == 0, "no watch is left")
        evd.settle()
        kinds = ", ".join("%s %d" % item for item in sorted(soak.steps.items()))
        did = "%d clients, %.0f s: %d steps (%s), %d events" % (
            clients,
            soak.elapsed(),
            sum(soak.steps.values()),
            kinds,
            sum(actor.events for actor in soak.actors),
        )
        return "%s, %s" % (did, memory)


if __name__ == "__main__":
    minutes = float(sys.argv[1])
    print(run(60 * minutes, int(sys.argv[2]) if len(sys.argv) > 2 else 1000))
