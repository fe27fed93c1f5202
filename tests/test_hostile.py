"""Clients that mean harm, or do as if."""

import array
import os
import random
import socket

import pytest

from evdtest import (
    Closed,
    Daemon,
    barrier,
    command,
    encode,
    scaled,
    wait_until,
)


def count_replies(client, data):
    """Write data, end the input and assert one reply a line; gives the replies."""
    client.raw(data)
    client.shutdown()
    lines = client.rest()
    replies = [line for line in lines if "event" not in line]
    expected = data.count(b"\n") + (not data.endswith(b"\n"))
    assert len(replies) == expected
    return replies


@pytest.mark.parametrize("seed", range(3))
def test_garbage_costs_an_error_a_line(seed):
    rng = random.Random(seed)
    data = bytes(rng.randrange(256) for _ in range(scaled(300000, 30000)))
    with Daemon() as evd, evd.connect() as other:
        with evd.connect() as c:
            replies = count_replies(c, data)
        for n, reply in enumerate(replies):
            assert reply["error"]["code"] == "parse-error"
            assert reply["error"]["line"] == n + 1
        other.call("now")


def test_garbage_of_json_parts():
    rng = random.Random(4)
    parts = [b"{", b"}", b"[", b"]", b'"', b":", b",", b"1", b"-", b"e", b"\\", b"u"]
    parts += [b"null", b'"cmd"', b'"now"', b'"id"', b" ", b"\xc3", b"\xa9", b"\n"]
    data = b"".join(rng.choice(parts) for _ in range(scaled(100000, 10000)))
    with Daemon() as evd, evd.connect() as c:
        count_replies(c, data)


TEMPLATES = [
    {"cmd": "hello", "session": "s", "hold": True, "need": ["timer"]},
    {"cmd": "watch", "type": "timer", "watcher": 1, "after": 0.5, "repeat": 0.1},
    {"cmd": "watch", "type": "timer", "watcher": "é", "at": 5, "data": [{"a": None}]},
    {"cmd": "watch", "type": "periodic", "watcher": 2, "interval": 5, "offset": 1.5},
    {"cmd": "watch", "type": "async", "watcher": 3, "priority": -2, "once": True},
    {"cmd": "set", "watcher": 1, "repeat": 0.5, "data": 1},
    {"cmd": "start", "watcher": 1},
    {"cmd": "stop", "watcher": 2},
    {"cmd": "reset", "watcher": 2},
    {"cmd": "feed", "watcher": 3, "revents": -1},
    {"cmd": "clear", "watcher": 3},
    {"cmd": "send", "watcher": 3, "session": "s"},
    {"cmd": "get", "watcher": "é"},
    {"cmd": "ack", "seq": 1},
    {"cmd": "unwatch", "watcher": 1},
    {"cmd": "poll", "id": {"a": [1, 2.5e3, "\\u00e9"]}},
    {"cmd": "now", "id": -5},
]


def mutated(rng):
    """A command with a few bytes changed, dropped, doubled or swapped in."""
    line = bytearray(encode(rng.choice(TEMPLATES))[:-1])
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(line))
        change = rng.randrange(4)
        if change == 0:
            line[at] = rng.choice(b'{}[]",:0123456789-+.eEtfn \\u\xc3\xa9\x00\x1f')
        elif change == 1:
            del line[at]
        elif change == 2:
            line[at:at] = line[at : at + rng.randrange(1, 9)]
        else:
            line[at] = rng.randrange(256)
        line = line or bytearray(b" ")
    return bytes(line).replace(b"\n", b" ") + b"\n"


@pytest.mark.parametrize("seed", range(4))
def test_mutated_commands_have_one_reply_each(seed):
    rng = random.Random(seed)
    data = b"".join(mutated(rng) for _ in range(scaled(8000, 500)))
    data += encode(command("watch", type="timer", watcher="end", at=0, end=True))
    with Daemon() as evd, evd.connect() as other:
        with evd.connect() as c:
            c.raw(data)
            c.shutdown()
            lines = c.rest()
        replies = [line for line in lines if "event" not in line]
        assert len(replies) == data.count(b"\n")
        assert lines[-1] == {"event": "bye", "reason": "end"}
        assert any("result" in reply for reply in replies)
        other.call("now")


# Sizes at their limits


@pytest.mark.parametrize("kind", ["string", "array", "spaces"])
def test_longest_id(kind):
    def id_of(size):
        if kind == "string":
            return b'"' + b"x" * (size - 2) + b'"'
        if kind == "array":
            return b"[" + b"1," * (size // 2 - 2) + b"1" * (size % 2 + 1) + b" ]"
        return b"[1" + b" " * (size - 3) + b"]"

    with Daemon() as evd, evd.connect() as c:
        assert len(id_of(4096)) == 4096 and len(id_of(4097)) == 4097
        c.raw(b'{"cmd":"now","id":%s}\n' % id_of(4096))
        assert c.line().startswith(b'{"id":%s,"result"' % id_of(4096))
        c.raw(b'{"cmd":"now","id":%s}\n' % id_of(4097))
        reply = c.recv()
        assert list(reply) == ["error"]
        assert reply["error"]["code"] == "invalid-argument"
        assert "4096" in reply["error"]["message"]


def test_id_that_is_too_long_does_nothing():
    with Daemon() as evd, evd.connect() as c:
        c.send(command("watch", id="x" * 5000, type="async", watcher="w"))
        assert c.recv()["error"]["watcher"] == "w"
        assert c.fails("get", watcher="w").code == "no-such-watcher"


def test_longest_data():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "w", data="x" * 4094)
        c.call("send", watcher="w")
        assert c.event()["data"] == "x" * 4094
        for members in ({"watcher": "v", "type": "async"}, {"watcher": "w"}):
            verb = "watch" if "type" in members else "set"
            error = c.fails(verb, data="x" * 4095, **members)
            assert error.code == "invalid-argument"
            assert '"data"' in error.message and "4096" in error.message


def test_longest_of_everything():
    with Daemon() as evd, evd.connect() as c:
        name, data, id = "é" * 127, ['"\\' * 1000], "é" * 2047
        c.send(command("watch", id=id, type="async", watcher=name, data=data))
        assert c.recv() == {"id": id, "result": {}}
        c.send(command("send", id=id, watcher=name))
        assert c.reply()["id"] == id
        event = c.event()
        assert (event["watcher"], event["data"]) == (name, data)


def test_name_and_data_of_escapes():
    with Daemon() as evd, evd.connect() as c:
        name = '"\\' * 127
        c.watch("async", name, data="\u0001\u001f\u007f\n" * 100)
        c.call("send", watcher=name)
        event = c.event()
        assert event["watcher"] == name
        assert event["data"] == "\u0001\u001f\u007f\n" * 100


def test_thousands_of_members():
    with Daemon() as evd, evd.connect() as c:
        members = {"m%d" % n: n for n in range(5000)}
        error = c.fails("now", **members)
        assert error.code == "invalid-argument"
        assert "unknown" in error.message and len(error.message) < 1000


def test_messages_are_bounded():
    with Daemon() as evd, evd.connect() as c:
        for members in (
            {"x" * 60000: 1},
            {"type": "x" * 60000, "watcher": "w"},
            {"type": "timer", "watcher": "w" * 60000},
            {"type": "timer", "watcher": "w", "after": ["é" * 20000]},
            {"type": "timer", "watcher": "w", "\u0007\x1b\\" * 3000: 0},
        ):
            error = c.fails("watch", **members)
            assert error.code == "invalid-argument"
            assert len(error.message) < 1000


# Many of everything


@pytest.mark.parametrize("name", [lambda n: "x" * 240 + "%d" % n, lambda n: n << 32])
def test_names_that_are_alike(name):
    number = scaled(20000, 1000)
    with Daemon() as evd, evd.connect() as c:
        c.calls(
            [
                command("watch", type="async", watcher=name(n % 2**20))
                for n in range(number)
            ]
        )
        replies = c.calls([command("unwatch", watcher=name(n)) for n in range(number)])
        assert all(reply == {"result": {}} for reply in replies)


def test_all_watchers_of_a_user_and_then_gone():
    number = scaled(250000, 5000)
    with Daemon(["--max-watchers", str(number)]) as evd, evd.connect() as other:
        line = '{"cmd":"watch","type":"timer","watcher":%d,"after":1%d,"reply":false}'
        with evd.connect() as c:
            c.send(*[line % (n, 1000 + n % 7) for n in range(number)])
            c.call("now")
            error = other.fails("watch", type="async", watcher="w")
            assert error.code == "limit-exceeded"
        for _ in range(50):
            other.call("now")
        wait_until(lambda: watched(other), "the watchers are freed")


def watched(client):
    client.send(command("watch", type="async", watcher="w"))
    return "result" in client.reply()


def test_all_watchers_fire_at_once():
    number = scaled(100000, 2000)
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.send(
            *[
                '{"cmd":"watch","type":"timer","watcher":%d,"at":0,"reply":false}' % n
                for n in range(number)
            ]
        )
        other.call("now")
        assert c.call("poll") == {"seq": number}
        assert sorted(event["watcher"] for event in c.events) == list(range(number))


def test_many_clients_that_say_nothing():
    with Daemon() as evd, evd.connect() as c:
        silent = [evd.connect() for _ in range(scaled(300, 50))]
        for n, client in enumerate(silent):
            client.raw(b'{"cmd":"now","id":"'[: n % 20])
        c.call("now")
        for client in silent:
            client.close()
        c.call("now")


def test_connections_that_come_and_go():
    rng = random.Random(7)
    with Daemon() as evd, evd.connect() as c:
        c.call("now")
        before = evd.fds()
        for _ in range(scaled(1500, 200)):
            with evd.connect() as client:
                client.raw(mutated(rng)[: rng.randrange(100)] or b"\n")
                if rng.randrange(3) == 0:
                    client.shutdown()
                if rng.randrange(3) == 0:
                    client.sock.shutdown(socket.SHUT_RD)
        c.call("now")
        wait_until(lambda: evd.fds() == before, "all are closed")


def test_client_that_shuts_its_reading_side():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        other.call("hello", session="sink")
        other.watch("async", "drop")
        c.call("now")
        before = evd.fds()
        c.sock.shutdown(socket.SHUT_RD)
        c.sock.sendall(
            encode(command("now"))
            + encode(command("send", session="sink", watcher="drop"))
        )
        assert other.event()["watcher"] == "drop"
        c.close()
        wait_until(lambda: evd.fds() == before - 1, "it is closed")


def test_passed_descriptors_that_no_line_takes_do_not_pile_up():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        barrier(other)
        c.call("now")
        before = evd.fds()
        reader, writer = os.pipe()
        fds = array.array("i", [writer] * 100)
        for _ in range(5):
            c.sock.sendmsg(
                [encode(command("now"))],
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)],
            )
        os.close(writer)
        barrier(other)
        replies = c.replies(5)
        assert ["error" in reply for reply in replies] == [False, True] * 2 + [False]
        assert evd.fds() <= before + 100
        c.close()
        # None is left anywhere: the pipe has no writer any more.
        assert os.read(reader, 1) == b""
        os.close(reader)
