"""list and stats: what the daemon says of itself."""

import json
import os
import time

import pytest

import evdtest
from evdtest import Daemon, wait_until


@pytest.fixture(name="daemon")
def fixture_daemon():
    with Daemon() as daemon:
        yield daemon


@pytest.fixture(name="client")
def fixture_client(daemon):
    with daemon.connect() as client:
        yield client


def pages(client, what, **members):
    """All entries of a list, page by page; gives them and the sizes of the pages."""
    entries, sizes = [], []
    while True:
        client.send({"cmd": "list", **members})
        line = client.line()
        assert len(line) < 65536
        result = evdtest.decode(line)["result"]
        entries += result[what]
        sizes.append(len(result[what]))
        if "next" not in result:
            return entries, sizes
        members["after"] = result["next"]


# --- list ---------------------------------------------------------------------


def test_a_session(daemon, client):
    client.call("hello", session="me")
    client.watch("timer", "t", after=1000)
    client.watch("async", "held", hold=True)
    client.call("send", watcher="held")
    client.event()
    client.call("send", watcher="held")
    (session,) = client.call("list")["sessions"]
    assert 0 < session.pop("age") < evdtest.LIMIT
    with open("/proc/self/comm", encoding="utf-8") as file:
        command = file.read().strip()
    assert session == {
        "session": "me",
        "number": 1,
        "uid": os.getuid(),
        "pid": os.getpid(),
        "command": command,
        "watchers": 2,
        "children": 0,
        "pending": 0,
        "held": 1,
        "unsent": 0,
    }
    result = client.call("list", session="me")
    assert result == {
        "watchers": [
            {"watcher": "t", "type": "timer", "active": True, "priority": 0},
            {
                "watcher": "held",
                "type": "async",
                "active": True,
                "priority": 0,
                "hold": True,
                "pending": {"revents": evdtest.ASYNC, "overrun": 0},
                "held": 1,
            },
        ]
    }


def test_what_a_session_has_not_taken(daemon, client):
    with daemon.connect() as slow:
        slow.watch("async", "a")
        evdtest.stall(slow, client)
        slow.send({"cmd": "send", "watcher": "a"})
        mine = wait_until(
            lambda: [
                s
                for s in client.call("list")["sessions"]
                if s["number"] == 2 and s["pending"] == 1
            ],
            "its event waits",
        )
        assert mine[0]["unsent"] >= 64 << 10


def test_command_names_are_escaped(daemon, client):
    name = b"a\x1b[2J\\\xff"
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with open("/proc/self/comm", "wb") as file:
                file.write(name)
            with daemon.connect() as other:
                sessions = other.call("list")["sessions"]
                assert sessions[1]["command"] == "a\\x1b[2J\\x5c\\xff", sessions
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize("limit", [None, 1, 7, 100])
def test_sessions_by_pages(daemon, limit):
    with daemon.connect() as client:
        clients = [daemon.connect() for _ in range(150)]
        for i, other in enumerate(clients):
            other.call("hello", session="%d%s" % (i, '"' * 250))
        for other in clients[::3]:
            other.close()
        left = [i for i in range(150) if i % 3]
        wait_until(
            lambda: client.call("stats")["sessions"] == 1 + len(left), "they are gone"
        )
        members = {} if limit is None else {"limit": limit}
        entries, sizes = pages(client, "sessions", **members)
        numbers = [entry["number"] for entry in entries]
        assert numbers == [1] + [2 + i for i in left]
        assert entries[1]["session"] == "1" + '"' * 250
        if limit is None:
            assert len(sizes) > 1, "64 KiB do not hold them all"
        else:
            assert max(sizes) <= limit
        for other in clients:
            other.close()


def test_sessions_that_come_and_go_are_forgotten(daemon, client):
    """So that looking for the next one does not take longer and longer."""
    for _ in range(1000):
        daemon.connect().close()
    with daemon.connect() as other:
        other.call("now")
        wait_until(lambda: client.call("stats")["sessions"] == 2, "only two are left")
        entries, _ = pages(client, "sessions")
        assert len(entries) == 2
        assert entries[1]["number"] == 1002
        assert client.call("list", after=1002) == {"sessions": []}
        assert client.call("list", after=9007199254740991) == {"sessions": []}


def test_watchers_in_order_of_creation_by_pages(client):
    number = 2000
    names = ["%d%s" % (i, "\\" * 100) if i % 2 else i for i in range(number)]
    for name in names:
        client.send(
            evdtest.command("watch", type="async", watcher=name, reply=False)
        )
    name = client.call("hello")["session"]
    for gone in names[::5]:
        client.call("unwatch", watcher=gone)
    left = [name for i, name in enumerate(names) if i % 5]
    for members in ({}, {"limit": 333}):
        entries, sizes = pages(client, "watchers", session=name, **members)
        assert [entry["watcher"] for entry in entries] == left
        assert len(sizes) > 1
    # What was the last of a page is gone: begin again.
    error = client.fails("list", session=name, after=names[0])
    assert error.code == "no-such-watcher"
    assert "after" in error.message


def test_bad_members(client):
    for members in (
        {"limit": 0},
        {"limit": 1001},
        {"limit": "1"},
        {"after": "x"},
        {"after": -1},
        {"uid": -1},
        {"uid": "root"},
        {"session": 1},
        {"sesion": "x"},
    ):
        assert client.fails("list", **members).code == "invalid-argument", members
    assert client.fails("list", session="none").code == "no-such-session"
    assert client.fails("stats", x=1).code == "invalid-argument"


def test_list_with_the_longest_id_is_no_longer_than_a_line(client):
    for i in range(2000):
        client.send(
            evdtest.command("watch", type="async", watcher=i, reply=False)
        )
    client.send({"cmd": "list", "session": "#1", "id": "x" * 4094})
    line = client.line()
    assert 55000 < len(line) < 65536
    assert "next" in json.loads(line)["result"]


# --- stats --------------------------------------------------------------------


def test_counters(client):
    before = client.call("stats")
    client.fails("nonsense")
    client.fails("get", watcher="none")
    client.send(b"{", b" ", b"x" * 70000)
    for _ in range(3):
        assert client.reply()["error"]["code"] == "parse-error"
    client.watch("async", "a", hold=True)
    for _ in range(5):
        client.call("send", watcher="a")
    client.call("ack")
    client.poll()
    after = client.call("stats")
    assert after["errors"]["unknown-command"] == 1
    assert after["errors"]["no-such-watcher"] == 1
    assert after["errors"]["parse-error"] == 3
    assert after["errors"]["limit-exceeded"] == 0
    assert after["events"]["async"] == 2
    assert after["events"]["timer"] == 0
    assert after["merged"] == 3
    # Two that failed, three unreadable, watch, five sends, ack, poll, stats.
    assert after["commands"] - before["commands"] == 14
    assert after["received"] - before["received"] > 70000
    for name in ("reads", "writes", "written", "wakeups"):
        assert after[name] > before[name], name
    assert after["uptime"] > before["uptime"] >= 0
    assert 1 << 20 < after["peak_memory"] < 1 << 32
    assert after["sessions"] == 1


def test_wakeups_are_none_while_nothing_happens(client):
    first = client.call("stats")["wakeups"]
    time.sleep(0.3)
    assert client.call("stats")["wakeups"] - first <= 2
