"""The order of events: batches, priorities, merging, seq and poll."""

import random

import pytest

from evdtest import (
    ASYNC,
    Daemon,
    barrier,
    command,
    count,
    encode,
    scaled,
    stall,
    wait_until,
)

BIG = "x" * 4000


def watch(name, **members):
    return command("watch", type="async", watcher=name, **members)


def feed(name, revents=1, **members):
    return command("feed", watcher=name, revents=revents, **members)


def fed(name, **members):
    return feed(name, reply=False, **members)


def names(events):
    return [event["watcher"] for event in events]


def test_higher_priority_first_then_by_firing():
    priorities = {"a": 0, "b": -2, "c": 2, "d": 0, "e": 1, "f": 2, "g": -1, "h": -2}
    with Daemon() as evd, evd.connect() as c:
        c.calls([watch(name, priority=p) for name, p in priorities.items()])
        c.send(*map(fed, "hgfedcba"))
        assert names(c.poll()) == list("fcedaghb")


def test_feeds_of_one_priority_keep_their_order():
    order = random.Random(5).sample(range(200), 200)
    with Daemon() as evd, evd.connect() as c:
        c.calls([watch(n) for n in range(200)])
        c.send(*map(fed, order))
        assert names(c.poll()) == order


def test_first_firing_gives_the_place():
    with Daemon() as evd, evd.connect() as c:
        c.calls([watch(n) for n in range(3)])
        c.send(fed(2), fed(0), fed(1), fed(2), fed(0))
        events = c.poll()
        assert names(events) == [2, 0, 1]
        assert [event.get("overrun") for event in events] == [1, 1, None]


def test_place_of_one_taken_back_is_lost():
    with Daemon() as evd, evd.connect() as c:
        c.calls([watch(n) for n in range(3)])
        c.send(fed(2), fed(0), command("clear", watcher=2), fed(1), fed(2))
        assert "cleared" in c.reply()["result"]
        assert names(c.poll()) == [0, 1, 2]


def test_types_share_a_batch():
    with Daemon() as evd, evd.connect() as c:
        c.calls(
            [
                watch("async", priority=-1),
                command("watch", type="timer", watcher="timer", after=1000, priority=1),
                command("watch", type="periodic", watcher="periodic", interval=1e9),
            ]
        )
        c.send(fed("async"), fed("periodic"), fed("timer"))
        events = c.poll()
        assert names(events) == ["timer", "periodic", "async"]
        assert [event["seq"] for event in events] == [1, 2, 3]


def test_merged_event():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "w")
        c.send(fed("w", revents=1), fed("w", revents=4), fed("w", revents=-(2**31)))
        c.send(command("send", watcher="w", reply=False), fed("w", revents=0))
        events = c.poll()
        assert count(events) == 5
        revents = 0
        for event in events:
            revents |= event["revents"]
        assert revents == 5 - 2**31 | ASYNC


def test_merged_in_one_write_is_one_event():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "w")
        c.send(*[fed("w", revents=1 << n) for n in range(31)])
        (event,) = c.poll()
        assert (event["revents"], event["overrun"]) == (2**31 - 1, 30)


def test_written_event_is_frozen():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "w")
        c.send(fed("w", revents=1), command("poll"), fed("w", revents=2))
        c.reply()
        events = c.poll()
        assert [event["revents"] for event in events] == [1, 2]
        assert [event["seq"] for event in events] == [1, 2]
        assert not any("overrun" in event for event in events)


def test_taken_back_event_has_no_seq():
    with Daemon() as evd, evd.connect() as c:
        c.calls([watch(1), watch(2)])
        for seq in range(1, 10):
            c.send(fed(1), command("clear", watcher=1), fed(2))
            c.reply()
            assert c.event()["seq"] == seq


def test_seq_counts_by_one_in_each_session():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        for client in (c, other):
            client.calls([watch(n) for n in range(20)])
        for client in (c, other):
            for _ in range(50):
                client.send(*map(fed, range(20)), command("poll"))
            seqs = [client.reply()["result"]["seq"] for _ in range(50)]
            assert [e["seq"] for e in client.events] == list(range(1, 1001))
            assert seqs == list(range(20, 1001, 20))


# Several writes for one batch


def long_batch(evd, c, other):
    """Fire 150 of one batch that does not fit; only some can be written."""
    signal = {"type": "signal", "signum": "USR1", "fed": True, "data": BIG}
    c.calls([command("watch", watcher=n, **signal) for n in range(150)])
    c.calls([watch("high", priority=2), watch("low", priority=-2)])
    c.send(command("feed_signal", signum="USR1", reply=False))
    barrier(other)
    assert 150 * 4000 - c.unread() > 64 << 10


def test_what_fires_meanwhile_is_of_the_next_batch():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        long_batch(evd, c, other)
        c.send(fed("low"), fed("high"), fed(0))
        barrier(other)
        events = [c.event() for _ in range(153)]
        assert names(events) == [*range(150), "high", 0, "low"]
        assert "overrun" not in events[0] and "overrun" not in events[151]
        assert c.poll() == []


def test_what_fires_again_before_it_is_written_merges_in_its_place():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        long_batch(evd, c, other)
        c.send(fed("high"), fed(149), fed(149))
        barrier(other)
        events = [c.event() for _ in range(151)]
        assert names(events) == [*range(150), "high"]
        assert events[149]["overrun"] == 2


def test_what_is_taken_back_leaves_the_batch():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        long_batch(evd, c, other)
        c.send(command("clear", watcher=148), command("unwatch", watcher=147))
        barrier(other)
        cleared = {"revents": 1024, "overrun": 0}
        assert c.replies(2) == [{"result": {"cleared": cleared}}] * 2
        events = c.poll()
        assert names(events) == [*range(147), 149]
        assert [event["seq"] for event in events] == list(range(1, 149))


def test_what_is_taken_back_and_fires_again_is_of_the_next_batch():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        long_batch(evd, c, other)
        c.send(command("clear", watcher=148), fed("low"), fed(148))
        barrier(other)
        c.reply()
        assert names(c.poll()) == [*range(148), 149, 148, "low"]


def test_nothing_starves():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "high", after=0, repeat=1e-9, priority=2)
        c.watch("async", "low", priority=-2)
        for _ in range(50):
            c.call("send", watcher="low")
            while c.event()["watcher"] != "low":
                pass


def test_batches_while_stalled():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.calls([watch(n, priority=2 - n) for n in range(5)])
        outstanding = stall(c, other)
        for name in (2, 4, 1, 0, 3, 2, 0):
            c.sock.sendall(encode(fed(name)))
            barrier(other)
        c.replies(outstanding)
        events = c.poll()
        assert names(events) == [0, 1, 2, 3, 4]
        assert count(events) == 7


# Replies and events


def test_no_event_before_the_reply_that_started_its_watcher():
    with Daemon() as evd, evd.connect() as c:
        started = set()
        timer = {"cmd": "watch", "type": "timer", "at": 0}
        c.send(*[dict(timer, id=n, watcher=n, priority=n % 5 - 2) for n in range(500)])
        events = 0
        while events < 500:
            line = c.recv()
            if "event" in line:
                events += 1
                assert line["watcher"] in started
            else:
                started.add(line["id"])


def test_no_event_after_the_reply_that_stopped_its_watcher():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=0, repeat=0.0005)
        for _ in range(scaled(200, 20)):
            c.event()
            c.send(command("stop", watcher="w"), command("start", watcher="w", id=1))
            c.reply()
            c.events.clear()
            assert c.recv()["id"] == 1


def test_replies_come_in_order_between_events():
    with Daemon() as evd, evd.connect() as c:
        c.calls([watch(n) for n in range(50)])
        commands = [
            feed(n % 50, id=n) if n % 3 else command("nonsense", id=n)
            for n in range(3000)
        ]
        c.send(*commands)
        assert [reply["id"] for reply in c.replies(3000)] == list(range(3000))
        assert count(c.poll()) == 2000


class Model:
    """What a client knows of its watchers from the replies alone."""

    def __init__(self):
        self.known = set()
        self.feeds = 0
        self.seen = 0
        self.seq = 0

    def event(self, event):
        self.seq += 1
        assert event["seq"] == self.seq
        assert event["watcher"] in self.known
        self.seen += count([event])

    def reply(self, sent, reply):
        assert reply["id"] == sent["id"]
        verb, name = sent["cmd"], sent.get("watcher")
        exists = name in self.known
        wrong = exists if verb == "watch" else not exists
        assert ("error" in reply) == (verb != "poll" and wrong), (sent, reply)
        if "error" in reply:
            return
        if verb == "poll":
            assert reply["result"]["seq"] == self.seq
        if verb == "watch":
            self.known.add(name)
        if verb == "unwatch":
            self.known.remove(name)
        self.feeds += verb == "feed"
        if "cleared" in reply["result"]:
            self.seen += count([reply["result"]["cleared"]])


@pytest.mark.parametrize("seed", range(6))
def test_any_mix_keeps_all_promises(seed):
    rng = random.Random(seed)
    verbs = "watch unwatch feed feed feed stop start clear poll".split()
    with Daemon() as evd, evd.connect() as c:
        model, n = Model(), 0
        for _ in range(scaled(60, 10)):
            sent = []
            for n in range(n + 1, n + rng.randint(2, 200)):
                sent.append(command(rng.choice(verbs), id=n))
                if sent[-1]["cmd"] != "poll":
                    sent[-1]["watcher"] = rng.randrange(12)
                if sent[-1]["cmd"] == "feed":
                    sent[-1]["revents"] = 1
                if sent[-1]["cmd"] == "watch":
                    sent[-1].update(type="async", priority=rng.randint(-2, 2))
            n += 1
            sent.append(command("poll", id=n))
            c.send(*sent)
            while sent:
                line = c.recv()
                if "event" in line:
                    model.event(line)
                else:
                    model.reply(sent.pop(0), line)
        assert model.seen == model.feeds


# Poll


def test_poll_of_nothing():
    with Daemon() as evd, evd.connect() as c:
        assert c.call("poll") == {"seq": 0}
        c.watch("timer", "w", after=1000)
        assert c.call("poll") == {"seq": 0}


@pytest.mark.parametrize("number", [1, 100, 1000])
def test_poll_with_all_timers_ready(number):
    with Daemon() as evd, evd.connect() as c:
        c.send(
            *[
                command("watch", type="timer", watcher=n, at=0, priority=n % 5 - 2)
                for n in range(number)
            ],
            command("poll"),
        )
        assert c.replies(number + 1)[-1]["result"] == {"seq": number}
        assert sorted(names(c.events)) == list(range(number))


def test_poll_with_1000_asyncs_ready():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.call("hello", session="c")
        c.calls([watch(n) for n in range(1000)])
        other.calls([command("send", session="c", watcher=n) for n in range(1000)])
        assert names(c.poll()) == list(range(1000))


def test_poll_sees_a_timer_that_is_due():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=0.02)
        due = 0
        while not due:
            events = c.poll()
            due = len(events)
        assert names(events) == ["w"]


def test_poll_holds_later_commands_back():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "w")
        clear = command("clear", watcher="w")
        c.send(feed("w"), clear, feed("w"), command("poll"), clear)
        results = [reply["result"] for reply in c.replies(5)]
        assert results[1] == {"cleared": {"revents": 1, "overrun": 0}}
        assert results[3:] == [{"seq": 1}, {}]
        assert names(c.events) == ["w"]


def test_poll_without_a_reply():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "w")
        c.send(fed("w"), command("poll", reply=False), command("clear", watcher="w"))
        assert c.recv()["watcher"] == "w"
        assert c.recv() == {"result": {}}


def test_poll_gives_its_id_back():
    with Daemon() as evd, evd.connect() as c:
        c.raw(b'{"cmd":"poll","id":{"a": [1.0,"\\u00e9"]}}\n{"cmd":"poll"}\n')
        assert c.line() == b'{"id":{"a": [1.0,"\\u00e9"]},"result":{"seq":0}}'
        assert c.line() == b'{"result":{"seq":0}}'


def test_poll_after_poll():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "w")
        c.send(*[feed("w"), command("poll"), command("poll")] * 20)
        replies = c.replies(60)
        seqs = [reply["result"]["seq"] for reply in replies if reply["result"]]
        assert seqs == [n // 2 + 1 for n in range(40)]


def test_poll_does_not_wait_for_what_is_not_ready():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "later", after=1000)
        c.watch("async", "held", hold=True)
        c.send(fed("held"), command("poll"), fed("held"), command("poll"))
        assert [reply["result"] for reply in c.replies(2)] == [{"seq": 1}] * 2
        assert names(c.events) == ["held"]


def test_poll_ends_while_a_timer_fires_all_the_time():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=0, repeat=1e-9)
        for _ in range(50):
            c.call("poll")
        assert c.events


def test_poll_waits_for_room_and_others_go_on():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        long_batch(evd, c, other)
        c.send(command("poll"), command("now", id="later"))
        barrier(other)
        other.watch("async", "w")
        other.call("send", watcher="w")
        assert other.event()["watcher"] == "w"
        assert other.call("poll") == {"seq": 1}
        assert c.reply()["result"] == {"seq": 150}
        assert names(c.events) == list(range(150))
        assert c.recv()["id"] == "later"


def test_poll_while_stalled():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.watch("async", "w")
        outstanding = stall(c, other)
        c.send(fed("w"), command("poll", id=1), feed("w", id=2))
        barrier(other)
        c.replies(outstanding)
        assert c.recv()["watcher"] == "w"
        assert c.recv()["id"] == 1
        assert c.recv()["id"] == 2
        assert c.event()["seq"] == 2


def test_poll_then_gone():
    with Daemon() as evd, evd.connect() as other:
        other.call("now")
        open_before = evd.fds()
        with evd.connect() as c:
            long_batch(evd, c, other)
            assert evd.fds() == open_before + 1
            c.send(command("poll"), command("now"))
            barrier(other)
        wait_until(lambda: evd.fds() == open_before, "its descriptor is closed")
        other.call("now")
