"""The examples in clients/python and in the READMEs do what they say."""

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys

import pytest

import evdpython
import evdtest
from evdtest import Daemon, wait_until

EXAMPLES = evdpython.PACKAGE / "examples"


@pytest.fixture(name="evd", scope="module")
def fixture_evd():
    with Daemon() as daemon:
        yield daemon


@pytest.fixture(name="sessions")
def fixture_sessions(evd):
    """Tells the sessions there are but for this one; at the end there are none."""
    with evd.connect() as client:
        wait_until(lambda: not sessions_but(client), "only this session is there")
        yield lambda: sessions_but(client)
        wait_until(lambda: not sessions_but(client), "the example's session has ended")


def sessions_but(client):
    name = client.call("hello")["session"]
    return [s for s in client.call("list")["sessions"] if s["session"] != name]


class Program:
    """An example that runs, and what it prints."""

    def __init__(self, evd, name, *args, cwd=None):
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(EXAMPLES / name), *map(str, args)],
            env=evdpython.environment(EVD_SOCKET=evd.path, PYTHONUNBUFFERED="1"),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.seen = []
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def line(self):
        while b"\n" not in self.rest:
            ready = select.select([self.process.stdout], [], [], evdtest.LIMIT)[0]
            assert ready, "nothing more is printed; last: %r" % self.seen
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, "it has ended: %r %r" % (self.seen, self.rest)
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        self.seen.append(line.decode())
        return self.seen[-1]

    def expect(self, pattern):
        """Read lines up to one that matches, and give the match."""
        while True:
            match = re.search(pattern, self.line())
            if match:
                return match

    def seen_all(self, *beginnings):
        """Read on until a line with each of the beginnings was seen."""
        for beginning in beginnings:
            while not any(line.startswith(beginning) for line in self.seen):
                self.line()

    def end(self, signum=signal.SIGINT):
        self.process.send_signal(signum)
        rest = self.process.communicate(timeout=evdtest.LIMIT)[0]
        assert self.process.returncode == 0, rest
        return rest.decode()


def test_there_is_a_test_for_each():
    here = open(__file__, encoding="utf-8").read()
    for example in EXAMPLES.glob("*.py"):
        assert '"%s"' % example.name in here
        assert os.access(example, os.X_OK)


@pytest.mark.parametrize("name", ["echo.py", "echo_asyncio.py"])
def test_echo(evd, sessions, name):
    with Program(evd, name) as echo:
        port = int(echo.expect(r"listening on port (\d+)").group(1))
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
        for round in range(3):
            for number, client in enumerate(clients):
                client.settimeout(evdtest.LIMIT)
                client.sendall(b"hello %d" % number)
            for number, client in enumerate(clients):
                assert client.recv(100) == b"hello %d" % number
        gone = "%s:%d" % clients[0].getsockname()
        clients[0].close()
        echo.expect("gone: " + gone)
        clients[1].shutdown(socket.SHUT_WR)
        assert clients[1].recv(100) == b""
        clients[2].sendall(b"still there")
        assert clients[2].recv(100) == b"still there"
        for client in clients:
            client.close()
        echo.end()


def test_echo_sends_back_what_does_not_fit_at_once(evd, sessions):
    data = os.urandom(1 << 22)
    with Program(evd, "echo.py") as echo:
        port = int(echo.expect(r"listening on port (\d+)").group(1))
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.settimeout(evdtest.LIMIT)
            got, sent = bytearray(), 0
            while len(got) < len(data):
                events = select.POLLIN | (select.POLLOUT if sent < len(data) else 0)
                poll = select.poll()
                poll.register(client, events)
                ready = poll.poll(evdtest.LIMIT * 1000)[0][1]
                if ready & select.POLLOUT:
                    sent += client.send(data[sent : sent + 65536])
                if ready & select.POLLIN:
                    got += client.recv(65536)
            assert got == data
        echo.end(signal.SIGTERM)


def test_watch_files(evd, sessions, tmp_path):
    file = tmp_path / "note"
    with Program(evd, "watch_files.py", file, tmp_path / "other") as program:
        program.expect("watching 2 files")
        file.write_text("one")
        program.expect("note: (created,|now has) 3 bytes")
        file.write_text("three")
        program.expect("note: now has 5 bytes")
        file.chmod(0o600)
        program.expect("note: mode is now 0600")
        (tmp_path / "new").write_text("the new one")
        (tmp_path / "new").rename(file)
        program.expect("note: replaced by another one, 11 bytes")
        file.unlink()
        program.expect("note: removed")
        program.end()


def test_supervise(evd, sessions, tmp_path):
    commands = ["echo once", "echo >>%s; exit 3" % (tmp_path / "times"), "sleep 1000"]
    with Program(evd, "supervise.py", *commands) as program:
        program.expect(r"\[2\] failed: status 3; again in 1 s")
        program.expect(r"\[2\] started")
        program.expect(r"\[2\] failed: status 3; again in 2 s")
        assert len((tmp_path / "times").read_text()) == 2
        program.seen_all("[1] done", "[3] started")
        started = [line for line in program.seen if line.startswith("[3] started")]
        pid = int(started[0].split()[-1])
        program.end(signal.SIGTERM)
        assert not os.path.exists("/proc/%d" % pid)


def test_supervise_asyncio(evd, sessions, tmp_path):
    commands = ["echo out; echo err >&2; printf half", "kill -9 $$", "exec sleep 1000"]
    with Program(evd, "supervise_asyncio.py", *commands) as program:
        program.expect(r"\[2\] failed: signal 9; again in 1 s")
        program.expect(r"\[2\] failed: signal 9; again in 2 s")
        program.seen_all("[1] done", "[3] started")
        lines = [line for line in program.seen if line.startswith("[1]")]
        assert lines[1:] == ["[1] out", "[1] err", "[1] half", "[1] done"]
        started = [line for line in program.seen if line.startswith("[3] started")]
        pid = int(started[0].split()[-1])
        program.end()
    wait_until(lambda: not os.path.exists("/proc/%d" % pid), "evd has terminated it")


def test_cron_asyncio(evd, sessions, tmp_path):
    table = tmp_path / "table"
    table.write_text("# every second\n* * * * * *: echo tick in $PWD\n@yearly: false\n")
    with Program(evd, "cron_asyncio.py", "table", cwd=tmp_path) as program:
        program.expect("2 jobs")
        program.expect("tick in %s" % tmp_path)
        program.expect("tick in %s" % tmp_path)
        table.write_text("* * * * * *: echo tock; exit 7\n")
        program.expect("1 jobs")
        program.expect("tock")
        program.expect("failed: echo tock; exit 7: 7")
        table.write_text("* * * *: false\n")
        program.expect("cron_asyncio: invalid-argument: .*calendar")
        table.write_text("* * * * * *: echo mended\n")
        program.expect("mended")
        program.end()


def test_wait_for_file(evd, sessions, tmp_path):
    file = tmp_path / "file"
    with Program(evd, "wait_for_file.py", file) as program:
        wait_until(lambda: any(s["watchers"] for s in sessions()), "it waits")
        assert program.process.poll() is None
        file.write_text("")
        assert program.process.wait(evdtest.LIMIT) == 0
    with Program(evd, "wait_for_file.py", file) as program:
        assert program.process.wait(evdtest.LIMIT) == 0
    with Program(evd, "wait_for_file.py", tmp_path / "none", 0.05) as program:
        assert program.process.wait(evdtest.LIMIT) == 1


@pytest.mark.parametrize("name", sorted(e.name for e in EXAMPLES.glob("*.py")))
def test_no_daemon_is_told_in_one_line(name, tmp_path):
    (tmp_path / "table").write_text("")
    argument = {"echo.py": "0", "echo_asyncio.py": "0"}.get(name, "table")
    said = evdpython.python(
        str(EXAMPLES / name),
        argument,
        env={"EVD_SOCKET": str(tmp_path / "none")},
        cwd=str(tmp_path),
    )
    assert said.returncode == 1
    assert "no evd listens" in said.stderr and len(said.stderr.splitlines()) == 1


# --- the READMEs ------------------------------------------------------------


def readme_programs():
    for directory in (evdpython.SOURCE, evdpython.PACKAGE):
        text = (directory / "README.md").read_text(encoding="utf-8")
        found = re.findall(r"```python\n(.*?)```", text, re.S)
        assert found
        for number, block in enumerate(found, 1):
            yield pytest.param(block, id="%s %d" % (directory.name, number))


@pytest.mark.parametrize("program", readme_programs())
def test_readme(evd, sessions, program, tmp_path):
    """Each program there ends by itself, and prints what its comments say it prints."""
    said = evdpython.python(
        *("-W", "error", "-X", "dev", "-c", program),
        env={"EVD_SOCKET": evd.path},
        cwd=str(tmp_path),
    )
    assert said.returncode == 0, said.stderr
    assert said.stderr == ""
    promised = re.findall(r"#: (.*)", program)
    assert promised, "it promises nothing"
    assert said.stdout.splitlines() == promised
