"""What all watchers of pyev have in common: arguments, attributes, life."""

import errno
import gc
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys

import pytest

from evdtest import LIMIT, Daemon
from pyevtest import (
    environment,
    fixture_default,
    fixture_evd,
    fixture_limit,
    fixture_log,
    fixture_loop,
    pyev,
)

# Type: its own arguments, another set of them.
TYPES = {
    "Io": ((0, pyev.EV_READ), (1, pyev.EV_WRITE)),
    "Timer": ((3600.0, 0.0), (60.0, 1.0)),
    "Periodic": ((0.0, 3600.0), (1.0, 60.0)),
    "Scheduler": ((lambda watcher, now: now + 3600,), None),
    "Signal": ((signal.SIGUSR1,), (signal.SIGUSR2,)),
    "Child": ((0, False), (1, True)),
    "Stat": (("/nowhere/a", 0.0), ("/nowhere/b", 1.0)),
    "Idle": ((), None),
    "Prepare": ((), None),
    "Check": ((), None),
    "Fork": ((), None),
    "Async": ((), None),
}


@pytest.fixture(name="make", params=TYPES)
def fixture_make(request, default):
    """Makes a watcher of each type."""
    name = request.param

    def make(callback=print, *args, **kwargs):
        watcher = getattr(pyev, name)(
            *TYPES[name][0], default, callback, *args, **kwargs
        )
        made.append(watcher)
        return watcher

    made = []
    make.name = name
    make.loop = default
    make.other = TYPES[name][1]
    yield make
    for watcher in made:
        watcher.stop()


def test_arguments(make):
    watcher = make()
    assert (watcher.callback, watcher.data, watcher.active) == (print, None, False)
    assert watcher.loop is make.loop and watcher.pending is False
    assert watcher.priority == (pyev.EV_MAXPRI if make.name == "Child" else 0)
    watcher = make(len, "data", 1)
    assert (watcher.callback, watcher.data) == (len, "data")
    watcher = make(len, priority=-1, data=5)
    assert watcher.data == 5
    factory = getattr(make.loop, make.name.lower())
    watcher = factory(*TYPES[make.name][0], len, "data", 2)
    assert type(watcher) is getattr(pyev, make.name)
    assert (watcher.callback, watcher.data, watcher.priority) == (len, "data", 2)
    with pytest.raises(TypeError):
        factory(*TYPES[make.name][0], callback=len)


def test_wrong_arguments(make):
    for arguments in [(5,), (None,), (print, None, None), (print, None, 1.0)]:
        with pytest.raises(TypeError):
            make(*arguments)
    with pytest.raises(OverflowError):
        make(print, None, 1 << 31)
    with pytest.raises(TypeError):
        getattr(pyev, make.name)(*TYPES[make.name][0], "loop", print)
    with pytest.raises(TypeError):
        getattr(pyev, make.name)(*TYPES[make.name][0], make.loop)


def test_attributes(make):
    watcher = make()
    for name in ("loop", "active", "pending"):
        with pytest.raises(AttributeError):
            setattr(watcher, name, 1)
    with pytest.raises(AttributeError):
        del watcher.loop
    for name in ("active", "pending", "callback", "priority"):
        with pytest.raises(TypeError):
            delattr(watcher, name)
    watcher.data = 5
    del watcher.data
    assert watcher.data is None
    watcher.callback = len
    assert watcher.callback is len
    with pytest.raises(TypeError):
        watcher.callback = None
    with pytest.raises(AttributeError):
        watcher.other_attribute = 1


def test_start_and_stop(make):
    watcher = make()
    watcher.stop()
    for _ in range(2):
        watcher.start()
        assert watcher.active and not watcher.pending
    watcher.feed(1)
    for _ in range(2):
        watcher.stop()
        assert not watcher.active and not watcher.pending
    # And once more, now with the daemon.
    watcher.start()
    assert make.loop.start(pyev.EVRUN_NOWAIT) is True
    watcher.stop()
    assert make.loop.start(pyev.EVRUN_NOWAIT) is False


def test_priority(make):
    watcher = make()
    watcher.priority = 7
    assert watcher.priority == 7
    watcher.feed(0)
    with pytest.raises(pyev.Error):
        watcher.priority = "anything"
    watcher.clear()
    watcher.start()
    assert watcher.priority == pyev.EV_MAXPRI
    with pytest.raises(pyev.Error):
        watcher.priority = "anything"
    watcher.stop()
    for value, kind in ((None, TypeError), (1 << 40, OverflowError)):
        with pytest.raises(kind):
            watcher.priority = value


def test_feed_clamps_a_priority_out_of_range(make, log):
    watcher = make(log.callback("w"))
    watcher.priority = -1000
    watcher.feed(1)
    watcher.loop.invoke()
    assert log == ["w"] and watcher.priority == -1000


def test_set(make):
    watcher = make()
    if make.other is None:
        assert not hasattr(watcher, "set")
        return
    watcher.set(*make.other)
    watcher.start()
    with pytest.raises(pyev.Error):
        watcher.set(*["nonsense"] * len(make.other))
    assert watcher.active


def test_invoke(make, log):
    watcher = make(lambda w, revents: log.append((w is watcher, revents)))
    watcher.feed(2)
    watcher.invoke(1)
    assert log == [(True, 1)]
    assert watcher.pending and not watcher.active
    assert watcher.clear() == 2
    for method in (watcher.invoke, watcher.feed):
        with pytest.raises(TypeError):
            method(1.0)
        with pytest.raises(OverflowError):
            method(1 << 31)


def test_dropped(default, log):
    for name, (arguments, _) in TYPES.items():
        kind = getattr(pyev, name)
        kind(*arguments, default, log.callback(name)).start()
        kind(*arguments, default, log.callback(name)).feed(1)
    default.timer(0.0, 0.0, log.callback("factory")).start()
    assert default.start() is False
    assert log == [] and default.pending == 0


def test_dropped_by_another_callback(loop, log):
    def drop(watcher, revents):
        others.clear()
        log.append("drop")

    others = [loop.timer(0.0, 1.0, log.callback("t")) for _ in range(5)]
    first = loop.timer(0.0, 0.0, drop, None, 1)
    for watcher in (*others, first):
        watcher.start()
    del watcher
    assert loop.start() is False
    assert log == ["drop"]


def test_dropped_in_a_cycle(loop, log):
    class Owner:
        def __init__(self):
            self.timer = loop.timer(0.0, 0.001, self.tick)
            self.timer.start()

        def tick(self, watcher, revents):
            log.append("t")

    Owner()
    gc.collect()
    assert loop.start() is False
    assert log == []


def test_initialised_again(make):
    watcher = make()
    arguments = TYPES[make.name][0]
    watcher.__init__(*arguments, make.loop, len, 6)
    assert (watcher.callback, watcher.data) == (len, 6)
    watcher.start()
    with pytest.raises(pyev.Error):
        watcher.__init__(*arguments, make.loop, len, 6)


# --- Io ----------------------------------------------------------------------


@pytest.fixture(name="pair")
def fixture_pair():
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def test_io_arguments(loop, pair):
    left, right = pair
    io = loop.io(left, pyev.EV_READ, print)
    assert (io.fd, io.events) == (left.fileno(), pyev.EV_READ)
    for name in ("fd", "events"):
        with pytest.raises(AttributeError):
            setattr(io, name, 1)
        with pytest.raises(TypeError):
            delattr(io, name)
    io.set(right.fileno(), pyev.EV_READ | pyev.EV_WRITE)
    assert (io.fd, io.events) == (right.fileno(), 3)
    for arguments, kind in [
        ((-1, 1), ValueError),
        ((1.5, 1), TypeError),
        (("x", 1), TypeError),
        ((0, 4), pyev.Error),
        ((0, pyev.EV_TIMER), pyev.Error),
        ((0, 1.0), TypeError),
        ((0, 1 << 40), OverflowError),
        ((1 << 40, 1), OverflowError),
    ]:
        with pytest.raises(kind):
            io.set(*arguments)
        with pytest.raises(kind):
            pyev.Io(*arguments, loop, print)
    assert (io.fd, io.events) == (right.fileno(), 3)


def test_io_is_level_triggered(loop, pair, log):
    left, right = pair
    io = loop.io(right, pyev.EV_READ, lambda w, revents: log.append(revents))
    io.start()
    assert loop.start(pyev.EVRUN_NOWAIT) is True and log == []
    left.send(b"x")
    for _ in range(3):
        loop.start(pyev.EVRUN_ONCE)
    assert log == [pyev.EV_READ] * 3
    right.recv(1)
    loop.start(pyev.EVRUN_NOWAIT)
    # One more may have been seen before the byte was read.
    seen = len(log)
    loop.start(pyev.EVRUN_NOWAIT)
    assert len(log) == seen <= 4


def test_io_reads_and_writes(loop, pair, log):
    left, right = pair
    left.send(b"x")
    io = loop.io(right, pyev.EV_READ | pyev.EV_WRITE, lambda w, r: log.append(r))
    io.start()
    loop.start(pyev.EVRUN_ONCE)
    assert log == [pyev.EV_READ | pyev.EV_WRITE]


def test_several_io_on_one_descriptor(loop, pair, log):
    left, right = pair
    left.send(b"x")
    watchers = [loop.io(right, pyev.EV_READ, log.once(n)) for n in range(10)]
    for watcher in watchers:
        watcher.start()
    loop.start()
    assert sorted(log) == list(range(10))


def test_io_with_mask_0_is_silent(loop, pair, log):
    io = loop.io(pair[0], 0, log.callback("io"))
    io.start()
    assert loop.start(pyev.EVRUN_NOWAIT) is True and io.active
    assert log == []


def test_io_of_a_file_is_always_ready(loop, log):
    with open(__file__) as file:
        io = loop.io(file, pyev.EV_READ, log.callback("io"))
        io.start()
        for _ in range(3):
            loop.start(pyev.EVRUN_ONCE)
        assert log == ["io"] * 3
        io.stop()


def test_io_of_a_closed_descriptor(loop, log):
    read, write = os.pipe()
    io = loop.io(read, pyev.EV_READ, log.callback("io"))
    io.start()
    os.close(read)
    with pytest.raises(pyev.Error) as raised:
        loop.start()
    # Programs expect the one or the other.
    assert isinstance(raised.value, OSError)
    assert raised.value.errno == errno.EBADF
    assert str(raised.value) == str(OSError(errno.EBADF, os.strerror(errno.EBADF)))
    assert type(raised.value.__cause__) is OSError
    copy = pickle.loads(pickle.dumps(raised.value))
    assert type(copy) is type(raised.value) and copy.args == raised.value.args
    assert not io.active and log == []
    os.close(write)


def test_a_descriptor_closed_without_stop_is_silent(loop, pair, log):
    left, right = pair
    io = loop.io(right, pyev.EV_READ, log.callback("io"))
    io.start()
    loop.start(pyev.EVRUN_NOWAIT)
    left.send(b"x")
    right.close()
    for _ in range(3):
        assert loop.start(pyev.EVRUN_NOWAIT) is True
    assert log == [] and io.active


def test_a_number_that_means_another_file(loop, log):
    """Closed without stop(), and opened again as something else."""
    left, right = socket.socketpair()
    io = loop.io(right, pyev.EV_READ, log.callback("io"))
    io.start()
    loop.start(pyev.EVRUN_NOWAIT)
    left.send(b"x")
    read, write = os.pipe()
    number = right.detach()
    os.dup2(read, number)
    assert loop.start(pyev.EVRUN_NOWAIT) is True
    assert log == []
    # From now on it is the new file that is watched.
    os.write(write, b"x")
    loop.start(pyev.EVRUN_ONCE)
    assert log == ["io"]
    io.stop()
    for fd in (read, write, number):
        os.close(fd)
    left.close()


def test_end_of_file_is_seen_right_after_stop(loop, log):
    for _ in range(100):
        read, write = os.pipe()
        io = loop.io(write, pyev.EV_WRITE, log.callback("io"))
        io.start()
        loop.start(pyev.EVRUN_ONCE)
        os.set_blocking(read, False)
        io.stop()
        os.close(write)
        assert os.read(read, 1) == b""
        os.close(read)


@pytest.mark.parametrize("how", ["drop", "set"])
def test_end_of_file_is_seen_right_after_dropping_and_set(loop, how):
    for _ in range(50):
        read, write = os.pipe()
        os.set_blocking(read, False)
        io = loop.io(write, pyev.EV_WRITE, print)
        io.callback = lambda watcher, revents: None
        io.start()
        loop.start(pyev.EVRUN_ONCE)
        if how == "drop":
            del io
        else:
            io.stop()
            io.set(read, pyev.EV_READ)
        os.close(write)
        assert os.read(read, 1) == b""
        os.close(read)


def test_an_address_can_be_bound_again_right_after_stop(loop, log):
    address = None
    for _ in range(50):
        with socket.socket() as listener:
            listener.bind(address or ("127.0.0.1", 0))
            address = listener.getsockname()
            listener.listen()
            io = loop.io(listener, pyev.EV_READ, log.callback("io"))
            io.start()
            loop.start(pyev.EVRUN_NOWAIT)
            io.stop()
    assert log == []


def test_stop_in_the_callback_of_a_busy_descriptor(loop, pair, log):
    """Events under way when a watcher is stopped reach no later run."""
    left, right = pair
    left.send(b"x")
    io = loop.io(right, pyev.EV_READ, log.callback("io"))
    for _ in range(200):
        io.start()
        loop.start(pyev.EVRUN_ONCE)
        io.stop()
    right.recv(1)
    log.clear()
    io.start()
    for _ in range(5):
        loop.start(pyev.EVRUN_NOWAIT)
    assert log == []


def test_a_thousand_descriptors(loop, log):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    pairs = [socket.socketpair() for _ in range(1000)]
    try:

        def echo(watcher, revents):
            number = watcher.data
            log.append(number)
            assert pairs[number][1].recv(10) == b"%d" % number
            if len(log) >= 3000:
                loop.stop()
                return
            pairs[number][0].send(b"%d" % number)

        watchers = [
            loop.io(right, pyev.EV_READ, echo, n) for n, (_, right) in enumerate(pairs)
        ]
        for watcher in watchers:
            watcher.start()
        for number, (left, _) in enumerate(pairs):
            left.send(b"%d" % number)
        loop.start()
        assert set(log) == set(range(1000))
        for watcher in watchers:
            watcher.stop()
    finally:
        for left, right in pairs:
            left.close()
            right.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_too_many_descriptors_under_way():
    """ETOOMANYREFS, as a user without privileges: those of others are no reason to wait
    for ever, and evd's own are waited for."""
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    program = """
import os, resource, socket, sys
import pyev
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
# A user that nobody else is: what is under way counts for the user.
os.setgid(65533); os.setuid(100000 + os.getpid())
loop = pyev.Loop(debug=True)
left, right = socket.socketpair()
reader, writer = os.pipe()
filled = 0
try:
    while True:
        socket.send_fds(left, [b"x"], [reader] * 10)
        filled += 10
except OSError as error:
    print(error.strerror)
seen = []
io = loop.io(writer, pyev.EV_WRITE, lambda w, r: (seen.append(r), w.stop()))
io.start()
try:
    loop.start()
except pyev.Error as error:
    print(error)
print(io.active, seen)
while filled:
    filled -= 10
    for fd in socket.recv_fds(right, 1, 10)[1]:
        os.close(fd)
print(loop.start(), io.active, seen)
watchers = [loop.io(reader, pyev.EV_READ, seen.append) for _ in range(450)]
for watcher in watchers:
    watcher.start()
print(loop.start(pyev.EVRUN_NOWAIT), seen)
"""
    with Daemon(args=["--socket-mode", "0666"]) as evd:
        os.chmod(evd.directory, 0o755)
        with environment(EVD_SOCKET=evd.path):
            done = subprocess.run(
                [sys.executable, "-c", program],
                env={**os.environ, "PYTHONPATH": os.path.dirname(pyev.__path__[0])},
                stdout=subprocess.PIPE,
                text=True,
                timeout=LIMIT,
                check=True,
            )
    refused, said, *rest = done.stdout.splitlines()
    assert refused == os.strerror(errno.ETOOMANYREFS)
    assert "too many of this user's are under way" in said and "64" in said
    assert rest == ["True []", "False False [2]", "True [2]"]


def test_commands_while_nothing_is_read(loop, pair, log):
    """Many more than fit unread into both sockets, with replies between them."""
    left, right = pair
    left.send(b"x")
    io = loop.io(right, pyev.EV_READ, log.callback("io"))
    timers = [loop.timer(0.0, 0.0, log.callback("t")) for _ in range(30000)]
    for _ in range(3):
        for timer in timers:
            timer.set(0.0, 0.0)
            timer.start()
        io.start()
        io.stop()
        loop.start()
    assert len(log) == 90000
