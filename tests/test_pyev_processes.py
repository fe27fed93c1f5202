"""pyev's Signal, Child and Async; threads, and forks."""

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc

import pytest

from evdtest import LIMIT
from pyevtest import (
    fixture_default,
    fixture_evd,
    fixture_limit,
    fixture_log,
    fixture_loop,
    in_child,
    pyev,
)


def kill(signum=signal.SIGUSR1):
    os.kill(os.getpid(), signum)


# --- Signal ------------------------------------------------------------------


def test_signal(loop, log):
    watchers = [
        loop.signal(signal.SIGUSR1, lambda w, r: (log.append(r), w.stop()))
        for _ in range(2)
    ]
    for watcher in watchers:
        watcher.start()
    kill()
    loop.start()
    assert log == [pyev.EV_SIGNAL] * 2
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_signal_while_waiting(loop, log):
    watcher = loop.signal(signal.SIGUSR1, log.once("s"))
    watcher.start()
    thread = threading.Timer(0.05, kill)
    thread.start()
    assert loop.start() is False
    thread.join()
    assert log == ["s"]


def test_signal_arguments(loop):
    watcher = loop.signal(signal.SIGUSR1, print)
    assert watcher.signum == signal.SIGUSR1
    for number, kinds in [
        (0, (pyev.Error, ValueError)),
        (-1, (pyev.Error, ValueError)),
        (signal.NSIG, (pyev.Error, ValueError)),
        (1.0, TypeError),
        (1 << 40, OverflowError),
    ]:
        with pytest.raises(kinds):
            loop.signal(number, print)
        with pytest.raises(kinds):
            watcher.set(number)
    with pytest.raises(AttributeError):
        watcher.signum = 1
    watcher.set(signal.SIGKILL)
    with pytest.raises(pyev.Error):
        watcher.start()
    assert not watcher.active and loop.start() is False


def test_a_python_handler_does_not_run_while_it_is_watched(loop, log):
    before = signal.signal(signal.SIGUSR1, lambda signum, frame: log.append("python"))
    watcher = loop.signal(signal.SIGUSR1, log.once("pyev"))
    watcher.start()
    kill()
    loop.start()
    assert log == ["pyev"]
    signal.signal(signal.SIGUSR1, before)


def test_one_signal_on_two_loops(loop, log):
    other = pyev.Loop()
    watcher = loop.signal(signal.SIGUSR1, log.once("s"))
    second = other.signal(signal.SIGUSR1, print)
    watcher.start()
    with pytest.raises(pyev.Error):
        second.start()
    assert not second.active
    watcher.stop()
    second.start()
    second.stop()


def test_a_loop_that_is_dropped_gives_its_signals_back(evd):
    for _ in range(2):
        loop = pyev.Loop()
        watcher = loop.signal(signal.SIGUSR1, print)
        watcher.start()
        assert signal.getsignal(signal.SIGUSR1) != signal.SIG_DFL
        del watcher
        del loop
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_feed_signal(loop, log):
    watcher = loop.signal(signal.SIGUSR1, log.callback("s"))
    watcher.start()
    pyev.feed_signal(signal.SIGUSR1)
    pyev.feed_signal(signal.SIGUSR2)
    loop.start(pyev.EVRUN_NOWAIT)
    assert log == ["s"]
    watcher.stop()
    with pytest.raises((pyev.Error, ValueError)):
        pyev.feed_signal(0)


def test_a_storm_of_signals(loop, log):
    """Every last signal is seen, however many come."""
    watcher = loop.signal(signal.SIGUSR1, log.callback("s"))
    watcher.start()
    program = (
        "import os, sys\nfor _ in range(20000): os.kill(%d, %d)" % (os.getpid(), 10)
    )
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        while process.poll() is None:
            loop.start(pyev.EVRUN_NOWAIT)
    log.clear()
    kill()
    while not log:
        loop.start(pyev.EVRUN_ONCE)
    watcher.stop()


def test_python_handlers_run_while_it_waits(loop, log):
    def handler(signum, frame):
        log.append("handler")
        loop.stop()

    before = signal.signal(signal.SIGUSR1, handler)
    timer = loop.timer(3600.0, 0.0, print)
    timer.start()
    thread = threading.Timer(0.05, kill)
    # From inside of the loop: before it there is none to stop.
    begin = loop.timer(0.0, 0.0, lambda watcher, revents: thread.start())
    begin.start()
    assert loop.start() is True
    assert log == ["handler"]
    thread.join()
    signal.signal(signal.SIGUSR1, before)
    timer.stop()


def test_a_handler_starts_and_stops_watchers(loop, log):
    left, right = socket.socketpair()

    def handler(signum, frame):
        io.stop()
        timer.start()

    before = signal.signal(signal.SIGUSR1, handler)
    io = loop.io(right, pyev.EV_READ, log.callback("io"))
    io.start()
    timer = loop.timer(0.0, 0.0, log.callback("timer"))
    thread = threading.Timer(0.05, kill)
    thread.start()
    assert loop.start() is False
    assert log == ["timer"]
    thread.join()
    signal.signal(signal.SIGUSR1, before)
    left.close()
    right.close()


def test_signals_of_somebody_elses_wakeup_descriptor(loop, log):
    """asyncio has its own: it gets what came while the loop waited."""
    left, right = socket.socketpair()
    left.setblocking(False)
    before = signal.set_wakeup_fd(left.fileno())
    watcher = loop.signal(signal.SIGUSR1, log.once("s"))
    watcher.start()
    thread = threading.Timer(0.05, kill)
    thread.start()
    loop.start()
    thread.join()
    assert right.recv(10) == bytes([signal.SIGUSR1])
    assert signal.set_wakeup_fd(before) == left.fileno()
    left.close()
    right.close()


def test_a_signal_in_another_thread(loop):
    errors = []

    def start():
        try:
            loop.signal(signal.SIGUSR1, print).start()
        except pyev.Error as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(errors) == 1


# --- Child -------------------------------------------------------------------


def spawn(code):
    # Not subprocess, which waits for what nobody refers to any more.
    return os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)


def test_child(default, log):
    pid = spawn("raise SystemExit(3)")

    def callback(watcher, revents):
        log.append((revents, watcher.rpid, watcher.rstatus, watcher.active))
        watcher.stop()

    child = default.child(pid, False, callback)
    assert (child.pid, child.rpid, child.rstatus) == (pid, 0, 0)
    assert child.priority == pyev.EV_MAXPRI
    child.start()
    assert default.start() is False
    assert log == [(pyev.EV_CHILD, pid, 3 << 8, True)]
    child.rpid = 5
    child.rstatus = 6
    assert (child.rpid, child.rstatus) == (5, 6)
    with pytest.raises(AttributeError):
        child.pid = 5


def test_child_needs_the_default_loop(loop):
    with pytest.raises(pyev.Error):
        loop.child(1, False, print)
    with pytest.raises(pyev.Error):
        pyev.Child(0, True, loop, print)


def test_child_arguments(default):
    child = default.child(1, False, print)
    for pid, kind in [(1.0, TypeError), (1 << 40, OverflowError)]:
        with pytest.raises(kind):
            child.set(pid, False)
    child.set(7, True)
    assert child.pid == 7


def test_child_that_has_ended_already(default, log):
    pid = spawn("")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    watchers = [default.child(p, False, log.once(p)) for p in (pid, pid, 0)]
    for watcher in watchers:
        watcher.start()
    assert default.start() is False
    assert sorted(log) == [0, pid, pid]


def test_any_child(default, log):
    pids = [spawn("raise SystemExit(%d)" % n) for n in range(10)]

    def callback(watcher, revents):
        log.append((watcher.rpid, os.WEXITSTATUS(watcher.rstatus)))
        if len(log) == 10:
            default.stop()

    child = default.child(0, False, callback)
    special = default.child(pids[4], False, lambda w, r: special_log.append(w.rpid))
    special_log = []
    for watcher in (child, special):
        watcher.start()
    default.start()
    assert sorted(log) == sorted((pid, n) for n, pid in enumerate(pids))
    assert special_log == [pids[4]]
    for watcher in (child, special):
        watcher.stop()
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


def test_trace(default, log):
    pid = spawn("import time; time.sleep(600)")

    def callback(watcher, revents):
        status = watcher.rstatus
        if os.WIFSTOPPED(status):
            log.append("stopped")
            os.kill(pid, signal.SIGCONT)
        elif os.WIFCONTINUED(status):
            log.append("continued")
            os.kill(pid, signal.SIGTERM)
        else:
            log.append(os.WTERMSIG(status))
            watcher.stop()

    child = default.child(pid, True, callback)
    untraced = default.child(pid, False, log.once("untraced"))
    for watcher in (child, untraced):
        watcher.start()
    os.kill(pid, signal.SIGSTOP)
    assert default.start() is False
    assert log[:2] == ["stopped", "continued"]
    assert sorted(map(str, log[2:])) == ["15", "untraced"]


def test_a_child_that_the_program_waits_for_itself(default, log):
    pid = spawn("")
    child = default.child(pid, False, log.callback("child"))
    child.start()
    os.waitpid(pid, 0)
    for _ in range(3):
        assert default.start(pyev.EVRUN_NOWAIT) is True
    assert log == []
    child.stop()


def test_child_beside_subprocess(default, log):
    """Children that nobody watches are left to the program."""
    other = subprocess.Popen([sys.executable, "-c", "raise SystemExit(5)"])
    child = default.child(spawn(""), False, log.once("child"))
    child.start()
    default.start()
    assert other.wait() == 5 and log == ["child"]


def test_children_that_are_dropped_leave_nothing(default, log):
    """Also those whose start was refused, here as another loop has SIGCHLD."""
    other = pyev.Loop()
    signals = other.signal(signal.SIGCHLD, print)

    def drop(count):
        for _ in range(count):
            default.child(os.getpid(), False, print).start()
            default.child(os.getpid(), True, print).start()
            assert default.start(pyev.EVRUN_NOWAIT) is False
            signals.start()
            with pytest.raises(pyev.Error):
                default.child(0, False, print).start()
            signals.stop()
        gc.collect()

    drop(2)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    drop(200)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    # One entry of a table, with its key and weak reference, is some 200 bytes.
    assert grown < 200 * 100


# --- Async -------------------------------------------------------------------


def make_async(loop, callback):
    return getattr(loop, "async")(callback)


def test_async(loop, log):
    watcher = make_async(loop, lambda w, r: (log.append((r, w.sent)), w.stop()))
    assert watcher.sent is False
    watcher.send()
    assert watcher.sent is False
    watcher.start()
    assert loop.start(pyev.EVRUN_NOWAIT) is True
    watcher.send()
    watcher.send()
    assert watcher.sent is True
    assert loop.start() is False
    assert log == [(pyev.EV_ASYNC, False)]
    with pytest.raises(AttributeError):
        watcher.sent = True


def test_start_forgets_earlier_sends(loop, log):
    watcher = make_async(loop, log.callback("a"))
    watcher.start()
    watcher.send()
    watcher.stop()
    watcher.start()
    assert watcher.sent is False
    loop.start(pyev.EVRUN_NOWAIT)
    assert log == []
    watcher.stop()


def test_send_from_threads(loop, log):
    """Nothing is lost: what was put before each send is seen after it."""
    todo = []
    seen = []

    def drain(watcher, revents):
        while todo:
            seen.append(todo.pop())
        if len(seen) == 4 * 2000:
            watcher.stop()

    def produce(base):
        for n in range(2000):
            todo.append(base + n)
            watcher.send()

    watcher = make_async(loop, drain)
    watcher.start()
    threads = [threading.Thread(target=produce, args=(10000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    assert loop.start() is False
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 8000


def test_send_from_a_signal_handler(loop, log):
    watcher = make_async(loop, log.callback("a"))
    watcher.start()
    before = signal.signal(signal.SIGALRM, lambda signum, frame: watcher.send())
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    while len(log) < 200:
        loop.start(pyev.EVRUN_ONCE)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    watcher.stop()


def test_several_loops_in_several_threads(evd):
    counts = {}

    def run(number):
        loop = pyev.Loop(debug=True)
        left, right = socket.socketpair()
        done = []

        def tick(watcher, revents):
            left.send(b"x")
            other.send()

        def ready(watcher, revents):
            assert right.recv(10)
            done.append("io")
            if len(done) > 300:
                loop.stop()

        other = make_async(loop, lambda w, r: done.append("async"))
        watchers = [
            loop.timer(0.001, 0.001, tick),
            loop.io(right, pyev.EV_READ, ready),
            other,
        ]
        for watcher in watchers:
            watcher.start()
        loop.start()
        counts[number] = (done.count("io"), done.count("async"))
        for watcher in watchers:
            watcher.stop()
        left.close()
        right.close()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == 6
    assert all(io > 50 and sent > 50 for io, sent in counts.values())


def test_watchers_dropped_in_another_thread(loop, log):
    """As the garbage collector may do it."""
    watchers = [loop.timer(0.0, 0.001, log.callback("t")) for _ in range(100)]
    for watcher in watchers:
        watcher.start()
    del watcher
    loop.start(pyev.EVRUN_NOWAIT)
    thread = threading.Thread(target=watchers.clear)
    thread.start()
    assert loop.start() is False
    thread.join()


# --- fork --------------------------------------------------------------------


def test_a_loop_works_in_a_child(loop, log):
    left, right = socket.socketpair()
    timer = loop.timer(1.0, 0.0, log.callback("timer"))
    io = loop.io(right, pyev.EV_READ, log.once("io"))
    left.send(b"x")
    for watcher in (timer, io):
        watcher.start()
    loop.start(pyev.EVRUN_NOWAIT)
    assert log == ["io"]
    io.start()

    def child():
        assert loop.start() is False
        assert sorted(log) == ["io", "io", "timer"]

    for _ in range(3):
        in_child(child)
    assert loop.start() is False
    assert sorted(log) == ["io", "io", "timer"]
    left.close()
    right.close()


def test_a_child_closes_the_parents_descriptors(loop, evd):
    connection = loop._ev_connection.fileno()
    numbers = [connection, loop._ev_wakeup.reader, loop._ev_wakeup._writer]

    def child():
        for number in numbers:
            with pytest.raises(OSError):
                os.fstat(number)

    in_child(child)
    # Not a byte was written, and the session lives on.
    loop.timer(0.0, 0.0, print).start()
    assert loop.start() is False
    assert loop._ev_connection.fileno() == connection


def test_fork_inside_of_a_callback(loop, log):
    def callback(watcher, revents):
        if os.fork() == 0:
            signal.alarm(60)
            log.append("child")
        else:
            log.append("parent")
            os.wait()

    timer = loop.timer(0.0, 0.0, callback)
    after = loop.timer(0.05, 0.0, log.callback("after"))
    for watcher in (timer, after):
        watcher.start()
    try:
        loop.start()
    except BaseException:
        log.append("error")
    if "child" in log:
        os._exit(0 if log == ["child", "after"] else 1)
    assert log == ["parent", "after"]


def test_fork_in_a_signal_handler(loop, log):
    """While the loop waits: the child waits on, and does not look again and again."""
    pids = []

    def handler(signum, frame):
        pids.append(os.fork())
        if pids[0] == 0:
            signal.alarm(int(LIMIT))  # deadly

    before = signal.signal(signal.SIGUSR1, handler)
    timer = loop.timer(0.3, 0.0, log.callback("timer"))
    thread = threading.Timer(0.05, kill)
    begin = loop.timer(0.0, 0.0, lambda watcher, revents: thread.start())
    for watcher in (timer, begin):
        watcher.start()
    try:
        loop.start()
    finally:
        if pids[0] == 0:
            os._exit(log != ["timer"])
    assert log == ["timer"]
    assert os.waitpid(pids[0], 0)[1] == 0
    thread.join()
    signal.signal(signal.SIGUSR1, before)


def test_fork_watchers_in_a_child(evd, log):
    for flags, reset, expected in [
        (0, False, []),
        (0, True, ["fork"]),
        (pyev.EVFLAG_FORKCHECK, False, ["fork"]),
    ]:
        loop = pyev.Loop(flags, debug=True)
        watcher = loop.fork(log.callback("fork"))
        watcher.start()

        def child():
            if reset:
                loop.reset()
            for _ in range(2):
                loop.start(pyev.EVRUN_NOWAIT)
            assert log == expected

        in_child(child)
        assert log == []
        watcher.stop()


def test_signals_in_a_child(loop, log):
    watcher = loop.signal(signal.SIGUSR1, log.once("s"))
    watcher.start()
    loop.start(pyev.EVRUN_NOWAIT)

    def child():
        timer = loop.timer(0.01, 0.0, lambda w, r: kill())
        timer.start()
        loop.start()
        assert log == ["s"]

    in_child(child)
    watcher.stop()


def test_async_in_a_child(loop, log):
    watcher = make_async(loop, log.once("a"))
    watcher.start()

    def child():
        threading.Timer(0.05, watcher.send).start()
        loop.start()
        assert log == ["a"]

    in_child(child)
    watcher.stop()


def test_descriptors_are_opened_by_the_constructor(evd, log):
    loop = pyev.Loop(debug=True)
    before = os.listdir("/proc/self/fd")
    left, right = socket.socketpair()
    opened = os.listdir("/proc/self/fd")
    watchers = [
        loop.timer(0.0, 0.0, print),
        loop.io(right, pyev.EV_READ, print),
        loop.signal(signal.SIGUSR1, print),
        make_async(loop, print),
        loop.stat("/", 0.0, print),
        loop.idle(lambda w, r: w.stop()),
    ]
    for watcher in watchers:
        watcher.start()
    for _ in range(3):
        loop.start(pyev.EVRUN_NOWAIT)
    assert os.listdir("/proc/self/fd") == opened != before
    for watcher in watchers:
        watcher.stop()
    left.close()
    right.close()


def test_a_forking_server(loop, evd):
    """Loops made before the fork serve in the children."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        address = listener.getsockname()
        ready, is_ready = os.pipe()
        pids = []
        for _ in range(4):
            pid = os.fork()
            if pid == 0:
                signal.alarm(60)
                try:
                    serve(loop, listener, is_ready)
                finally:
                    os._exit(1)
            pids.append(pid)
        for n in range(40):
            with socket.create_connection(address) as client:
                client.sendall(b"%d\n" % n)
                with client.makefile("rb") as file:
                    served, text = file.readline().split()
                    assert int(served) in pids and int(text) == n
        for pid in pids:
            assert os.read(ready, 1)
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
            assert os.waitpid(pid, 0)[1] == 0
        os.close(ready)
        os.close(is_ready)


def serve(loop, listener, is_ready):
    listener.setblocking(False)
    clients = {}

    def accept(watcher, revents):
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return
        clients[client] = loop.io(client, pyev.EV_READ, echo, client)
        clients[client].start()

    def echo(watcher, revents):
        client = watcher.data
        data = client.recv(4096)
        if data:
            client.sendall(b"%d " % os.getpid() + data)
        else:
            clients.pop(client).stop()
            client.close()

    def end(watcher, revents):
        os._exit(0)

    watchers = [
        loop.io(listener, pyev.EV_READ, accept),
        loop.signal(signal.SIGTERM, end),
    ]
    for watcher in watchers:
        watcher.start()
    os.write(is_ready, b"x")
    loop.start()
