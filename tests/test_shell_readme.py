"""What the README shows in shell: each block with a comment "run: NAME" is run."""

import datetime
import os
import re
import subprocess

import pytest

import evdclock
import evdtest
from evdshell import LIBRARY, require, run, script
from test_readme import README

BLOCKS = dict(
    re.findall(
        r"^<!-- run: (\w+) -->\n```sh\n(.*?)^```$",
        README.read_text(encoding="utf-8"),
        re.M | re.S,
    )
)


@pytest.fixture(autouse=True)
def programs():
    require("socat", "jq", "dash", "bash")


@pytest.fixture(params=["dash", "bash"])
def shell(request):
    return [request.param]


@pytest.fixture
def daemon():
    with evdtest.Daemon() as daemon:
        yield daemon


def block(name, replace=()):
    """The text of a block, with S, and with some of it replaced."""
    text = BLOCKS[name]
    for old, new in dict(replace).items():
        assert old in text
        text = text.replace(old, new)
    return 'S="UNIX-CONNECT:$EVD_SOCKET"\n' + text


def watchers(daemon, count):
    """Wait until sessions have so many watchers in all."""
    with daemon.connect() as client:
        evdtest.wait_until(
            lambda: sum(
                session["watchers"] for session in client.call("list")["sessions"]
            )
            == count,
            "%d watchers" % count,
        )


def test_all_blocks_are_run():
    assert set(BLOCKS) == {"loop", "file", "nine", "pid", "wait", "wake"}


def test_loop(shell, daemon):
    text = BLOCKS["loop"].replace(". evd.sh\n", "")
    assert text != BLOCKS["loop"]
    text = text.replace("/etc/hosts", "hosts").replace("make &", "sh ./make &")
    # The file changes with the first tick, and make ends when that was seen.
    text = text.replace('$EV_SEQ"', '$EV_SEQ"; echo 12 >new; mv new hosts')
    text = text.replace('bytes"', 'bytes"; echo >seen')
    out = run(
        shell,
        "echo 'while [ ! -e seen ]; do sleep 0.01; done; exit 2' >make\n" + text,
        daemon,
        preamble="",
    )
    assert out[0] == "tick 1"
    assert out[-2:] == ["now 3 bytes", "make ended with 2"]


def test_file(shell, daemon, tmp_path):
    file = tmp_path / "hosts"
    text = block("file", replace={"/etc/hosts": str(file)})
    with script(shell, text, daemon, preamble="") as running:
        watchers(daemon, 1)
        file.write_text("x")
        assert running.wait() == 0, running.stderr
        assert running.stdout == "it has changed\n"


def test_nine(shell):
    """On the first weekday to come it is nine o'clock, and only then."""
    with evdclock.Clock() as clock:
        now = datetime.datetime.now(datetime.timezone.utc)
        day = now + datetime.timedelta(days=1)
        while day.weekday() > 4:
            day += datetime.timedelta(days=1)
        early = day.replace(hour=8, minute=0, second=0, microsecond=0)
        with clock.daemon(env={"TZ": "UTC"}) as daemon:
            clock.jump((early - now).total_seconds())
            with script(shell, block("nine"), daemon, preamble="") as running:
                watchers(daemon, 1)
                clock.jump_to(early.timestamp() + 3599.5)
                running.said("good morning\n")
                for pid in running.processes():
                    os.kill(pid, 15)
                running.wait()
                assert running.stdout == "good morning\n"


def test_pid(shell, daemon):
    sleeper = subprocess.Popen(["sleep", "1000"])
    text = "pid=%d\n" % sleeper.pid + block("pid")
    with script(shell, text, daemon, preamble="") as running:
        watchers(daemon, 1)
        sleeper.kill()
        sleeper.wait()
        assert running.wait() == 0
        assert running.stdout == ""
    # It has ended before.
    assert run(shell, text, daemon, preamble="") == []


def test_pid_that_does_not_end_in_time(shell, daemon):
    text = "pid=%d\n" % os.getpid() + block("pid", replace={"-t 60": "-t 0.2"})
    assert run(shell, text, daemon, preamble="") == ["it still runs"]


def test_wait_and_wake(shell, daemon):
    assert run(shell, block("wake"), daemon, preamble="") == ["nobody waits"]
    with script(shell, block("wait"), daemon, preamble="") as running:
        watchers(daemon, 1)
        assert run(shell, block("wake"), daemon, preamble="") == []
        assert running.wait() == 0
        assert running.stdout == "somebody rang\n"


def test_examples_are_those_that_are_there():
    named = re.findall(r"^\*\*([\w-]+)\*\* ", README.read_text("utf-8"), re.M)
    assert sorted(named) == sorted(os.listdir(LIBRARY / "examples"))


def test_the_manual_has_the_same():
    text = (README.parent / "man" / "evd.sh.7").read_text(encoding="utf-8")
    text = text.replace("\\-", "-").replace("\\e", "\\")
    for name in BLOCKS.keys() - {"loop"}:
        assert BLOCKS[name] in text, name
