"""Nothing fires before its time, whatever else the daemon has to do."""

import math
import threading
import time

import pytest

from evdtest import Daemon, command, encode, scaled

# Times are written with six decimals, and rounded.
ROUNDING = 1e-6


class Flood:
    """Other clients that keep the daemon busy; a context manager."""

    def __init__(self, evd, kinds):
        self.clients = [evd.connect() for _ in kinds]
        self.stopped = False
        self.threads = [
            threading.Thread(target=self.run, args=(client, kind), daemon=True)
            for client, kind in zip(self.clients, kinds)
        ]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.stopped = True
        for thread in self.threads:
            thread.join()
        for client in self.clients:
            client.close()

    def run(self, client, kind):
        line = {
            # Short lines, long ones, and what takes evd some time.
            "now": command("now", id="x"),
            "junk": "{" + "[" * 30000,
            "timers": command("watch", type="timer", watcher=1, after=0, repeat=0.001),
            "calendar": command(
                "calendar", calendar="0 0 29 2 */7", timezone="Africa/Casablanca"
            ),
        }[kind]
        batch = encode(line) * (4 if kind == "junk" else 200)
        while not self.stopped:
            try:
                client.raw(batch)
                client.fill()
            except (OSError, EOFError):
                return
            # What it reads is not looked at.
            client._buffer.clear()


LOADS = [[], ["now", "calendar"], ["junk", "timers", "calendar"]]


@pytest.fixture(name="evd", params=LOADS, ids=["quiet", "busy", "very-busy"])
def fixture_evd(request):
    with Daemon() as evd:
        with Flood(evd, request.param):
            yield evd


def test_timer(evd):
    """By the session's own clock: what `now` said when it was registered."""
    with evd.connect() as c:
        for after in [0, 0.001, 0.0105, 0.02, 0.05, 0.1003] * 3:
            c.send(
                command("now"),
                command("watch", type="timer", watcher="w", after=after, release=True),
            )
            begin = c.replies(2)[0]["result"]
            event = c.event()
            end = c.call("now")
            assert end["monotonic"] - begin["monotonic"] >= after - 1e-9
            assert event["time"] - begin["now"] >= after - 2 * ROUNDING


def test_timer_at(evd):
    with evd.connect() as c:
        for ahead in [0.001, 0.0105, 0.02, 0.05, 0.1003] * 2:
            at = c.call("now")["monotonic"] + ahead
            c.watch("timer", "w", at=at, release=True)
            c.event()
            assert c.call("now")["monotonic"] >= at - 1e-9


def test_timer_by_the_clients_clock(evd):
    """What was asked for after a moment does not come before its time."""
    with evd.connect() as c:
        for after in [0.001, 0.02, 0.05] * 5:
            begin = time.monotonic()
            c.watch("timer", "w", after=after, release=True)
            c.event()
            assert time.monotonic() - begin >= after


def test_repeating_timer(evd):
    with evd.connect() as c:
        c.send(
            command("now"),
            command("watch", type="timer", watcher="w", after=0.01, repeat=0.0103),
        )
        begin = c.replies(2)[0]["result"]["now"]
        ticks = 0
        while ticks < 30:
            event = c.event()
            assert event["time"] >= begin + 0.01 + ticks * 0.0103 - 2 * ROUNDING
            ticks += 1 + event.get("overrun", 0)


def test_absolute_periodic(evd):
    with evd.connect() as c:
        for ahead in [0.001, 0.0105, 0.02, 0.05, 0.1003] * 2:
            at = c.call("now")["now"] + ahead
            c.watch("periodic", "w", offset=at, release=True)
            assert c.event()["time"] >= at - ROUNDING
            assert c.call("now")["now"] >= at - ROUNDING


@pytest.mark.parametrize("interval, offset", [(0.01, 0), (0.0173, 0.011), (1, 0.5)])
def test_periodic(evd, interval, offset):
    with evd.connect() as c:
        c.send(
            command(
                "watch", type="periodic", watcher="w", interval=interval, offset=offset
            ),
            command("get", watcher="w"),
        )
        at = c.replies(2)[1]["result"]["at"]
        for _ in range(20 if interval < 1 else 1):
            event = c.event()
            assert event["time"] >= at - ROUNDING
            slots = (event["at"] - offset) / interval
            assert abs(slots - round(slots)) * interval < 2e-6
            assert event["at"] > at
            at = event["at"]


def test_scheduler(evd):
    with evd.connect() as c:
        c.send(
            command("now"),
            command("watch", type="scheduler", watcher="w", calendar="* * * * * *"),
        )
        begin = c.replies(2)[0]["result"]["now"]
        at = math.floor(begin) + 1
        for _ in range(3):
            event = c.event()
            assert event["time"] >= at
            assert c.call("now")["now"] >= at
            at = event["at"]


def test_long_batch_counts_from_a_fresh_time():
    """The clock goes on inside of a batch that takes a while."""
    lines = scaled(40000, 4000)
    with Daemon() as evd, evd.connect() as c:
        batch = [command("now", reply=False)] * lines
        c.send(*batch, command("watch", type="timer", watcher="w", after=0.1))
        begin = time.monotonic()
        c.send(
            *batch,
            command("now", id="registered"),
            command("watch", type="timer", watcher="v", after=0.05),
            command("update"),
        )
        replies = c.replies(4)
        end = time.monotonic()
        registered = replies[1]["result"]["monotonic"]
        # Not the time at which the batch began to be read.
        assert begin <= registered <= end
        while True:
            event = c.event()
            if event["watcher"] == "v":
                break
        assert time.monotonic() >= registered + 0.05 - 1e-9
        # The clock that counts is read once a turn: not long ago.
        read = replies[3]["result"]["monotonic"]
        assert read - registered < scaled(0.5, 10)


def test_clock_goes_on_from_turn_to_turn_of_a_batch():
    """Also for lines that were read before, among what evd does for others."""
    with Daemon() as evd, Flood(evd, ["calendar"] * 4), evd.connect() as c:
        for _ in range(20):
            # Lines that wait in evd's buffer: more than one turn takes.
            c.send(*[command("now")] * 1000)
            replies = c.replies(1000)
            shown = [reply["result"]["monotonic"] for reply in replies]
            assert shown == sorted(shown)
            assert len(set(shown)) >= 4


# --- edges of periodics ---------------------------------------------------------


@pytest.mark.parametrize(
    "offset, interval, same",
    [
        (3600, 3600, 0),
        (3607, 3600, 7),
        (7200.5, 3600, 0.5),
        (-1, 3600, 3599),
        (-3601, 3600, 3599),
        (1e10, 3600, 1e10 % 3600),
        (-1e10, 3600, -1e10 % 3600),
    ],
)
def test_offset_at_and_over_the_interval(offset, interval, same):
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", offset=offset, interval=interval)
        c.watch("periodic", "v", offset=same, interval=interval)
        c.send(
            command("get", watcher="w"),
            command("get", watcher="v"),
            command("now"),
        )
        w, v, now = (reply["result"] for reply in c.replies(3))
        assert w["at"] == v["at"]
        assert now["now"] < w["at"] <= now["now"] + interval + 1e-6


@pytest.mark.parametrize("interval", [1e-6, 1e-5, 0.0001220703125, 0.001])
def test_tiny_interval(interval):
    """Counted, not fired one by one: and never more than are due."""
    with Daemon() as evd, evd.connect() as c:
        c.send(
            command("now"),
            command("watch", type="periodic", watcher="w", interval=interval, hold=True),
        )
        begin = c.replies(2)[0]["result"]["now"]
        first = c.event()
        c.watch("timer", "later", after=0.2)
        c.event()
        before = evd.cpu()
        c.watch("timer", "later2", after=0.5)
        c.event()
        assert evd.cpu() - before < scaled(20, 200)
        c.send(command("stop", watcher="w"), command("now"))
        stopped, end = (reply["result"] for reply in c.replies(2))
        seen = 2 + first.get("overrun", 0) + stopped["cleared"]["overrun"]
        elapsed = end["now"] - begin
        # A double of today's date is good to a quarter of a microsecond.
        assert abs(seen - elapsed / interval) <= 2 + 2e-6 / interval


@pytest.mark.parametrize("offset", [0, 5, -1e10, 1e10])
def test_huge_interval(offset):
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", offset=offset, interval=1e10)
        assert c.call("get", watcher="w")["at"] == offset % 1e10 + 1e10
        assert c.poll() == []
        evd.settle()
