"""Clients that do not read, or read slowly."""

import random
import time

import pytest

from evdtest import (
    Daemon,
    barrier,
    command,
    count,
    due,
    encode,
    scaled,
    stall,
    write_until_refused,
)

COMMAND = encode(command("now", id="x" * 4000))
EVENTS_MAX = 64 << 10
COMMANDS_MAX = 256 << 10


def test_commands_are_not_read_while_replies_are_unsent():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        memory = evd.memory()
        sent = write_until_refused(c, other, COMMAND)
        # What evd has read was answered, and what it has answered is unread or
        # unsent; the rest waits in the kernel.
        unsent = sent - c.unread()
        assert unsent > COMMANDS_MAX
        assert evd.memory() - memory < 8 << 10
        for _ in range(10):
            other.call("now")
        c.raw(COMMAND[sent % len(COMMAND) :])
        c.shutdown()
        lines = c.rest()
        assert len(lines) == sent // len(COMMAND) + 1
        assert all("result" in line for line in lines)


def test_writers_that_never_read_are_bounded_each():
    with Daemon() as evd, evd.connect() as other:
        writers = [evd.connect() for _ in range(8)]
        memory = evd.memory()
        for writer in writers:
            write_until_refused(writer, other, COMMAND)
        assert evd.memory() - memory < 16 << 10
        for writer in writers:
            writer.close()
        other.call("now")


def test_a_writer_that_never_reads_costs_no_cpu():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        write_until_refused(c, other, COMMAND)
        evd.settle()
        before = evd.wakeups()
        time.sleep(0.5)
        assert evd.wakeups() == before


def fed_asyncs(client, number):
    """Feed that many asyncs, with data of 4 KB, and read nothing."""
    client.calls(
        [
            command("watch", type="async", watcher=n, data="x" * 4000)
            for n in range(number)
        ]
    )
    client.sock.sendall(
        b"".join(
            encode(command("feed", watcher=n, revents=1, reply=False))
            for n in range(number)
        )
    )


def test_events_are_written_while_less_than_64_kib_is_unsent():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        fed_asyncs(c, 200)
        barrier(other)
        evd.settle()
        in_kernel = c.unread()
        c.send(*[command("clear", watcher=n) for n in range(200)])
        barrier(other)
        results = [reply["result"] for reply in c.replies(200)]
        written = len(c.events)
        assert [bool(result) for result in results] == [False] * written + [True] * (
            200 - written
        )
        size = len(encode(c.events[0]))
        unsent = written * size - in_kernel
        assert EVENTS_MAX - size < unsent < EVENTS_MAX + 2 * size
        assert c.poll()[-1]["seq"] == written


def test_events_do_not_stop_commands():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        other.call("hello", session="other")
        other.watch("async", "w")
        fed_asyncs(c, 200)
        for _ in range(200):
            c.sock.sendall(
                encode(command("send", session="other", watcher="w", reply=False))
            )
            assert other.event()["watcher"] == "w"
        assert len(c.poll()) == 200


def test_others_are_served():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        fed_asyncs(c, 200)
        other.watch("timer", "w", after=0, repeat=0.001)
        for _ in range(50):
            assert other.event()["watcher"] == "w"
        assert [event["watcher"] for event in c.poll()] == list(range(200))


@pytest.mark.parametrize("seed", range(3))
def test_slow_reader_loses_nothing(seed):
    rng = random.Random(seed)
    number = scaled(2000, 200)
    with Daemon() as evd, evd.connect() as c:
        sizes = [rng.choice([1, 10, 100, 1000, 4000]) for _ in range(number)]
        c.send(
            *[
                command("watch", type="timer", watcher=n, at=n, data="x" * size)
                for n, size in enumerate(sizes)
            ]
        )
        c.shutdown()
        while c.fill(rng.choice([1, 7, 100, 5000, 70000])):
            pass
        lines = c.rest()
    events = [line for line in lines if "event" in line]
    assert len(lines) == 2 * number
    assert [event["seq"] for event in events] == list(range(1, number + 1))
    assert {e["watcher"]: len(e["data"]) for e in events} == dict(enumerate(sizes))


def test_timers_of_a_client_that_does_not_read_cost_nothing():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        outstanding = stall(c, other)
        start = time.monotonic()
        timers = [
            command("watch", type="timer", watcher=n, at=start, repeat=0.001)
            for n in range(100)
        ]
        c.send(*timers, command("watch", type="periodic", watcher="p", interval=0.001))
        barrier(other)
        evd.settle()
        before = evd.wakeups(), evd.cpu()
        time.sleep(1)
        assert (evd.wakeups(), evd.cpu()) == before
        c.replies(outstanding + 101)
        stops = [command("stop", watcher=n) for n in range(100)]
        c.send(command("now"), *stops, command("now"))
        before, *stopped, after = (reply["result"] for reply in c.replies(102))
        least = min(due(before["monotonic"] - start, 0.001))
        most = max(due(after["monotonic"] - start, 0.001))
        for n in range(100):
            seen = [event for event in c.events if event["watcher"] == n]
            if stopped[n]:
                seen.append(stopped[n]["cleared"])
            assert least <= count(seen) <= most
            assert count(seen) > 900


def test_reading_again_goes_on_at_once():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.watch("async", "w")
        for _ in range(3):
            outstanding = stall(c, other)
            c.send(command("feed", watcher="w", revents=1))
            barrier(other)
            c.replies(outstanding + 1)
            assert c.event()["watcher"] == "w"
