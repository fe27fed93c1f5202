"""What the shells complete for evctl, in step with what evctl says of itself."""

import os
import pathlib
import pty
import re
import select
import shutil
import subprocess

import pytest

from evctltest import EVCTL, environment, evctl
from evdtest import LIMIT, Daemon

CLIENT = (
    pathlib.Path(os.environ.get("EVD_SRCDIR") or pathlib.Path(__file__).parents[1])
    / "clients"
    / "evctl"
)
ZSH = (CLIENT / "_evctl").read_text(encoding="utf-8")


def help_of(*args):
    status, out, _ = evctl("/nowhere/socket", *args, "--help")
    assert status == 0
    return out


COMMANDS = re.findall(r"^  (\w+)", help_of(), re.M)
OPTIONS = {
    command: set(re.findall(r"^  (--\w+)", help_of(*command.split()), re.M))
    for command in ["", *COMMANDS]
}
TYPES = re.findall(
    r"^  (\w+)", help_of("watch").partition("arguments:\n")[2].partition("Any")[0], re.M
)


@pytest.fixture(name="evd", scope="module")
def fixture_evd():
    with Daemon() as daemon:
        yield daemon


def bash(*words, path="/nowhere/socket", cwd=None):
    """What bash offers for the last of the words."""
    script = """
        . "$0"
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        _evctl
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    env = environment(path)
    env["PATH"] = os.path.dirname(EVCTL) + ":" + env["PATH"]
    result = subprocess.run(
        ["bash", "-c", script, str(CLIENT / "evctl.bash"), "evctl", *words],
        env=env,
        cwd=cwd,
        check=True,
        stdout=subprocess.PIPE,
        timeout=LIMIT,
    )
    return [word for word in result.stdout.decode().split("\n") if word]


@pytest.fixture(autouse=True)
def fixture_needs_bash():
    if not shutil.which("bash"):
        pytest.skip("no bash")


# --- in step ----------------------------------------------------------------


def test_bash_has_the_commands():
    assert bash("") == COMMANDS
    assert bash("w") == ["watch", "wait"]


@pytest.mark.parametrize("command", OPTIONS)
def test_bash_has_the_options(command):
    assert set(bash(*command.split(), "-")) == OPTIONS[command]


def test_bash_has_the_types():
    for command in ("watch", "wait"):
        assert bash(command, "") == TYPES


def test_bash_knows_which_options_have_a_value():
    with_value = set()
    for command in ["", *COMMANDS]:
        with_value |= set(
            re.findall(r"^  (--\w+) [A-Z]", help_of(*command.split()), re.M)
        )
    for option in set().union(*OPTIONS.values()):
        words = bash("watch", option, "")
        assert (words == TYPES) == (option not in with_value), option
        # And it is not taken for an argument.
        assert bash("watch", *[option, "x"][: 1 + (option in with_value)], "") == TYPES


def test_zsh_has_the_commands():
    listed = ZSH[: ZSH.index("_describe")]
    assert re.findall(r"^\t\t'(\w+):", listed, re.M) == COMMANDS
    cases = " ".join(re.findall(r"^\t\(([\w|]+)\) _arguments", ZSH, re.M))
    assert set(re.split(r"[ |]", cases)) == set(COMMANDS)


def zsh_options(command):
    text = ZSH[ZSH.index("local -a common=") :]
    common = text[: text.index(")\n\tlocal")]
    watcher = text[text.index("-a watcher=") : text.index("_arguments -C")]
    case = re.search(r"^\t\([\w|]*\b%s\b[\w|]*\) (.*?);;" % command, text, re.M | re.S)
    text = case.group(1) + common + (watcher if "$watcher" in case.group(1) else "")
    return set(re.findall(r"'(?:\(- \*\))?(--\w+)\[", text))


@pytest.mark.parametrize("command", COMMANDS)
def test_zsh_has_the_options(command):
    assert zsh_options(command) == OPTIONS[command]


def test_zsh_has_the_types():
    types = re.search(r"types=\((.*?)\)", ZSH, re.S).group(1).split()
    assert types == TYPES


def test_every_type_of_the_daemon_has_its_arguments(evd):
    with evd.connect() as client:
        hello = client.call("hello")
    of_the_kernel = {f for f in hello["features"] if "-" in f or f == "inotify"}
    assert set(hello["features"]) - of_the_kernel <= set(TYPES)


# --- at work ----------------------------------------------------------------


def test_bash_completes_arguments(tmp_path):
    (tmp_path / "a file").touch()
    assert bash("watch", "stat", "a", cwd=tmp_path) == ["a file"]
    assert bash("watch", "--name", "timer", "ti") == ["timer"]
    assert bash("wait", "timer", "5", ",", "chi") == ["child"]
    assert "USR1" in bash("wait", "signal", "U")
    assert str(os.getpid()) in bash("wait", "child", str(os.getpid()))
    assert bash("spawn", "bas")[:1] and not bash("stats", "")
    assert "Europe/Berlin" in bash("calendar", "--timezone", "Europe/B")


def test_bash_completes_sessions_and_watchers(evd):
    nasty = "$(touch nasty)`touch nasty`"
    with evd.connect() as client:
        client.call("hello", session="kitchen")
        client.watch("async", "bell")
        client.watch("async", nasty)
        with evd.connect() as other:
            other.call("hello", session=nasty)
            assert bash("send", "ki", path=evd.path) == ["kitchen"]
            assert bash("ls", "", path=evd.path) == ["kitchen"]
            assert bash("send", "kitchen", "", path=evd.path) == ["bell"]
    assert not os.path.exists("nasty")


class Zsh:
    """An interactive zsh with evctl's completion."""

    def __init__(self, directory, path):
        self.master, slave = pty.openpty()
        env = environment(path)
        env.update(
            PATH=os.path.dirname(EVCTL) + ":" + env["PATH"],
            TERM="dumb",
            LC_ALL="C.UTF-8",
            ZDOTDIR=str(directory),
        )
        (directory / ".zshrc").write_text(
            "PROMPT='ready> '\nfpath=(%s $fpath)\nautoload -U compinit\n"
            "compinit -u -D\nunsetopt zle_bracketed_paste\n" % CLIENT
        )
        self.process = subprocess.Popen(
            ["zsh", "-i"], stdin=slave, stdout=slave, stderr=slave, env=env,
            start_new_session=True, cwd=directory,
        )
        os.close(slave)
        self.text = ""
        self.until("ready> ")

    def until(self, text):
        while text not in self.text:
            assert select.select([self.master], [], [], LIMIT)[0], self.text
            data = os.read(self.master, 65536).decode("utf-8", "replace")
            self.text = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]|[\0-\x1f]", "", self.text + data)
        self.text = self.text.partition(text)[2]

    def completes(self, typed, to):
        """Type a line and TAB; what stands there then begins with another one."""
        os.write(self.master, typed.encode() + b"\t")
        self.until(to)
        os.write(self.master, b"\x15")

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def test_zsh_completes(evd, tmp_path):
    if not shutil.which("zsh"):
        pytest.skip("no zsh (Debian: zsh)")
    with evd.connect() as client:
        client.call("hello", session="kitchen")
        client.watch("async", "bell")
        zsh = Zsh(tmp_path, evd.path)
        try:
            zsh.completes("evctl cal", "evctl calendar ")
            zsh.completes("evctl watch --on", "evctl watch --once ")
            zsh.completes("evctl wait perio", "evctl wait periodic ")
            zsh.completes("evctl send kit", "evctl send kitchen ")
            zsh.completes("evctl send kitchen be", "evctl send kitchen bell ")
        finally:
            zsh.close()
