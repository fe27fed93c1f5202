"""Signals to the daemon, and fed ones."""

import os
import signal
import time

import pytest

import evdtest
from evdtest import Daemon, wait_until

SIGNAL = 0x400


@pytest.fixture(name="daemon")
def fixture_daemon():
    with Daemon() as daemon:
        yield daemon


@pytest.fixture(name="client")
def fixture_client(daemon):
    with daemon.connect() as client:
        yield client


def collect(client, number):
    """Firings until there were so many; none may come beyond."""
    events = []
    wait_until(
        lambda: events.extend(client.poll()) or evdtest.count(events) >= number,
        "%d firings" % number,
    )
    assert client.poll() == []
    assert evdtest.count(events) == number
    return events


def test_signal_by_number_and_by_name(daemon, client):
    names = {"HUP": 1, "SIGUSR2": 12, 28: 28, "RTMIN": 34, "RTMAX-1": 63, 40: 40}
    for name in names:
        client.watch("signal", str(name), signum=name)
    for name, number in names.items():
        os.kill(daemon.pid, number)
        event = client.event()
        del event["time"], event["seq"]
        assert event == {
            "event": "signal",
            "watcher": str(name),
            "revents": SIGNAL,
            "signum": number,
        }
    state = client.call("get", watcher="HUP")
    assert (state["signum"], "fed" in state) == (1, False)


@pytest.mark.parametrize(
    "signum",
    "TERM INT CHLD KILL STOP SEGV BUS FPE ILL TRAP SYS ABRT PIPE QUIT".split(),
)
def test_signals_that_evd_needs_are_refused_unless_fed(client, signum):
    error = client.fails("watch", type="signal", watcher="s", signum=signum)
    assert error.code == "invalid-argument"
    assert "signum" in error.message
    client.watch("signal", "s", signum=signum, fed=True)
    error = client.fails("set", watcher="s", fed=False)
    assert error.code == "watcher-active"
    client.call("stop", watcher="s")
    assert client.fails("set", watcher="s", fed=False).code == "invalid-argument"
    client.call("start", watcher="s")
    client.call("feed_signal", signum=signum)
    assert client.event()["signum"] == getattr(signal, "SIG" + signum)


@pytest.mark.parametrize("signum", [0, 65, 32, 33, -1, 1.0, None, "", "SIG", "usr1"])
def test_no_signal(client, signum):
    for members in ({}, {"fed": True}):
        error = client.fails(
            "watch", type="signal", watcher="s", signum=signum, **members
        )
        assert error.code == "invalid-argument"
    assert client.fails("feed_signal", signum=signum).code == "invalid-argument"


def test_signum_is_required(client):
    assert client.fails("watch", type="signal", watcher="s").code == "invalid-argument"


def test_a_signal_that_nobody_watches_any_more_does_nothing(daemon, client):
    for signum in ("USR1", "ALRM", "RTMIN+5", "TSTP", "TTIN", "IO"):
        client.watch("signal", "s", signum=signum, once=True)
        number = client.call("get", watcher="s")["signum"]
        os.kill(daemon.pid, number)
        assert client.event()["active"] is False
        os.kill(daemon.pid, number)
        client.call("unwatch", watcher="s")
        os.kill(daemon.pid, number)
    assert client.poll() == []
    # Nor one that was never watched.
    for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGPROF, signal.SIGRTMAX):
        os.kill(daemon.pid, number)
    client.call("now")


def test_what_came_before_the_watch_is_not_told(daemon, client):
    client.watch("signal", "a", signum="USR1", once=True)
    os.kill(daemon.pid, signal.SIGUSR1)
    client.event()
    os.kill(daemon.pid, signal.SIGUSR1)
    client.poll()
    client.watch("signal", "b", signum="USR1")
    assert client.poll() == []


def test_real_time_signals_are_all_counted(daemon, client):
    client.watch("signal", "rt", signum="RTMIN+2")
    client.watch("signal", "held", signum="RTMIN+2", hold=True)
    for _ in range(300):
        os.kill(daemon.pid, signal.SIGRTMIN + 2)
    events = []
    wait_until(
        lambda: events.extend(client.poll())
        or evdtest.count(e for e in events if e["watcher"] == "rt") == 300,
        "300 have come",
    )
    (first,) = [e for e in events if e["watcher"] == "held"]
    client.call("ack")
    second = client.event()
    assert evdtest.count([first, second]) == 300
    assert client.poll() == []


def test_signals_reach_every_session(daemon):
    with daemon.connect() as one, daemon.connect() as two:
        for client in (one, two):
            client.watch("signal", "u", signum="USR1")
            client.watch("signal", "other", signum="USR2")
            client.watch("signal", "fed", signum="USR1", fed=True)
        os.kill(daemon.pid, signal.SIGUSR1)
        for client in (one, two):
            assert client.event()["watcher"] == "u"
            assert client.poll() == []


def test_feed_signal_is_of_its_own_session(daemon):
    with daemon.connect() as one, daemon.connect() as two:
        for client in (one, two):
            client.watch("signal", "u", signum="USR1")
            client.watch("signal", "fed", signum="USR1", fed=True)
            client.watch("signal", "inactive", signum="USR1", start=False)
        assert one.call("feed_signal", signum="SIGUSR1") == {}
        one.call("feed_signal", signum=10)
        events = one.poll()
        assert {e["watcher"] for e in events} == {"u", "fed"}
        assert all(e["signum"] == 10 and e["revents"] == SIGNAL for e in events)
        assert evdtest.count(events) == 4
        assert two.poll() == []
        assert two.call("feed_signal", signum="HUP") == {}
        assert two.poll() == []


def test_very_many_watchers_of_one_signal(daemon):
    number = evdtest.scaled(5000, 2000)
    with daemon.connect() as client, daemon.connect() as other:
        client.send(
            *(
                evdtest.command(
                    "watch",
                    type="signal",
                    watcher=i,
                    signum="USR1",
                    once=i % 2 == 0,
                    release=i % 3 == 0,
                    reply=False,
                )
                for i in range(number)
            )
        )
        client.call("now")
        os.kill(daemon.pid, signal.SIGUSR1)
        other.call("now")
        events = collect(client, number)
        assert {e["watcher"] for e in events} == set(range(number))
        client.call("feed_signal", signum="USR1")
        assert evdtest.count(client.poll()) == number // 2
        # Two at once, while the first is still being told, and some leave.
        os.kill(daemon.pid, signal.SIGUSR1)
        client.call("now")
        os.kill(daemon.pid, signal.SIGUSR1)
        events = []
        wait_until(
            lambda: events.extend(client.poll())
            or evdtest.count(events) == number // 2 * 2,
            "both have come to all",
        )


def test_evd_ends_by_a_signal_while_others_are_watched(daemon, client):
    client.watch("signal", "u", signum="USR1")
    os.kill(daemon.pid, signal.SIGUSR1)
    assert client.event()["watcher"] == "u"
    daemon.process.terminate()
    assert client.event() == {"event": "bye", "reason": "exit"}
    assert daemon.wait() == 0


def test_signals_cost_nothing_when_none_come(daemon, client):
    client.watch("signal", "u", signum="USR1")
    begin = client.call("stats")["wakeups"]
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        time.sleep(0.05)
    assert client.call("stats")["wakeups"] - begin <= 3
