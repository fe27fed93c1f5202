"""evctl, over a real daemon, in pipes and on a terminal."""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import termios
import threading

import pytest

import evdtest
import test_transcripts
from evctltest import (
    ERROR,
    EVCTL,
    NO_DAEMON,
    REFUSED,
    TIME_LIMIT,
    USAGE,
    Evctl,
    Terminal,
    environment,
    evctl,
    on_terminal,
)
from evdtest import LIMIT, WRAPPER, Client, Daemon, wait_until

COMMANDS = "watch wait spawn run send ls stats calendar version".split()


@pytest.fixture(name="evd", scope="module")
def fixture_evd():
    with Daemon() as daemon:
        yield daemon


@pytest.fixture(name="c")
def fixture_c(evd):
    with evd.connect() as client:
        yield client


def sessions(client):
    return {s["session"]: s for s in client.call("list")["sessions"]}


def wait_for_session(client, name, watchers=1):
    """Wait until a session has so many watchers."""

    def there():
        session = sessions(client).get(name)
        return session if session and session["watchers"] == watchers else None

    return wait_until(there, "session %s with %d watchers" % (name, watchers))


def events(text):
    return [json.loads(line) for line in text.splitlines()]


# --- help and usage ---------------------------------------------------------


def test_help_needs_no_daemon():
    status, out, err = evctl("/nowhere/socket", "--help")
    assert status == 0 and not err
    assert re.findall(r"^  (\w+)", out, re.M) == COMMANDS
    for line in out.splitlines():
        assert line == line.rstrip()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each(command):
    status, out, err = evctl("/nowhere/socket", command, "--help")
    assert status == 0 and not err
    assert out.startswith("usage: evctl %s [OPTION...]" % command)
    assert "--json" in out and "--help" in out


def test_version_of_evctl_alone():
    status, out, _ = evctl("/nowhere/socket", "--version")
    assert status == 0
    assert re.fullmatch(r"evctl \d+\.\d+\.\d+\n", out)


@pytest.mark.parametrize(
    "args, message",
    [
        ([], "a command is missing"),
        (["wath"], "'wath' is no command"),
        (["--nonsense"], "--nonsense"),
        (["watch"], "an argument is missing"),
        (["watch", "--leave", "timer"], "--leave"),
        (["watch", "timer", "1", "2", "3"], "'3' is an argument too many"),
        (["watch", "nonsense", "1"], "'1' is an argument too many"),
        (["watch", "timer", "1", "after=1"], "'after' is given twice"),
        (["watch", "timer", "after=1", "2"], "'after' is given twice"),
        (["watch", "timer", "1", ","], "a type is missing"),
        (["watch", ",", "timer", "1"], "a type is missing"),
        (["watch", "--name", "a", "timer", "1", ",", "timer", "2"], "--name"),
        (["watch", "--data", "{", "timer", "1"], "data is '{', expected JSON"),
        (["watch", "--priority", "3", "timer", "1"], "from -2 to 2"),
        (["watch", "--timeout", "-1", "timer", "1"], "0 or more"),
        (["watch", "--timeout", "nan", "timer", "1"], "a number of seconds"),
        (["watch", "io", "77"], "descriptor 77: Bad file descriptor"),
        (["watch", "io", ""], "path is '', expected one"),
        (["watch", "stat", ""], "path is '', expected one"),
        (["watch", b"name\xff"], "expected UTF-8"),
        (["wait", "--once", "timer", "1"], "--once"),
        (["spawn"], "an argument is missing"),
        (["send", "a"], "an argument is missing"),
        (["send", "a", "b", "c"], "'c' is an argument too many"),
        (["calendar"], "an argument is missing"),
        (["calendar", "--number", "11", "* * * * *"], "from 1 to 10"),
        (["run", "a", "b"], "'b' is an argument too many"),
        (["ls", "--watchers", "a"], "--watchers is for all sessions"),
        (["stats", "a"], "'a' is an argument too many"),
    ],
)
def test_wrong_usage(args, message):
    status, out, err = evctl("/nowhere/socket", *args)
    assert status == USAGE and not out
    assert message in err and re.search(r"^Try 'evctl.* --help'\.$", err, re.M)


# --- watch ------------------------------------------------------------------


def test_watch_ends_with_its_last_watcher(evd):
    status, out, err = evctl(evd.path, "watch", "timer", "0.01")
    assert (status, err) == (0, "")
    (event,) = events(out)
    assert event["event"] == event["watcher"] == "timer"
    assert event["seq"] == 1 and event["active"] is False


def test_watch_goes_on_as_long_as_one_is_active(evd):
    # The time limit runs from the start of evctl, which may take long.
    for limit in ("0.4", "4", "40"):
        args = "watch --timeout %s timer 0 , timer 0.01 0.1" % limit
        status, out, _ = evctl(evd.path, *args.split())
        assert status == TIME_LIMIT
        names = [event["watcher"] for event in events(out)]
        if "timer-2" in names:
            break
    assert names.count("timer") == 1 and names.count("timer-2") >= 1


def test_watch_options_and_members(evd, c):
    args = ["watch", "--name", "tick", "--data", '{"a": 1.50}', "--priority", "1"]
    args += ["--session", "options", "timer", "3600", "60", "hold=true"]
    with Evctl(evd.path, *args):
        wait_for_session(c, "options")
        (watcher,) = c.call("list", session="options")["watchers"]
        assert watcher == {
            "watcher": "tick",
            "type": "timer",
            "active": True,
            "priority": 1,
            "hold": True,
        }
    # What has become of data, byte for byte:
    status, out, _ = evctl(evd.path, *args[:5], "timer", "0")
    assert status == 0 and out.endswith('"data":{"a": 1.50}}\n')


@pytest.mark.parametrize(
    "words, name",
    [
        (["--name", "5"], 5),
        (["--name", "05"], "05"),
        (["--name", "true"], "true"),
        (["watcher=7"], 7),
        (["watcher=a b"], "a b"),
        (['watcher="7"'], '"7"'),
    ],
)
def test_names_are_integers_or_strings(evd, words, name):
    status, out, _ = evctl(evd.path, "watch", "timer", "0", *words)
    assert status == 0 and events(out)[0]["watcher"] == name


def test_a_value_that_is_json_is_taken_as_that(evd):
    for word, data in [("data=[1,\n2]", [1, 2]), ("data=[1,", "[1,"), ("data=x y", "x y")]:
        status, out, _ = evctl(evd.path, "watch", "timer", "0", word)
        assert status == 0 and events(out)[0]["data"] == data


def test_watch_once(evd):
    status, out, _ = evctl(evd.path, "watch", "--once", "timer", "0", "0.01")
    assert status == 0 and len(events(out)) == 1


@pytest.mark.parametrize(
    "words",
    [["periodic", "0.01"], ["scheduler", "* * * * * *", "Europe/Berlin"]],
    ids=lambda words: words[0],
)
def test_watch_of_the_clock(evd, words):
    status, out, _ = evctl(evd.path, "watch", "--once", *words)
    assert status == 0 and events(out)[0]["event"] == words[0]


@pytest.mark.parametrize("name", [b"file", b"a b=c", b"\xff\xfe"])
def test_watch_stat_of_a_relative_path(evd, c, tmp_path, name):
    file = os.fsencode(tmp_path) + b"/" + name
    args = ["watch", "--session", "relative", "--once", "stat", b"./" + name]
    with Evctl(evd.path, *args, cwd=tmp_path) as running:
        wait_for_session(c, "relative")
        open(file, "w").close()
        event = running.event()
        assert event["attr"]["ino"] == os.stat(file).st_ino
        assert running.wait() == 0


def test_watch_io_passes_the_descriptor(evd, c):
    read, write = os.pipe()
    args = ["watch", "--session", "io", "--once", "io", "0"]
    with Evctl(evd.path, *args, stdin=read) as running:
        os.close(read)
        wait_for_session(c, "io")
        os.write(write, b"x")
        assert running.event()["revents"] == evdtest.READ
        assert running.wait() == 0
    os.close(write)


def test_watch_io_for_writing(evd):
    with Evctl(evd.path, "watch", "--once", "io", "1", "w") as running:
        assert running.event()["revents"] == evdtest.WRITE
        assert running.wait() == 0


def test_watch_io_of_several_descriptors(evd, c):
    pipes = [os.pipe() for _ in range(3)]
    words = []
    for read, _ in pipes:
        words += [",", "io", str(read), "watcher=%d" % read]
    fds = [read for read, _ in pipes]
    args = ["watch", "--session", "several", *words[1:]]
    with Evctl(evd.path, *args, pass_fds=fds) as running:
        wait_for_session(c, "several", 3)
        for read, write in reversed(pipes):
            os.write(write, b"x")
            assert running.event()["watcher"] == read
            os.read(read, 1)
    for fd in sum(pipes, ()):
        os.close(fd)


def test_watch_io_goes_on_at_a_pace(evd):
    # Nobody reads, so it stays ready: told again, after each acknowledgement.
    read, write = os.pipe()
    os.write(write, b"x")
    with Evctl(evd.path, "watch", "--pace", "0.01", "io", "0", stdin=read) as running:
        times = [running.event()["time"] for _ in range(4)]
        assert all(b - a >= 0.009 for a, b in zip(times, times[1:]))
    os.close(read)
    os.close(write)


def test_watch_io_of_a_path(evd, c, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    args = ["watch", "--session", "fifo", "--once", "io", "fifo"]
    with Evctl(evd.path, *args, cwd=tmp_path) as running:
        wait_for_session(c, "fifo")
        with open(tmp_path / "fifo", "w") as fifo:
            fifo.write("x")
        assert running.event()["event"] == "io"
        assert running.wait() == 0


def test_watch_child_and_signal(evd, c):
    child = subprocess.Popen(["sleep", "60"])
    with Evctl(evd.path, "watch", "--session", "end", "child", str(child.pid)) as running:
        wait_for_session(c, "end")
        child.kill()
        child.wait()
        assert running.event()["pid"] == child.pid
        assert running.wait() == 0
    with Evctl(evd.path, "watch", "--session", "hup", "--once", "signal", "USR1") as running:
        wait_for_session(c, "hup")
        os.kill(evd.pid, signal.SIGUSR1)
        assert running.event()["signum"] == signal.SIGUSR1
        assert running.wait() == 0


def test_watch_until_a_watcher_ends_the_session(evd):
    status, out, err = evctl(
        evd.path, "watch", "async", ",", "timer", "0", "end=true"
    )
    assert (status, err) == (0, "")
    assert [event["watcher"] for event in events(out)] == ["timer"]


def test_watch_that_is_refused(evd):
    status, out, err = evctl(evd.path, "watch", "timer", "-x")
    assert status == USAGE
    status, out, err = evctl(evd.path, "watch", "timer", "after=-1")
    assert (status, out) == (REFUSED, "")
    assert err.startswith('evctl: invalid-argument: member "after" is -1, expected')
    status, _, err = evctl(evd.path, "watch", "nonsense")
    assert status == REFUSED and "invalid-argument" in err


# --- wait -------------------------------------------------------------------


def test_wait_for_the_first(evd):
    status, out, err = evctl(
        evd.path, "wait", "timer", "3600", ",", "timer", "0.01", "watcher=soon", ",", "async"
    )
    assert (status, err) == (0, "")
    assert [event["watcher"] for event in events(out)] == ["soon"]


def test_wait_shows_one_event_of_several(evd):
    status, out, _ = evctl(evd.path, "wait", "timer", "0", ",", "timer", "0")
    assert status == 0 and len(events(out)) == 1


def test_wait_has_a_time_limit(evd):
    status, out, err = evctl(evd.path, "wait", "--timeout", "0.05", "timer", "3600")
    assert (status, out, err) == (TIME_LIMIT, "", "")


def test_wait_holds_its_time_limit_though_the_daemon_stands_still():
    def waits(running):
        """Whether it has registered its watcher, and has not ended."""
        wait_until(
            lambda: running.process.poll() is not None
            or sessions(client).get("w", {"watchers": 0})["watchers"] == 1,
            "evctl waits, or has ended",
        )
        os.kill(daemon.pid, signal.SIGSTOP)
        return running.process.poll() is None

    with Daemon() as daemon, daemon.connect() as client:
        # On a slow machine a second may be over before that.
        for limit in ("1", "10", "50"):
            args = ["wait", "--session", "w", "--timeout", limit, "timer", "3600"]
            with Evctl(daemon.path, *args) as running:
                waited = waits(running)
                assert running.wait() == TIME_LIMIT
                os.kill(daemon.pid, signal.SIGCONT)
            if waited:
                break
        assert waited


@pytest.mark.parametrize("verb", ["wait", "watch"])
def test_a_time_limit_holds_for_a_daemon_that_stands_still_from_the_start(verb):
    with Daemon() as daemon:
        os.kill(daemon.pid, signal.SIGSTOP)
        status, out, err = evctl(daemon.path, verb, "--timeout", "0.1", "timer", "0")
        os.kill(daemon.pid, signal.SIGCONT)
        assert (status, out, err) == (TIME_LIMIT, "", "")


def test_times_that_no_clock_has_are_numbers(tmp_path):
    path = str(tmp_path / "socket")
    line = b'{"event":"timer","watcher":"w","time":1e300,"at":-1e308}\n'
    stranger = Stranger(path, b'{"result":{"protocol":1}}\n' + line)
    status, out, err = evctl(path, "--text", "wait", "timer", "1")
    assert (status, out) == (0, "1e+300  w  timer, next -1e+308\n"), err
    stranger.close()


def test_wait_for_a_descriptor_a_child_and_a_file(evd, c, tmp_path):
    read, write = os.pipe()
    child = subprocess.Popen(["sleep", "60"])
    args = ["wait", "--session", "three", "io", "0", ",", "child", str(child.pid)]
    args += [",", "stat", tmp_path / "file"]
    with Evctl(evd.path, *args, stdin=read) as running:
        wait_for_session(c, "three", 3)
        (tmp_path / "file").touch()
        assert running.event()["event"] == "stat"
        assert running.wait() == 0
    child.kill()
    child.wait()
    os.close(read)
    os.close(write)


def test_wait_that_is_refused(evd):
    status, _, err = evctl(evd.path, "wait", "child", "2147483647")
    assert status == REFUSED and "ESRCH" in err


# --- spawn ------------------------------------------------------------------


@pytest.mark.parametrize("script, status", [("exit 0", 0), ("exit 7", 7), ("exit 255", 255)])
def test_spawn_has_the_status_of_its_program(evd, script, status):
    assert evctl(evd.path, "spawn", "--", "sh", "-c", script) == (status, "", "")


def test_spawn_of_a_program_that_a_signal_ends(evd):
    status, _, _ = evctl(evd.path, "spawn", "sh", "-c", "kill -9 $$")
    assert status == 128 + 9


def test_spawn_passes_everything_on(evd, tmp_path):
    script = 'cat; echo "$GIVEN $PWD $1"; echo error >&2'
    env = environment(evd.path, GIVEN="a=b")
    status, out, err = evctl(
        None, "spawn", "sh", "-c", script, "sh", "--json", input="in\n", env=env, cwd=tmp_path
    )
    assert (status, out) == (0, "in\na=b %s --json\n" % tmp_path)
    assert err == "error\n"


def test_spawn_of_what_is_no_program(evd, tmp_path):
    (tmp_path / "file").write_text("x")
    for word, status in [("/nowhere/program", 127), (str(tmp_path / "file"), 126)]:
        found, _, err = evctl(evd.path, "spawn", word)
        assert found == status and "system-error" in err


def test_spawn_leaves_out_what_is_no_utf8(evd):
    env = {os.fsencode(k): os.fsencode(v) for k, v in environment(evd.path).items()}
    env[b"BAD"] = b"\xff"
    status, out, err = evctl(None, "spawn", "sh", "-c", "echo ${BAD-none}", env=env)
    assert (status, out) == (0, "none\n")
    assert "variable BAD is left out" in err


def test_spawn_with_an_environment_that_is_too_large(evd):
    env = environment(evd.path, LARGE="x" * 70000)
    status, _, err = evctl(None, "spawn", "true", env=env)
    assert status == ERROR and "evd takes 65536" in err


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2"])
def test_spawn_passes_signals_on(evd, name):
    script = "trap 'echo %s; exit 9' %s; echo ready; while :; do sleep 0.02; done"
    with Evctl(evd.path, "spawn", "sh", "-c", script % (name, name)) as running:
        assert running.line() == "ready"
        running.kill(getattr(signal, "SIG" + name))
        assert running.line() == name
        assert running.wait() == 9


def test_spawn_dies_of_the_signal_that_it_passes_on(evd):
    with Evctl(evd.path, "spawn", "sh", "-c", "echo ready; exec sleep 60") as running:
        assert running.line() == "ready"
        running.kill(signal.SIGINT)
        assert running.wait() == 128 + signal.SIGINT


def test_spawn_that_is_killed_takes_its_program_along(evd):
    with Evctl(evd.path, "spawn", "sh", "-c", "echo $$; exec sleep 60") as running:
        pid = int(running.line())
        running.kill(signal.SIGKILL)
        running.wait()
    wait_until(lambda: not os.path.exists("/proc/%d" % pid), "the program is gone")


def test_spawn_that_leaves_it(evd):
    with Evctl(evd.path, "spawn", "--leave", "sleep", "60") as running:
        pid = int(running.line())
        # Whoever reads the pid does not wait for the program.
        assert running.rest() == (0, "")
        with open("/proc/%d/comm" % pid) as comm:
            assert comm.read() == "sleep\n"
        os.kill(pid, signal.SIGKILL)


def test_spawn_with_json(evd):
    status, out, _ = evctl(evd.path, "spawn", "--json", "sh", "-c", "exit 3")
    assert status == 3 and events(out)[0]["exit"] == 3


# --- run --------------------------------------------------------------------


LINES = """\
{"cmd":"watch","type":"timer","watcher":"t","after":0.01}
{"cmd":"now","id":1}
"""


def test_run_of_standard_input(evd):
    for args in (["run"], ["run", "-"]):
        status, out, err = evctl(evd.path, *args, input=LINES)
        assert (status, err) == (0, "")
        first, second, event = events(out)
        assert first == {"result": {}}
        assert second["id"] == 1 and event["watcher"] == "t"


def test_run_of_a_file(evd, tmp_path):
    (tmp_path / "lines").write_text(LINES.rstrip("\n"))
    status, out, _ = evctl(evd.path, "run", "lines", cwd=tmp_path)
    assert status == 0 and len(events(out)) == 3
    status, _, err = evctl(evd.path, "run", "/nowhere/lines")
    assert status == ERROR and "/nowhere/lines: No such file" in err
    status, _, err = evctl(evd.path, "run", str(tmp_path))
    assert status == ERROR and "Is a directory" in err


def test_run_says_which_line_was_refused(evd):
    lines = '{"cmd":"now"}\nnonsense\n' + LINES
    status, out, err = evctl(evd.path, "run", input=lines)
    assert (status, err) == (REFUSED, "")
    assert [e["error"]["line"] for e in events(out) if "error" in e] == [2]
    status, out, err = evctl(evd.path, "--text", "run", input=lines)
    assert status == REFUSED and err.startswith("evctl: line 2: parse-error: not JSON")


def test_run_answers_while_the_input_is_open(evd):
    with Evctl(evd.path, "run", stdin=subprocess.PIPE) as running:
        for number in range(3):
            running.process.stdin.write(b'{"cmd":"now","id":%d}\n' % number)
            running.process.stdin.flush()
            assert running.event()["id"] == number
        running.process.stdin.close()
        assert running.wait() == 0


def test_run_of_a_long_pipeline(evd):
    number = evdtest.scaled(100000, 5000)
    status, out, _ = evctl(evd.path, "run", input='{"cmd":"now"}\n' * number)
    assert status == 0 and out.count("\n") == number


def test_run_ends_with_the_session(evd):
    with Evctl(evd.path, "run", stdin=subprocess.PIPE) as running:
        line = b'{"cmd":"watch","type":"timer","watcher":1,"after":0,"end":true}\n'
        running.process.stdin.write(line)
        running.process.stdin.flush()
        status, out = running.rest()
        assert status == 0 and events(out)[-1] == {"event": "bye", "reason": "end"}


class Run(Client):
    """A connection through evctl run, as those of the transcripts."""

    def __init__(self, path):
        with Client(path) as client:
            self.__dict__ = dict(client.__dict__)
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(LIMIT)
        with theirs:
            self.evctl = Evctl(path, "run", stdin=theirs, stdout=theirs)

    def close(self):
        super().close()
        self.evctl.__exit__()


def text_of(step):
    content = getattr(step.content, "line", step.content) or ""
    return content if isinstance(content, str) else content.decode("utf-8", "replace")


def is_for_run(transcript):
    """Whether it needs nothing of a client but that it writes and reads.

    evctl says hello on a connection of its own, so numbers and counts are others.
    """
    return not (
        transcript.directives["uid"]
        or transcript.name in ("limit-of-sessions", "stats")
        or any(
            step.passed
            or step.kind in ("! exit", ">||")
            or re.search(r'"#\d|"list"', text_of(step))
            for step in transcript.steps
        )
    )


FOR_RUN = list(filter(is_for_run, test_transcripts.TRANSCRIPTS))


def test_most_transcripts_are_for_run():
    assert len(FOR_RUN) > 120


@pytest.mark.parametrize("transcript", FOR_RUN, ids=lambda t: t.name)
def test_transcript_through_run(transcript, monkeypatch):
    monkeypatch.setattr(Daemon, "connect", lambda daemon: Run(daemon.path))
    test_transcripts.Player(transcript).play()


# --- send, ls, stats, calendar, version -------------------------------------


def test_send(evd, c):
    args = ["watch", "--session", "kitchen", "async", ",", "async", "watcher=5", "start=false"]
    with Evctl(evd.path, *args) as running:
        wait_for_session(c, "kitchen", 2)
        assert evctl(evd.path, "send", "kitchen", "async") == (0, "", "")
        assert running.event()["event"] == "async"
        status, _, err = evctl(evd.path, "send", "kitchen", "5")
        assert status == ERROR and "'5' of 'kitchen' is not active" in err
        status, _, err = evctl(evd.path, "send", "kitchen", "bell")
        assert status == REFUSED and "no-such-watcher" in err
    status, _, err = evctl(evd.path, "send", "nowhere", "async")
    assert status == REFUSED and "no-such-session" in err


def test_ls_as_json(evd):
    with evd.connect() as client:
        client.call("hello", session="listed")
        client.watch("timer", "a", after=3600, once=True, priority=-1)
        client.watch("async", 5)
        status, out, _ = evctl(evd.path, "ls")
        (session,) = [e for e in events(out) if e["session"] == "listed"]
        assert status == 0 and session["watchers"] == 2 and session["pid"] == os.getpid()
        status, out, _ = evctl(evd.path, "ls", "listed")
        assert status == 0 and events(out) == [
            {"session": "listed", **w} for w in client.call("list", session="listed")["watchers"]
        ]
        status, everything, _ = evctl(evd.path, "ls", "--watchers")
        assert status == 0 and out in everything


def test_ls_of_no_session(evd):
    status, _, err = evctl(evd.path, "ls", "nowhere")
    assert status == REFUSED and "no session is called 'nowhere'" in err


def test_ls_takes_all_pages(evd):
    number = evdtest.scaled(3000, 1200)
    with evd.connect() as client:
        client.call("hello", session="pages")
        lines = [
            {"cmd": "watch", "type": "async", "watcher": "w%d" % i + "x" * 100, "reply": False}
            for i in range(number)
        ]
        client.send(*lines)
        client.call("now")
        status, out, _ = evctl(evd.path, "ls", "pages")
        assert status == 0
        assert [e["watcher"] for e in events(out)] == [line["watcher"] for line in lines]


@pytest.mark.parametrize("columns", [20, 60, 72, 200])
def test_ls_fits_the_terminal(evd, columns):
    with evd.connect() as client:
        client.call("hello", session="a long name that says nothing " * 4)
        # Two columns a character, and one that turns the rest round.
        client.watch("async", "\u5bd2" * 30 + "\u202e!")
        for args in (["ls"], ["ls", "--watchers"]):
            status, text = on_terminal(evd.path, *args, columns=columns)
            assert status == 0
            lines = text.splitlines()
            assert len({line.split()[0] for line in lines}) > 1
            for line in lines:
                width = sum(2 if c == "\u5bd2" else 1 for c in line)
                assert width <= columns, line
                assert "\u202e" not in line and line == line.rstrip()
        if columns == 200:
            assert "\u5bd2" * 30 + "\\xe2\\x80\\xae!" in text
        else:
            assert "\u2026" in text


def test_ls_in_a_locale_of_ascii(evd):
    with evd.connect() as client:
        client.call("hello", session="n\u00e4me")
        _, text = on_terminal(evd.path, "ls", env={"LC_ALL": "C"}, columns=200)
        assert "n\\xc3\\xa4me" in text and text.isascii()


def test_stats(evd):
    status, out, _ = evctl(evd.path, "stats")
    assert status == 0 and events(out)[0]["commands"] > 0
    status, out, _ = evctl(evd.path, "stats", "--text")
    assert status == 0
    assert re.search(r"^commands +\d+$", out, re.M)
    assert re.search(r"^errors parse-error +\d+$", out, re.M)


def test_calendar(evd):
    args = ["calendar", "30 2 * * *", "--timezone", "Europe/Berlin", "--from", "1774700000"]
    status, out, _ = evctl(evd.path, *args, "--number", "3")
    assert status == 0
    assert events(out) == [{"next": [1774746000.0, 1774830600.0, 1774917000.0]}]
    status, out, _ = evctl(evd.path, *args, "--text", "--number", "2")
    assert status == 0
    # The night in which summer time begins has no half past two.
    assert out == "Sun 2026-03-29 03:00:00 +02:00\nMon 2026-03-30 02:30:00 +02:00\n"
    args[3] = "America/St_Johns"
    status, out, _ = evctl(evd.path, *args, "--text", "--number", "1")
    assert status == 0 and out.endswith(" 02:30:00 -02:30\n")
    status, _, err = evctl(evd.path, "calendar", "0 9 * * MON-FRY")
    assert status == REFUSED and 'field 5 (day of week) is "MON-FRY"' in err


def test_version(evd):
    status, out, _ = evctl(evd.path, "version")
    version = events(out)[0]
    assert status == 0 and version["socket"] == evd.path
    assert version["evctl"] == version["evd"]["version"]
    status, out, _ = evctl(evd.path, "version", "--text")
    assert status == 0
    assert re.fullmatch(
        r"evctl [\d.]+\nevd [\d.]+, protocol 1, libev 4\.\d+, pid %d, at %s\n"
        % (evd.pid, re.escape(evd.path)),
        out,
    )
    status, out, _ = evctl("/nowhere/socket", "--text", "version")
    assert status == NO_DAEMON and re.fullmatch(r"evctl [\d.]+\n", out)


# --- for people -------------------------------------------------------------


def test_events_for_people(evd, c, tmp_path):
    with Terminal(evd.path, "watch", "--name", "tea", "timer", "0", "data=[1]") as terminal:
        status, text = terminal.end()
        assert status == 0
        assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:.]{12}  tea  timer, data \[1\]\n", text)
    with Terminal(evd.path, "watch", "--session", "s", "stat", tmp_path / "f") as terminal:
        wait_for_session(c, "s")
        (tmp_path / "f").touch()
        terminal.until("stat, is there now, size 0")
        with open(tmp_path / "f", "a") as file:
            file.write("123")
        terminal.until("stat, size 0 to 3")
        (tmp_path / "f").unlink()
        terminal.until("stat, is not there")


@pytest.mark.parametrize(
    "script, text",
    [
        ("exit 3", "child %d has exited with 3"),
        ("kill -TERM $$", "child %d was ended by TERM"),
    ],
)
def test_ends_of_programs_for_people(evd, script, text):
    lines = '{"cmd":"spawn","argv":["sh","-c","%s"],"watcher":"w"}\n' % script
    status, out, _ = evctl(evd.path, "run", "--text", input=lines)
    pid = json.loads(out.splitlines()[0])["pid"]
    assert status == 0 and out.endswith("  w  %s\n" % (text % pid))


def test_events_for_people_in_detail(evd):
    lines = [
        {"cmd": "watch", "type": "async", "watcher": "a", "hold": True},
        {"cmd": "feed", "watcher": "a", "revents": 3},
        {"cmd": "feed", "watcher": "a", "revents": 3},
        {"cmd": "watch", "type": "signal", "watcher": "s", "signum": "USR2", "fed": True},
        {"cmd": "feed_signal", "signum": "USR2"},
        {"cmd": "poll"},
        {"cmd": "unwatch", "watcher": "a"},
        {"cmd": "unwatch", "watcher": "s"},
    ]
    lines = "".join(json.dumps(line) + "\n" for line in lines)
    status, out, _ = evctl(evd.path, "run", "--text", input=lines)
    assert status == 0
    assert "  a  async, readable, writable, and 1 more\n" in out
    assert "  s  signal USR2\n" in out


NASTY = "\u009b31m \u007f \u202e \U000e0041"


@pytest.mark.parametrize("form", ["--text", "--json"])
def test_nothing_of_others_acts_on_a_terminal(evd, form):
    data = json.dumps(NASTY, ensure_ascii=False)
    args = ["watch", form, "timer", "0", "--data", data]
    status, text = on_terminal(evd.path, *args)
    assert status == 0
    assert not set(text) & set(NASTY.replace(" ", "").replace("31m", ""))
    if form == "--json":
        assert events(text)[0]["data"] == NASTY
    # In a pipe it is as it came.
    status, out, _ = evctl(evd.path, *args[:1], *args[2:])
    assert status == 0 and out.endswith('"data":%s}\n' % data)


def test_errors_are_escaped_too(evd):
    status, text = on_terminal(evd.path, "watch", "timer", "after=\x1b[31m")
    assert status == REFUSED and "\x1b" not in text
    status, text = on_terminal(evd.path, "\x1b[31m")
    assert status == USAGE and "\x1b" not in text


# --- finding the daemon -----------------------------------------------------


@pytest.fixture(name="home")
def fixture_home(tmp_path):
    """An environment with a runtime directory, in which no daemon is left."""
    directory = evdtest.temporary_directory()
    yield environment(XDG_RUNTIME_DIR=directory)
    path = os.path.join(directory, "evd", "socket")
    if os.path.exists(path):
        with Client(path) as client:
            os.kill(client.call("hello")["pid"], signal.SIGTERM)
            client.rest()
    wait_until(lambda: not os.path.exists(path), "the daemon is gone")
    shutil.rmtree(directory)


def test_own_daemon_is_started_once(home):
    pids = set()
    for _ in range(3):
        status, out, err = evctl(None, "version", env=home)
        assert (status, err) == (0, "")
        pids.add(events(out)[0]["evd"]["pid"])
    assert len(pids) == 1


def test_many_start_one_daemon(home):
    running = [Evctl(None, "version", env=home) for _ in range(8)]
    pids = set()
    for each in running:
        with each:
            pids.add(each.event()["evd"]["pid"])
            assert each.wait() == 0
    assert len(pids) == 1


def test_own_daemon_is_not_started_if_that_is_off(home):
    status, _, err = evctl(None, "stats", env={**home, "EVD_AUTOSTART": "0"})
    assert status == NO_DAEMON and "no daemon at" in err
    assert not os.path.exists(home["XDG_RUNTIME_DIR"] + "/evd/socket")


def test_nothing_is_started_for_wrong_usage(home):
    status, _, _ = evctl(None, "watch", "timer", "1", "2", "3", env=home)
    assert status == USAGE
    assert not os.path.exists(home["XDG_RUNTIME_DIR"] + "/evd")


def test_a_socket_that_is_given_is_the_only_one(home, tmp_path):
    path = str(tmp_path / "none")
    status, _, err = evctl(None, "stats", env={**home, "EVD_SOCKET": path})
    assert status == NO_DAEMON and "no daemon at %s: No such file" % path in err
    status, _, err = evctl(None, "--socket", path, "stats", env=home)
    assert status == NO_DAEMON
    status, _, err = evctl(None, "stats", "--socket", path, env=home)
    assert status == NO_DAEMON
    assert not os.path.exists(home["XDG_RUNTIME_DIR"] + "/evd/socket")


def test_a_runtime_directory_of_another_is_refused(home):
    os.mkdir(home["XDG_RUNTIME_DIR"] + "/evd", 0o777)
    os.chmod(home["XDG_RUNTIME_DIR"] + "/evd", 0o777)
    status, _, err = evctl(None, "stats", env=home)
    assert status == NO_DAEMON and err.startswith("evctl: error:")


def test_a_listener_of_another_uid_is_refused(home):
    if os.getuid() != 0:
        pytest.skip("needs root, to be another user")
    directory = home["XDG_RUNTIME_DIR"] + "/evd"
    os.mkdir(directory, 0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(directory + "/socket")
        os.seteuid(65534)
        listener.listen()
        os.seteuid(0)
        status, _, err = evctl(None, "stats", env=home)
        assert status == NO_DAEMON and "its listener has uid 65534, expected 0" in err
    os.unlink(directory + "/socket")


class Stranger:
    """Something that listens, is no evd, and says what it is told to."""

    def __init__(self, path, says):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen()
        self.thread = threading.Thread(target=self._serve, args=(says,), daemon=True)
        self.thread.start()

    def _serve(self, says):
        connection, _ = self.socket.accept()
        with connection:
            connection.recv(65536)
            if says:
                connection.sendall(says)
                return
            while connection.recv(65536):
                pass

    def close(self):
        self.thread.join(LIMIT)
        self.socket.close()


@pytest.mark.parametrize(
    "says, message",
    [
        (b"220 mail ready\r\n", "does not answer as evd does"),
        (b"{}\n", "does not answer as evd does"),
        (b'{"result":{"protocol":2}}\n', "does not speak protocol 1"),
        (b'{"result":{"protocol":"1"}}\n', "does not speak protocol 1"),
        (b'{"event":"timer"}\n', "does not speak protocol 1"),
        (b'{"result":[]}\n', "does not answer as evd does"),
        (b'{"result":1}\n', "does not answer as evd does"),
        (b'{"event":1}\n', "does not answer as evd does"),
        (b'{"error":1}\n', "does not answer as evd does"),
        (b'{"result":{},"error":{}}\n', "does not answer as evd does"),
        (b'{"error":{"code":1}}\n', "error"),
        (b'{"event":"bye","reason":"exit"}\n', "has ended"),
        (b'{"event":"bye"}\n', "has ended"),
        (b'{"event":"bye","reason":"limit-exceeded","message":"no\\u001b"}\n', "no\\x1b"),
        (b'{"result', "has gone"),
        (b"", "does not answer within 10 s"),
    ],
)
@pytest.mark.parametrize("command", ["stats", "run"])
def test_strangers(tmp_path, command, says, message):
    path = str(tmp_path / "socket")
    stranger = Stranger(path, says)
    status, out, err = evctl(path, command)
    assert status in (NO_DAEMON, REFUSED) and not out
    assert message in err
    assert says or "pid %d," % os.getpid() in err
    stranger.close()


WEIRD = [
    b'{"result":{}}\n',
    b'{"result":{"sent":1,"pid":"x","next":"y","sessions":1,"watchers":{},"sent":[]}}\n',
    b'{"result":{"pid":[],"next":[[]],"sent":{},"uptime":[]}}\n',
    b'{"error":{"line":"x","cmd":1,"code":[],"message":{}}}\n',
    b'{"event":"stat","attr":1,"prev":{},"time":"x","watcher":{}}\n',
    b'{"event":"timer","time":1e300,"at":-1e308}\n',
    b'{"event":"stat","attr":{"nlink":1},"prev":{"nlink":"x","size":1}}\n',
    b'{"event":"child","exit":"x","signal":[],"status":null,"overrun":{}}\n',
    b'{"event":"bye","reason":1,"message":2}\n',
    b'{"event":"' + b"x" * 100000 + b'"}\n',
    b"\0\xff\n",
]
ASKS = [
    ["ls"], ["ls", "x"], ["ls", "--watchers"], ["stats"], ["version"], ["send", "a", "b"],
    ["calendar", "* * * * *"], ["watch", "timer", "1"], ["wait", "timer", "1"],
    ["spawn", "true"], ["spawn", "--leave", "true"],
]  # fmt: skip


@pytest.mark.parametrize("form", ["--text", "--json"])
@pytest.mark.parametrize("args", ASKS, ids=" ".join)
@pytest.mark.parametrize("line", WEIRD, ids=range(len(WEIRD)))
def test_a_daemon_that_says_odd_things(tmp_path, form, args, line):
    path = str(tmp_path / "socket")
    stranger = Stranger(path, b'{"result":{"protocol":1}}\n' + line)
    status, _, err = evctl(path, form, *args)
    # Nothing but its own exit statuses; a sanitizer would have others, and reports.
    assert status in (0, ERROR, NO_DAEMON, REFUSED), err
    stranger.close()


# --- ends -------------------------------------------------------------------


@pytest.mark.parametrize("how", ["default", "ignored", "blocked"])
def test_a_reader_that_has_gone_ends_it(evd, c, how):
    def prepare():
        if how == "ignored":
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        if how == "blocked":
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPIPE])

    # The next event would be an hour away.
    args = ["watch", "--session", "reader", "timer", "0", "3600"]
    options = {"preexec_fn": prepare, "restore_signals": how == "default"}
    with Evctl(evd.path, *args, **options) as running:
        running.line()
        running.process.stdout.close()
        running.process.stdout = None
        assert running.wait() == -signal.SIGPIPE
    wait_until(lambda: "reader" not in sessions(c), "its session is gone")


@pytest.mark.parametrize("args", [["watch", "timer", "0"], ["ls"], ["stats"], ["--help"]])
def test_output_that_can_not_be_written(evd, args):
    with open("/dev/full", "w") as full:
        with Evctl(evd.path, *args, stdout=full) as running:
            assert running.wait() == ERROR
            assert "standard output: No space left on device" in running.stderr


def test_descriptors_that_are_closed(evd):
    result = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *WRAPPER, EVCTL, "stats"],
        env=environment(evd.path),
        stderr=subprocess.PIPE,
        timeout=LIMIT,
    )
    assert result.returncode == ERROR and b"standard output" in result.stderr


@pytest.mark.parametrize("args", [["watch", "timer", "0", "3600"], ["wait", "async"], ["run"]])
def test_interrupt_leaves_nothing(evd, c, args):
    before = sessions(c).keys()
    with Terminal(evd.path, *args) as terminal:
        wait_until(lambda: len(sessions(c)) > len(before), "its session is there")
        terminal.type("\x03")
        status, _ = terminal.end()
        assert status == -signal.SIGINT
    wait_until(lambda: sessions(c).keys() == before, "its session is gone")


GOES = [
    (["watch", "timer", "3600"], None),
    (["wait", "timer", "3600"], None),
    (["spawn", "sleep", "60"], None),
    (["run"], '{"cmd":"watch","type":"timer","watcher":1,"after":3600}\n'),
]


@pytest.mark.parametrize("args, input", GOES, ids=lambda value: str(value)[:9])
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_daemon_that_goes(args, input, signum):
    with Daemon() as daemon, daemon.connect() as client:
        with Evctl(daemon.path, *args, stdin=subprocess.PIPE) as running:
            running.process.stdin.write((input or "").encode())
            running.process.stdin.close()
            running.process.stdin = None
            ready = "children" if args[0] == "spawn" else "watchers"

            def there():
                return any(s[ready] for s in sessions(client).values())

            wait_until(there, "evctl waits")
            if signum == signal.SIGKILL:
                daemon.kill()
            else:
                daemon.stop()
            assert running.wait() == NO_DAEMON
            expected = "has ended" if signum == signal.SIGTERM else "has gone"
            assert expected in running.stderr
        if signum == signal.SIGKILL:
            # Its check of the exit status is not for this one.
            daemon.process.returncode = 0


def test_limits_are_a_refusal():
    with Daemon(["--max-sessions", "1"]) as daemon, daemon.connect() as client:
        client.call("now")
        status, _, err = evctl(daemon.path, "stats")
        assert status == REFUSED and "sessions" in err


def test_the_window_is_asked_for(evd):
    # Of the terminal itself, whatever the environment says.
    with Terminal(evd.path, "ls", columns=200, env={"COLUMNS": "30"}) as terminal:
        size = fcntl.ioctl(terminal.master, termios.TIOCGWINSZ, b"\0" * 8)
        assert size[2] == 200
        status, text = terminal.end()
        assert status == 0 and "UNSENT" in text
