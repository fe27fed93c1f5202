"""Types what the README shows into shells, and compares what they answer.

A fenced block marked console is what a terminal shows: commands after "$ ", their
further lines after "> ", and the answers. All blocks are played in their order, in
one directory with build/evd, as the README says. A comment before a block names
another terminal than the first: <!-- terminal 2 -->. The last command of a block may
go on; a later block of its terminal then shows what comes from it. Lines of JSON are
compared as in transcripts: times and the like may be others; so may the numbers in
other lines.
"""

import collections
import os
import pathlib
import re
import select
import shlex
import shutil
import signal
import subprocess
import time

import pytest

import evdtest
from evctltest import EVCTL
from test_transcripts import Pattern, Transcript

README = (
    pathlib.Path(os.environ.get("EVD_SRCDIR") or pathlib.Path(__file__).parents[1])
    / "README.md"
)

Block = collections.namedtuple("Block", "number terminal steps")
Step = collections.namedtuple("Step", "number command answer")


def blocks(text):
    """The console blocks; a step's command is None where a command goes on."""
    terminal, block = "1", None
    for number, line in enumerate(text.splitlines(), 1):
        comment = re.fullmatch(r"<!-- terminal (\w+) -->", line)
        if comment:
            terminal = comment.group(1)
        elif block is None and line == "```console":
            block = Block(number, terminal, [])
        elif block is not None and line == "```":
            yield block
            terminal, block = "1", None
        elif block is not None:
            add_line(block.steps, number, line)


def add_line(steps, number, line):
    if line.startswith("$ "):
        steps.append(Step(number, [line[2:]], []))
    elif line.startswith("> "):
        steps[-1].command.append(line[2:])
    else:
        if not steps:
            steps.append(Step(number, None, []))
        steps[-1].answer.append(line)


class Terminal:
    """A shell, and what it and its commands have written so far."""

    def __init__(self, directory):
        self.shell = subprocess.Popen(
            ["sh"],
            cwd=directory,
            env=evdtest.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.out = b""
        self.prompt = 0
        self.busy = False

    def type(self, command):
        """Give the shell a command; a line of our own tells that it has ended."""
        self.expect_prompt()
        text = "\n".join(command) + "\n"
        if not text.endswith("&\n"):
            self.busy = True
            self.prompt += 1
            text += "echo prompt %d\n" % self.prompt
        self.shell.stdin.write(text.encode())
        self.shell.stdin.flush()

    def line(self):
        """The next line of output, without its LF."""
        while b"\n" not in self.out:
            ready, _, _ = select.select([self.shell.stdout], [], [], evdtest.LIMIT)
            assert ready, "nothing more comes; last: %r" % self.out
            data = os.read(self.shell.stdout.fileno(), 65536)
            assert data, "the shell has ended; last: %r" % self.out
            self.out += data
        line, self.out = self.out.split(b"\n", 1)
        return line.decode("utf-8")

    def expect_prompt(self):
        """Assert that the last command ends and has nothing more to say."""
        if self.busy:
            line = self.line()
            assert line == "prompt %d" % self.prompt, "more than shown: " + line
            self.busy = False

    def close(self):
        """End the shell and all that it has started."""
        os.killpg(self.shell.pid, signal.SIGKILL)
        self.shell.wait()
        self.shell.stdin.close()
        self.shell.stdout.close()


class Player:
    """The terminals, and what the rules for values in JSON want to know."""

    Daemon = collections.namedtuple("Daemon", "pid")
    DIRECTIVES = {**{name: [] for name in Transcript.DIRECTIVES}, "any": ["pid"]}

    def __init__(self, directory):
        self.directory = directory
        self.started = time.time()
        self.terminals = {}
        build = directory / "build"
        build.mkdir()
        script = "#!/bin/sh\necho $$ >build/pid\nexec %s \"$@\"\n" % " ".join(
            map(shlex.quote, [*evdtest.WRAPPER, evdtest.EVD])
        )
        (build / "evd").write_text(script)
        (build / "evd").chmod(0o755)
        (build / "evctl").symlink_to(EVCTL)

    @property
    def daemon(self):
        return self.Daemon(int((self.directory / "build/pid").read_text()))

    def play(self, block):
        terminal = self.terminals.get(block.terminal)
        if terminal is None:
            terminal = self.terminals[block.terminal] = Terminal(self.directory)
        for step in block.steps:
            try:
                if step.command is not None:
                    terminal.type(step.command)
                for shown in step.answer:
                    self.compare(terminal.line(), shown)
            except AssertionError as error:
                raise AssertionError("README.md:%d: %s" % (step.number, error)) from None

    def compare(self, found, shown):
        evdtest.skip_if_wrapper_lacks(found.encode())
        if shown.startswith("{"):
            Pattern(shown.encode(), self.DIRECTIVES).check(found.encode(), self)
        else:
            found = found.replace(str(self.directory), "/home/you/evd")
            # Numbers are those of the machine.
            assert re.sub(r"\d+", "0", found) == re.sub(r"\d+", "0", shown), found

    def close(self):
        for terminal in self.terminals.values():
            terminal.close()


@pytest.fixture
def player():
    directory = evdtest.temporary_directory()
    player = Player(pathlib.Path(directory))
    yield player
    player.close()
    shutil.rmtree(directory)


def test_readme_shows_what_happens(player):
    shown = list(blocks(README.read_text(encoding="utf-8")))
    assert shown
    for block in shown:
        player.play(block)
    for terminal in player.terminals.values():
        terminal.expect_prompt()
