"""The scripts in clients/shell/examples do what they say, in each shell."""

import contextlib
import os
import signal

import pytest

import evdtest
from evdshell import LIBRARY, daemon, script, shell  # noqa: F401

EXAMPLES = LIBRARY / "examples"


@pytest.fixture(autouse=True)
def no_zsh(shell):
    if shell == ["zsh"]:
        pytest.skip("the examples are for sh")


def example(shell, daemon, name, *args, **options):
    """One of them, as a script that the shell runs."""
    words = " ".join("'%s'" % arg for arg in args)
    text = "set -- %s\n. %s\n" % (words, EXAMPLES / name)
    return script(shell, text, daemon, **options)


def write(running, name, text, mode="w"):
    with open(os.path.join(running.work, name), mode) as file:
        file.write(text)


def read(running, name):
    with open(os.path.join(running.work, name)) as file:
        return file.read()


def has(running, name, text):
    """Wait until a file has this text."""

    def there():
        try:
            return read(running, name) == text
        except FileNotFoundError:
            return False

    evdtest.wait_until(there, "%s has %r" % (name, text))


@contextlib.contextmanager
def unseen(daemon):
    """What is done meanwhile, however long it takes, the daemon sees all at once."""
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(daemon.pid, signal.SIGCONT)


def end(running, sig=signal.SIGTERM):
    os.kill(running.pid, sig)
    assert running.wait() == -sig


def registered(daemon, count):
    """Wait until the one session of a script has so many watchers."""
    with daemon.connect() as client:
        evdtest.wait_until(
            lambda: any(
                session["watchers"] == count
                for session in client.call("list")["sessions"]
            ),
            "%d watchers are registered" % count,
        )


def test_build_on_save(shell):
    with evdtest.Daemon() as daemon:
        with example(
            shell, daemon, "build-on-save", "cat a b >>built; false", "a", "b"
        ) as running:
            # Its own two, the timer, and that of the library.
            registered(daemon, 4)
            with unseen(daemon):
                write(running, "a", "one\n")
                write(running, "b", "two\n")
            has(running, "built", "one\ntwo\n")
            with unseen(daemon):
                write(running, "b", "three\n")
            has(running, "built", "one\ntwo\none\nthree\n")
            assert "build-on-save: status 1\n" in running.stderr
            end(running)


def test_watchdog(shell, daemon):
    env = {"WATCHDOG_FIRST": "1", "WATCHDOG_MOST": "1"}
    with example(
        shell, daemon, "watchdog", "echo x >>runs; sleep 0.01; exit 3", env=env
    ) as running:
        running.said(
            "watchdog: status 3, starting it again in 0 s\n"
            "watchdog: status 3, starting it again in 1 s\n"
            "watchdog: status 3, starting it again in 1 s\n"
        )
        assert running.stdout.count("in 0 s\n") == 1
        assert read(running, "runs").startswith("x\nx\nx\n")
        end(running)


def test_watchdog_s_delay_begins_anew_when_all_is_fine(shell):
    env = {"WATCHDOG_FINE": "0.01", "WATCHDOG_FIRST": "60"}
    text = "echo x >>runs; until rm go; do sleep 0.01; done"
    with evdtest.Daemon() as daemon, daemon.connect() as client:

        def fine():
            return any(
                watcher["watcher"] == "fine" and not watcher["active"]
                for session in client.call("list")["sessions"]
                for watcher in client.call("list", session=session["session"])[
                    "watchers"
                ]
            )

        with example(shell, daemon, "watchdog", text, env=env) as running:
            for n in range(1, 4):
                has(running, "runs", "x\n" * n)
                evdtest.wait_until(fine, "all is fine")
                write(running, "go", "")
            has(running, "runs", "x\n" * 4)
            assert running.stdout == "watchdog: status 0, starting it again in 0 s\n" * 3
            end(running)


def test_watchdog_ends_what_it_runs(shell, daemon):
    with example(
        shell, daemon, "watchdog", "echo $$ >pid; exec sleep 1000"
    ) as running:
        evdtest.wait_until(
            lambda: os.path.exists(running.work + "/pid") and read(running, "pid"),
            "it runs",
        )
        pid = int(read(running, "pid"))
        end(running, signal.SIGKILL)
        evdtest.wait_until(
            lambda: not os.path.exists("/proc/%d" % pid), "it has ended"
        )


def test_tail_log(shell):
    quiet = "tail-log: nothing in log for 0.5 s\n"
    with evdtest.Daemon() as daemon:
        with example(shell, daemon, "tail-log", "log", "0.5") as running:

            def shows(text):
                # On a slow machine there may be nothing for a while at any time.
                evdtest.wait_until(
                    lambda: running.stdout.replace(quiet, "") == text,
                    "tail-log shows %r" % text,
                )

            registered(daemon, 3)
            write(running, "log", "one\ntw")
            shows("one\n")
            write(running, "log", "o\n", "a")
            shows("one\ntwo\n")
            # The next log is moved over it while the old one has lines to come.
            write(running, "log", "three\n", "a")
            write(running, "new", "four\n")
            os.rename(running.work + "/log", running.work + "/log.1")
            os.rename(running.work + "/new", running.work + "/log")
            shows("one\ntwo\nthree\nfour\n")
            running.said("four\n" + quiet)
            write(running, "log", "$(touch evil) * \\n\n", "a")
            shows("one\ntwo\nthree\nfour\n$(touch evil) * \\n\n")
            end(running)


def test_run_jobs(shell, daemon):
    # The last line has no end.
    jobs = "true\nexit 3\nsleep 1000\ncat"
    text = "printf '%%s' \"$JOBS\" >jobs\nexec <jobs\nset -- 2 %s\n"
    text += ". %s\n" % (EXAMPLES / "run-jobs")
    for limit in ("0.3", "3", "30"):
        with script(shell, text % limit, daemon, env={"JOBS": jobs}) as running:
            assert running.wait() == 1, running.stderr
            lines = sorted(running.stdout.splitlines())
        # 128 and the number of TERM; ksh93 says 256 and it.
        ended = [line[:7] for line in lines if line.endswith((" 143", " 271"))]
        assert "job 3: " in ended
        # On a slow machine others may have met the limit, too.
        if ended == ["job 3: "]:
            break
    assert lines[:2] + lines[3:] == [
        "job 1: status 0",
        "job 2: status 3",
        "job 4: status 0",
    ]


def test_run_jobs_that_all_end_well(shell, daemon):
    text = "set -- 3 60\nfor i in 1 2 3 4 5 6 7 8 9; do echo true; done >jobs\n"
    text += "exec <jobs\n. %s\n" % (EXAMPLES / "run-jobs")
    with script(shell, text, daemon) as running:
        assert running.wait() == 0, running.stderr
        assert len(running.stdout.splitlines()) == 9
