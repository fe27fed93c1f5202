"""Runs scripts that use clients/shell/evd.sh, in all the shells there are.

A script is text; it is run with EVD_SOCKET, a TMPDIR and a working directory of its
own, and evd.sh in PATH. When it has ended nothing of it may be left: no process, no
file in TMPDIR, no session.
"""

import collections
import contextlib
import os
import pathlib
import shutil
import subprocess
import uuid

import pytest

import evdtest

SOURCE = pathlib.Path(
    os.environ.get("EVD_SRCDIR") or pathlib.Path(__file__).parents[1]
)
LIBRARY = SOURCE / "clients" / "shell"

# What evd.sh is for, and what it happens to run in.
SHELLS = {
    "dash": ["dash"],
    "bash": ["bash"],
    "bash-posix": ["bash", "--posix"],
    "busybox": ["busybox", "sh"],
    "ksh": ["ksh"],
    "zsh": ["zsh"],
}


def missing(*programs):
    """The first of the programs that is not there, or None."""
    return next((name for name in programs if not shutil.which(name)), None)


def require(*programs):
    """Skip the test if one of the programs is missing."""
    name = missing(*programs)
    if name:
        pytest.skip("no %s" % name)


@pytest.fixture(params=SHELLS)
def shell(request):
    """The command of a shell."""
    command = SHELLS[request.param]
    require("socat", "jq", command[0])
    return command


@pytest.fixture(scope="module")
def daemon():
    with evdtest.Daemon() as daemon:
        yield daemon


def of_mark(mark):
    """The pids of processes (no zombies) that have inherited the variable."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/environ" % pid, "rb") as file:
                environ = file.read()
        except OSError:
            continue
        if mark.encode() in environ.split(b"\0"):
            yield int(pid)


class Script:
    """A script that runs.

    text: what is behind ". evd.sh". preamble: what is before it.
    """

    def __init__(self, shell, text, daemon=None, env=None, preamble="set -eu\n"):
        self.directory = evdtest.temporary_directory()
        self.tmp = os.path.join(self.directory, "tmp")
        self.work = os.path.join(self.directory, "work")
        os.mkdir(self.tmp)
        os.mkdir(self.work)
        self.mark = "EVD_TEST=%s" % uuid.uuid4()
        self.daemon = daemon
        self.file = os.path.join(self.directory, "script")
        with open(self.file, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(preamble + ". evd.sh\n" + text)
        name, value = self.mark.split("=")
        variables = {
            "PATH": "%s:%s" % (LIBRARY, os.environ["PATH"]),
            "TMPDIR": self.tmp,
            "XDG_RUNTIME_DIR": self.directory,
            "EVD_AUTOSTART": "0",
            name: value,
        }
        if daemon is not None:
            variables["EVD_SOCKET"] = daemon.path
        variables.update(env or {})
        self.out = os.path.join(self.directory, "out")
        self.err = os.path.join(self.directory, "err")
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                [*shell, self.file],
                cwd=self.work,
                env={
                    name: value
                    for name, value in evdtest.environment(variables).items()
                    if value is not None
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.pid = self.process.pid

    @property
    def stdout(self):
        return self._read(self.out)

    @property
    def stderr(self):
        return self._read(self.err)

    @staticmethod
    def _read(path):
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()

    def said(self, text):
        """Wait until it has printed text."""

        def seen():
            if text in self.stdout:
                return True
            if self.process.poll() is not None and text not in self.stdout:
                raise AssertionError(
                    "it has ended with %r: %s%s"
                    % (self.process.returncode, self.stdout, self.stderr)
                )
            return False

        evdtest.wait_until(seen, "the script says %r" % text)

    def asleep(self):
        """Wait until the shell sleeps.

        The trap of a signal that comes just before its `read` goes to sleep would run
        with the next line (evd.sh(7), BUGS).
        """
        seen = collections.deque(maxlen=5)

        def stays():
            with open("/proc/%d/status" % self.pid) as status:
                lines = dict(line.split(":", 1) for line in status)
            sleeps = lines["State"].split()[0] == "S"
            seen.append(lines["voluntary_ctxt_switches"] if sleeps else object())
            return len(seen) == 5 and len(set(seen)) == 1

        evdtest.wait_until(stays, "the shell sleeps")

    def processes(self):
        return sorted(of_mark(self.mark))

    def wait(self):
        """Wait for its end; gives its status, or minus the signal's number."""
        try:
            return self.process.wait(evdtest.LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                "it does not end: %s%s" % (self.stdout, self.stderr)
            ) from None

    def gone(self):
        """Assert that nothing of it is left."""
        evdtest.wait_until(
            lambda: not self.processes(), "no process is left of " + self.file
        )
        assert os.listdir(self.tmp) == []

    def close(self):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        self.process.wait()
        shutil.rmtree(self.directory)


@contextlib.contextmanager
def script(shell, text, daemon=None, **options):
    """A Script; behind it nothing may be left."""
    script = Script(shell, text, daemon, **options)
    try:
        yield script
        script.gone()
    finally:
        script.close()


def run(shell, text, daemon=None, status=0, stderr="", **options):
    """Run a script to its end; gives the lines of its output.

    stderr: what it prints there; None: whatever it is.
    """
    with script(shell, text, daemon, **options) as running:
        ended = running.wait()
        said = running.stdout + running.stderr
        assert ended == status, "status %r: %s" % (ended, said)
        if stderr is not None:
            assert running.stderr == stderr, said
        return running.stdout.splitlines()
