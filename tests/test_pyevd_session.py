"""pyev.evd in an asyncio program: sessions, watchers, and how they end."""

import asyncio
import gc
import os
import signal
import socket
import threading
import warnings

import pytest

import evdpython
from evdtest import Daemon, wait_until

import pyev.evd
from pyev.evd import Closed, Error


@pytest.fixture(name="evd", scope="module")
def fixture_evd():
    with Daemon() as daemon, evdpython.at(daemon.path):
        yield daemon


@pytest.fixture(name="other")
def fixture_other(evd):
    with evd.connect() as client:
        yield client


def session_test(test):
    """A test that is a coroutine function of a session (and of fixtures)."""

    def run(evd, other):
        async def main():
            async with pyev.evd.connect() as session:
                await test(session, other)

        evdpython.run(main)

    run.__name__ = test.__name__
    return run


def watchers(other, session):
    """The names of a session's watchers, as the daemon has them."""
    listed = other.call("list", session=session.name)["watchers"]
    return [watcher["watcher"] for watcher in listed]


async def condition(predicate, what):
    """Let the event loop run until predicate gives something true."""
    deadline = asyncio.get_running_loop().time() + 60
    while not predicate():
        assert asyncio.get_running_loop().time() < deadline, "not so: " + what
        await asyncio.sleep(0.002)


# --- the session ------------------------------------------------------------


def test_connect_can_be_awaited(evd):
    async def main():
        session = await pyev.evd.connect("mine", hold=True, need=["timer"])
        assert session.name == "mine"
        assert session.pid == evd.pid
        assert "timer" in session.features
        assert session.limits["line"] == 65536
        watcher = await session.watch("async")
        assert (await watcher.get())["hold"] is True
        assert not session.closed
        await session.close()
        assert session.closed
        await session.close()

    evdpython.run(main)


def test_connect_is_refused_with_the_code(evd):
    async def main():
        async with pyev.evd.connect("twice"):
            with pytest.raises(Error) as caught:
                await pyev.evd.connect("twice")
            assert caught.value.code == "session-exists"
        with pytest.raises(Error) as caught:
            await pyev.evd.connect(need=["time travel"])
        assert caught.value.code == "not-supported"

    evdpython.run(main)


@session_test
async def test_events_of_a_session_come_by_iterating(session, other):
    await session.watch("timer", "tick", after=0, repeat=0.01, data={"for": "you"})
    seen = []
    async for event in session:
        seen.append(event)
        if len(seen) == 3:
            break
    assert [event.watcher for event in seen] == ["tick"] * 3
    assert [event.seq for event in seen] == [1, 2, 3]
    assert seen[0].type == "timer" and seen[0].revents == 256
    assert seen[0].active and seen[0].data == {"for": "you"}
    assert seen[0].error is None
    assert seen[0].time <= seen[1].time


@session_test
async def test_a_refused_command_raises_its_error(session, other):
    with pytest.raises(Error) as caught:
        await session.watch("timer", "tick", after=1, repat=1)
    error = caught.value
    assert error.code == "invalid-argument"
    assert 'member "repat" is unknown' in error.message
    assert (error.cmd, error.watcher, error.line) == ("watch", "tick", 2)
    assert str(error) == "invalid-argument: " + error.message
    assert watchers(other, session) == []


@session_test
async def test_what_is_no_json_raises_at_once(session, other):
    for bad in (float("nan"), {1, 2}, "\udc80"):
        with pytest.raises((TypeError, ValueError)):
            await session.call("hello", session=bad)
    with pytest.raises(TypeError):
        await session.call("now", id=7)
    await session.now()


@session_test
async def test_what_the_daemon_cannot_parse_is_an_error_of_that_command(session, other):
    results = await asyncio.gather(
        session.now(),
        session.call("hello", session="\0"),
        session.call("hello", session="x" * 70000),
        session.call("send", watcher=2**70),
        session.now(),
        return_exceptions=True,
    )
    assert [getattr(result, "code", None) for result in results] == [
        None,
        "parse-error",
        "parse-error",
        "parse-error",
        None,
    ]


@session_test
async def test_verbs(session, other):
    now = await session.now()
    update = await session.update()
    assert now.now <= update.now + 1 and now.monotonic <= update.monotonic
    assert await session.poll() == 0
    times = await session.calendar(
        "30 2 * * *", timezone="Europe/Berlin", after=1774700000, next=2
    )
    assert times == [1774746000.0, 1774830600.0]
    assert (await session.stats())["commands"] > 0
    hello = await session.hello_again("called")
    assert hello["session"] == session.name == "called"
    await session.reset()
    await session.watch("signal", "usr1", signum=signal.SIGUSR1, fed=True)
    await session.feed_signal("USR1")
    assert (await session.event())["signum"] == 10


@session_test
async def test_list_gives_every_page(session, other):
    names = [str(number) * 50 for number in range(1500)]
    await asyncio.gather(*(session.watch("async", name) for name in names))
    assert [w["watcher"] for w in await session.list(session.name)] == names
    sessions = await session.list()
    assert session.name in [entry["session"] for entry in sessions]
    with pytest.raises(Error) as caught:
        await session.list("nobody")
    assert caught.value.code == "no-such-session"


def test_one_session_wakes_another(evd):
    async def main():
        async with pyev.evd.connect("kitchen") as waits, pyev.evd.connect() as wakes:
            async with waits.watch("async", "bell") as bell:
                assert await wakes.send("bell", "kitchen") is True
                assert (await bell.event()).revents == 0x80000
                await bell.stop()
                assert await bell.send() is False

    evdpython.run(main)


# --- watchers ---------------------------------------------------------------


@session_test
async def test_a_watcher_has_events_of_its_own(session, other):
    await session.watch("timer", "shared", after=0, repeat=0.005)
    async with session.watch("timer", after=0, repeat=0.005) as mine:
        seen = []
        async for event in mine:
            seen.append(event.watcher)
            if len(seen) == 5:
                break
        assert seen == [mine.name] * 5
        for _ in range(3):
            assert (await session.event()).watcher == "shared"
    assert watchers(other, session) == ["shared"]


@session_test
async def test_events_that_came_before_a_watcher_is_asked_are_its_own(session, other):
    late = await session.watch("async", "late")
    other_one = await session.watch("async", "other")
    await late.feed(1)
    await session.poll()
    await other_one.feed(4)
    await late.feed(2)
    await session.poll()
    assert [event.revents for event in (await late.event(), await late.event())] == [
        1,
        2,
    ]
    assert (await session.event()).watcher == "other"
    assert session.queued == 0


@session_test
async def test_iterating_ends_when_the_watcher_has_stopped(session, other):
    async with session.watch("timer", after=0) as once:
        assert [event.active async for event in once] == [False]
        await once.set(after=0)
        await once.start()
        assert len([event async for event in once]) == 1
    assert len([e async for e in await session.watch("timer", after=0)]) == 1


@session_test
async def test_iterating_ends_when_it_is_unwatched(session, other):
    watcher = await session.watch("async")
    task = asyncio.ensure_future(take(watcher))
    await asyncio.sleep(0)
    await watcher.unwatch()
    assert await task == []
    with pytest.raises(Error) as caught:
        await watcher.event()
    assert "was unwatched" in str(caught.value) and not isinstance(caught.value, Closed)


async def take(source):
    return [event async for event in source]


@session_test
async def test_a_watcher_that_is_released_leaves_its_name(session, other):
    for _ in range(3):
        async with session.watch("timer", "tea", after=0, release=True) as tea:
            assert len(await take(tea)) == 1
    assert watchers(other, session) == []
    assert session.watcher("tea") is None


@session_test
async def test_stop_takes_back_what_was_not_seen(session, other):
    watcher = await session.watch("async")
    await watcher.feed(1)
    await session.poll()
    assert session.queued == 1
    await watcher.feed(2)
    await watcher.feed(4)
    cleared = await watcher.stop()
    assert cleared.revents == 7 and cleared.overrun == 2
    assert session.queued == 0
    assert await watcher.stop() is None


@pytest.mark.parametrize("verb", ["stop", "clear", "unwatch"])
def test_nothing_of_before_follows(evd, other, verb):
    async def main():
        async with pyev.evd.connect() as session:
            watcher = await session.watch("async", "a")
            claimed = await session.watch("async", "b")
            claimed.__aiter__()
            for one in (watcher, claimed):
                await one.feed(1)
            await session.poll()
            for one in (watcher, claimed):
                assert (await getattr(one, verb)()).revents == 1
            await session.poll()
            assert session.queued == 0

    evdpython.run(main)


@session_test
async def test_a_timer_that_is_reset(session, other):
    watcher = await session.watch("timer", after=0, repeat=600)
    assert (await watcher.event()).active
    await watcher.feed(256)
    assert (await watcher.reset()).revents == 256
    assert (await watcher.get())["remaining"] > 500
    assert await watcher.set(repeat=0) is None
    await watcher.reset()
    assert (await watcher.get())["active"] is False


@session_test
async def test_a_stat_says_what_is_there(session, other):
    path = evdpython.SOURCE / "README.md"
    async with session.watch("stat", path=path) as stat:
        assert stat.result["attr"]["size"] == path.stat().st_size
        assert (await stat.stat())["size"] == path.stat().st_size
        assert (await stat.get())["path"] == str(path)
    async with session.watch("stat", path=b"/nowhere/\xff") as stat:
        assert (await stat.get())["path_base64"] == "L25vd2hlcmUv/w=="
    surrogate = os.fsdecode(b"/nowhere/\xff")
    async with session.watch("stat", path=surrogate) as stat:
        assert (await stat.get())["path_base64"] == "L25vd2hlcmUv/w=="


@session_test
async def test_a_watcher_that_fails_raises(session, other):
    watcher = await session.watch("async")
    # As the daemon would write it.
    watcher.__aiter__()
    session._on_message(
        pyev.evd.Event(
            event="async",
            watcher=watcher.name,
            revents=-2147483648,
            seq=1,
            time=1.0,
            error="ENOMEM",
            active=False,
        )
    )
    with pytest.raises(Error) as caught:
        await take(watcher)
    assert caught.value.code == "system-error" and "ENOMEM" in caught.value.message


# --- descriptors ------------------------------------------------------------


@session_test
async def test_an_io_is_acknowledged_by_iterating(session, other):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        async with session.watch("io", fd=ours, events="r") as readable:
            theirs.send(b"a")
            seen = b""
            async for event in readable:
                assert event.revents == 1
                seen += ours.recv(1)
                if len(seen) == 5:
                    break
                theirs.send(b"a")
            assert seen == b"aaaaa"
            # The last event was not acknowledged: that comes with the next loop.
            theirs.send(b"a")
            async for _ in readable:
                break


@session_test
async def test_an_io_is_acknowledged_by_the_sessions_loop(session, other):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        await session.watch("io", "in", fd=ours.fileno(), events="r")
        theirs.send(b"aaa")
        seen = b""
        async for event in session:
            assert event.watcher == "in"
            seen += ours.recv(1)
            if len(seen) == 3:
                break


@session_test
async def test_an_event_that_is_asked_for_is_not_acknowledged(session, other):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        async with session.watch("io", fd=ours, events="r") as readable:
            theirs.send(b"a")
            await readable.event()
            await session.poll()
            assert readable.queued == 0
            assert await readable.ack() == 1
            await readable.event()
            assert await session.ack() == 1
            event = await readable.event()
            assert await session.ack(event) == 1


@session_test
async def test_a_descriptor_can_be_closed_at_once(session, other):
    reader, writer = os.pipe()
    starting = asyncio.ensure_future(session.watch("io", fd=reader, events="r"))
    await asyncio.sleep(0)
    os.close(reader)
    watcher = await starting
    os.write(writer, b"x")
    assert (await watcher.event()).revents == 1
    await watcher.stop()
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"x")
    os.close(writer)


@session_test
async def test_leaving_closes_the_daemons_copy(session, other):
    reader, writer = os.pipe()
    async with session.watch("io", fd=reader, events="r"):
        os.close(reader)
        os.write(writer, b"x")
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"x")
    os.close(writer)


@session_test
async def test_an_io_is_started_again_with_another_descriptor(session, other):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        watcher = await session.watch("io", fd=ours, events="w")
        assert (await watcher.event()).revents == 2
        await watcher.stop()
        with pytest.raises(Error):
            await watcher.start()
        await watcher.start(fd=ours)
        assert (await watcher.event()).revents == 2


@session_test
async def test_a_descriptor_of_a_process(session, other):
    reader, writer = os.pipe()
    try:
        watcher = await session.watch("io", pid=os.getpid(), fd=reader, events="r")
    except Error as error:
        pytest.skip("not allowed here: %s" % error)
    os.write(writer, b"x")
    assert (await watcher.event()).revents == 1
    os.close(reader)
    os.close(writer)


@session_test
async def test_a_thousand_descriptors_in_one_go(session, other):
    pairs = [os.pipe() for _ in range(400)]
    try:
        watchers = await asyncio.gather(
            *(session.watch("io", fd=reader, events="r") for reader, _ in pairs)
        )
        for _, writer in pairs:
            os.write(writer, b"x")
        seen = {(await watcher.event()).watcher for watcher in watchers}
        assert len(seen) == len(pairs)
    finally:
        for fd in sum(pairs, ()):
            os.close(fd)


@session_test
async def test_a_bad_descriptor_raises_and_breaks_nothing(session, other):
    with pytest.raises(OSError):
        await session.watch("io", fd=12345, events="r")
    with pytest.raises((TypeError, AttributeError)):
        await session.watch("io", fd="0", events="r")
    await session.watch("timer", after=0)
    assert (await session.event()).type == "timer"


@session_test
async def test_a_child_by_pidfd(session, other):
    pid = os.spawnvp(os.P_NOWAIT, "sleep", ["sleep", "1000"])
    pidfd = os.pidfd_open(pid)
    async with session.watch("child", pidfd=pidfd) as child:
        os.close(pidfd)
        os.kill(pid, signal.SIGKILL)
        assert (await child.event())["pid"] == pid
    os.waitpid(pid, 0)


# --- children ---------------------------------------------------------------


@session_test
async def test_spawn_and_wait(session, other):
    async with session.spawn(["sh", "-c", "exit 3"]) as child:
        assert child.pid > 0
        assert await asyncio.gather(child.wait(), child.wait()) == [3, 3]
        assert child.returncode == 3
        assert [event["exit"] async for event in child] == [3]
    async with session.spawn(["sleep", "1000"]) as child:
        await child.kill()
        assert await child.wait() == -15
    with pytest.raises(Error) as caught:
        await session.spawn(["/nowhere"])
    assert caught.value.code == "system-error"
    assert watchers(other, session) == []


@session_test
async def test_leaving_terminates_a_child(session, other):
    async with session.spawn(["sleep", "1000"]) as child:
        pidfd = os.pidfd_open(child.pid)
    poll = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_reader(pidfd, lambda: poll.done() or poll.set_result(1))
    await poll
    asyncio.get_running_loop().remove_reader(pidfd)
    os.close(pidfd)
    assert watchers(other, session) == []
    with pytest.raises(Error):
        await child.wait()


@session_test
async def test_what_a_child_writes(session, other):
    reader, writer = os.pipe()
    async with session.spawn(
        ["sh", "-c", 'echo "$GREETING from $PWD"; echo oops >&2'],
        env={"GREETING": "hello", "PATH": os.environ["PATH"]},
        cwd=evdpython.SOURCE.resolve(),
        stdout=writer,
        stderr=writer,
    ) as child:
        os.close(writer)
        assert await child.wait() == 0
        with open(reader) as output:
            assert output.read() == "hello from %s\noops\n" % evdpython.SOURCE.resolve()


@session_test
async def test_a_traced_child(session, other):
    async with session.spawn(["sleep", "1000"], trace=True) as child:
        await child.kill("STOP")
        assert (await child.event())["stopped"] == signal.SIGSTOP
        await session.kill(child.pid, "CONT")
        assert (await child.event())["continued"] is True
        assert child.returncode is None


@session_test
async def test_children_of_the_session_are_events_each(session, other):
    everyone = await session.watch("child", pid=0)
    children = await asyncio.gather(*(session.spawn(["true"]) for _ in range(20)))
    pids = {(await everyone.event())["pid"] for _ in children}
    assert pids == {child.pid for child in children}


# --- cancellation -----------------------------------------------------------


@session_test
async def test_a_cancelled_watch_leaves_no_watcher(session, other):
    for pause in range(12):
        task = asyncio.ensure_future(session.watch("timer", after=0, repeat=0.001))
        for _ in range(pause):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            await task.result().unwatch()
    await session.poll()
    await session.poll()
    assert watchers(other, session) == []
    assert session.queued == 0
    assert not session._watchers


@pytest.mark.parametrize("early", [True, False])
def test_a_watch_cancelled_as_its_reply_comes_leaves_no_watcher(evd, other, early):
    """Early: the reply is read; else the task is about to get it."""

    async def main():
        async with pyev.evd.connect() as session:
            starting = session.watch("timer", "a", after=0, repeat=0.001)
            task = asyncio.ensure_future(starting)

            def registered(result):
                if early:
                    task.cancel()
                else:
                    asyncio.get_running_loop().call_soon(task.cancel)

            starting._watcher._registered = registered
            with pytest.raises(asyncio.CancelledError):
                await task
            await session.poll()
            assert watchers(other, session) == []
            assert session.queued == 0 and not session._watchers

    evdpython.run(main)


@session_test
async def test_cancelled_at_each_step(session, other):
    """Whatever it waits for just then, nothing is left, here and in the daemon."""
    reader, writer = os.pipe()
    os.write(writer, b"x")

    async def work():
        async with session.watch("timer", after=0, repeat=0.001) as tick:
            async for _ in tick:
                break
            await tick.stop()
        async with session.spawn(["sleep", "1000"]) as child:
            await child.kill()
            await child.wait()
        async with session.watch("io", fd=reader, events="r") as readable:
            for _ in range(2):
                await readable.__anext__()

    steps = 0
    done = False
    while not done:
        task = asyncio.ensure_future(work())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        done = not task.cancelled()
        # The second is behind what the first one's answers have brought about.
        await session.poll()
        await session.poll()
        assert watchers(other, session) == []
        assert not session._watchers and session.queued == 0
        steps += 1 + steps // 20
    assert task.exception() is None
    os.close(reader)
    os.close(writer)


@session_test
async def test_a_cancelled_watch_does_not_take_another_ones_name(session, other):
    await session.watch("async", "mine")
    task = asyncio.ensure_future(session.watch("async", "mine"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await session.poll()
    assert watchers(other, session) == ["mine"]


@session_test
async def test_a_cancelled_body_leaves_no_watcher(session, other):
    entered = asyncio.Event()

    async def body():
        async with session.watch("timer", after=0, repeat=0.001) as tick:
            async for _ in tick:
                entered.set()

    task = asyncio.ensure_future(body())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert watchers(other, session) == []


@session_test
async def test_a_cancelled_spawn_leaves_no_child(session, other):
    task = asyncio.ensure_future(session.spawn(["sleep", "1000"]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await session.poll()

    def none():
        sessions = other.call("list")["sessions"]
        return all(not entry["children"] for entry in sessions)

    wait_until(none, "the child has gone")
    assert watchers(other, session) == []


@session_test
async def test_a_wait_that_times_out_loses_no_event(session, other):
    watcher = await session.watch("async")
    for _ in range(5):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(watcher.event(), 0.001)
    await watcher.feed(1)
    assert (await asyncio.wait_for(watcher.event(), 60)).revents == 1


@session_test
async def test_an_event_goes_to_another_one_if_who_had_it_is_cancelled(session, other):
    watcher = await session.watch("async")
    first = asyncio.ensure_future(watcher.event())
    second = asyncio.ensure_future(watcher.event())
    await asyncio.sleep(0)
    await watcher.feed(1)
    await condition(lambda: watcher.queued == 1, "the event is here")
    # It was given to the first, who does not run any more.
    first.cancel()
    assert (await second).revents == 1
    with pytest.raises(asyncio.CancelledError):
        await first


# --- back-pressure ----------------------------------------------------------


def test_a_reader_that_lags_stops_reading(evd, other):
    async def main():
        async with pyev.evd.connect(max_queue=10) as session:
            timers = [
                await session.watch("timer", after=0, repeat=0.001) for _ in range(20)
            ]
            await condition(lambda: session.queued >= 10, "ten events have come")
            # What was on its way was taken with it; from now on nothing is.
            assert not session._reading
            await asyncio.sleep(0.05)
            queued = session.queued
            assert queued <= 40 and not session._reading

            due = {}
            for _ in range(100):
                event = await session.event()
                due[event.watcher] = due.get(event.watcher, 0) + 1 + event.overrun
            assert set(due) == {timer.name for timer in timers}

    evdpython.run(main)


def test_a_lagging_reader_can_still_call(evd, other):
    async def main():
        async with pyev.evd.connect(max_queue=10) as session:
            for _ in range(10):
                await session.watch("timer", after=0, repeat=0.0001)
            for _ in range(300):
                await session.poll()
            # It had to read, and merged as the daemon does.
            assert session.queued <= 20
            events = [await session.event() for _ in range(session.queued)]
            assert max(event.overrun for event in events) > 0

    evdpython.run(main)


def test_a_watcher_that_nobody_reads_does_not_keep_others_waiting(evd, other):
    async def main():
        async with pyev.evd.connect(max_queue=10) as session:
            async with session.watch("timer", after=0, repeat=0.0001) as ignored:
                async with session.watch("timer", after=0, repeat=0.001) as heard:
                    for _ in range(100):
                        await heard.event()
                assert ignored.queued <= 10

    evdpython.run(main)


def test_the_law_holds_through_a_lag(evd, other):
    """Ticks due = events + overruns + what was taken back, however it was read."""

    async def main():
        async with pyev.evd.connect(max_queue=2) as session:
            fed = 0
            watchers = [await session.watch("async") for _ in range(5)]
            for _ in range(50):
                for watcher in watchers:
                    await watcher.feed(1)
                    fed += 1
            counted = 0
            while session.queued:
                counted += 1 + (await session.event()).overrun
            for watcher in watchers:
                cleared = await watcher.unwatch()
                if cleared:
                    counted += 1 + cleared.overrun
            assert counted == fed

    evdpython.run(main)


@session_test
async def test_who_writes_more_than_the_daemon_takes_waits(session, other):
    data = "x" * 4000
    calls = [session.watch("async", data=data) for _ in range(3000)]
    watchers = await asyncio.gather(*calls)
    assert len({watcher.name for watcher in watchers}) == 3000
    assert session._output.size == 0


def test_a_stopped_daemon_does_not_take_the_memory(evd, other):
    async def main():
        async with pyev.evd.connect() as session:
            await session.now()
            evd.process.send_signal(signal.SIGSTOP)
            try:
                calls = [
                    asyncio.ensure_future(
                        session.call("hello", need=["timer"] * 500, reply=False)
                    )
                    for _ in range(500)
                ]
                await asyncio.sleep(0.05)
                assert session._output.size <= (1 << 18) + 8192
                assert not all(call.done() for call in calls)
            finally:
                evd.process.send_signal(signal.SIGCONT)
            await asyncio.gather(*calls)
            await session.poll()

    evdpython.run(main)


# --- nobody waits -----------------------------------------------------------


def test_an_error_that_nobody_waits_for_is_reported(evd):
    async def main():
        reported = []
        async with pyev.evd.connect() as session:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda loop, context: reported.append(context))
            assert await session.call("stop", watcher="none", reply=False) == {}
            await session.now()
            assert reported[0]["exception"].code == "no-such-watcher"
            session.on_error = reported.append
            session.post("stop", watcher="none")
            await session.now()
            assert reported[1].watcher == "none"

    evdpython.run(main)


# --- the end ----------------------------------------------------------------


def test_a_killed_daemon_raises_in_all_that_wait():
    async def main(evd):
        async with pyev.evd.connect() as session:
            watcher = await session.watch("async")
            child = await session.spawn(["sleep", "1000"], on_end="leave")
            await session.now()
            evd.process.send_signal(signal.SIGSTOP)
            waiting = [
                session.now(),
                session.watch("timer", after=1),
                session.event(),
                watcher.event(),
                take(session),
                take(watcher),
                child.wait(),
                watcher.stop(),
            ]
            tasks = [asyncio.ensure_future(one) for one in waiting]
            closed = asyncio.ensure_future(session.wait_closed())
            await asyncio.sleep(0.01)
            evd.kill()
            for task in tasks:
                with pytest.raises(Closed) as caught:
                    await task
                assert caught.value.reason is None and not caught.value.expected
                assert "without a word" in str(caught.value)
            assert await closed is None
            assert session.closed
            with pytest.raises(Closed):
                await session.now()
            session.post("now")
            os.kill(child.pid, signal.SIGKILL)

    daemon = Daemon()
    with evdpython.at(daemon.path):
        evdpython.run(lambda: main(daemon))


def test_a_daemon_that_ends_says_so():
    async def main(evd):
        async with pyev.evd.connect() as session:
            watcher = await session.watch("async")
            await watcher.feed(1)
            await session.poll()
            evd.process.terminate()
            assert await session.wait_closed() == "exit"
            # What was read before is still there.
            assert (await watcher.event()).revents == 1
            with pytest.raises(Closed) as caught:
                await take(session)
            assert caught.value.reason == "exit"
            with pytest.raises(Closed) as caught:
                await take(watcher)

    with Daemon() as daemon, evdpython.at(daemon.path):
        evdpython.run(lambda: main(daemon))


@session_test
async def test_a_watcher_with_end_ends_the_iteration(session, other):
    await session.watch("timer", "a", after=0, priority=1)
    await session.watch("timer", "b", after=0.01, end=True)
    assert [event.watcher for event in await take(session)] == ["a", "b"]
    assert await session.wait_closed() == "end"


@session_test
async def test_shutdown_lets_events_come(session, other):
    async with session.watch("timer", after=0.01) as tea:
        await session.shutdown()
        with pytest.raises(Error, match="no more commands"):
            await session.now()
        assert len(await take(tea)) == 1
        assert await take(session) == []
        assert session.reason == "half-close"


@session_test
async def test_a_watcher_can_be_left_after_shutdown(session, other):
    async with session.spawn(["sleep", "1000"]):
        async with session.watch("timer", after=0, repeat=600, hold=True) as timer:
            async for _ in timer:
                await session.shutdown()
                break
            timer.__aiter__()
    session.post("now")


@session_test
async def test_close_ends_what_waits(session, other):
    watcher = await session.watch("async")
    tasks = [asyncio.ensure_future(take(one)) for one in (session, watcher)]
    event = asyncio.ensure_future(session.event())
    await asyncio.sleep(0)
    await session.close()
    assert [await task for task in tasks] == [[], []]
    with pytest.raises(Closed) as caught:
        await event
    assert caught.value.reason == "close"


@session_test
async def test_close_writes_what_is_unsent(session, other):
    async with pyev.evd.connect("bell") as waits:
        bell = await waits.watch("async", "ring")
        session.post("send", session="bell", watcher="ring")
        await session.close()
        assert (await bell.event()).revents == 0x80000


def test_one_session_after_the_other(evd):
    async def main():
        seen = []
        async for session in pyev.evd.connect("phoenix"):
            seen.append(session.name)
            try:
                await session.watch("timer", after=0, end=len(seen) == 3)
                if len(seen) < 3:
                    session._sock.shutdown(socket.SHUT_RDWR)
                async for _ in session:
                    pass
            except Closed:
                continue
            if len(seen) == 3:
                break
        assert seen == ["phoenix"] * 3

    evdpython.run(main)


def test_what_is_not_closed_is_warned_of(evd):
    async def main():
        session = await pyev.evd.connect()
        # Nobody but the event loop has it.
        asyncio.get_running_loop().remove_reader(session._sock.fileno())
        session._reading = False
        del session
        gc.collect()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(main())
        gc.collect()
    assert any("unclosed <Session" in str(w.message) for w in caught), caught


def test_who_is_not_evd_ends_the_session():
    async def main():
        ours, theirs = socket.socketpair()
        session = pyev.evd.Session(ours)
        waiting = asyncio.ensure_future(session.now())
        await asyncio.sleep(0)
        theirs.send(b"SSH-2.0-OpenSSH_9.2\r\n")
        with pytest.raises(Closed, match="is not evd"):
            await waiting
        theirs.close()

    evdpython.run(main)


# --- event loops, threads, processes ----------------------------------------


def test_several_event_loops(evd):
    def one(results):
        async def main():
            async with pyev.evd.connect() as session:
                async with session.watch("timer", after=0, repeat=0.001) as tick:
                    for _ in range(20):
                        await tick.event()
            return threading.active_count()

        results.append(asyncio.run(main()))

    results = []
    before = threading.active_count()
    threads = [threading.Thread(target=one, args=(results,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one(results)
    assert len(results) == 5
    # None but those of this test.
    assert max(results) <= before + len(threads)


def test_a_session_belongs_to_its_event_loop(evd):
    async def connect():
        return await pyev.evd.connect()

    async def use(session):
        with pytest.raises(RuntimeError, match="another event loop"):
            await session.now()

    loop = asyncio.new_event_loop()
    session = loop.run_until_complete(connect())
    asyncio.run(use(session))
    loop.run_until_complete(session.close())
    loop.close()


def test_a_child_process_closes_its_copy(evd, other):
    async def main():
        async with pyev.evd.connect() as session:
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                signal.alarm(60)  # whatever becomes of the test
                good = session.closed and session.reason == "fork"
                good = good and session._sock.fileno() == -1
                os.write(writer, b"y" if good else b"n")
                os.read(reader, 0)
                signal.pause()
            assert os.read(reader, 1) == b"y"
            # The parent's is whole.
            async with session.watch("timer", after=0) as timer:
                assert len(await take(timer)) == 1
            name = session.name
            os.close(reader)
            os.close(writer)
        wait_until(
            lambda: name not in [s["session"] for s in other.call("list")["sessions"]],
            "the session ends while the child lives",
        )
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    evdpython.run(main)
