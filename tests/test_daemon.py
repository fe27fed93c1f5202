"""The daemon as a program: its options, its socket, its start and its end."""

import contextlib
import os
import random
import re
import resource
import shutil
import signal
import stat
import subprocess
import time

import pytest

from evdtest import (
    EVD,
    LIMIT,
    WRAPPER,
    Client,
    Daemon,
    command,
    encode,
    environment,
    run,
    scaled,
    stall,
    temporary_directory,
    wait_until,
)

ABSENT = (FileNotFoundError, ConnectionRefusedError)


@contextlib.contextmanager
def directory():
    path = temporary_directory()
    try:
        yield path
    finally:
        shutil.rmtree(path)


def start(*args, **options):
    """Start the daemon's program, and do not wait for anything."""
    return subprocess.Popen(
        [*WRAPPER, EVD, *args], stdin=subprocess.DEVNULL, **options
    )


def pid_of(path):
    with Client(path) as client:
        return client.call("hello")["pid"]


# Options


def test_help():
    result = run("--help")
    assert result.returncode == 0
    for option in (
        "--socket",
        "--socket-mode",
        "--log-level",
        "--max-sessions",
        "--max-watchers",
        "--max-bytes",
        "--max-session-watchers",
        "--max-session-bytes",
        "--exit-idle",
        "--ensure",
        "--version",
        "--help",
    ):
        assert option in result.stdout


def test_version():
    result = run("--version")
    assert result.returncode == 0
    assert re.match(r"evd \d+\.\d+\.\d+", result.stdout)
    with Daemon() as evd, evd.connect() as c:
        assert c.call("hello")["version"] in result.stdout
        assert "evd %s listening on %s" % (c.call("hello")["version"], evd.path) in (
            evd.stderr.replace("evd: evd", "evd")
        )


@pytest.mark.parametrize(
    "args",
    [
        ["--nonsense"],
        ["-x"],
        ["argument"],
        ["--socket"],
        ["--socket-mode"],
        ["--socket-mode", "rw"],
        ["--socket-mode", "0888"],
        ["--socket-mode", "01777777"],
        ["--socket-mode", ""],
        ["--log-level", "loud"],
        ["--max-sessions", "many"],
        ["--max-sessions", "-1"],
        ["--max-watchers", "1x"],
        ["--max-watchers", ""],
        ["--max-bytes", "1e400"],
        ["--max-bytes", "99999999999999999999999"],
        ["--max-session-watchers", "?"],
        ["--max-session-bytes", " "],
        ["--exit-idle", "soon"],
        ["--exit-idle", "-1"],
        ["--exit-idle", "nan"],
    ],
)
def test_usage_error(args):
    with directory() as path:
        socket = os.path.join(path, "socket")
        result = run(*([] if "--socket" in args else ["--socket", socket]), *args)
        assert result.returncode == 2
        assert result.stderr
        assert result.stdout == ""
        assert not os.path.exists(socket)


@pytest.mark.parametrize("mode", [None, "0600", "0660", "666", "0000"])
def test_socket_mode(mode):
    args = [] if mode is None else ["--socket-mode", mode]
    with Daemon(args) as evd:
        found = stat.S_IMODE(os.stat(evd.path).st_mode)
        assert found == int(mode or "0600", 8)


def test_socket_mode_does_not_depend_on_the_umask():
    before = os.umask(0o777)
    try:
        daemon = Daemon(["--socket-mode", "0644"])
    finally:
        os.umask(before)
    with daemon as evd:
        assert stat.S_IMODE(os.stat(evd.path).st_mode) == 0o644


def test_socket_of_a_name_relative_to_the_directory():
    with directory() as path:
        with start("--socket", "s", cwd=path) as process:
            try:
                socket = os.path.join(path, "s")
                wait_until(lambda: served(socket), "it serves")
                process.send_signal(signal.SIGTERM)
                assert process.wait(LIMIT) == 0
                assert not os.path.exists(socket)
            finally:
                process.kill()


# One daemon a socket


def test_live_daemon_is_left_alone():
    with Daemon() as evd, evd.connect() as c:
        result = run("--socket", evd.path)
        assert result.returncode == 1
        assert evd.path in result.stderr
        c.call("now")
        assert pid_of(evd.path) == evd.pid


def test_a_daemon_whose_socket_was_removed_is_told():
    with Daemon() as evd:
        os.unlink(evd.path)
        for args in ([], ["--ensure"]):
            result = run(*args, "--socket", evd.path)
            assert result.returncode == 1
            assert "whose socket was removed" in result.stderr


def test_dead_daemons_socket_is_taken_over():
    with directory() as path:
        socket = os.path.join(path, "socket")
        for _ in range(5):
            evd = Daemon(path=socket)
            assert pid_of(socket) == evd.pid
            evd.kill()
            assert os.path.exists(socket)
        with Daemon(path=socket):
            pid_of(socket)
        assert not os.path.exists(socket)


def test_what_is_no_socket_is_not_deleted():
    with directory() as path:
        file = os.path.join(path, "file")
        with open(file, "w") as writer:
            writer.write("precious")
        link = os.path.join(path, "link")
        os.symlink(file, link)
        fifo = os.path.join(path, "fifo")
        os.mkfifo(fifo)
        for name in (file, link, fifo, path):
            result = run("--socket", name)
            assert result.returncode == 1
            assert name in result.stderr
        with open(file) as reader:
            assert reader.read() == "precious"
        assert os.path.islink(link)
        assert stat.S_ISFIFO(os.stat(fifo).st_mode)


@pytest.mark.parametrize("args", [["--ensure"], []])
@pytest.mark.parametrize(
    "name, status, said",
    [("", 2, "expected a path"), ("/tmp/" + "x" * 200, 1, "at most 107")],
)
def test_socket_of_an_impossible_name(args, name, status, said):
    result = run(*args, "--socket", name)
    assert result.returncode == status
    assert said in result.stderr


def test_socket_without_its_directory():
    with directory() as path:
        name = os.path.join(path, "missing", "socket")
        result = run("--socket", name)
        assert result.returncode == 1
        assert name in result.stderr


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_started_at_once_one_serves(stale):
    with directory() as path:
        socket = os.path.join(path, "socket")
        for _ in range(scaled(10, 2)):
            if stale:
                Daemon(path=socket).kill()
            processes = [start("--socket", socket) for _ in range(6)]
            try:
                wait_until(
                    lambda: sum(p.poll() is None for p in processes) == 1, "one is left"
                )
                (alive,) = [p for p in processes if p.poll() is None]
                wait_until(lambda: served(socket), "it serves")
                assert pid_of(socket) == alive.pid
                alive.send_signal(signal.SIGTERM)
                assert alive.wait(LIMIT) == 0
                assert sorted(p.returncode for p in processes) == [0, 1, 1, 1, 1, 1]
            finally:
                for process in processes:
                    process.kill()
                    process.wait()


def served(path):
    try:
        return pid_of(path)
    except ABSENT:
        return None


# The end


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it(sig):
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.watch("timer", "w", after=1000)
        other.call("now")
        assert evd.stop(sig) == 0
        assert not os.path.exists(evd.path)
        for client in (c, other):
            assert client.event() == {"event": "bye", "reason": "exit"}
            client.eof()


def test_pending_events_are_written_before_the_end():
    number = 60  # as many commands as an iteration takes
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.calls(
            [
                command("watch", type="async", watcher=n, data="x" * 4000)
                for n in range(number)
            ]
        )
        c.send(*[command("feed", watcher=n, revents=1) for n in range(number)])
        other.call("now")
        evd.process.send_signal(signal.SIGTERM)
        lines = [line for line in c.rest() if "event" in line]
        assert evd.wait() == 0
        events = [line for line in lines if line["event"] == "async"]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        # What a peer does not take in time is not lost without a word.
        if lines[-1] == {"event": "bye", "reason": "exit"}:
            assert len(events) == number
        else:
            assert "did not take" in evd.stderr


def test_client_that_never_reads_does_not_prevent_the_end():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        stall(c, other)
        c.sock.sendall(
            b"".join(
                encode(command("watch", type="timer", watcher=n, at=0, repeat=0.001))
                for n in range(50)
            )
        )
        other.call("now")
        assert evd.stop() == 0
        assert other.event() == {"event": "bye", "reason": "exit"}
        assert not os.path.exists(evd.path)


def test_second_signal_does_not_hurt():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        stall(c, other)
        for _ in range(5):
            evd.process.send_signal(signal.SIGTERM)
        assert evd.stop() == 0


def test_other_signals_do_not_end_it():
    with Daemon() as evd, evd.connect() as c:
        for sig in (
            signal.SIGHUP,
            signal.SIGUSR1,
            signal.SIGUSR2,
            signal.SIGPIPE,
            signal.SIGALRM,
            signal.SIGCHLD,
            signal.SIGWINCH,
            signal.SIGRTMIN,
        ):
            evd.process.send_signal(sig)
            c.call("now")


def test_socket_of_another_is_not_unlinked():
    with directory() as path:
        socket = os.path.join(path, "socket")
        with Daemon(path=socket) as evd:
            os.unlink(socket)
            with open(socket, "w"):
                pass
            assert evd.stop() == 0
        assert os.path.exists(socket)


def test_watchers_end_with_it():
    with Daemon() as evd:
        clients = [evd.connect() for _ in range(20)]
        for client in clients:
            client.calls(
                [
                    command("watch", type=kind, watcher=kind, hold=True, **members)
                    for kind, members in (
                        ("timer", {"after": 0, "repeat": 0.01}),
                        ("periodic", {"interval": 0.01, "jumps": True}),
                        ("async", {"data": "x" * 4000}),
                    )
                ]
            )
        assert evd.stop() == 0
        for client in clients:
            assert client.rest()[-1] == {"event": "bye", "reason": "exit"}


# The end of an idle one


def test_exits_when_idle():
    with Daemon(["--exit-idle", "1"]) as evd:
        assert evd.wait() == 0
        assert not os.path.exists(evd.path)


@contextlib.contextmanager
def idle_after(seconds):
    """A daemon that ends when idle, and a client that came before it did."""
    while True:
        with Daemon(["--exit-idle", seconds]) as evd:
            try:
                client = evd.connect()
            except ABSENT:
                continue
            with client:
                yield evd, client
                return


def test_is_not_idle_with_a_client():
    with idle_after("0.2") as (evd, c):
        c.watch("timer", "w", after=0.8)
        c.event()
        assert evd.process.poll() is None
        c.close()
        assert evd.wait() == 0


def test_is_not_idle_with_a_half_closed_client():
    with idle_after("0.1") as (evd, c):
        c.watch("timer", "w", after=0.5)
        c.shutdown()
        assert c.event()["watcher"] == "w"
        c.eof()
        assert evd.wait() == 0


def test_exit_when_idle_loses_no_connection():
    rng = random.Random(1)
    with directory() as path:
        socket = os.path.join(path, "socket")
        for _ in range(scaled(60, 4)):
            with Daemon(["--exit-idle", "0.02"], path=socket) as evd:
                with contextlib.suppress(*ABSENT):
                    while True:
                        # Refused by the kernel, or served to the end.
                        with Client(socket) as client:
                            client.send(command("now"))
                            client.shutdown()
                            assert "result" in client.recv()
                            client.eof()
                        time.sleep(rng.choice([0, 0.015, 0.019, 0.02, 0.021, 0.025]))
                assert evd.wait() == 0


def test_exit_when_idle_serves_a_flood():
    with directory() as path:
        socket = os.path.join(path, "socket")
        for _ in range(scaled(20, 2)):
            with Daemon(["--exit-idle", "0.01"], path=socket) as evd:
                clients = []
                with contextlib.suppress(*ABSENT):
                    while evd.process.poll() is None and len(clients) < 300:
                        clients.append(Client(socket))
                for client in clients:
                    client.call("now")
                    client.close()
                assert evd.wait() == 0


def test_exit_when_idle_with_few_descriptors():
    with directory() as path:
        socket = os.path.join(path, "socket")
        for _ in range(scaled(20, 2)):
            with Daemon(["--exit-idle", "0.02"], path=socket) as evd:
                with contextlib.suppress(*ABSENT, ProcessLookupError):
                    limit = evd.fds() + 5
                    resource.prlimit(evd.pid, resource.RLIMIT_NOFILE, (limit, limit))
                    while evd.process.poll() is None:
                        for client in [Client(socket) for _ in range(20)]:
                            client.close()
                        time.sleep(0.02)
                assert evd.wait() == 0


# Ensure


@contextlib.contextmanager
def runtime_directory():
    """A directory for XDG_RUNTIME_DIR; ends the daemon that was started in it."""
    with directory() as path:
        socket = os.path.join(path, "evd", "socket")
        try:
            yield path
        finally:
            ended(served(socket))


def ended(pid):
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: state(pid) in (None, "Z"), "the daemon ended")


def state(pid):
    """The letter that says what a process does; None without one."""
    try:
        with open("/proc/%d/stat" % pid) as status:
            return status.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def ensure(path, *args):
    return run("--ensure", *args, env={"XDG_RUNTIME_DIR": path})


def daemons(path):
    """The processes that have this runtime directory."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open("/proc/%s/environ" % pid, "rb") as environ:
                own = b"XDG_RUNTIME_DIR=" + path.encode() in environ.read().split(b"\0")
            if own and state(int(pid)) not in (None, "Z"):
                found.append(int(pid))
    return found


def test_ensure_starts_one_daemon():
    with runtime_directory() as path:
        socket = os.path.join(path, "evd", "socket")
        first = ensure(path)
        assert (first.returncode, first.stdout) == (0, ""), first.stderr
        # It is in the daemon's own log.
        assert "listening on" not in first.stderr
        pid = pid_of(socket)
        for _ in range(3):
            assert ensure(path).returncode == 0
            assert pid_of(socket) == pid
        wait_until(lambda: daemons(path) == [pid], "it is the only one")
        assert stat.S_IMODE(os.stat(os.path.dirname(socket)).st_mode) == 0o700
        assert os.getsid(pid) != os.getsid(0)


def test_ensure_many_at_once():
    with runtime_directory() as path:
        env = environment({"XDG_RUNTIME_DIR": path})
        for _ in range(scaled(5, 1)):
            processes = [start("--ensure", env=env) for _ in range(12)]
            assert [process.wait(LIMIT) for process in processes] == [0] * 12
            pid = pid_of(os.path.join(path, "evd", "socket"))
            wait_until(lambda: daemons(path) == [pid], "it is the only one")
            ended(pid)


def test_ensure_after_a_killed_daemon():
    with runtime_directory() as path:
        socket = os.path.join(path, "evd", "socket")
        ensure(path)
        killed = pid_of(socket)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: state(killed) in (None, "Z"), "it is dead")
        assert ensure(path).returncode == 0
        assert pid_of(socket) != killed


def test_ensure_with_a_socket():
    with directory() as path:
        socket = os.path.join(path, "s")
        try:
            assert run("--ensure", "--socket", socket).returncode == 0
            pid = pid_of(socket)
            assert run("--ensure", "--socket", socket).returncode == 0
            assert pid_of(socket) == pid
        finally:
            ended(served(socket))


def test_ensure_says_once_what_is_wrong():
    with directory() as path:
        name = os.path.join(path, "s")
        no_directory(name)
        result = run("--ensure", "--socket", name)
        assert result.returncode == 1
        assert result.stderr.count("is there and not a socket") == 1


def test_ensure_says_who_does_not_answer():
    with Daemon() as evd:
        evd.process.send_signal(signal.SIGSTOP)
        result = run("--ensure", "--socket", evd.path)
        evd.process.send_signal(signal.SIGCONT)
        assert result.returncode == 1
        assert "pid %d, which listens there, is stopped" % evd.pid in result.stderr


def test_ensure_finds_a_daemon_that_runs():
    with directory() as path, Daemon(path=os.path.join(path, "s")) as evd:
        assert run("--ensure", "--socket", evd.path).returncode == 0
        assert pid_of(evd.path) == evd.pid


@pytest.mark.skipif(bool(WRAPPER), reason="the wrapper may keep copies open")
def test_daemon_of_ensure_lets_go_of_everything():
    with runtime_directory() as path:
        env = environment({"XDG_RUNTIME_DIR": path})
        with start("--ensure", env=env, stdout=subprocess.PIPE) as process:
            # Comes to an end though the daemon goes on.
            assert process.communicate(timeout=LIMIT)[0] == b""
        assert process.returncode == 0
        pid = pid_of(os.path.join(path, "evd", "socket"))
        for number in (0, 1, 2):
            assert os.readlink("/proc/%d/fd/%d" % (pid, number)) == "/dev/null"
        assert os.readlink("/proc/%d/cwd" % pid) == "/"


def wrong_mode(path):
    os.mkdir(path)
    os.chmod(path, 0o755)


def wrong_mode_for_others(path):
    os.mkdir(path)
    os.chmod(path, 0o701)


def wrong_owner(path):
    if os.geteuid() != 0:
        pytest.skip("needs root to give a directory away")
    os.mkdir(path, 0o700)
    os.chown(path, 65533, -1)


def link(path):
    os.mkdir(path + ".real", 0o700)
    os.symlink(path + ".real", path)


def dangling_link(path):
    os.symlink(path + ".real", path)


def no_directory(path):
    with open(path, "w"):
        pass


@pytest.mark.parametrize(
    "make",
    [
        wrong_mode,
        wrong_mode_for_others,
        wrong_owner,
        link,
        dangling_link,
        no_directory,
    ],
)
@pytest.mark.parametrize("args", [["--ensure"], []])
def test_directory_that_is_not_ours_is_refused(make, args):
    with directory() as path:
        name = os.path.join(path, "evd")
        make(name)
        before = os.lstat(name)
        result = run(*args, env={"XDG_RUNTIME_DIR": path})
        assert result.returncode == 1
        assert name in result.stderr
        assert os.lstat(name) == before
        assert daemons(path) == []


@pytest.mark.parametrize("args", [["--ensure"], []])
def test_runtime_directory_that_is_not_there(args):
    with directory() as path:
        result = run(*args, env={"XDG_RUNTIME_DIR": path + "/none"})
        assert result.returncode == 1
        assert path + "/none/evd" in result.stderr
        assert "XDG_RUNTIME_DIR" in result.stderr


@pytest.mark.skipif(bool(WRAPPER), reason="the wrapper opens files of its own")
def test_nothing_takes_the_place_of_closed_standard_descriptors():
    with directory() as path:
        socket = os.path.join(path, "socket")
        command = [EVD, "--socket", socket, "--log-level", "debug"]
        closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
        with subprocess.Popen(closed, env=environment()) as process:
            try:
                wait_until(lambda: served(socket), "it serves")
                for fd in range(3):
                    where = os.readlink("/proc/%d/fd/%d" % (process.pid, fd))
                    assert where == "/dev/null"
            finally:
                process.kill()


def test_socket_in_the_runtime_directory_by_default():
    with directory() as path:
        socket = os.path.join(path, "evd", "socket")
        with start(env=environment({"XDG_RUNTIME_DIR": path})) as process:
            try:
                wait_until(lambda: served(socket), "it serves")
                assert stat.S_IMODE(os.stat(os.path.dirname(socket)).st_mode) == 0o700
                process.send_signal(signal.SIGTERM)
                assert process.wait(LIMIT) == 0
                assert not os.path.exists(socket)
            finally:
                process.kill()


# At rest


def test_no_wake_up_without_a_client():
    with Daemon() as evd:
        evd.settle()
        before = evd.wakeups()
        time.sleep(3)
        assert evd.wakeups() == before
        with evd.connect() as c:
            c.watch("timer", "w", after=0, repeat=0.01)
            c.event()
        evd.settle()
        before = evd.wakeups()
        time.sleep(1)
        assert evd.wakeups() == before


def test_no_wake_up_with_clients_that_have_nothing_to_do():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        c.call("now")
        other.watch("async", "w", hold=True)
        other.watch("timer", "far", after=1e6)
        other.watch("periodic", "far too", interval=1e9)
        evd.settle()
        before = evd.wakeups()
        time.sleep(3)
        assert evd.wakeups() == before


def test_sleeps_for_days():
    with Daemon() as evd, evd.connect() as c:
        c.watch("async", "w")
        c.watch("timer", "far", after=1e6)
        c.watch("periodic", "far too", interval=1e9)
        evd.settle()
        try:
            timeout = evd.timeout()
        except PermissionError:
            timeout = None
        if timeout is None:
            pytest.skip("the kernel does not tell for how long evd sleeps")
        assert timeout == -1 or timeout > 86400 * 1000


def test_no_descriptor_is_left():
    with Daemon() as evd:
        with evd.connect() as c:
            c.call("now")
        evd.settle()
        before = evd.fds()
        for n in range(1000):
            with evd.connect() as c:
                if n % 4:
                    c.send(command("watch", type="timer", watcher=n, after=n % 2))
                if n % 3:
                    c.recv() if n % 4 else c.shutdown()
        wait_until(lambda: evd.fds() == before, "all descriptors are closed")


def test_memory_comes_back():
    with Daemon() as evd:
        for n in range(6):
            with evd.connect() as c:
                watch = command("watch", type="async", data="x" * 300, reply=False)
                c.send(*[dict(watch, watcher=k) for k in range(scaled(5000, 100))])
                if n % 2:
                    c.call("now")
            if n == 2:
                before = evd.memory()
        assert evd.memory() <= before + (4 << 10)


def test_many_clients_at_once():
    number = scaled(400, 50)
    with Daemon() as evd:
        clients = [evd.connect() for _ in range(number)]
        for n, client in enumerate(clients):
            client.send(command("watch", type="timer", watcher=n, after=0))
        for n, client in enumerate(clients):
            assert "result" in client.recv()
            assert client.recv()["watcher"] == n
            client.close()


def test_no_descriptors_for_more_clients():
    with Daemon() as evd, evd.connect() as c:
        limit = evd.fds() + 10
        resource.prlimit(evd.pid, resource.RLIMIT_NOFILE, (limit, limit))
        clients = [evd.connect() for _ in range(30)]
        c.call("now")
        evd.settle()
        # Those that can't be served are told so, and the others are served.
        refused = 0
        for client in clients:
            with contextlib.suppress(BrokenPipeError):
                client.send(command("now"))
            line = client.recv()
            refused += "event" in line
            if "event" in line:
                assert (line["event"], line["reason"]) == ("bye", "limit-exceeded")
                client.eof()
        assert 0 < refused < 30
        assert evd.stderr.count("no descriptor") <= refused
        for client in clients:
            client.close()
        wait_until(lambda: evd.fds() < limit - 5, "descriptors are free again")
        assert served(evd.path) == evd.pid


# The log


def test_every_line_of_the_log_says_whose_it_is():
    with Daemon(["--log-level", "debug"]) as evd:
        with evd.connect() as c:
            c.raw(b'{"cmd":"now"}\n\x1b[31m\xff\n')
            c.replies(2)
        assert evd.stop() == 0
        lines = evd.stderr.splitlines()
        assert lines and all(line.startswith("evd: ") for line in lines)
        assert "\x1b" not in evd.stderr
        assert '{"cmd":"now"}' in evd.stderr.replace("\\x22", '"').replace('\\"', '"')


def test_quiet_log():
    with Daemon(["--log-level", "error"]) as evd, evd.connect() as c:
        c.fails("nonsense")
        assert evd.stop() == 0
        assert evd.stderr == "" or WRAPPER


def test_log_has_priorities_for_the_journal():
    with directory() as path:
        log = os.path.join(path, "log")
        with open(log, "wb") as writer:
            found = os.fstat(writer.fileno())
            stream = "%d:%d" % (found.st_dev, found.st_ino)
            for value, pattern in ((stream, r"<[3-7]>"), ("1:1", "evd: ")):
                writer.truncate(0)
                result = subprocess.run(
                    [*WRAPPER, EVD, "--socket", os.path.join(path, "no", "socket")],
                    env=environment({"JOURNAL_STREAM": value}),
                    stderr=writer,
                    timeout=LIMIT,
                )
                assert result.returncode == 1
                with open(log, errors="replace") as reader:
                    text = reader.read().lstrip("\0")
                if not WRAPPER:
                    assert re.match(pattern, text), text
