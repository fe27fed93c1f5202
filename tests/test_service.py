"""The daemon as a service: a passed socket, notifications, the units."""

import contextlib
import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from evdtest import (
    EVD,
    LIMIT,
    WRAPPER,
    Client,
    Daemon,
    command,
    connected,
    environment,
    passed,
    run,
    scaled,
    temporary_directory,
    wait_until,
)

SYSTEMD = pathlib.Path(
    os.environ.get("EVD_BUILDDIR") or pathlib.Path(EVD).parent, "systemd"
)


def has_systemd():
    with open(EVD, "rb") as program:
        return b"libsystemd" in program.read()


pytestmark = pytest.mark.skipif(
    not has_systemd(), reason="evd was built without systemd"
)


@pytest.fixture
def directory():
    path = temporary_directory()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def listener(directory):
    """A socket as systemd's, which stays when the daemon is gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(os.path.join(directory, "socket"))
        listener.listen()
        yield listener


class Notifications:
    """A socket for notifications, and what has come."""

    def __init__(self, directory):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(LIMIT)
        self.sock.bind(os.path.join(directory, "notify"))
        self.env = {"NOTIFY_SOCKET": self.sock.getsockname()}

    def next(self):
        """The lines of the next one."""
        return self.sock.recv(4096).decode().split("\n")

    def until(self, line):
        """Read until one has this line; gives those before it."""
        before = []
        while True:
            lines = self.next()
            if line in lines:
                return before
            before.append(lines)

    def drain(self):
        """What is there now, without waiting."""
        notifications = []
        self.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                notifications.append(self.sock.recv(4096).decode())
        self.sock.settimeout(LIMIT)
        return notifications


@pytest.fixture
def notify(directory):
    notifications = Notifications(directory)
    yield notifications
    notifications.sock.close()


def status(clients, watchers):
    return "STATUS=clients: %d, watchers: %d" % (clients, watchers)


# A passed socket


def test_first_command_is_not_lost(listener):
    path = listener.getsockname()
    clients = [Client(path) for _ in range(5)]
    for client in clients[1:]:
        client.send(command("hello"), command("watch", type="timer", watcher=1, after=0))
        client.shutdown()
    with Daemon(listener=listener) as evd:
        for client in clients[1:]:
            assert client.recv()["result"]["pid"] == evd.pid
            client.recv()
            assert client.event()["watcher"] == 1
            client.eof()
        assert clients[0].call("hello")["pid"] == evd.pid
        with evd.connect() as later:
            assert later.call("hello")["pid"] == evd.pid
        assert "listening on %s (passed)" % path in evd.stderr


def test_passed_socket_is_left_as_it_was(listener, directory):
    def look():
        found = os.lstat(listener.getsockname())
        return found.st_ino, found.st_mode, found.st_uid, found.st_gid

    before = look()
    for sig in (signal.SIGTERM, signal.SIGKILL):
        evd = Daemon(listener=listener)
        assert sorted(os.listdir(directory)) == ["socket"]
        with evd.connect() as c:
            c.call("now")
        assert evd.stop(sig) == (0 if sig == signal.SIGTERM else -sig)
        evd._clean()
        assert look() == before
        assert sorted(os.listdir(directory)) == ["socket"]
    # Who connects now waits for the next one.
    with Client(listener.getsockname()) as c:
        c.send(command("hello"))
        with Daemon(listener=listener) as evd:
            assert c.recv()["result"]["pid"] == evd.pid


def test_passed_socket_that_is_shut_down_is_not_waited_for(listener):
    with Daemon(listener=listener) as evd:
        with evd.connect() as c:
            # It has been accepted.
            c.call("now")
            listener.shutdown(socket.SHUT_RDWR)
            wait_until(lambda: "was shut down" in evd.stderr, "evd says it")
            c.call("now")
        assert evd.wait() == 0


def test_no_directory_is_made_for_a_passed_socket(listener, directory):
    env = {"XDG_RUNTIME_DIR": directory}
    with Daemon(listener=listener, env=env) as evd, evd.connect() as c:
        c.call("now")
        assert sorted(os.listdir(directory)) == ["socket"]


def test_idle_end_with_a_passed_socket_loses_nobody(listener):
    """All are served while the daemon ends, and is started again, all the time."""
    starts = []
    over = threading.Event()

    def manage():
        while not over.is_set():
            if select.select([listener], [], [], 0.01)[0]:
                with Daemon(["--exit-idle", "0.005"], listener=listener) as evd:
                    starts.append(evd.wait())

    manager = threading.Thread(target=manage)
    manager.start()
    try:
        rng = random.Random(1)
        for _ in range(scaled(150, 10)):
            with Client(listener.getsockname()) as c:
                c.send(command("now"))
                c.shutdown()
                assert "result" in c.recv()
                c.eof()
            time.sleep(rng.choice([0, 0, 0.003, 0.004, 0.005, 0.006, 0.02]))
    finally:
        over.set()
        manager.join()
    assert len(starts) > 2 and not any(starts)


@pytest.mark.parametrize("early", [True, False])
def test_end_of_an_own_connection_is_refused(listener, early):
    """Also where the kernel says that the peer is who listened before evd."""
    first = Client(listener.getsockname()) if early else None
    with Daemon(listener=listener) as evd:
        c = first or evd.connect()
        with c:
            error = c.fails_fds(
                "watch", c.sock.fileno(), type="io", watcher="p", events="r"
            )
            assert error.code == "invalid-argument" and "evd itself" in error.message
            # One to another daemon is none of its business.
            with Daemon() as other, other.connect() as inner:
                c.watch_fd("inner", inner.sock.fileno())
                inner.send(command("now"))
                assert c.event()["watcher"] == "inner"


def test_clients_see_who_serves_them(listener):
    with Daemon(listener=listener) as evd, evd.connect() as c:
        cred = c.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        assert int.from_bytes(cred[:4], "little") == evd.pid


def stream_pair():
    return socket.socketpair()[0]


def unbound():
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)


def internet():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


def datagram():
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def no_socket():
    return open("/dev/null")


@pytest.mark.parametrize(
    "make", [stream_pair, unbound, internet, datagram, no_socket]
)
def test_what_is_no_listening_socket_is_refused(make):
    with make() as wrong:
        result = subprocess.run(
            passed(wrong.fileno(), [*WRAPPER, EVD]),
            env=environment(),
            pass_fds=[wrong.fileno()],
            stderr=subprocess.PIPE,
            timeout=LIMIT,
        )
    assert result.returncode == 1
    assert b"not a listening Unix stream socket" in result.stderr


def test_abstract_socket():
    name = "\0evd-test-%d" % os.getpid()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(name)
        listener.listen()
        with Daemon(listener=listener) as evd:
            evd.path = name
            with evd.connect() as c:
                c.call("now")
            assert "listening on @evd-test" in evd.stderr


def test_ensure_is_no_service(listener, notify):
    """Whoever calls it may be one; the daemon in the background is not."""
    path = os.path.join(os.path.dirname(listener.getsockname()), "other")
    env = {**notify.env, "WATCHDOG_USEC": "100000", "LISTEN_FDS": "1"}
    assert run("--ensure", "--socket", path, env=env).returncode == 0
    with Client(path) as c:
        pid = c.call("hello")["pid"]
        os.kill(pid, signal.SIGTERM)
        assert c.rest()[-1]["reason"] == "exit"
    wait_until(lambda: not os.path.exists("/proc/%d/exe" % pid), "it has ended")
    assert notify.drain() == []


@pytest.mark.skipif(
    not shutil.which("systemd-socket-activate"),
    reason="systemd-socket-activate is missing (Debian: systemd)",
)
def test_systemd_socket_activate(directory):
    path = os.path.join(directory, "socket")
    log = os.path.join(directory, "log")
    with open(log, "wb") as writer:
        process = subprocess.Popen(
            ["systemd-socket-activate", "-l", path, *WRAPPER, EVD],
            env=environment(),
            stderr=writer,
        )
    try:
        with connected(path) as c:
            c.send(command("hello"))
            assert c.recv()["result"]["pid"] == process.pid
            error = c.fails_fds(
                "watch", c.sock.fileno(), type="io", watcher="p", events="r"
            )
            assert "evd itself" in error.message
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 0
    finally:
        process.kill()
        process.wait()


# Notifications


def test_ready_status_stopping(notify):
    with Daemon(env=notify.env) as evd:
        assert notify.next() == ["READY=1", status(0, 0)]
        with evd.connect() as c:
            c.call("now")
            assert notify.next() == [status(1, 0)]
            c.calls([command("watch", type="async", watcher=n) for n in range(100)])
            notify.until(status(1, 100))
            with evd.connect() as other:
                other.watch("timer", "w", after=1e6)
                notify.until(status(2, 101))
            notify.until(status(1, 100))
        notify.until(status(0, 0))
        assert evd.stop() == 0
        assert notify.next() == ["STOPPING=1"]
        assert notify.drain() == []


def test_ready_when_clients_can_connect(notify, directory):
    path = os.path.join(directory, "socket")
    process = subprocess.Popen(
        [*WRAPPER, EVD, "--socket", path],
        env=environment(notify.env),
        stderr=subprocess.DEVNULL,
    )
    try:
        assert "READY=1" in notify.next()
        with Client(path) as c:
            assert c.call("hello")["pid"] == process.pid
    finally:
        process.terminate()
        process.wait(LIMIT)


def test_not_ready_where_it_can_not_listen(notify, directory):
    path = os.path.join(directory, "missing", "socket")
    assert run("--socket", path, env=notify.env).returncode == 1
    assert notify.drain() == []


def test_stopping_when_idle(notify):
    with Daemon(["--exit-idle", "0.01"], env=notify.env) as evd:
        notify.until("STOPPING=1")
        assert evd.wait() == 0


def test_abstract_notify_socket():
    name = "evd-notify-%d" % os.getpid()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        sock.settimeout(LIMIT)
        with Daemon(env={"NOTIFY_SOCKET": "@" + name}):
            assert sock.recv(4096).startswith(b"READY=1\n")


@pytest.mark.parametrize("name", ["", "relative", "/" + 200 * "x", "/no/such", "@"])
def test_notify_socket_that_is_none(name):
    with Daemon(env={"NOTIFY_SOCKET": name}) as evd, evd.connect() as c:
        c.call("now")
        assert name == "" or "NOTIFY_SOCKET" in evd.stderr


def test_status_is_bounded(notify):
    with Daemon(env=notify.env) as evd:
        for _ in range(500):
            with evd.connect() as c:
                c.call("now")
        assert evd.stop() == 0
        assert 2 < len(notify.drain()) < 100


def test_nobody_reads_the_notifications(notify):
    """evd goes on when there is no room for them."""
    with Daemon(env={**notify.env, "WATCHDOG_USEC": "2000"}) as evd, evd.connect() as c:
        other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        other.setblocking(False)
        with other, contextlib.suppress(BlockingIOError):
            while True:
                other.sendto(b"X=1", notify.sock.getsockname())
        before = evd.wakeups()
        wait_until(lambda: evd.wakeups() > before + 20, "it is to be kept")
        c.watch("async", "w")
        assert c.call("hello")["pid"] == evd.pid
        notify.drain()
        notify.until("WATCHDOG=1")


def test_watchdog_is_kept_by_the_loop(notify):
    env = {**notify.env, "WATCHDOG_USEC": "200000"}
    with Daemon(env=env) as evd:
        for _ in range(3):
            notify.until("WATCHDOG=1")
        os.kill(evd.pid, signal.SIGSTOP)
        wait_until(lambda: state(evd.pid) == "T", "it is stopped")
        notify.drain()
        time.sleep(0.5)
        assert notify.drain() == []
        os.kill(evd.pid, signal.SIGCONT)
        notify.until("WATCHDOG=1")


def state(pid):
    with open("/proc/%d/stat" % pid) as status:
        return status.read().rpartition(")")[2].split()[0]


def test_watchdog_of_another_process(notify):
    env = {**notify.env, "WATCHDOG_USEC": "2000", "WATCHDOG_PID": "1"}
    with Daemon(env=env) as evd, evd.connect() as c:
        c.watch("timer", "w", after=0.3)
        c.event()
        assert not any("WATCHDOG" in text for text in notify.drain())


def test_no_wake_up_without_a_watchdog(notify):
    with Daemon(env=notify.env) as evd, evd.connect() as c:
        c.watch("async", "w")
        evd.settle()
        before = evd.wakeups()
        time.sleep(3)
        assert evd.wakeups() == before


# The units

analyze = pytest.mark.skipif(
    not shutil.which("systemd-analyze"),
    reason="systemd-analyze is missing (Debian: systemd)",
)


def units(kind, directory):
    """Copies of the units of the system or of users, to start this evd."""
    source = pathlib.Path(os.environ.get("EVD_SRCDIR", SYSTEMD.parent), "systemd")
    for path in (SYSTEMD / kind / "evd.service", source / kind / "evd.socket"):
        text = re.sub(r"(?m)^(ExecStart=)\S*/evd ", r"\1%s " % EVD, path.read_text())
        pathlib.Path(directory, path.name).write_text(text)
    return [os.path.join(directory, name) for name in ("evd.service", "evd.socket")]


@analyze
@pytest.mark.parametrize("kind", ["system", "user"])
def test_units_are_valid(kind, directory):
    result = subprocess.run(
        ["systemd-analyze", "--" + kind, "--man=no", "verify", *units(kind, directory)],
        env={**environment(), "XDG_RUNTIME_DIR": directory},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    # Other units of the machine's may have faults of their own.
    ours = [line for line in result.stdout.splitlines() if "evd" in line]
    assert result.returncode == 0 and not ours, result.stdout


@analyze
def test_unit_of_the_system_is_hardened(directory):
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15"]
        + ["--no-pager", units("system", directory)[0]],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    if "unrecognized option" in result.stdout:
        pytest.skip("this systemd-analyze does not know --offline (systemd 250)")
    assert result.returncode == 0, result.stdout


def test_unit_of_the_system_keeps_uids_apart():
    text = (SYSTEMD / "system/evd.service").read_text()
    assert not re.search(r"(?m)^(PrivateUsers|ProtectProc|DynamicUser)=", text)
    assert re.search(r"(?m)^ExecStart=/\S*/evd .*--no-paths", text)
    assert re.search(r"(?m)^ExecStart=/\S*/evd .*--no-spawn", text)


def test_unit_of_users_has_no_sandbox():
    """Each of these would take their rights away from all clients."""
    text = (SYSTEMD / "user/evd.service").read_text()
    settings = set(re.findall(r"(?m)^(\w+)=", text))
    assert settings <= {
        "After",
        "Also",
        "Description",
        "Documentation",
        "ExecStart",
        "KillMode",
        "OOMPolicy",
        "Requires",
        "Restart",
        "TimeoutStopSec",
        "Type",
        "WatchdogSec",
    }
