"""The end of a client's input, in every form, and of the client itself."""

import pytest

from evdtest import (
    Daemon,
    EvdError,
    barrier,
    command,
    count,
    encode,
    scaled,
    stall,
    wait_until,
    write_until_refused,
)

FAR = 1000


def timer(name, **members):
    return command("watch", type="timer", watcher=name, **members)


def free_again(client, name):
    """Wait until a session name is free, by taking it."""

    def taken():
        try:
            return client.call("hello", session=name)
        except EvdError as error:
            assert error.code == "session-exists"

    wait_until(taken, "the session %s is gone" % name)


def test_nothing_left_closes_at_once():
    with Daemon() as evd, evd.connect() as c:
        c.shutdown()
        c.eof()
        with evd.connect() as used:
            used.call("now")
            used.shutdown()
            used.eof()


def test_all_commands_are_answered_first():
    with Daemon() as evd, evd.connect() as c:
        c.send(*[command("now", id=n) for n in range(3000)])
        c.shutdown()
        assert [line["id"] for line in c.rest()] == list(range(3000))


def test_inactive_watchers_keep_nothing():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "a", after=FAR, start=False)
        c.watch("async", "b")
        c.call("stop", watcher="b")
        c.watch("timer", "spent", after=0)
        c.event()
        c.shutdown()
        c.eof()


def test_pending_events_come_first():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=FAR, start=False)
        c.send(command("feed", watcher="w", revents=3))
        c.shutdown()
        assert c.reply() == {"result": {}}
        assert c.event()["revents"] == 3
        c.eof()


def test_last_line_without_lf_is_executed():
    with Daemon() as evd, evd.connect() as c:
        c.raw(b'{"cmd":"watch","type":"timer","watcher":1,"after":0}')
        c.shutdown()
        assert c.reply() == {"result": {}}
        assert c.event()["watcher"] == 1
        c.eof()


def test_events_come_until_the_last_timer():
    with Daemon() as evd, evd.connect() as c:
        c.send(*[timer(n, after=n / 100) for n in range(10)])
        c.shutdown()
        lines = c.rest()
        fired = [line["watcher"] for line in lines if "event" in line]
        assert fired == list(range(10))
        assert len(lines) == 20


def test_repeating_timer_goes_on():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=0, repeat=0.002)
        c.shutdown()
        assert [c.event()["watcher"] for _ in range(20)] == ["w"] * 20


def test_periodic_goes_on_until_end():
    with Daemon() as evd, evd.connect() as c:
        c.watch("periodic", "w", interval=0.002)
        c.watch("timer", "end", after=0.05, end=True)
        c.shutdown()
        events = c.rest()
        assert events[-1] == {"event": "bye", "reason": "end"}
        names = {event["watcher"] for event in events[:-1]}
        assert names == {"w", "end"}


def test_async_waits_for_others():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.call("hello", session="c")
        c.watch("async", "w")
        c.watch("async", "last", once=True)
        c.shutdown()
        for _ in range(3):
            other.call("send", session="c", watcher="w")
            assert c.event()["watcher"] == "w"
        other.call("send", session="c", watcher="last")
        assert c.event()["watcher"] == "last"
        other.call("send", session="c", watcher="w")
        assert c.event()["watcher"] == "w"


def test_once_ends_it():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=0.01, repeat=0.01, once=True)
        c.shutdown()
        assert c.event()["active"] is False
        c.eof()


def test_name_is_kept_until_the_end_and_free_then():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.call("hello", session="name")
        c.watch("async", "w", once=True)
        c.shutdown()
        barrier(other)
        assert other.fails("hello", session="name").code == "session-exists"
        other.call("send", session="name", watcher="w")
        c.event()
        c.eof()
        free_again(other, "name")


def test_error_in_the_last_line():
    with Daemon() as evd, evd.connect() as c:
        c.raw(b'\n\n{"cmd":"no')
        c.shutdown()
        lines = c.rest()
        assert [line["error"]["line"] for line in lines] == [1, 2, 3]


def test_poll_in_the_last_line():
    with Daemon() as evd, evd.connect() as c:
        c.send(timer("w", at=0), command("poll", id=2), command("now", id=3))
        c.raw(b'{"cmd":"poll","id":4}')
        c.shutdown()
        lines = c.rest()
        assert [line.get("id", line.get("event")) for line in lines] == [
            None,
            "timer",
            2,
            3,
            4,
        ]


def test_long_ack_in_the_last_line():
    with Daemon() as evd, evd.connect() as c:
        c.call("hello", hold=True)
        c.send(*[timer(n, at=0, reply=False) for n in range(3000)])
        assert len(c.poll()) == 3000
        c.raw(b'{"cmd":"ack","seq":2900}')
        c.shutdown()
        assert c.reply()["result"] == {"freed": 2900}
        c.eof()


def test_held_and_nothing_active_closes_at_once():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=0, hold=True)
        c.event()
        c.shutdown()
        c.eof()


def test_what_merged_while_held_is_written():
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "w", after=0, hold=True)
        c.event()
        c.send(*[command("feed", watcher="w", revents=1)] * 3)
        c.replies(3)
        c.shutdown()
        assert count([c.event()]) == 3
        c.eof()


@pytest.mark.parametrize("merged", [10, 20000])
def test_many_holds_end(merged):
    number = scaled(20000, 2000)
    last = range(number)[-merged:]
    with Daemon() as evd, evd.connect() as c:
        c.call("hello", hold=True)
        c.send(*[timer(n, at=0, reply=False) for n in range(number)])
        c.poll()
        c.events.clear()
        c.send(*[command("feed", watcher=n, revents=1, reply=False) for n in last])
        c.shutdown()
        assert sorted(event["watcher"] for event in c.rest()) == list(last)


def test_slow_reader_gets_all_of_it():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        outstanding = stall(c, other)
        c.send(*[timer(n, at=0, data="x" * 3000) for n in range(200)])
        c.shutdown()
        barrier(other)
        c.replies(outstanding + 200)
        assert [line["seq"] for line in c.rest()] == list(range(1, 201))


def test_commands_that_wait_for_room_are_executed():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        outstanding = stall(c, other)
        commands = 150
        c.send(*[command("now", id="x" * 4000) for _ in range(commands)])
        c.send(timer("w", at=0))
        c.shutdown()
        barrier(other)
        lines = c.rest()
        assert len(lines) == outstanding + commands + 2
        assert lines[-1]["watcher"] == "w"


# A client that goes away altogether


def gone_before_reading(client):
    client.watch("timer", "w", after=0, repeat=0.001)
    client.raw(b'{"cmd":"now"}\n' * 100)
    client.sock.recv(1)


def gone_idle(client):
    client.watch("timer", "w", after=FAR)


def gone_in_a_line(client):
    client.watch("timer", "w", after=FAR)
    client.raw(b'{"cmd":"now"')


def gone_half_closed(client):
    client.watch("timer", "w", after=FAR)
    client.watch("async", "v")
    client.shutdown()


def gone_half_closed_with_events(client):
    client.watch("timer", "w", after=0, repeat=0.001)
    client.shutdown()


def gone_after_poll(client):
    client.watch("timer", "w", after=FAR)
    client.send(command("poll"), command("now"))


@pytest.mark.parametrize(
    "end",
    [
        gone_before_reading,
        gone_idle,
        gone_in_a_line,
        gone_half_closed,
        gone_half_closed_with_events,
        gone_after_poll,
    ],
)
def test_gone_client_takes_its_session_along(end):
    with Daemon() as evd, evd.connect() as other:
        other.call("now")
        open_before = evd.fds()
        for _ in range(5):
            with evd.connect() as c:
                c.call("hello", session="name")
                end(c)
                # Before it goes: all that it wrote has been seen.
                barrier(other)
            with evd.connect() as next_one:
                free_again(next_one, "name")
        wait_until(lambda: evd.fds() == open_before, "no descriptor is left")


def test_gone_stalled_client():
    with Daemon() as evd, evd.connect() as other, evd.connect() as next_one:
        for half_close in (False, True):
            with evd.connect() as c:
                c.call("hello", session="name%d" % half_close)
                c.watch("timer", "w", after=0, repeat=0.001)
                stall(c, other)
                if half_close:
                    c.shutdown()
                barrier(other)
            with evd.connect() as next_one:
                free_again(next_one, "name%d" % half_close)


@pytest.mark.parametrize("number", [1, 2, 100, 3000])
def test_what_a_gone_client_wrote_is_executed(number):
    line = encode(command("send", session="sink", watcher="drop"))
    with Daemon() as evd, evd.connect() as c:
        c.call("hello", session="sink")
        c.watch("async", "drop")
        with evd.connect() as other:
            other.sock.sendall((line * number)[:-1])
        seen = 0
        while seen < number:
            seen += count([c.event()])
        assert seen + count(c.poll()) == number


def test_what_a_gone_client_wrote_is_executed_if_it_never_read():
    line = encode(command("send", session="sink", watcher="drop", id="x" * 4000))
    with Daemon() as evd, evd.connect() as c, evd.connect() as third:
        c.call("hello", session="sink")
        c.watch("async", "drop")
        with evd.connect() as other:
            sent = write_until_refused(other, third, line)
        whole = (sent + 1) // len(line)
        seen = 0
        while seen < whole:
            seen += count([c.event()])
        assert seen + count(c.poll()) == whole


def test_a_killed_session_costs_others_nothing():
    with Daemon() as evd, evd.connect() as other:
        with evd.connect() as c:
            number = scaled(20000, 500)
            c.send(*[timer(n, after=FAR, reply=False) for n in range(number)])
            c.call("now")
        for _ in range(20):
            other.call("now")
