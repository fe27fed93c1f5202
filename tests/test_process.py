"""Processes: child, spawn and kill, with real ones."""

import ctypes
import json
import os
import pathlib
import platform
import resource
import signal
import socket
import subprocess
import sys
import time

import pytest

import evdtest
from evdclock import Clock
from evdtest import Daemon, wait_until

CHILD = 0x800
SYS_RT_SIGACTION = {"x86_64": 13}.get(platform.machine(), 134)
TICKS = os.sysconf("SC_CLK_TCK")

if evdtest.WRAPPER:
    pytest.skip(
        "valgrind 3.19 knows no pidfd_open: %s" % evdtest.WRAPPER[0],
        allow_module_level=True,
    )


def kernel():
    return tuple(int(n) for n in os.uname().release.split(".")[:2])


needs_info = pytest.mark.skipif(
    kernel() < (6, 15), reason="Linux before 6.15 does not tell how others ended"
)

# Each fallback for an older kernel, and what this one has.
FALLBACKS = [(), ("--disable-feature", "pidfd-info")]
GROUPS = [(), ("--disable-feature", "pidfd-group")]


@pytest.fixture(name="daemon")
def fixture_daemon():
    with Daemon() as daemon:
        yield daemon


@pytest.fixture(name="client")
def fixture_client(daemon):
    with daemon.connect() as client:
        yield client


def send_with(client, fds, **command):
    """Send one command with its descriptors; gives the result of the reply."""
    socket.send_fds(client.sock, [evdtest.encode({**command, "fds": len(fds)})], fds)
    reply = client.reply()
    if "error" in reply:
        raise evdtest.EvdError(reply["error"])
    return reply["result"]


def sh(client, script, *args, **members):
    """Spawn a shell script; gives its pid."""
    argv = ["/bin/sh", "-c", script, "sh", *args]
    return client.call("spawn", argv=argv, **members)["pid"]


def output(client, fds=(), **members):
    """Spawn, and give what the program wrote to its standard output."""
    reader, writer = os.pipe()
    members.setdefault("stdout", len(fds))
    send_with(client, [*fds, writer], cmd="spawn", **members)
    os.close(writer)
    with open(reader, encoding="utf-8") as file:
        return file.read()


def state(pid):
    """The state of a process as in /proc, "" if there is none."""
    try:
        stat = pathlib.Path("/proc/%d/stat" % pid).read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return stat.rpartition(")")[2].split()[0]


def is_over(pid):
    return state(pid) in ("", "Z", "X")


def cpu(pid):
    """Clock ticks that a process has used."""
    fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def zombie(status=0):
    """A child of this process that has ended, and is not reaped."""
    pid = os.fork()
    if pid == 0:
        os._exit(status)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


class Sleeper:
    """A process that waits until it is told to end with a status."""

    def __init__(self, status=0):
        reader, self.writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.writer)
            os.read(reader, 1)
            os._exit(status)
        os.close(reader)

    def end(self):
        """Become a zombie."""
        os.close(self.writer)
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def reap(self):
        os.waitpid(self.pid, 0)


# --- child: any process -------------------------------------------------------


def test_child_fires_once_at_the_end_and_stops(client):
    process = Sleeper(5)
    client.watch("child", "c", pid=process.pid)
    assert client.poll() == []
    process.end()
    event = client.event()
    del event["time"]
    assert event == {
        "event": "child",
        "watcher": "c",
        "revents": CHILD,
        "seq": 1,
        "pid": process.pid,
        "status": None,
        "active": False,
    }
    process.reap()
    assert client.poll() == []
    assert client.call("get", watcher="c")["active"] is False


@needs_info
def test_child_reaped_has_the_status_and_comes_after_the_reaping(client):
    process = Sleeper(5)
    client.watch("child", "r", pid=process.pid, reaped=True)
    client.watch("child", "e", pid=process.pid)
    process.end()
    assert client.event()["watcher"] == "e"
    assert client.poll() == []
    process.reap()
    event = client.event()
    assert event["watcher"] == "r"
    assert (event["status"], event["exit"]) == (0x500, 5)
    assert "signal" not in event
    assert client.poll() == []


@needs_info
def test_child_reaped_that_a_signal_ended(client):
    process = Sleeper()
    client.watch("child", "r", pid=process.pid, reaped=True)
    os.kill(process.pid, signal.SIGKILL)
    process.reap()
    event = client.event()
    assert (event["status"], event["signal"]) == (9, 9)
    assert "exit" not in event


def test_child_reaped_without_the_kernel_telling():
    with Daemon(["--disable-feature", "pidfd-info"]) as daemon:
        with daemon.connect() as client:
            features = client.call("hello")["features"]
            assert "pidfd-info" not in features
            process = Sleeper(5)
            client.watch("child", "r", pid=process.pid, reaped=True)
            process.end()
            for _ in range(3):
                assert client.poll() == []
            process.reap()
            event = client.event()
            assert event["status"] is None
            assert client.poll() == []


@pytest.mark.parametrize("args", FALLBACKS)
def test_child_that_has_ended_or_was_reaped_before(args):
    with Daemon(args) as daemon, daemon.connect() as client:
        pid = zombie(5)
        pidfd = os.pidfd_open(pid)
        client.watch("child", "z", pid=pid)
        assert client.event()["watcher"] == "z"
        os.waitpid(pid, 0)
        assert client.fails("watch", type="child", watcher="n", pid=pid).code == (
            "system-error"
        )
        for reaped in (False, True):
            send_with(
                client,
                [pidfd],
                cmd="watch",
                type="child",
                watcher="p%d" % reaped,
                reaped=reaped,
            )
            assert client.event()["watcher"] == "p%d" % reaped
        os.close(pidfd)


def test_child_by_a_passed_pidfd(daemon, client):
    process = Sleeper(5)
    pidfd = os.pidfd_open(process.pid)
    send_with(client, [pidfd], cmd="watch", type="child", watcher="p")
    os.close(pidfd)
    assert client.call("get", watcher="p")["pid"] == process.pid
    process.end()
    assert client.event()["pid"] == process.pid
    process.reap()
    # Its copy is closed with the firing; a start needs another one.
    assert "fds" in client.fails("start", watcher="p").message
    links = pathlib.Path("/proc/%d/fd" % daemon.pid)
    assert not any("pidfd" in os.readlink(link) for link in links.iterdir())


def test_child_takes_no_other_descriptor(client):
    with open("/dev/null", "rb") as file:
        with pytest.raises(evdtest.EvdError, match="pidfd"):
            send_with(
                client, [file.fileno()], cmd="watch", type="child", watcher="p"
            )


def test_child_without_a_process(client):
    assert client.fails("watch", type="child", watcher="c").code == "invalid-argument"
    error = client.fails("watch", type="child", watcher="c", pid=2**31 - 1)
    assert error.code == "system-error"
    assert "ESRCH" in error.message


def test_child_stopped_or_forgotten_is_silent(client):
    process = Sleeper()
    client.watch("child", "s", pid=process.pid)
    client.watch("child", "u", pid=process.pid)
    client.watch("child", "k", pid=process.pid)
    client.call("stop", watcher="s")
    client.call("unwatch", watcher="u")
    process.end()
    assert client.event()["watcher"] == "k"
    assert client.poll() == []
    client.call("start", watcher="s")
    assert client.event()["watcher"] == "s"
    process.reap()


@pytest.mark.parametrize("args", FALLBACKS)
def test_zombies_that_nobody_reaps_cost_no_cpu(args):
    """Neither those that were told of, nor those whose reaping is waited for."""
    with Daemon(args) as daemon, daemon.connect() as client:
        pids = [zombie() for _ in range(20)]
        for pid in pids:
            client.watch("child", pid, pid=pid)
            client.watch("child", "r%d" % pid, pid=pid, reaped=True)
        assert {client.event()["watcher"] for _ in pids} == set(pids)
        wait_until(lambda: client.poll() == [], "nothing more comes")
        # Until the daemon has slept through a whole second of ours.
        begin, used = time.monotonic(), cpu(daemon.pid)
        while time.monotonic() < begin + 1:
            assert not client.unread()
            time.sleep(0.05)
        assert cpu(daemon.pid) - used <= TICKS // 20
        for pid in pids:
            os.waitpid(pid, 0)
        assert {client.event()["watcher"] for _ in pids} == {"r%d" % p for p in pids}


def test_child_of_a_pid_that_is_reused_is_another(client):
    """The watcher has the process, not its number."""
    last = pathlib.Path("/proc/sys/kernel/ns_last_pid")
    first = Sleeper(1)
    client.watch("child", "first", pid=first.pid)
    first.end()
    assert client.event()["watcher"] == "first"
    second = None
    client.watch("child", "reaped", pid=first.pid, reaped=True, start=False)
    pidfd = os.pidfd_open(first.pid)
    first.reap()
    for _ in range(200):
        try:
            last.write_text(str(first.pid - 1), encoding="utf-8")
        except OSError as error:
            pytest.skip("pids can't be chosen here: %s" % error)
        second = Sleeper(2)
        if second.pid == first.pid:
            break
        second.end()
        second.reap()
    if second.pid != first.pid:
        pytest.skip("others take the pids faster")
    # The old process, by its pidfd, though its number is alive.
    send_with(client, [pidfd], cmd="watch", type="child", watcher="old", reaped=True)
    event = client.event()
    assert event["watcher"] == "old"
    assert event["status"] in (0x100, None)
    client.watch("child", "new", pid=second.pid)
    assert client.poll() == []
    second.end()
    assert client.event()["watcher"] == "new"
    second.reap()


def test_descriptors_of_children_are_closed(daemon, client):
    def count():
        return len(os.listdir("/proc/%d/fd" % daemon.pid))

    client.call("now")
    before = count()
    for i in range(20):
        pid = zombie()
        client.watch("child", i, pid=pid, reaped=True)
        os.waitpid(pid, 0)
        client.event()
        client.call("spawn", argv=["true"], watcher="s%d" % i)
        client.event()
    assert count() == before


# --- spawn --------------------------------------------------------------------


def test_spawn_says_how_the_child_ended(client):
    pid = sh(client, "exit 3", watcher="a", data={"my": 1})
    event = client.event()
    assert event["pid"] == pid
    assert (event["status"], event["exit"]) == (0x300, 3)
    assert event["active"] is False
    assert event["data"] == {"my": 1}
    sh(client, "kill -9 $$", watcher="b")
    event = client.event()
    assert (event["status"], event["signal"]) == (9, 9)
    assert client.fails("start", watcher="a").code == "invalid-argument"
    client.call("unwatch", watcher="a")


def test_spawn_failing_leaves_nothing(client):
    for members, code in [
        ({"argv": ["nonsense-that-is-not"]}, "ENOENT"),
        ({"argv": ["/dev/null"]}, "EACCES"),
        ({"argv": ["/nonsense/that"]}, "ENOENT"),
        ({"argv": ["true"], "cwd": "/nonsense"}, "ENOENT"),
        ({"argv": ["true"], "cwd": "/dev/null"}, "ENOTDIR"),
    ]:
        error = client.fails("spawn", watcher="w", **members)
        assert error.code == "system-error"
        assert code in error.message
        assert client.fails("get", watcher="w").code == "no-such-watcher"
    (session,) = client.call("list")["sessions"]
    assert (session["children"], session["watchers"]) == (0, 0)
    for members in (
        {},
        {"argv": []},
        {"argv": [""]},
        {"argv": "true"},
        {"argv": ["true", 1]},
        {"argv": ["true"], "cwd": "relative"},
        {"argv": ["true"], "env": ["A=1"]},
        {"argv": ["true"], "env": {"A": 1}},
        {"argv": ["true"], "env": {"A=B": "1"}},
        {"argv": ["true"], "env": {"": "1"}},
        {"argv": ["true"], "stdin": 0},
        {"argv": ["true"], "on_end": "forget"},
        {"argv": ["true"], "trace": True},
    ):
        assert client.fails("spawn", **members).code == "invalid-argument"


def test_spawn_environment_is_no_more_than_where_and_who():
    env = {
        "NOTIFY_SOCKET": "/nonsense",
        "LISTEN_FDS": "1",
        "WATCHDOG_USEC": "1",
        "SECRET": "1",
        "HOME": "/home/me",
        "USER": "me",
        "SHELL": "/bin/me",
    }
    with Daemon(env=env) as daemon, daemon.connect() as client:
        found = dict(
            line.split("=", 1)
            for line in output(client, argv=["env"]).splitlines()
        )
        assert found == {
            "PATH": os.environ["PATH"],
            "HOME": "/home/me",
            "USER": "me",
            "SHELL": "/bin/me",
        }
        given = {"A": "1 ü", "B": "", "NOTIFY_SOCKET": "@x", "LISTEN_FDNAMES": "y"}
        found = output(client, argv=["/usr/bin/env"], env=given)
        assert found == "A=1 ü\nB=\n"
        assert output(client, argv=["/usr/bin/env"], env={}) == ""


def test_spawn_looks_for_the_program_by_the_path_given(client, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    program = tmp_path / "b" / "hello"
    program.write_text("#!/bin/sh\necho $0 $PWD\n", encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "a" / "hello").write_text("", encoding="utf-8")
    env = {"PATH": "/nonsense:%s/a:%s/b" % (tmp_path, tmp_path)}
    said = output(client, argv=["hello"], env=env)
    assert said == "%s /\n" % program
    said = output(client, argv=["./hello"], env=env, cwd=str(tmp_path / "b"))
    assert said == "./hello %s\n" % (tmp_path / "b")
    env = {"PATH": "%s/a" % tmp_path}
    assert "EACCES" in client.fails("spawn", argv=["hello"], env=env).message
    # Without a PATH the usual places.
    assert output(client, argv=["echo", "x"], env={"A": "1"}) == "x\n"


CHECK = r"""
import json, os, resource, signal
fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
status = dict(line.split(":\t", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "fds": [fd for fd in fds if os.path.exists("/proc/self/fd/%d" % fd)],
    "in": os.readlink("/proc/self/fd/0"),
    "err": os.readlink("/proc/self/fd/2"),
    "blocked": int(status["SigBlk"], 16),
    # Without PIPE and XFSZ, which are Python's own, and the two that the C
    # library keeps for itself, which posix_spawn (so make) ignores.
    "ignored": int(status["SigIgn"], 16) & ~(1 << 12 | 1 << 24 | 3 << 31),
    "caught": int(status["SigCgt"], 16),
    "group": os.getpgid(0) == os.getpid(),
    "cwd": os.getcwd(),
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
}))
"""


def test_spawn_child_has_nothing_of_evds_own(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = min(soft, 512)  # what is inherited, not what evd raises it to
    stray = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(stray, True)
    original = subprocess.Popen

    def with_stray(*args, preexec_fn=None, **kwargs):
        def prepare():
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            signal.signal(signal.SIGWINCH, signal.SIG_IGN)
            # Those that libc keeps for itself, by the kernel's own call.
            libc = ctypes.CDLL(None)
            ignore = (ctypes.c_ulong * 16)(signal.SIG_IGN)
            for number in (32, 33):
                libc.syscall(SYS_RT_SIGACTION, number, ignore, None, 8)

        kwargs.update(pass_fds=[stray], preexec_fn=prepare)
        return original(*args, **kwargs)

    subprocess.Popen = with_stray
    try:
        daemon = Daemon()
    finally:
        subprocess.Popen = original
        os.close(stray)
    with daemon, daemon.connect() as client:
        # Signals that evd has and blocks from then on.
        client.watch("signal", "u", signum="USR1")
        script = tmp_path / "check.py"
        script.write_text(CHECK, encoding="utf-8")
        said = output(client, argv=[sys.executable, "-IS", str(script)])
        found = json.loads(said)
        assert found["fds"] == [0, 1, 2]
        assert (found["in"], found["err"]) == ("/dev/null", "/dev/null")
        assert found["blocked"] == 0
        assert found["ignored"] == 0
        assert found["group"] is True
        assert found["cwd"] == "/"
        assert found["nofile"] == [soft, hard]
        assert found["core"] == list(resource.getrlimit(resource.RLIMIT_CORE))


def test_spawn_passes_descriptors_by_index(client, tmp_path):
    path = tmp_path / "in"
    path.write_text("from the file\n", encoding="utf-8")
    with open(path, "rb") as file:
        said = output(client, [file.fileno()], argv=["cat"], stdin=0)
        assert said == "from the file\n"
    # One for two of them, and one that is not used.
    reader, writer = os.pipe()
    send_with(
        client,
        [reader, writer],
        cmd="spawn",
        argv=["sh", "-c", "echo out; echo err >&2"],
        stdout=1,
        stderr=1,
    )
    os.close(writer)
    with open(reader, encoding="utf-8") as file:
        assert file.read() == "out\nerr\n"


def test_spawn_index_of_no_descriptor(client):
    reader, writer = os.pipe()
    with pytest.raises(evdtest.EvdError, match="stdout"):
        send_with(client, [writer], cmd="spawn", argv=["true"], stdout=1)
    os.close(writer)
    assert os.read(reader, 1) == b"", "evd has closed its copy"
    os.close(reader)


def test_spawn_limits():
    with Daemon(["--max-children", "3", "--max-session-children", "2"]) as daemon:
        with daemon.connect() as one, daemon.connect() as two:
            pids = [sh(one, "sleep 1000") for _ in range(2)]
            error = one.fails("spawn", argv=["true"])
            assert error.code == "limit-exceeded"
            assert "max-session-children" in error.message
            pids.append(sh(two, "sleep 1000"))
            assert "--max-children" in two.fails("spawn", argv=["true"]).message
            one.call("kill", pid=pids[0], signum="KILL")
            wait_until(lambda: is_over(pids[0]), "it is over")
            wait_until(
                lambda: one.call("list")["sessions"][0]["children"] == 1, "reaped"
            )
            sh(two, "sleep 1000")
            assert one.fails("spawn", argv=["true"]).code == "limit-exceeded"


# --- all that were spawned ----------------------------------------------------


@pytest.mark.parametrize("hold", [False, True])
def test_pid_0_has_an_event_for_each_child(client, hold):
    client.watch("child", "all", pid=0, hold=hold)
    number = 1000
    # They wait for the end of a common file, and then all end at once.
    gate_in, gate_out = os.pipe()
    pids = {}
    for i in range(number):
        result = send_with(
            client,
            [gate_in],
            cmd="spawn",
            argv=["/bin/sh", "-c", "read x; exit $1", "sh", str(i % 251)],
            stdin=0,
        )
        pids[result["pid"]] = i % 251
    os.close(gate_in)
    assert client.poll() == []
    os.close(gate_out)
    ended = {}
    for seq in range(1, number + 1):
        event = client.event()
        assert event["seq"] == seq
        assert "overrun" not in event
        assert event["pid"] not in ended
        ended[event["pid"]] = event["exit"]
        if hold:
            client.send({"cmd": "ack", "seq": seq, "reply": False})
    assert ended == pids
    assert client.poll() == []
    assert client.call("get", watcher="all")["active"] is True
    (session,) = client.call("list")["sessions"]
    assert session["children"] == 0


def test_pid_0_ends_are_of_one_batch_for_poll(client):
    client.watch("child", "all", pid=0)
    pids = [sh(client, "exit 1") for _ in range(30)]
    wait_until(
        lambda: client.call("list")["sessions"][0]["children"] == 0, "all are reaped"
    )
    client.poll()
    client.call("clear", watcher="all")
    pids = {sh(client, "exit 1") for _ in range(30)}
    events = []
    wait_until(
        lambda: events.extend(client.poll()) or len(events) == 30, "all have come"
    )
    assert {event["pid"] for event in events} == pids


def test_pid_0_what_is_pending_is_taken_back_whole(daemon, client):
    with daemon.connect() as other:
        client.watch("child", "all", pid=0, hold=True)
        sh(client, "exit 1")
        assert client.event()["exit"] == 1
        for _ in range(9):
            sh(client, "exit 2")
        wait_until(
            lambda: other.call("list", session="#1")["watchers"][0]
            .get("pending", {})
            .get("overrun")
            == 8,
            "nine are pending",
        )
        assert client.call("get", watcher="all")["pending"] == {
            "revents": CHILD,
            "overrun": 8,
        }
        result = client.call("stop", watcher="all")
        assert result == {"cleared": {"revents": CHILD, "overrun": 8}}
        client.call("start", watcher="all")
        assert client.poll() == []
        sh(client, "exit 3")
        assert client.event()["exit"] == 3


def test_pid_0_with_once_release_and_several_watchers(client):
    client.watch("child", "once", pid=0, once=True, release=True)
    client.watch("child", "one", pid=0)
    client.watch("child", "two", pid=0, priority=2)
    pids = {sh(client, "exit 0") for _ in range(5)}
    seen = {"once": set(), "one": set(), "two": set()}
    for _ in range(11):
        event = client.event()
        seen[event["watcher"]].add(event["pid"])
    assert seen["one"] == seen["two"] == pids
    assert len(seen["once"]) == 1
    assert client.fails("get", watcher="once").code == "no-such-watcher"


def test_pid_0_registered_after_the_spawn_and_of_its_session_only(daemon, client):
    with daemon.connect() as other:
        other.watch("child", "all", pid=0)
        pid = sh(client, "read x")  # at its end at once: /dev/null
        client.watch("child", "late", pid=0)
        # It may be over before; then there was nothing to watch any more.
        slow = sh(client, "sleep 0.2; exit 7")
        events = [client.event()]
        if events[0]["pid"] == pid:
            events.append(client.event())
        assert events[-1]["pid"] == slow
        assert other.poll() == []


def test_room_for_events_is_charged():
    with Daemon(["--max-bytes", "1000"]) as daemon, daemon.connect() as client:
        client.watch("child", "all", pid=0)
        for _ in range(5):
            sh(client, "sleep 1000")
        codes = []
        for _ in range(5):
            client.send({"cmd": "spawn", "argv": ["sleep", "1000"]})
            reply = client.reply()
            codes.append(reply.get("error", {}).get("code"))
        assert codes[-1] == "limit-exceeded"
        client.call("unwatch", watcher="all")
        client.call("spawn", argv=["true"])


# --- stops --------------------------------------------------------------------


def test_trace_tells_of_stops(client):
    pid = sh(client, "exec sleep 1000", watcher="t", trace=True)
    client.watch("child", "all", pid=0, trace=True)
    sh(client, "exec sleep 1000", watcher="quiet")
    client.call("kill", watcher="quiet", signum="STOP")
    event = client.event()
    assert (event["watcher"], event["stopped"]) == ("all", signal.SIGSTOP)
    client.call("kill", watcher="t", signum="STOP")
    for watcher in ("t", "all"):
        event = client.event()
        assert (event["watcher"], event["pid"]) in (("t", pid), ("all", pid))
        assert (event["status"], event["stopped"]) == (0x137F, 19)
        assert "active" not in event
    client.call("kill", watcher="t", signum="CONT")
    for _ in range(2):
        event = client.event()
        assert (event["status"], event["continued"]) == (0xFFFF, True)
    client.call("kill", watcher="t", signum="TERM")
    for _ in range(2):
        event = client.event()
        assert event["signal"] == signal.SIGTERM


def test_trace_merges_to_the_last_state(daemon, client):
    """A held watcher has one pending event, which tells what is so now."""
    pid = sh(client, "exec sleep 1000", watcher="t", trace=True, hold=True)
    os.kill(pid, signal.SIGSTOP)
    assert client.event()["stopped"] == 19
    os.kill(pid, signal.SIGCONT)
    with daemon.connect() as other:
        wait_until(
            lambda: "pending" in other.call("list", session="#1")["watchers"][0],
            "pending",
        )
        os.kill(pid, signal.SIGKILL)
        wait_until(
            lambda: not other.call("list", session="#1")["watchers"][0]["active"],
            "it has ended",
        )
    client.call("ack")
    event = client.event()
    assert (event["signal"], event["overrun"]) == (9, 1)
    assert "continued" not in event


def test_trace_merges_in_the_room_of_its_child(daemon, client):
    """Firings of one child merge behind another child's event, and all count."""
    client.watch("child", "all", pid=0, trace=True, hold=True)
    one, two = (sh(client, "exec sleep 1000") for _ in range(2))

    def act(pid, signum, overrun):
        os.kill(pid, signum)
        with daemon.connect() as other:
            wait_until(
                lambda: other.call("list", session="#1")["watchers"][0]
                .get("pending", {})
                .get("overrun")
                == overrun,
                "it is pending with an overrun of %d" % overrun,
            )

    os.kill(one, signal.SIGSTOP)
    assert client.event()["pid"] == one
    act(two, signal.SIGSTOP, 0)
    act(one, signal.SIGCONT, 1)
    act(one, signal.SIGSTOP, 2)
    client.call("ack")
    event = client.event()
    assert (event["pid"], event["stopped"], "overrun" in event) == (two, 19, False)
    assert client.call("get", watcher="all")["pending"]["overrun"] == 1
    client.call("ack")
    event = client.event()
    assert (event["pid"], event["stopped"], event["overrun"]) == (one, 19, 1)
    assert "pending" not in client.call("get", watcher="all")
    act(one, signal.SIGKILL, 0)
    assert client.call("clear", watcher="all")["cleared"]["overrun"] == 0


def test_trace_is_for_spawned_children(client):
    process = Sleeper()
    error = client.fails("watch", type="child", watcher="t", pid=process.pid, trace=True)
    assert error.code == "invalid-argument"
    assert "trace" in error.message
    process.end()
    process.reap()


def test_a_spawned_child_watched_by_pid(daemon, client):
    with daemon.connect() as other:
        pid = sh(client, "sleep 1000; exit 4")
        other.watch("child", "c", pid=pid)
        client.watch("child", "p", pid=pid, reaped=True, trace=True)
        client.call("kill", pid=pid, signum="STOP")
        assert client.event()["stopped"] == 19
        client.call("kill", pid=pid, signum="KILL")
        assert client.event()["signal"] == 9
        assert other.event()["signal"] == 9


# --- kill ---------------------------------------------------------------------


def test_kill(daemon, client):
    pid = sh(client, "exec sleep 1000", watcher="k")
    client.call("kill", watcher="k")
    assert client.event()["signal"] == signal.SIGTERM
    assert client.fails("kill", watcher="k").code == "system-error"
    assert client.fails("kill", pid=pid).code == "system-error"
    assert client.fails("kill", watcher="none").code == "no-such-watcher"
    for members in ({}, {"watcher": "k", "pid": pid}, {"pid": 0}, {"pid": -1}):
        assert client.fails("kill", **members).code == "invalid-argument"
    for signum in (0, 65, "NONSENSE", 32, -1, True, "RTMAX+1"):
        error = client.fails("kill", watcher="k", signum=signum)
        assert error.code == "invalid-argument", signum
    # Nobody but the session's own.
    process = Sleeper()
    assert client.fails("kill", pid=process.pid).code == "system-error"
    with daemon.connect() as other:
        mine = sh(other, "exec sleep 1000")
        assert client.fails("kill", pid=mine).code == "system-error"
        client.watch("child", "o", pid=mine)
        assert client.fails("kill", watcher="o").code == "system-error"
        assert not is_over(mine)
    assert not is_over(process.pid)
    process.end()
    process.reap()


def members_of(group):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and not is_over(int(entry)):
            try:
                if os.getpgid(int(entry)) == group:
                    found.append(int(entry))
            except ProcessLookupError:
                pass
    return found


def test_kill_the_group(client):
    pid = sh(client, "sleep 1000 & sleep 1000 & wait", watcher="k")
    wait_until(lambda: len(members_of(pid)) == 3, "the group is there")
    client.call("kill", watcher="k", signum=15, group=True)
    assert client.event()["watcher"] == "k"
    wait_until(lambda: members_of(pid) == [], "the group is gone")


# --- the end of a session, and of evd -----------------------------------------

QUICK = "trap 'echo SIGTERM; exit' TERM; echo ready; while :; do sleep 1000; done"
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 1000; done"


def spawn_ready(client, script, **members):
    """Spawn what says that it is ready; gives its pid and what it says then."""
    reader, writer = os.pipe()
    pid = send_with(
        client,
        [writer],
        cmd="spawn",
        argv=["sh", "-c", script],
        stdout=0,
        **members,
    )["pid"]
    os.close(writer)
    said = open(reader)
    assert said.readline() == "ready\n"
    return pid, said


def stubborn(client, **members):
    """Spawn a group that SIGTERM does not end; gives its pid when it is ready."""
    pid, said = spawn_ready(client, STUBBORN, **members)
    said.close()
    return pid


@pytest.mark.parametrize("args", GROUPS)
def test_session_end_terminates_its_children(args):
    with Daemon(args) as daemon, daemon.connect() as other:
        with daemon.connect() as client:
            quick = sh(client, "exec sleep 1000")
            left = sh(client, "exec sleep 1000", on_end="leave")
            stopped = sh(client, "exec sleep 1000")
            os.kill(stopped, signal.SIGSTOP)
            wait_until(lambda: state(stopped) == "T", "it has stopped")
            hard = stubborn(client)
            # The leader goes at once, the rest of its group does not.
            group = sh(
                client, "(trap '' TERM; sleep 1000; sleep 1000) & sleep 1000; exit"
            )
            wait_until(lambda: len(members_of(group)) >= 3, "the group is there")
            begin = time.monotonic()
        wait_until(lambda: is_over(quick) and is_over(stopped), "SIGTERM has come")
        assert not is_over(hard)
        wait_until(lambda: is_over(hard), "SIGKILL has come")
        assert time.monotonic() - begin > 4.5
        wait_until(lambda: members_of(group) == [], "and to the group")
        assert not is_over(left)
        for pid in (hard, quick):
            wait_until(lambda: state(pid) == "", "evd has reaped it")
        os.kill(left, signal.SIGKILL)
        wait_until(lambda: state(left) == "", "evd reaps it also without a session")
        other.call("now")


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_wall_clock_does_not_move_the_kill(seconds):
    with Clock() as clock, clock.daemon() as daemon:
        with daemon.connect() as client:
            hard = stubborn(client)
            quick = sh(client, "exec sleep 1000")
            begin = time.monotonic()
        wait_until(lambda: is_over(quick), "SIGTERM has come")
        clock.jump(seconds)
        with daemon.connect() as client:
            quick = sh(client, "exec sleep 1000")
        wait_until(lambda: is_over(quick), "SIGTERM has come to another one")
        wait_until(lambda: is_over(hard), "SIGKILL has come")
        assert time.monotonic() - begin > 4.5


def test_session_dies_while_its_children_stop(daemon, client):
    """Children end and stop by themselves just when their session goes."""
    pids = []
    for round_ in range(10):
        with daemon.connect() as dying:
            dying.watch("child", "all", pid=0, trace=True)
            for i in range(20):
                pids.append(
                    sh(dying, "kill -STOP $$" if i % 2 else "exit 1", watcher=i)
                )
            if round_ % 2:
                dying.shutdown()
    wait_until(lambda: all(state(pid) == "" for pid in pids), "all are gone")
    assert len(client.call("list")["sessions"]) == 1


def test_what_a_dead_session_has_left_is_charged_to_its_uid():
    with Daemon(["--max-children", "2"]) as daemon, daemon.connect() as other:
        with daemon.connect() as client:
            left = sh(client, "exec sleep 1000", on_end="leave")
        wait_until(
            lambda: len(other.call("list")["sessions"]) == 1, "the session is gone"
        )
        sh(other, "exec sleep 1000")
        assert other.fails("spawn", argv=["true"]).code == "limit-exceeded"
        os.kill(left, signal.SIGKILL)
        wait_until(lambda: state(left) == "", "reaped")
        wait_until(
            lambda: "error" not in (other.send(
                {"cmd": "spawn", "argv": ["true"]}) or other.reply()),
            "there is room again",
        )


def test_half_closed_session_lives_until_its_child_has_ended(daemon):
    with daemon.connect() as client:
        gate_in, gate_out = os.pipe()
        send_with(
            client,
            [gate_in],
            cmd="spawn",
            argv=["sh", "-c", "read x; exit 6"],
            stdin=0,
            watcher="w",
        )
        client.shutdown()
        os.close(gate_out)
        os.close(gate_in)
        assert client.event()["exit"] == 6
        client.eof()


@pytest.mark.parametrize("args", GROUPS)
def test_exit_terminates_children_and_kills_after_a_second(args):
    with Daemon(args) as daemon:
        with daemon.connect() as client:
            _, said = spawn_ready(client, QUICK)
            left = sh(client, "exec sleep 1000", on_end="leave")
            hard = stubborn(client)
            begin = time.monotonic()
            daemon.process.terminate()
            with said:
                assert said.read() == "SIGTERM\n"
            daemon.wait()
            assert time.monotonic() - begin > 0.9
            wait_until(lambda: is_over(hard), "SIGKILL has come")
            assert not is_over(left)
            os.kill(left, signal.SIGKILL)


def test_exit_does_not_wait_for_what_is_gone():
    # It would take a second each time; a busy machine is not always so slow.
    for _ in range(20):
        with Daemon() as daemon, daemon.connect() as client:
            pid = sh(client, "exec sleep 1000")
            begin = time.monotonic()
            daemon.stop()
            took = time.monotonic() - begin
            assert is_over(pid)
        if took < 0.9:
            return
    pytest.fail("20 times it has waited")


def test_idle_exit_waits_for_what_was_terminated():
    with Daemon(["--exit-idle", "2"]) as daemon:
        with daemon.connect() as client:
            hard = stubborn(client)
        assert daemon.wait() == 0
        wait_until(lambda: is_over(hard), "SIGKILL has come")


def test_child_by_pid_takes_no_descriptor(client):
    client.call("watch", type="child", watcher="w", pid=os.getpid(), start=False)
    pidfd = os.pidfd_open(os.getpid())
    error = client.fails_fds("start", pidfd, watcher="w")
    os.close(pidfd)
    assert error.code == "invalid-argument"
    assert '"fds" is 1' in error.message and '"pid"' in error.message


@pytest.mark.parametrize(
    "members", [{"pid": 1}, {"reaped": True}], ids=["pid", "no pidfd"]
)
def test_set_that_is_refused_its_descriptor_changes_nothing(client, members):
    reader, writer = os.pipe()
    pidfd = os.pidfd_open(os.getpid())
    passed = pidfd if "pid" in members else reader
    client.call_fds("watch", pidfd, type="child", watcher="w", start=False)
    client.call("suspend")
    client.call("feed", watcher="w", revents=CHILD)
    before = client.call("get", watcher="w")
    assert before["pending"] == {"revents": CHILD, "overrun": 0}
    error = client.fails_fds("set", passed, watcher="w", **members)
    assert error.code == "invalid-argument"
    assert client.call("get", watcher="w") == before
    client.call("resume")
    assert client.event()["pid"] == os.getpid()
    client.call("start", watcher="w")
    for fd in (reader, writer, pidfd):
        os.close(fd)


@pytest.mark.parametrize("watcher", ["one", "all"])
def test_start_that_is_refused_takes_no_event_back(watcher):
    """The event still says what it would have said."""
    with Daemon(["--max-session-bytes", "600"]) as daemon, daemon.connect() as client:
        client.watch("child", "all", pid=0, once=True)
        client.call("suspend")
        client.call("spawn", argv=["sh", "-c", "exit 3"], watcher="one")
        wait_until(
            lambda: "pending" in client.call("get", watcher="one")
            and "pending" in client.call("get", watcher="all"),
            "both are pending",
        )
        # So that there is no room for what "all" would keep for its children.
        for _ in range(4):
            client.call("spawn", argv=["sleep", "1000"])
        client.watch("async", 0, data="x" * 300)
        before = client.call("get", watcher=watcher)
        error = client.fails("start", watcher=watcher)
        assert error.code in ("invalid-argument", "limit-exceeded")
        assert client.call("get", watcher=watcher) == before
        client.call("resume")
        events = {event["watcher"]: event for event in (client.event(), client.event())}
        for event in events.values():
            assert (event["exit"], event["active"]) == (3, False)
            assert "overrun" not in event
        assert client.poll() == []
