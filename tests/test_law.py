"""The law, counted by a model of its own: for each watcher,

    ticks due = events written + their overruns + what is pending + what was taken back

over random operations of many clients and all types, some of them suspended. What the
clock makes due is bracketed by this process's own readings of it, before and after, and
what a batch makes due by the number of batches; all else is exact.
"""

import contextlib
import math
import os
import random
import signal
import time

import pytest

from evdtest import Daemon, count, scaled, wait_until

CLIENTS = 20
SIGNALS = [signal.SIGRTMIN + n for n in range(3)]


class Model:
    """One watcher: what it must have fired, at least and at most."""

    def __init__(self, client, name):
        self.client = client
        self.name = name
        self.active = False
        self.least = self.most = 0
        self.taken_back = 0

    def __repr__(self):
        return "%s %s" % (type(self).__name__, self.name)

    def call(self, cmd, **members):
        result = self.client.call(cmd, watcher=self.name, **members)
        if "cleared" in result:
            self.taken_back += count([result["cleared"]])
        return result

    def watch(self, type, **members):
        self.client.call("watch", type=type, watcher=self.name, **members)
        self.active = True

    def fired(self, times=1):
        self.least += times
        self.most += times

    def suspended(self):
        """Its session stands still."""

    def resumed(self, since, begin):
        """Its session, which stood still since then, began to go on at begin."""

    # Operations that are the same for all

    def feed(self, rng):
        self.call("feed", revents=rng.choice([0, 1, -1]))
        self.fired()

    def clear(self, rng):
        self.call("clear")

    def end(self):
        self.call("unwatch")

    def operations(self):
        return [self.feed, self.clear]

    def delivered(self):
        mine = [e for e in self.client.events if e.get("watcher") == self.name]
        return count(mine) + self.taken_back


class Clocked(Model):
    """Ticks at begin + n * period, as far as they lie in a run."""

    clock = staticmethod(time.monotonic)

    def before(self):
        """The session's clock, at least."""
        since = self.client.since
        return since[self.clock][0] if since else self.clock()

    def after(self):
        """The same, at most."""
        since = self.client.since
        return since[self.clock][1] if since else self.clock()

    def begin(self, first, latest, period):
        self.first, self.latest, self.period = first, latest, period
        self.active = True

    def over(self, before, after):
        """A run has ended: not before the one time, not after the other."""
        self.active = False
        # What was due a moment before may not have been seen to be.
        least = math.floor((before - self.latest) / self.period)
        most = math.floor((after - self.first) / self.period) + 1
        self.least += max(0, least)
        self.most += max(0, most)

    def ending(self, cmd, **members):
        before = self.before()
        self.call(cmd, **members)
        if self.active:
            self.over(before, self.after())

    def stop(self, rng):
        self.ending("stop")

    def end(self):
        self.ending("unwatch")

    def operations(self):
        return [*super().operations(), self.stop, self.again]


class Timer(Clocked):
    def __init__(self, client, name, rng):
        super().__init__(client, name)
        at = self.before() + rng.choice([-0.5, 0, 0.01])
        period = rng.choice([0.0001, 0.001, 0.01])
        self.watch("timer", at=at, repeat=period, hold=rng.random() < 0.3)
        self.begin(at, at, period)

    def again(self, rng):
        """Stopped, set to another time, and started."""
        self.ending("stop")
        at = self.before() + rng.choice([-0.1, 0, 0.001])
        self.call("set", at=at)
        self.call("start")
        self.begin(at, at, self.period)

    def reset(self, rng):
        before = self.before()
        self.call("reset")
        after = self.after()
        if self.active:
            self.over(before, after)
        self.begin(before + self.period, after + self.period, self.period)

    def resumed(self, since, begin):
        earliest, latest = since[self.clock]
        self.first += begin[self.clock] - latest
        self.latest += self.clock() - earliest

    def operations(self):
        return [*super().operations(), self.reset]


class Once(Model):
    def __init__(self, client, name, rng):
        super().__init__(client, name)
        self.watch("timer", after=rng.choice([0, 0.001]), once=True)
        self.fired()

    def operations(self):
        return [self.feed]

    def end(self):
        wait_until(
            lambda: not self.client.call("get", watcher=self.name)["active"],
            "it has fired",
        )
        super().end()


class Periodic(Clocked):
    """At the multiples of a period on the wall clock, but for those in a pause."""

    period = 0.01

    def __init__(self, client, name, rng):
        super().__init__(client, name)
        before = self.clock()
        self.watch("periodic", interval=self.period, hold=rng.random() < 0.3)
        self.begin_wall(before)

    clock = staticmethod(time.time)

    def begin_wall(self, before):
        self.active = True
        if self.client.since:
            return
        grid = self.period
        first = math.floor(before / grid) * grid
        self.begin(first + grid, math.ceil(self.clock() / grid) * grid + grid, grid)

    def over(self, before, after):
        if not self.client.since:
            super().over(before, after)
        self.active = False

    def again(self, rng):
        self.ending("stop")
        before = self.clock()
        self.call("start")
        self.begin_wall(before)

    def suspended(self):
        if self.active:
            super().over(self.before(), self.after())
            self.active = True

    def resumed(self, since, begin):
        if self.active:
            self.begin_wall(begin[self.clock])


class Scheduler(Periodic):
    period = 1

    def __init__(self, client, name, rng):
        Clocked.__init__(self, client, name)
        before = self.clock()
        self.watch("scheduler", calendar="* * * * * *", timezone="Asia/Kolkata")
        self.begin_wall(before)


class Async(Model):
    def __init__(self, client, name, rng):
        super().__init__(client, name)
        self.watch("async", hold=rng.random() < 0.3, priority=rng.randrange(-2, 3))

    def send(self, rng):
        other = rng.choice(self.client.neighbours)
        sent = other.call("send", session=self.client.name, watcher=self.name)["sent"]
        assert sent == self.active
        self.fired(int(sent))

    def stop(self, rng):
        self.call("stop")
        self.active = False

    def start(self, rng):
        self.call("start")
        self.active = True

    def operations(self):
        return [*super().operations(), self.send, self.send, self.stop, self.start]


class Signal(Async):
    """Real-time ones: the kernel merges none. Others' watchers have them as well."""

    def __init__(self, client, name, rng):
        Model.__init__(self, client, name)
        self.signum = rng.choice(SIGNALS)
        self.watch("signal", signum=self.signum, hold=rng.random() < 0.3)

    def send(self, rng):
        times = rng.randrange(1, 4)
        for _ in range(times):
            os.kill(self.client.evd.pid, self.signum)
        # The barrier: evd has taken them before any later command.
        self.client.neighbours[0].call("poll")
        for other in self.client.models:
            if isinstance(other, Signal) and other.signum == self.signum:
                other.fired(times * other.active)

    def fed(self, rng):
        self.client.call("feed_signal", signum=self.signum)
        for other in self.client.models:
            if (
                isinstance(other, Signal)
                and other.client is self.client
                and other.signum == self.signum
            ):
                other.fired(int(other.active))

    def operations(self):
        return [*super().operations(), self.fed]


class Child(Model):
    """All that its session spawns; they end when they end."""

    def __init__(self, client, name, rng):
        super().__init__(client, name)
        # It would have those that are still there as well.
        wait_until(lambda: not client.evd.children(), "no child is left")
        self.watch("child", pid=0)

    def spawn(self, rng):
        self.client.call("spawn", argv=["true"])
        for other in self.client.models:
            if isinstance(other, Child) and other.client is self.client:
                other.fired()

    def operations(self):
        return [self.feed, self.spawn]

    def end(self):
        wait_until(
            lambda: self.client.call("poll") and self.delivered() >= self.least,
            "all children have ended",
        )
        super().end()


class Io(Model):
    """Level-triggered and held: an event whenever it is readable and acknowledged."""

    def __init__(self, client, name, rng):
        super().__init__(client, name)
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        client.stack.callback(os.close, self.reader)
        client.stack.callback(os.close, self.writer)
        self.client.watch_fd(name, self.reader)
        self.active = True
        self.readable = self.held = self.unwritten = False

    def look(self):
        self.client.neighbours[0].call("poll")
        if self.readable and not self.held:
            self.fired()
            self.held = True
            self.unwritten = bool(self.client.since)

    def write(self, rng):
        os.write(self.writer, b"x" * rng.randrange(1, 100))
        self.readable = True
        self.look()

    def read(self, rng):
        with contextlib.suppress(BlockingIOError):
            os.read(self.reader, 1 << 16)
        self.readable = False

    def ack(self, rng):
        self.client.call("ack", watcher=self.name)
        self.acknowledged()

    def acknowledged(self):
        # What fired in a pause is not written, and is not acknowledged.
        if not self.unwritten:
            self.held = False
            self.look()

    def resumed(self, since, begin):
        self.unwritten = False

    def operations(self):
        return [self.write, self.read, self.ack]


class Stat(Model):
    """Its last event has the final state."""

    def __init__(self, client, name, rng):
        super().__init__(client, name)
        self.path = os.path.join(client.directory, "%s-%s" % (client.name, name))
        self.watch("stat", path=self.path, interval=0.1)
        self.changes = 0

    def write(self, rng):
        with open(self.path, rng.choice("wa")) as file:
            file.write("x" * rng.randrange(10))
        self.changes += 1

    def remove(self, rng):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def operations(self):
        return [self.write, self.remove]

    def end(self):
        try:
            st = os.stat(self.path)
            final = (st.st_ino, st.st_size, st.st_nlink)
        except FileNotFoundError:
            final = (0, 0, 0)
        self.client.call("poll")
        mine = [e for e in self.client.events if e.get("watcher") == self.name]
        if mine:
            attr = mine[-1]["attr"]
            assert (attr["ino"], attr["size"], attr["nlink"]) == final, self
        else:
            assert final == (0, 0, 0) or not self.changes, self
        self.call("unwatch")
        self.least, self.most = 0, math.inf


class Fork(Async):
    """All of a session fire when it is reset."""

    def __init__(self, client, name, rng):
        Model.__init__(self, client, name)
        self.watch("fork", hold=rng.random() < 0.3, priority=rng.randrange(-2, 3))

    def send(self, rng):
        self.client.call("reset")
        for other in self.client.models:
            if isinstance(other, Fork) and other.client is self.client:
                other.fired(int(other.active))


class Idle(Model):
    """Fires when nothing else is pending, and again when that was acknowledged."""

    def __init__(self, client, name, rng):
        super().__init__(client, name)
        self.client.call("watch", type="idle", watcher=name)
        self.acks = 0

    def ack(self, rng):
        self.client.call("ack", watcher=self.name)
        self.acks += 1

    def operations(self):
        return [self.ack]

    def end(self):
        self.client.call("unwatch", watcher=self.name)
        # Acknowledgements of all of the session are counted by it as well.
        self.most = 1 + self.acks + self.client.acks


class Hook(Model):
    """Fires once in each batch that begins while it is active."""

    def __init__(self, client, name, rng):
        super().__init__(client, name)
        self.start(rng, "watch", type=self.type)

    def batches(self):
        return self.client.call("loop")["iteration"]

    def start(self, rng, cmd="start", **members):
        before = self.batches()
        self.call(cmd, **members)
        if not self.active:
            self.first, self.latest = before, self.batches()
            self.active = True

    def stop(self, rng, cmd="stop"):
        before = self.batches()
        self.call(cmd)
        if self.active:
            # It may be in the middle of a batch.
            self.least += max(0, before - self.latest - 1)
            self.most += self.batches() - self.first
            self.active = False

    def end(self):
        self.stop(None, "unwatch")

    def operations(self):
        return [self.clear, self.start, self.stop]


class Prepare(Hook):
    type = "prepare"


class Check(Hook):
    type = "check"


TYPES = [
    *(Timer, Once, Periodic, Scheduler, Async, Signal, Child, Io, Stat, Fork, Idle),
    *(Prepare, Check),
]
CLOCKS = [time.monotonic, time.time]


def acknowledge(client):
    client.call("ack")
    client.acks += 1
    for model in client.models:
        if isinstance(model, Io) and model.client is client:
            model.acknowledged()


def suspend(client):
    """What it does in the pause goes by its clocks, which stand still at since."""
    begin = {clock: clock() for clock in CLOCKS}
    client.call("suspend")
    client.since = {clock: (begin[clock], clock()) for clock in CLOCKS}
    for model in client.models:
        if model.client is client:
            model.suspended()


def resume(client):
    begin = {clock: clock() for clock in CLOCKS}
    client.call("resume")
    # What fired in the pause is written, before anything acknowledges it.
    client.call("poll")
    since, client.since = client.since, None
    for model in client.models:
        if model.client is client:
            model.resumed(since, begin)


@pytest.mark.parametrize("seed", range(3))
def test_law(seed, tmp_path):
    rng = random.Random(seed)
    with contextlib.ExitStack() as stack:
        evd = stack.enter_context(Daemon())
        models = []
        clients = [stack.enter_context(evd.connect()) for _ in range(CLIENTS)]
        for n, client in enumerate(clients):
            client.name = "client-%d" % n
            client.call("hello", session=client.name)
            client.evd, client.stack, client.models = evd, stack, models
            client.directory = str(tmp_path)
            client.acks = 0
            client.since = None
            client.neighbours = clients
        for n in range(scaled(3000, 300)):
            client = rng.choice(clients)
            if len(models) < 100 or rng.random() < 0.05:
                models.append(rng.choice(TYPES)(client, n, rng))
            elif rng.random() < 0.1:
                acknowledge(client)
            elif rng.random() < 0.1:
                client.call("poll")
            elif rng.random() < 0.1 and client is not clients[0]:
                (resume if client.since else suspend)(client)
            else:
                model = rng.choice(models)
                rng.choice(model.operations())(rng)
        for client in clients:
            if client.since:
                resume(client)
        for model in models:
            model.end()
        for client in clients:
            client.call("poll")
        for model in models:
            assert model.least <= model.delivered() <= model.most, (
                model,
                model.least,
                model.delivered(),
                model.most,
            )
        assert sum(model.least for model in models) > 1000
