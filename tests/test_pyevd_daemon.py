"""How the Python client finds its daemon, starts one, and knows that it is one."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading

import pytest

import evdpython
import evdtest
from evdtest import Daemon, wait_until

import pyev.evd
from pyev import _daemon
from pyev.evd import Error, NoDaemon

SAY_PID = """
import pyev.evd
with pyev.evd.Connection() as connection:
    print(connection.hello["pid"])
"""


@pytest.fixture(name="home")
def fixture_home(monkeypatch):
    """A directory that is XDG_RUNTIME_DIR; what was started there is ended."""
    directory = evdtest.temporary_directory()
    for name in ("EVD_SOCKET", "EVD_AUTOSTART"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
    monkeypatch.setenv("EVD_COMMAND", evdtest.EVD)
    yield directory
    monkeypatch.setenv("EVD_AUTOSTART", "0")
    with contextlib.suppress(Error):
        sock, hello = _daemon.greet()
        sock.close()
        end(hello["pid"])
    shutil.rmtree(directory)


def end(pid):
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not alive(pidfd), "the daemon ends")
    os.close(pidfd)


def alive(pidfd):
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return False
    with open("/proc/self/fdinfo/%d" % pidfd) as info:
        pid = re.search(r"Pid:\s*(-?\d+)", info.read()).group(1)
    with contextlib.suppress(OSError), open("/proc/%s/stat" % pid) as stat:
        return stat.read().rpartition(")")[2].split()[0] != "Z"
    return False


def connect_blocking(**members):
    sock, hello = _daemon.greet(**members)
    sock.close()
    return hello


def connect_async(**members):
    async def main():
        async with pyev.evd.connect(members.get("session")) as session:
            return session.hello

    return evdpython.run(main)


both = pytest.mark.parametrize("connect", [connect_blocking, connect_async])


@contextlib.contextmanager
def listener(path, answer=b"", uid=None):
    """Somebody who accepts, reads a line and answers so; None: never."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = server.accept()
                    accepted.append(sock)
                    sock.recv(65536)
                    if answer is not None:
                        sock.sendall(answer)
                        sock.close()

        accepted = []
        thread = threading.Thread(target=serve)
        thread.start()
        yield
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for sock in accepted:
            sock.close()


# --- EVD_SOCKET -------------------------------------------------------------


@both
def test_evd_socket_and_nothing_else(home, monkeypatch, connect):
    connect_blocking()  # the user's own, which must not be used
    monkeypatch.setenv("EVD_SOCKET", home + "/nowhere")
    with pytest.raises(NoDaemon) as caught:
        connect()
    assert "no evd listens at %s/nowhere" % home in str(caught.value)
    assert "evd --socket" in str(caught.value)
    assert not os.path.exists(home + "/nowhere")
    with Daemon() as evd:
        monkeypatch.setenv("EVD_SOCKET", evd.path)
        assert connect()["pid"] == evd.pid


def test_members_of_hello_are_said(home):
    with Daemon() as evd, evdpython.at(evd.path):
        assert connect_blocking(session="me")["session"] == "me"
        with pytest.raises(Error) as caught:
            connect_blocking(session="#1")
        assert caught.value.code == "invalid-argument"


@both
@pytest.mark.parametrize(
    "answer, text",
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is not evd: it said b'SSH-2.0"),
        (b"[]\n", "is not evd"),
        (b"null\n", "is not evd"),
        (b'{"result":{}}\n', "is not evd"),
        (b'{"result":7}\n', "is not evd"),
        (b'{"error":"no"}\n', "is not evd"),
        (b"\xff\n", "is not evd"),
        (b"x" * 100000, "is not evd"),
        (b"", "closed the connection without an answer"),
        (b'{"result":', "closed the connection without an answer"),
        (b'{"event":"bye","reason":"exit"}\n', "just ending"),
        (
            b'{"result":{"protocol":2,"pid":1,"session":"#1","limits":{}}}\n',
            "speaks protocol 2, expected 1",
        ),
        (
            b'{"event":"bye","reason":"limit-exceeded","message":"sessions: 1"}\n',
            "limit-exceeded: sessions: 1",
        ),
    ],
)
def test_who_does_not_answer_as_evd_is_none(home, connect, answer, text):
    path = home + "/socket"
    with listener(path, answer), evdpython.at(path):
        with pytest.raises(Error) as caught:
            connect()
    assert text in str(caught.value)


@both
def test_who_does_not_answer_at_all_is_none(home, monkeypatch, connect):
    monkeypatch.setattr(_daemon, "ANSWER_TIMEOUT_S", 0.05)
    path = home + "/socket"
    with listener(path, None), evdpython.at(path):
        with pytest.raises(Error, match="no answer within"):
            connect()


@both
def test_who_accepts_nobody_is_none(home, monkeypatch, connect):
    monkeypatch.setattr(_daemon, "ANSWER_TIMEOUT_S", 0.05)
    path = home + "/socket"
    with socket.socket(socket.AF_UNIX) as server, evdpython.at(path):
        server.bind(path)
        server.listen(0)
        first = socket.socket(socket.AF_UNIX)
        first.connect(path)
        with first, pytest.raises(Error, match="has taken no connection"):
            connect()


@both
def test_errors_of_the_place_are_told(home, connect):
    for path, text in (
        (home, "onnection refused|no evd listens"),
        (home + "/" + "x" * 200, "path too long"),
        ("/etc/passwd/socket", "Not a directory"),
    ):
        with evdpython.at(path), pytest.raises(Error, match=text):
            connect()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(home + "/packets")
        server.listen()
        with evdpython.at(home + "/packets"):
            with pytest.raises(Error, match="stream socket"):
                connect()


def as_nobody(code, env):
    """Run a program as another user, who cannot read the sources; root only."""
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    code = "import os; import pyev.evd; os.setgid(65534); os.setuid(65534)\n" + code
    return evdpython.python("-c", code, env=env)


def test_permission_denied_is_told(home):
    os.chmod(home, 0o755)
    with Daemon(path=home + "/socket") as evd:
        said = as_nobody("pyev.evd.Connection()", {"EVD_SOCKET": evd.path})
    assert "permission denied: uid 65534 may not connect" in said.stderr


# --- the user's own ---------------------------------------------------------


@both
def test_a_daemon_is_started_once(home, connect):
    first = connect()
    assert connect()["pid"] == first["pid"]
    assert os.stat(home + "/evd").st_mode & 0o777 == 0o700
    end(first["pid"])
    assert connect()["pid"] != first["pid"]


def test_many_at_once_start_one(home):
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", SAY_PID],
            env=evdpython.environment(XDG_RUNTIME_DIR=home, EVD_COMMAND=evdtest.EVD),
            stdout=subprocess.PIPE,
        )
        for _ in range(6)
    ]
    pids = {program.communicate(timeout=evdtest.LIMIT)[0] for program in programs}
    assert len(pids) == 1 and int(pids.pop()) > 0


@both
def test_none_is_started_if_it_shall_not(home, monkeypatch, connect):
    monkeypatch.setenv("EVD_AUTOSTART", "0")
    with pytest.raises(NoDaemon, match="EVD_AUTOSTART=0 says not to start one"):
        connect()
    assert not os.path.exists(home + "/evd")


def test_it_is_in_tmp_without_a_runtime_directory(monkeypatch):
    monkeypatch.delenv("EVD_SOCKET", raising=False)
    for runtime in ("", "relative"):
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        assert _daemon.find() == ("/tmp/evd-%d/socket" % os.geteuid(), True)


def test_a_directory_that_others_may_enter_is_refused(home):
    os.mkdir(home + "/evd", 0o700)
    os.chmod(home + "/evd", 0o750)
    with pytest.raises(Error, match="is a directory of uid .* with mode 0750"):
        connect_blocking()


def test_a_link_is_refused(home):
    os.mkdir(home + "/real", 0o700)
    os.symlink("real", home + "/evd")
    with pytest.raises(Error, match="is a link of uid"):
        connect_blocking()


def test_another_ones_directory_is_refused(home):
    if os.getuid() != 0:
        pytest.skip("needs root, to give a directory away")
    os.mkdir(home + "/evd", 0o700)
    os.chown(home + "/evd", 65534, 65534)
    with pytest.raises(Error, match="is a directory of uid 65534"):
        connect_blocking()


def test_another_ones_listener_is_refused(home):
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    os.mkdir(home + "/evd", 0o700)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(home + "/evd/socket")
        pid = os.fork()
        if pid == 0:
            # Credentials are those of listen(2).
            os.setuid(65534)
            server.listen()
            signal.pause()
        try:
            wait_until(lambda: refuses(home), "somebody else listens")
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def refuses(home):
    place = _daemon.Place(home + "/evd/socket", True)
    try:
        _daemon.run(_daemon._connecting(place)).close()
    except NoDaemon:
        return False
    except Error as error:
        assert "its listener has uid 65534, expected 0" in str(error)
        return True
    raise AssertionError("another one's listener was accepted")


@both
@pytest.mark.parametrize(
    "evd, text",
    [
        ("/nowhere/evd", "/nowhere/evd: No such file"),
        ("false", "'false --ensure' failed with status 1: it said nothing"),
        ("true", "no evd listens at"),
    ],
)
def test_what_cannot_start_one_is_told(home, monkeypatch, connect, evd, text):
    monkeypatch.setenv("EVD_COMMAND", evd)
    with pytest.raises(Error) as caught:
        connect()
    assert text in str(caught.value)


@both
def test_what_evd_says_is_told(home, monkeypatch, connect):
    script = home + "/evd.sh"
    with open(script, "w") as file:
        file.write("#!/bin/sh\necho 'evd: it is too cold' >&2\nexit 1\n")
    os.chmod(script, 0o755)
    monkeypatch.setenv("EVD_COMMAND", script)
    with pytest.raises(Error, match="failed with status 1: evd: it is too cold"):
        connect()


@both
def test_an_ensure_that_hangs_is_told_and_ended(home, monkeypatch, connect):
    script = home + "/evd.sh"
    with open(script, "w") as file:
        file.write("#!/bin/sh\necho $$ >%s/pid\nexec sleep 1000\n" % home)
    os.chmod(script, 0o755)
    monkeypatch.setenv("EVD_COMMAND", script)
    monkeypatch.setattr(_daemon, "ENSURE_TIMEOUT_S", 0.2)
    with pytest.raises(Error, match="has not come to an end"):
        connect()
    # It may have been ended before it had said its pid.
    with contextlib.suppress(FileNotFoundError), open(home + "/pid") as file:
        assert not os.path.exists("/proc/%s/stat" % file.read().strip())


def test_a_connect_that_is_cancelled_ends_what_it_started(home, monkeypatch):
    script = home + "/evd.sh"
    with open(script, "w") as file:
        file.write("#!/bin/sh\necho $$ >%s/pid\nexec sleep 1000\n" % home)
    os.chmod(script, 0o755)
    monkeypatch.setenv("EVD_COMMAND", script)

    async def main():
        task = asyncio.ensure_future(pyev.evd.connect())
        while not os.path.exists(home + "/pid") or not os.path.getsize(home + "/pid"):
            await asyncio.sleep(0.002)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    evdpython.run(main)
    with open(home + "/pid") as file:
        assert not os.path.exists("/proc/" + file.read().strip())


def test_no_program_is_told(home, monkeypatch):
    monkeypatch.delenv("EVD_COMMAND")
    monkeypatch.setenv("PATH", home)
    monkeypatch.setattr(_daemon, "_beside", lambda module: iter(()))
    with pytest.raises(Error, match="no program evd in PATH.*EVD_COMMAND"):
        connect_blocking()


def test_the_program_is_looked_for_beside_the_package(monkeypatch, tmp_path):
    def make(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        path.chmod(0o755)
        return path

    monkeypatch.delenv("EVD_COMMAND", raising=False)
    tree = tmp_path / "tree"
    make(tree / "configure.ac")
    built = make(tree / "build" / "evd")
    module = make(tree / "clients/python/pyev/_daemon.py")
    assert built in list(_daemon._beside(module))
    module = make(tmp_path / "usr/lib/python3/dist-packages/pyev/_daemon.py")
    installed = make(tmp_path / "usr/bin/evd")
    assert installed in list(_daemon._beside(module))
    monkeypatch.setattr(_daemon, "__file__", str(module))
    assert _daemon._command() == str(installed)
    monkeypatch.setenv("EVD_COMMAND", "/elsewhere/evd")
    assert _daemon._command() == "/elsewhere/evd"
    monkeypatch.delenv("EVD_COMMAND")
    installed.unlink()
    monkeypatch.setenv("PATH", str(built.parent))
    assert _daemon._command() == str(built)


@both
def test_a_daemon_that_is_just_ending_is_got_past(home, connect):
    """Who closes without an answer, and has gone then, is followed by another."""
    os.mkdir(home + "/evd", 0o700)
    path = home + "/evd/socket"
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()

    def end_of_it():
        sock, _ = server.accept()
        server.close()
        os.unlink(path)
        sock.close()

    thread = threading.Thread(target=end_of_it)
    thread.start()
    assert connect()["pid"] > 0
    thread.join()


# --- the socket -------------------------------------------------------------


def test_the_socket_blocks_and_is_closed_on_exec(home):
    for sock in (_daemon.connect(), _daemon.greet()[0]):
        with sock:
            assert sock.gettimeout() is None and sock.getblocking()
            assert not os.get_inheritable(sock.fileno())


def test_the_socket_is_no_standard_descriptor(home):
    code = """
import os
for fd in (0, 1):
    os.close(fd)
from pyev import _daemon
for sock in (_daemon.connect(), _daemon.greet()[0]):
    assert sock.fileno() > 2, sock
    assert not os.get_inheritable(sock.fileno())
    for fd in (0, 1):
        try:
            os.fstat(fd)
            raise SystemExit("%d is open" % fd)
        except OSError:
            pass
"""
    said = evdpython.python(
        "-c", code, env={"XDG_RUNTIME_DIR": home, "EVD_COMMAND": evdtest.EVD}
    )
    assert (said.returncode, said.stderr) == (0, "")


def test_a_time_limit_for_all_sockets_is_not_ours(home):
    socket.setdefaulttimeout(0.000001)
    try:
        assert connect_blocking()["pid"] > 0
    finally:
        socket.setdefaulttimeout(None)


def test_sigpipe_does_not_kill(home):
    path = home + "/socket"
    code = """
import signal
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
import pyev.evd
c = pyev.evd.Connection()
import os
os.kill(c.hello["pid"], signal.SIGKILL)
try:
    while True:
        c.send({"cmd": "now"})
except pyev.evd.Closed as closed:
    print(closed)
"""
    evd = Daemon(path=path)
    said = evdpython.python("-c", code, env={"EVD_SOCKET": path})
    assert "without a word" in said.stdout, said.stderr
    evd.kill()


def test_a_program_that_has_no_children_to_wait_for(home, monkeypatch):
    """With SIGCHLD ignored nobody can say how evd --ensure has ended."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert connect_blocking()["pid"] > 0
    finally:
        signal.signal(signal.SIGCHLD, before)


# --- python3 -m pyev --------------------------------------------------------


def test_the_module_says_which_daemon(home):
    with Daemon(["--max-session-watchers", "77"]) as evd:
        said = evdpython.python("-m", "pyev", env={"EVD_SOCKET": evd.path})
        assert (said.returncode, said.stderr) == (0, "")
        assert re.search(r"^socket: +%s$" % evd.path, said.stdout, re.M)
        assert re.search(r"^pid: +%d$" % evd.pid, said.stdout, re.M)
        assert re.search(r"^evd: +\d+\.\d+\.\d+, protocol 1$", said.stdout, re.M)
        assert re.search(r"^session: +watchers 77, bytes \d+", said.stdout, re.M)


def test_the_module_fails_where_there_is_none(home):
    for env, text in (
        ({"EVD_SOCKET": home + "/none"}, "pyev: no evd listens at %s/none" % home),
        ({"XDG_RUNTIME_DIR": home, "EVD_AUTOSTART": "0"}, "EVD_AUTOSTART=0"),
    ):
        said = evdpython.python("-m", "pyev", env=env)
        assert said.returncode == 1 and said.stdout == ""
        assert text in said.stderr and len(said.stderr.splitlines()) == 1


def test_the_module_finds_the_users_own(home):
    env = {"XDG_RUNTIME_DIR": home, "EVD_COMMAND": evdtest.EVD}
    said = evdpython.python("-m", "pyev", env=env)
    assert "%s/evd/socket" % home in said.stdout
    assert evdpython.python("-m", "pyev", "--help").returncode == 0
