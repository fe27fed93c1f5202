"""Random commands, and a model of the session that says which events come."""

import random

import pytest

from evdtest import Daemon, command, scaled

BITS = {"idle": 0x2000, "prepare": 0x4000, "check": 0x8000, "fork": 0x20000}
BITS["async"] = 0x80000
# Those that wait in the session.
WAIT = ("idle", "prepare", "check")


class Watcher:
    def __init__(self, name, type, priority, hold, once):
        self.name = name
        self.type = type
        self.priority = priority
        self.hold = hold or type == "idle"
        self.once = once
        self.active = True
        self.pending = None  # [revents, overrun]
        self.held = None  # seq
        self.turn = 0  # waiting or ready: since when
        self.started = 0


class Session:
    """What the protocol says of batches; every method is one command."""

    def __init__(self):
        self.watchers = {}
        self.turns = self.seq = self.batches = 0

    def place(self, watcher):
        self.turns += 1
        watcher.turn = self.turns

    def fire(self, watcher, revents):
        if watcher.pending:
            watcher.pending[0] |= revents
            watcher.pending[1] += 1
            return
        watcher.pending = [revents, 0]
        if watcher.held is None:
            self.place(watcher)

    def fire_itself(self, watcher):
        if watcher.once:
            watcher.active = False
        self.fire(watcher, BITS[watcher.type])

    # Commands

    def watch(self, name, type, priority, hold, once):
        self.watchers[name] = Watcher(name, type, priority, hold, once)
        self.place(self.watchers[name])
        self.watchers[name].started = self.turns

    def unwatch(self, name):
        del self.watchers[name]

    def stop(self, name):
        watcher = self.watchers[name]
        watcher.active, watcher.pending, watcher.held = False, None, None

    def start(self, name):
        watcher = self.watchers[name]
        if not watcher.active:
            watcher.active, watcher.pending = True, None
            self.place(watcher)
            watcher.started = self.turns

    def clear(self, name):
        watcher = self.watchers[name]
        if watcher.pending:
            watcher.pending = watcher.held = None
            self.place(watcher)

    def feed(self, name):
        self.fire(self.watchers[name], 1)

    def send(self, name):
        watcher = self.watchers[name]
        if watcher.type == "async" and watcher.active:
            self.fire_itself(watcher)

    def reset(self):
        for watcher in sorted(self.watchers.values(), key=lambda w: w.started):
            if watcher.type == "fork" and watcher.active:
                self.fire_itself(watcher)

    def ack(self, name=None):
        freed = [
            watcher
            for watcher in self.watchers.values()
            if watcher.held is not None and name in (None, watcher.name)
        ]
        for watcher in sorted(freed, key=lambda w: w.held):
            watcher.held = None
            self.place(watcher)

    # Batches

    def ready(self):
        return self.ordered(
            w for w in self.watchers.values() if w.pending and w.held is None
        )

    def waiting(self, type):
        return self.ordered(
            w
            for w in self.watchers.values()
            if w.type == type and w.active and not w.pending and w.held is None
        )

    @staticmethod
    def ordered(watchers):
        return sorted(watchers, key=lambda w: (-w.priority, w.turn))

    def write(self, watcher):
        if not watcher.pending:
            self.fire_itself(watcher)
        self.seq += 1
        revents, overrun = watcher.pending
        watcher.pending = None
        if watcher.hold:
            watcher.held = self.seq
        self.place(watcher)
        return watcher.name, revents, overrun, watcher.active

    def batch(self):
        """The events of the next batch; none if there is none."""
        middle = self.ready()
        if not middle:
            idles = self.waiting("idle")
            middle = [w for w in idles if w.priority == idles[0].priority]
        if not middle:
            return []
        self.batches += 1
        hooks = {type: self.waiting(type) for type in ("check", "prepare")}
        return [self.write(w) for w in hooks["check"] + middle + hooks["prepare"]]


def random_command(rng, session):
    """One command, for evd and for the model."""
    names = list(session.watchers)
    verbs = ["feed", "feed", "send", "send", "ack", "ack one", "reset"]
    verbs += ["stop", "start", "start", "clear", "unwatch", "verify"]
    if not names or (len(names) < 14 and rng.random() < 0.3):
        name = rng.randrange(1 << 40)
        kind = dict(
            type=rng.choice([*BITS, *WAIT]),
            priority=rng.randint(-1, 1),
            hold=rng.random() < 0.3,
            once=rng.random() < 0.2,
        )
        session.watch(name, **kind)
        return command("watch", watcher=name, **kind)
    verb, name = rng.choice(verbs), rng.choice(names)
    if verb in ("reset", "ack", "verify"):
        if verb != "verify":
            getattr(session, verb)()
        return command(verb)
    if verb == "ack one":
        session.ack(name)
        return command("ack", watcher=name)
    getattr(session, verb)(name)
    if verb == "feed":
        return command("feed", watcher=name, revents=1)
    return command(verb, watcher=name)


def events_now(client):
    """All that is written until the session has nothing more to write."""
    events = []
    while True:
        more = client.poll()
        events += more
        if not more:
            return events


@pytest.mark.parametrize("seed", range(4))
def test_events_are_those_of_the_model(seed):
    rng = random.Random(seed)
    with Daemon() as evd:
        for _ in range(scaled(40, 5)):
            session = Session()
            with evd.connect() as c:
                for _ in range(15):
                    number = rng.choice([1, 2, 5, 20])
                    commands = [random_command(rng, session) for _ in range(number)]
                    c.send(*commands)
                    for reply in c.replies(number):
                        error = reply.get("error", {})
                        assert error.get("cmd", "send") == "send", error
                    seen = [
                        (
                            event["watcher"],
                            event["revents"],
                            event.get("overrun", 0),
                            event.get("active", True),
                        )
                        for event in events_now(c)
                    ]
                    expected = []
                    while True:
                        batch = session.batch()
                        if not batch:
                            break
                        expected += batch
                    assert seen == expected, commands
                assert c.call("loop")["iteration"] == session.batches
                assert c.call("verify") == {}
