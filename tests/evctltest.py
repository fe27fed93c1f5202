"""What the tests of evctl share: running it, in pipes and on a terminal.

    EVCTL           its path (default: evctl beside the daemon)
"""

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import tempfile
import termios

import evdtest
from evdtest import LIMIT, WRAPPER

EVCTL = os.environ.get("EVCTL") or os.path.join(os.path.dirname(evdtest.EVD), "evctl")

ERROR, USAGE, NO_DAEMON, REFUSED, TIME_LIMIT = 1, 2, 3, 4, 124


def environment(path=None, **extra):
    """A clean environment, with the daemon at a path."""
    env = evdtest.environment(extra)
    env.pop("POSIXLY_CORRECT", None)
    if path is not None:
        env["EVD_SOCKET"] = path
    return env


class Evctl:
    """A running evctl; a context manager that leaves none behind.

    Its standard output is a pipe (.out is what is read from), its standard error
    a file. More are options of Popen.
    """

    def __init__(self, path, *args, env=None, **options):
        self.log = tempfile.TemporaryFile("w+b")
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        self.process = subprocess.Popen(
            [*WRAPPER, EVCTL, *args],
            env=environment(path) if env is None else env,
            stderr=self.log,
            **options,
        )
        self.pid = self.process.pid
        self.ahead = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.log):
            if file:
                file.close()

    def line(self):
        """The next line of its output, without its LF."""
        # Not readline, which takes more than a line where select sees nothing of it.
        while b"\n" not in self.ahead:
            ready, _, _ = select.select([self.process.stdout], [], [], LIMIT)
            assert ready, "no line in %d s: %s" % (LIMIT, self.stderr)
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, "evctl has ended: %r %s" % (self.ahead, self.stderr)
            self.ahead += data
        line, _, self.ahead = self.ahead.partition(b"\n")
        return line.decode()

    def event(self):
        return json.loads(self.line())

    def wait(self):
        """Its exit status."""
        return self.process.wait(LIMIT)

    def rest(self):
        """The exit status, and all that is left of its output."""
        out = (self.ahead + self.process.stdout.read()).decode()
        return self.wait(), out

    def kill(self, signum):
        os.kill(self.pid, signum)

    @property
    def stderr(self):
        self.log.seek(0)
        text = self.log.read().decode("utf-8", "replace")
        assert not evdtest.REPORT.search(text), text
        return text


def evctl(path, *args, input=None, **options):
    """Run it to its end; gives exit status, standard output and error as text."""
    if input is not None:
        file = tempfile.TemporaryFile()
        file.write(input if isinstance(input, bytes) else input.encode())
        file.seek(0)
        options["stdin"] = file
    with Evctl(path, *args, **options) as running:
        status, out = running.rest()
        return status, out, running.stderr


class Terminal:
    """evctl on a terminal of so many columns; .text is what it shows."""

    def __init__(self, path, *args, columns=80, env=None):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.master = master
        self.text = ""

        def prepare():
            # Its controlling terminal, so that ^C is a signal.
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [*WRAPPER, EVCTL, *args],
            env={**environment(path, LC_ALL="C.UTF-8", TZ="UTC"), **(env or {})},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=prepare,
        )
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)

    def _read(self):
        ready, _, _ = select.select([self.master], [], [], LIMIT)
        assert ready, "nothing more in %d s: %r" % (LIMIT, self.text)
        try:
            data = os.read(self.master, 65536)
        except OSError:  # the other end is closed
            return False
        self.text += data.decode().replace("\r\n", "\n")
        return bool(data)

    def until(self, text):
        """Read on until the terminal shows a text."""
        while text not in self.text:
            assert self._read(), "evctl has ended: %r" % self.text

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        """Its exit status, and all that it has shown."""
        while self._read():
            pass
        return self.process.wait(LIMIT), self.text


def on_terminal(path, *args, **options):
    with Terminal(path, *args, **options) as terminal:
        return terminal.end()
