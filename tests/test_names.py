"""Names of watchers and of sessions."""

import pytest

from evdtest import Daemon, EvdError, command, encode, wait_until

NAMED = ["watch", "start", "stop", "set", "get", "unwatch", "feed", "clear", "send"]

GOOD = [
    "a",
    " ",
    "5",
    "tick #1",
    '"\\/',
    "é𝄞",
    "\u00a0",
    "x" * 255,
    "é" * 127,
    0,
    5,
    2**53 - 1,
]

BAD = [
    "",
    "#",
    "#1",
    "x" * 256,
    "x" * 300,
    "é" * 128,
    "a\u0001",
    "a\nb",
    "\u001f",
    "\u007f",
    "\u0080",
    "\u009f",
    -1,
    2**53,
    1.5,
    1.0,
    True,
    None,
    [],
    ["a"],
    {},
]

OTHERS = {
    "watch": {"type": "async"},
    "set": {"data": 1},
    "feed": {"revents": 0},
}


def test_good_names_come_back():
    with Daemon() as evd, evd.connect() as c:
        for name in GOOD:
            c.watch("async", name)
            assert c.call("get", watcher=name)["watcher"] == name
            c.call("send", watcher=name)
            assert c.event()["watcher"] == name
        # All at once, so that none is taken for another.
        for name in GOOD:
            assert c.fails("watch", type="async", watcher=name).watcher == name
            c.call("unwatch", watcher=name)


@pytest.mark.parametrize("verb", NAMED)
def test_bad_names_are_refused(verb):
    with Daemon() as evd, evd.connect() as c:
        for name in BAD:
            error = c.fails(verb, watcher=name, **OTHERS.get(verb, {}))
            assert error.code == "invalid-argument", name
            assert 'member "watcher"' in error.message
            assert error.watcher is None


@pytest.mark.parametrize("verb", NAMED)
def test_missing_name(verb):
    with Daemon() as evd, evd.connect() as c:
        error = c.fails(verb, **OTHERS.get(verb, {}))
        assert error.code == "invalid-argument"
        assert 'member "watcher" is missing' in error.message
        assert (error.cmd, error.watcher) == (verb, None)


@pytest.mark.parametrize("verb", NAMED[1:] + ["reset", "ack"])
def test_unknown_name(verb):
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        other.watch("async", "w")
        error = c.fails(verb, watcher="w", **OTHERS.get(verb, {}))
        assert error.code == "no-such-watcher"
        assert (error.cmd, error.watcher) == (verb, "w")


def test_name_is_taken_until_unwatch():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "w")
        assert c.fails("watch", type="timer", watcher="w", after=0).code == (
            "watcher-exists"
        )
        assert c.call("get", watcher="w")["type"] == "async"
        assert c.call("unwatch", watcher="w") == {}
        c.watch("timer", "w", after=1000)
        assert c.call("get", watcher="w")["type"] == "timer"


def test_refused_watch_takes_no_name():
    with Daemon() as evd, evd.connect() as c:
        c.fails("watch", type="timer", watcher="w", after=-1)
        assert c.fails("get", watcher="w").code == "no-such-watcher"


def test_number_and_string_differ():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", 5, data="number")
        c.watch("async", "5", data="string")
        c.call("send", watcher=5)
        assert c.event()["data"] == "number"
        c.call("unwatch", watcher=5)
        c.call("send", watcher="5")
        event = c.event()
        assert (event["watcher"], event["data"]) == ("5", "string")


def test_escapes_are_the_same_name():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "Aé/𝄞")
        c.raw(b'{"cmd":"send","watcher":"\\u0041\\u00e9\\/\\ud834\\udd1e"}\n')
        assert c.reply() == {"result": {"sent": True}}
        assert c.event()["watcher"] == "Aé/𝄞"


def test_sessions_have_names_of_their_own():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.watch("async", "w", data="c")
        other.watch("async", "w", data="other")
        c.call("send", watcher="w")
        assert c.event()["data"] == "c"
        assert other.poll() == []


def test_session_number_is_never_used_again():
    with Daemon() as evd:
        seen = set()
        for _ in range(20):
            with evd.connect() as c:
                seen.add(c.call("hello")["session"])
        assert len(seen) == 20
        assert all(name[0] == "#" and int(name[1:]) > 0 for name in seen)


def test_session_name():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        assert c.call("hello", session="sé 1")["session"] == "sé 1"
        assert c.call("hello")["session"] == "sé 1"
        assert other.fails("hello", session="sé 1").code == "session-exists"
        assert other.call("hello")["session"][0] == "#"
        assert other.call("hello", session="other")["session"] == "other"


def test_session_is_named_once():
    with Daemon() as evd, evd.connect() as c:
        c.call("hello", session="first")
        error = c.fails("hello", session="second")
        assert error.code == "session-exists"
        assert '"first"' in error.message
        assert c.call("hello")["session"] == "first"


def test_bad_session_names_are_refused():
    with Daemon() as evd, evd.connect() as c:
        for name in BAD + [5]:
            error = c.fails("hello", session=name)
            assert error.code == "invalid-argument", name
            assert 'member "session"' in error.message
        assert c.call("hello")["session"][0] == "#"


def test_session_name_is_free_when_its_session_ended():
    def taken_again():
        with evd.connect() as c:
            try:
                return c.call("hello", session="name")
            except EvdError as error:
                assert error.code == "session-exists"

    with Daemon() as evd:
        for _ in range(10):
            wait_until(taken_again, "the name is free again")


def test_refused_hello_takes_no_name():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        error = c.fails("hello", session="name", hold=True, need=["levitation"])
        assert error.code == "not-supported"
        assert "levitation" in error.message
        assert other.call("hello", session="name")["session"] == "name"
        c.watch("async", "w")
        assert "hold" not in c.call("get", watcher="w")


@pytest.mark.parametrize("need", ["timer", ["timer", 1], {}, None, [None]])
def test_need_is_a_list_of_strings(need):
    with Daemon() as evd, evd.connect() as c:
        error = c.fails("hello", need=need)
        assert error.code == "invalid-argument"
        assert '"need"' in error.message


def test_hello_says_what_is_there():
    with Daemon() as evd, evd.connect() as c:
        hello = c.call("hello", need=["timer", "periodic", "async"])
        assert hello["protocol"] == 1
        assert hello["libev"][0] == 4
        assert hello["pid"] == evd.pid
        assert set(hello["backend"]) == {
            "supported",
            "recommended",
            "embeddable",
            "current",
        }
        assert {"timer", "periodic", "async"} <= set(hello["features"])
        limits = hello["limits"]
        assert (limits["line"], limits["id"], limits["data"]) == (65536, 4096, 4096)
        assert limits["name"] == 255


def test_many_names():
    names = ["n%d" % n for n in range(2000)] + list(range(2000))
    with Daemon() as evd, evd.connect() as c:
        c.calls([command("watch", type="async", watcher=name) for name in names])
        c.calls([command("unwatch", watcher=name) for name in names[::2]])
        replies = c.calls([command("get", watcher=name) for name in names])
        assert ["result" in reply for reply in replies] == [False, True] * 2000


def test_name_in_an_error_is_as_on_the_wire():
    with Daemon() as evd, evd.connect() as c:
        c.send(command("get", watcher='q"\\é'))
        assert c.line().endswith(encode(',"watcher":"q\\"\\\\é"}}')[:-1])
