"""The table: what is about the session as a loop, with everything else.

Each row (a type or a verb) meets each type of watcher, held or not, in an open and in
a half-closed session, with room in the buffer and without, and each way in which a
session ends. The cases are made from ROWS and TYPES: a new row or type is one more
entry.

Every case is the same story. The session has the watcher "w" of the type, the async
"x", and what the row sets up, a watcher of its own being "f". "w" fires, "x" is fed,
the row acts. What comes must be batches as the protocol has them, "w" must come once
for each time it fired, and no more while it is held, and the row says what else.
"""

import itertools
import os
import re
import signal

import pytest

from evdtest import Daemon, barrier, command, count, stall, wait_until

LETTERS = {0x2000: "i", 0x4000: "P", 0x8000: "C"}
FED = 64  # no type has this bit


class Case:
    """One story in one session."""

    def __init__(self, daemon, other, row, type, hold, full, directory):
        self.client = daemon.connect()
        self.name = self.client.call("hello")["session"]
        self.other = other
        self.row = row
        self.type = type
        self.hold = hold
        self.full = full
        self.path = os.path.join(directory, "file")
        self.pipe = os.pipe()
        self.events = []
        self.asked = 0
        self.answers = []
        self.resets = 0

    def close(self):
        self.client.close()
        for fd in self.pipe:
            os.close(fd)

    # What is said

    def watch(self, name, type, hold=None, **members):
        hold = self.hold if hold is None else hold
        self.client.watch(type, name, hold=hold, **members)

    def send(self, *commands):
        """Without an answer."""
        self.client.send(*[{**line, "reply": False} for line in commands])

    def ask(self, verb):
        """The answer will be the last of self.answers."""
        self.asked += 1
        self.client.send(command(verb))

    def reset(self):
        self.resets += 1
        self.send(command("reset"))

    # What comes

    def take(self):
        self.events += self.client.events
        self.client.events.clear()

    def names(self):
        return [event["watcher"] for event in self.events]

    def of(self, name):
        return [event for event in self.events if event["watcher"] == name]

    def wait_for(self, names):
        self.take()
        while not set(names) <= set(self.names()):
            self.events.append(self.client.event())

    def poll(self):
        """All that there is, also what comes when all else is written."""
        more = True
        while more:
            more = self.client.poll()
            self.events += more

    # The story

    def begin(self):
        """w and x fire, the row acts, and all of it is on its way."""
        self.watch("x", "async", hold=False, start=False)
        self.type.watch(self)
        self.row.set_up(self)
        outstanding = stall(self.client, self.other) if self.full else 0
        self.type.fire(self)
        self.send(command("feed", watcher="x", revents=1))
        self.row.act(self)
        return outstanding

    def read(self, outstanding):
        replies = self.client.replies(outstanding + self.asked)
        self.answers = [reply["result"] for reply in replies[outstanding:]]

    def again(self):
        """w is fed: that comes at once, or where it is held at the ack."""
        held = self.hold or self.type.level
        self.send(*[command("feed", watcher=name, revents=FED) for name in "wx"])
        self.poll()
        assert len(self.fed()) == (not held)
        self.client.call("ack")
        self.poll()
        assert len(self.fed()) == 1

    def fed(self):
        return [event for event in self.of("w") if event["revents"] & FED]

    def check(self):
        """Batches: what opens them, events or idles, and what closes them."""
        text = "".join(
            "F" if event["watcher"] == "f" else LETTERS.get(event["revents"], "o")
            for event in self.events
        )
        assert re.fullmatch(self.row.batches(self), text), text
        seqs = [event["seq"] for event in self.events]
        assert seqs == sorted(seqs)


# --- the types ------------------------------------------------------------------


class Type:
    """How a watcher of a type is registered, and made to fire.

    fire: a function of the case.
    members: of watch.
    keeps: whether it is active after its event in a half-closed session.
    level: whether it is always held.
    late: whether it may not have fired yet when the next command is executed.
    """

    def __init__(self, name, fire, keeps=True, level=False, late=False, **members):
        self.name = name
        self.fire = fire
        self.members = members
        self.keeps = keeps
        self.level = level
        self.late = late

    def watch(self, case):
        case.watch("w", self.name, **self.members)


class Io(Type):
    def watch(self, case):
        case.client.watch_fd("w", case.pipe[0], hold=case.hold)


class Child(Type):
    """The program is the watcher."""

    def watch(self, case):
        pass


class Stat(Type):
    def watch(self, case):
        with open(case.path, "w", encoding="ascii"):
            os.chmod(case.path, 0o600)
        case.watch("w", self.name, path=case.path)


def say(verb, **members):
    return lambda case: case.send(command(verb, **members))


START = say("start", watcher="w")

TYPES = [
    Io("io", lambda case: os.write(case.pipe[1], b"x"), False, True, True),
    Type("timer", START, keeps=False, late=True, after=0, start=False),
    Type("periodic", START, keeps=False, late=True, offset=1, start=False),
    # Its own times are too far apart.
    Type("scheduler", say("feed", watcher="w", revents=512), calendar="@yearly"),
    Type("signal", say("feed_signal", signum="USR1"), signum="USR1", fed=True),
    Child(
        "child",
        lambda case: case.send(
            command("spawn", argv=["true"], watcher="w", hold=case.hold)
        ),
        keeps=False,
        late=True,
    ),
    Stat("stat", lambda case: os.chmod(case.path, 0o640), late=True),
    Type("idle", START, keeps=False, level=True, start=False),
    # These come with the batch of "x".
    Type("prepare", lambda case: None),
    Type("check", lambda case: None),
    Type("fork", Case.reset),
    Type("async", say("send", watcher="w")),
]

# --- the rows -------------------------------------------------------------------


class Row:
    """One thing that is about the session as a loop.

    counts: what it adds to the active watchers of a half-closed session.
    fires: whether there is a watcher "f", which fires.
    """

    counts = 0
    fires = False

    def __init__(self, name):
        self.name = name

    def set_up(self, case):
        """Before "w" fires; there is room."""

    def act(self, case):
        """After that; there may be no room."""

    def go_on(self, case):
        """In an open session, before what has fired is waited for."""

    def batches(self, case):
        """What the events must be, as a regular expression: see Case.check."""
        return "(C*([oF]+|i+)P*)*"

    def check(self, case):
        """At the end of the story."""


class Hook(Row):
    fires = True
    counts = 1

    def set_up(self, case):
        case.watch("f", self.name)


class Idle(Hook):
    counts = 0

    def batches(self, case):
        return "(C*(o+|[iF]+)P*)*"

    def check(self, case):
        for event in case.of("f"):
            assert event["revents"] == 0x2000 and "overrun" not in event


class Frame(Hook):
    """check and prepare: one a batch, or where they are held one for each ack."""

    def batches(self, case):
        frame = {"check": "(%s)(o+|i+)P*", "prepare": "C*(o+|i+)(%s)"}[self.name]
        letter = {"check": "C", "prepare": "P"}[self.name]
        own = "[%sF]*" if case.hold else "%s*F%s*"
        return "(%s)*" % (frame % own.replace("%s", letter))

    def check(self, case):
        if case.hold:
            assert len(case.of("f")) <= 2


class Fork(Hook):
    def act(self, case):
        case.reset()

    def check(self, case):
        assert count(case.of("f")) == case.resets


class Ref(Row):
    def act(self, case):
        case.ask(self.name)

    @property
    def counts(self):
        return {"ref": 1, "unref": -1}[self.name]

    def check(self, case):
        assert case.answers == [{"refs": self.counts}]


class Verify(Row):
    def act(self, case):
        case.ask("verify")

    def check(self, case):
        assert case.answers == [{}]


class Loop(Row):
    def act(self, case):
        case.ask("loop")

    def check(self, case):
        (answer,) = case.answers
        assert answer["iteration"] <= len(case.events)
        # Some may have been written between the commands, but not without room.
        assert answer["pending"] <= 2
        if case.full and not case.type.late and case.type.level is False:
            framed = case.type.name in ("prepare", "check")
            assert answer["pending"] == (1 if framed else 2)
        assert (answer["depth"], answer["refs"]) == (0, 0)


class Suspend(Row):
    def act(self, case):
        case.ask("suspend")

    def go_on(self, case):
        """Nothing comes, whatever is done, before resume."""
        case.take()
        case.send(command("feed", watcher="x", revents=1))
        assert case.client.poll() == []
        state = case.client.call("loop")
        assert state["suspended"] and not case.client.events
        case.client.call("resume")

    def check(self, case):
        assert case.answers == [{}]


class Resume(Row):
    def act(self, case):
        case.ask("suspend")
        case.ask("resume")

    def check(self, case):
        assert case.answers == [{}, {}]


class Intervals(Row):
    """Some come later, and all come."""

    def set_up(self, case):
        case.client.call("loop", io_interval=0.02, timeout_interval=0.03)


ROWS = [
    Idle("idle"),
    Frame("prepare"),
    Frame("check"),
    Fork("fork"),
    Ref("ref"),
    Ref("unref"),
    Verify("verify"),
    Loop("loop"),
    Suspend("suspend"),
    Resume("resume"),
    Intervals("intervals"),
]

# --- the cases ------------------------------------------------------------------


@pytest.fixture(scope="module", name="evd")
def fixture_evd():
    with Daemon() as daemon:
        yield daemon


@pytest.fixture(scope="module", name="other")
def fixture_other(evd):
    """Another client; at the end it is alone, and nothing of the others is left."""
    with evd.connect() as client:
        # What evd opens when it is first needed, and keeps.
        client.watch("stat", "s", path="/dev/null")
        client.call("unwatch", watcher="s")
        fds = evd.fds()
        yield client
        wait_until(
            lambda: len(client.call("list")["sessions"]) == 1, "the sessions are gone"
        )
        wait_until(lambda: evd.fds() <= fds, "their descriptors are closed")
        evd.settle()


def table():
    for row, type, hold, full in itertools.product(
        ROWS, TYPES, (False, True), (False, True)
    ):
        words = [row.name, type.name] + ["held"] * hold + ["full"] * full
        yield pytest.param(row, type, hold, full, id="-".join(words))


@pytest.fixture(name="case")
def fixture_case(request, evd, other, tmp_path):
    row, type, hold, full = request.param
    case = Case(evd, other, row, type, hold, full, str(tmp_path))
    yield case
    case.close()


every_case = pytest.mark.parametrize(
    "case", [pytest.param(p.values, id=p.id) for p in table()], indirect=True
)


def play_open(case):
    """The story in an open session, up to its end."""
    case.read(case.begin())
    case.row.go_on(case)
    case.wait_for(["w", "x"] + ["f"] * case.row.fires)
    case.poll()
    if case.type.level or case.hold:
        assert len(case.of("w")) == 1
    case.again()
    case.check()
    if case.type.name not in ("prepare", "check"):
        fired = case.resets if case.type.name == "fork" else 1
        assert count(case.of("w")) == fired + 1
    case.row.check(case)
    assert case.client.call("verify") == {}


@every_case
def test_client_closes(case):
    play_open(case)


@every_case
def test_session_ends(case):
    play_open(case)
    case.client.watch("async", "z", end=True, hold=False)
    case.send(command("feed", watcher="z", revents=1))
    lines = case.client.rest()
    assert lines.pop() == {"event": "bye", "reason": "end"}
    case.events += lines
    case.check()
    assert len(case.of("z")) == 1


@every_case
def test_client_half_closes(case):
    row, type = case.row, case.type
    outstanding = case.begin()
    case.client.shutdown()
    barrier(case.other)
    case.read(outstanding)
    if type.keeps + row.counts <= 0:
        # It does not wait for what is not seen yet, if nobody refers to it.
        case.take()
        case.events += case.client.rest()
        wanted = {"w", "x"} - ({"w"} if type.late and row.counts < 0 else set())
        assert wanted <= set(case.names())
    else:
        case.wait_for(["w", "x"] + ["f"] * row.fires)
        barrier(case.other)
        assert case.name in [s["session"] for s in case.other.call("list")["sessions"]]
        while case.client.has_more():
            case.events.append(case.client.event())
    if type.name not in ("prepare", "check", "fork"):
        assert count(case.of("w")) <= 1
    case.check()
    row.check(case)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("type", TYPES, ids=lambda type: type.name)
def test_daemon_ends(row, type, tmp_path):
    with Daemon() as evd, evd.connect() as other:
        case = Case(evd, other, row, type, False, False, str(tmp_path))
        play_open(case)
        case.send(command("feed", watcher="x", revents=1))
        barrier(other)
        evd.process.terminate()
        lines = case.client.rest()
        assert lines.pop() == {"event": "bye", "reason": "exit"}
        case.events += lines
        case.check()
        case.close()
        assert evd.wait() == 0
