"""Tests of the units under a real systemd; test_systemd.py boots it and runs this there.

usage: systemd_inside.py DIRECTORY

Runs as root in a container whose PID 1 is systemd, with the daemon and its units
installed. DIRECTORY/results then has one JSON object a line: the name of a test, and
its traceback or null. The tests run in their order here, as functions named test_*.
"""

import contextlib
import grp
import json
import os
import pathlib
import pwd
import signal
import stat
import subprocess
import sys
import tempfile
import traceback

from evdtest import LIMIT, Client, wait_until

SOCKET = "/run/evd/socket"
STRANGER = 2001
MEMBER = 2002
USER = 2003


def call(*args, **options):
    """What a command prints; it must succeed."""
    return subprocess.run(
        args,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=LIMIT,
        **options,
    ).stdout


def show(unit, name, manager=("systemctl",)):
    """A property of a unit."""
    return call(*manager, "show", "--property", name, "--value", unit).strip()


def main_pid():
    return int(show("evd.service", "MainPID"))


def as_user(uid, function, groups=()):
    """Call a function in a process of another uid; its exception comes back as text."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups(groups)
            os.setgid(uid)
            os.setuid(uid)
            # Not dumpable after that, and then nobody could compare namespaces.
            set_dumpable()
            function()
            status = 0
        except BaseException:
            os.write(writer, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, errors="replace") as text:
        said = text.read()
    assert os.waitpid(pid, 0)[1] == 0, said


def set_dumpable():
    import ctypes

    assert ctypes.CDLL(None).prctl(4, 1, 0, 0, 0) == 0


def drop_in(unit, text, directory="/run/systemd/system"):
    """Settings of the test's own for a unit; empty text takes them back."""
    path = pathlib.Path(directory, unit + ".d", "test.conf")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@contextlib.contextmanager
def settings(unit, text):
    drop_in(unit, text)
    call("systemctl", "daemon-reload")
    call("systemctl", "restart", unit)
    try:
        yield
    finally:
        drop_in(unit, "")
        call("systemctl", "daemon-reload")
        call("systemctl", "reset-failed", unit)
        call("systemctl", "restart", unit)


# The unit of the system


def test_user_and_group_are_there():
    assert pwd.getpwnam("evd").pw_gid == grp.getgrnam("evd").gr_gid
    assert pwd.getpwnam("evd").pw_shell.endswith("nologin")


def test_who_may_connect():
    call("systemctl", "start", "evd.socket")
    found = os.stat(SOCKET)
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert found.st_gid == grp.getgrnam("evd").gr_gid

    def refused():
        try:
            Client(SOCKET)
        except PermissionError:
            return
        raise AssertionError("a stranger may connect")

    as_user(STRANGER, refused)
    assert show("evd.service", "ActiveState") == "inactive"


def test_first_command_starts_it():
    def first():
        with Client(SOCKET) as c:
            # As in no later one, the kernel says that its peer is systemd.
            error = c.fails_fds(
                "watch", c.sock.fileno(), type="io", watcher="own", events="r"
            )
            assert "evd itself" in error.message
            c.watch("timer", "t", after=0)
            assert c.event()["watcher"] == "t"

    as_user(MEMBER, first, [grp.getgrnam("evd").gr_gid])
    with Client(SOCKET) as c:
        assert c.call("hello")["pid"] == main_pid()
    assert show("evd.service", "ActiveState") == "active"
    assert show("evd.service", "Type") == "notify"
    assert os.stat("/proc/%d" % main_pid()).st_uid == pwd.getpwnam("evd").pw_uid


def test_its_status():
    with Client(SOCKET) as c:
        c.watch("async", "w")
        expected = "clients: 1, watchers: 1"
        wait_until(lambda: show("evd.service", "StatusText") == expected, expected)


def test_what_it_serves():
    with Client(SOCKET) as c, tempfile.TemporaryFile() as file:
        r, w = os.pipe()
        c.watch_fd("pipe", r)
        os.write(w, b"x")
        assert c.event()["watcher"] == "pipe"
        c.watch("scheduler", "s", calendar="* * * * * *", timezone="Europe/Berlin")
        assert c.event()["watcher"] == "s"
        c.watch("periodic", "p", jumps=True)
        child = os.pidfd_open(os.getpid())
        c.call_fds("watch", child, type="child", watcher="c")
        for cmd, members in (
            ("watch", {"type": "stat", "watcher": "x", "path": "/tmp"}),
            ("spawn", {"argv": ["true"]}),
        ):
            assert c.fails(cmd, **members).code == "permission-denied"


def test_its_uids_are_apart():
    with Client(SOCKET) as root:
        root.call("hello", session="name")

        def other():
            with Client(SOCKET) as c:
                # In a user namespace both would be 65534.
                c.call("hello", session="name")
                (session,) = c.call("list")["sessions"]
                assert session["uid"] == MEMBER

        as_user(MEMBER, other, [grp.getgrnam("evd").gr_gid])


def journal(*args):
    call("journalctl", "--sync")
    text = call("journalctl", "--unit=evd.service", "--output=json", *args)
    return [json.loads(line) for line in text.splitlines()]


def test_its_log_in_the_journal():
    with Client(SOCKET) as c:
        c.fails("spawn", argv=["true"])
    refused = 'refused pid %d of uid 0 (python3): verb "spawn"' % os.getpid()
    entries = wait_until(
        lambda: [e for e in journal() if e["MESSAGE"].startswith(refused)],
        "the refusal is in the journal",
    )
    assert all(entry["PRIORITY"] == "5" for entry in entries)
    started = [e for e in journal() if "listening on /run/evd/socket" in e["MESSAGE"]]
    assert started and started[0]["PRIORITY"] == "5"
    # Nothing worse, such as what a sandbox gets in the way of.
    worse = [e["MESSAGE"] for e in journal("--priority=4") if e["_COMM"] == "evd"]
    assert worse == []


def test_restart():
    with Client(SOCKET) as c:
        before = c.call("hello")["pid"]
        call("systemctl", "restart", "evd.service")
        assert c.rest()[-1] == {"event": "bye", "reason": "exit"}
    with Client(SOCKET) as c:
        assert c.call("hello")["pid"] == main_pid() != before


def test_stop_leaves_the_socket():
    before = os.stat(SOCKET).st_ino
    call("systemctl", "stop", "evd.service")
    assert show("evd.service", "Result") == "success"
    with Client(SOCKET) as c:
        c.call("now")
        assert os.stat(SOCKET).st_ino == before
        assert c.call("hello")["pid"] == main_pid()


def test_killed_one_comes_back():
    with Client(SOCKET) as c:
        before = c.call("hello")["pid"]
        os.kill(before, signal.SIGKILL)
        c.eof()
    with Client(SOCKET) as c:
        assert c.call("hello")["pid"] != before


def test_watchdog():
    with settings("evd.service", "[Service]\nWatchdogSec=4s\n"):
        restarts = int(show("evd.service", "NRestarts"))
        pid = main_pid()
        os.kill(pid, signal.SIGSTOP)
        with Client(SOCKET) as c:
            c.send({"cmd": "hello"})
            wait_until(
                lambda: int(show("evd.service", "NRestarts")) > restarts,
                "systemd has restarted it",
            )
            # Who connected to the one that hung is served by the next.
            assert c.recv()["result"]["pid"] == main_pid() != pid
        assert int(show("evd.service", "NRestarts")) == restarts + 1
    assert any("Watchdog timeout" in entry["MESSAGE"] for entry in journal())


def test_idle_end():
    ours = "[Service]\nExecStart=\nExecStart=%s --exit-idle 0.2\n"
    with settings("evd.service", ours % show_program()):
        wait_until(
            lambda: show("evd.service", "ActiveState") == "inactive", "it has ended"
        )
        assert show("evd.service", "Result") == "success"
        for _ in range(3):
            with Client(SOCKET) as c:
                c.call("now")
            wait_until(
                lambda: show("evd.service", "ActiveState") == "inactive", "and again"
            )


def show_program():
    text = pathlib.Path("/etc/systemd/system/evd.service").read_text()
    (line,) = [x for x in text.splitlines() if x.startswith("ExecStart=")]
    return line.partition("=")[2].split()[0]


# The unit of a user

RUNTIME = "/run/user/%d" % USER
OWN = RUNTIME + "/evd/socket"
MANAGER = (
    "setpriv --reuid %d --regid %d --clear-groups env XDG_RUNTIME_DIR=%s systemctl --user"
    % (USER, USER, RUNTIME)
).split()


def start_manager():
    """A user's systemd, with nothing that logind or PAM would have to do."""
    os.makedirs(RUNTIME, mode=0o700)
    os.chown(RUNTIME, USER, USER)
    call("systemctl", "start", "evd-test-manager.service")


def as_owner(function):
    def run():
        os.environ["XDG_RUNTIME_DIR"] = RUNTIME
        function()

    as_user(USER, run)


def test_user_socket():
    start_manager()
    call(*MANAGER, "start", "evd.socket")
    found = os.stat(OWN)
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (USER, 0o600)
    found = os.stat(os.path.dirname(OWN))
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (USER, 0o700)


def test_user_rights():
    """stat and spawn, for whoever sees the machine as the unit does."""

    def use():
        with Client(OWN) as c:
            c.watch("stat", "s", path="/etc/passwd")
            pid = c.call("spawn", argv=["sh", "-c", "exit 3"], watcher="w")["pid"]
            event = c.event()
            assert (event["pid"], event["exit"]) == (pid, 3), event
            c.watch("child", "c", pid=os.getppid())

    as_owner(use)
    main = int(show("evd.service", "MainPID", MANAGER))
    assert os.stat("/proc/%d" % main).st_uid == USER


def test_user_ensure():
    """evd --ensure and systemd mean the same socket."""

    def ensure():
        call(show_program(), "--ensure")
        with Client(OWN) as c:
            assert c.call("hello")["pid"] == int(
                call(*MANAGER[6:], "show", "-P", "MainPID", "evd.service")
            )

    call(*MANAGER, "stop", "evd.service")
    as_owner(ensure)


def test_user_children_that_are_left_alone():
    r, w = os.pipe()

    def spawn():
        with Client(OWN) as c:
            sleep = ["sleep", "600"]
            left = c.call("spawn", argv=sleep, watcher="l", on_end="leave")["pid"]
            ended = c.call("spawn", argv=sleep, watcher="e")["pid"]
            os.write(w, b"%d %d" % (left, ended))
            call(*MANAGER[6:], "stop", "evd.service")

    as_owner(spawn)
    left, ended = map(int, os.read(r, 100).split())
    wait_until(lambda: not os.path.exists("/proc/%d" % ended), "one has ended")
    assert os.path.exists("/proc/%d" % left)
    os.kill(left, signal.SIGKILL)


def test_user_daemon_of_ensure_makes_way():
    """systemd takes the path over; who is there goes on until it is idle."""
    call(*MANAGER, "stop", "evd.socket", "evd.service")

    def start():
        call(show_program(), "--ensure", "--exit-idle", "3")
        with Client(OWN) as c:
            first = c.call("hello")["pid"]
            call(*MANAGER[6:], "start", "evd.socket")
            c.call("now")
            with Client(OWN) as other:
                assert other.call("hello")["pid"] != first
            c.close()
            wait_until(lambda: not os.path.exists("/proc/%d" % first), "it ends")
            with Client(OWN) as other:
                assert other.call("hello")["pid"] != first

    as_owner(start)


def main(directory):
    with open(os.path.join(directory, "results"), "w") as results:
        for name, test in list(globals().items()):
            if not name.startswith("test_"):
                continue
            fault = None
            try:
                test()
            except BaseException:
                fault = traceback.format_exc()
            json.dump({"test": name, "fault": fault}, results)
            results.write("\n")
            results.flush()


if __name__ == "__main__":
    main(sys.argv[1])
