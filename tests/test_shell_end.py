"""evd.sh: what it says where something is missing or goes away, and what is left of it."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import pytest

import evdtest
from evdshell import LIBRARY, daemon, run, script, shell  # noqa: F401

SLEEPER = """
h() { :; }
ev_timer h 60 60
echo ready
ev_run
"""


def kinds(running):
    """The names of the processes of a script, by pid."""
    found = {}
    for pid in running.processes():
        try:
            found[pid] = pathlib.Path("/proc/%d/comm" % pid).read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            pass  # It has ended, before the file was opened or while it was read.
    return found


def kill_kind(running, name):
    """Kill the one process of the script that has this name."""
    (pid,) = [pid for pid, kind in kinds(running).items() if kind == name]
    os.kill(pid, signal.SIGKILL)


# Something is missing


def path_without(program, directory):
    """A PATH that has all but one program."""
    os.mkdir(directory)
    for folder in ["/usr/local/bin", "/usr/bin", "/bin"]:
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if name != program and not os.path.lexists(directory + "/" + name):
                os.symlink(folder + "/" + name, directory + "/" + name)
    return "%s:%s" % (LIBRARY, directory)


@pytest.mark.parametrize("program", ["socat", "jq"])
def test_program_is_missing(shell, daemon, program, tmp_path):
    run(
        shell,
        "ev_timer h 1",
        daemon,
        env={"PATH": path_without(program, str(tmp_path / "bin"))},
        status=1,
        stderr="evd.sh: ev_timer: %s is missing (Debian: apt-get install %s)\n"
        % (program, program),
    )


def test_no_daemon_at_the_socket(shell):
    run(
        shell,
        "ev_timer h 1",
        env={"EVD_SOCKET": "/nowhere/socket"},
        status=1,
        stderr="evd.sh: ev_timer: no daemon at /nowhere/socket: No such file or "
        "directory\n",
    )


def test_no_daemon_and_none_may_be_started(shell):
    with script(shell, "ev_timer h 1") as running:
        assert running.wait() == 1
        assert running.stderr == (
            "evd.sh: ev_timer: no daemon at %s/evd/socket: No such file or directory\n"
            % running.directory
        )


def test_no_program_to_start_a_daemon(shell):
    run(
        shell,
        "ev_timer h 1",
        env={"EVD_AUTOSTART": None, "EVD_COMMAND": "/nowhere/evd"},
        status=1,
        stderr="evd.sh: ev_timer: /nowhere/evd is missing (Debian: apt-get install "
        "evd)\n",
    )


def test_program_that_cannot_start_a_daemon(shell):
    run(
        shell,
        "ev_timer h 1",
        env={"EVD_AUTOSTART": None, "EVD_COMMAND": "false"},
        status=1,
        stderr="evd.sh: ev_timer: false --ensure has failed\n",
    )


def test_no_room_for_temporary_files(shell, daemon):
    run(
        shell,
        "ev_timer h 1",
        daemon,
        env={"TMPDIR": "/nowhere"},
        status=1,
        stderr=None,
    )


# A daemon is started


def test_daemon_is_started_if_there_is_none(shell):
    with script(
        shell,
        """
        h() { echo h; }
        ev_timer h 0
        ev_run
        """,
        env={"EVD_AUTOSTART": None, "EVD_COMMAND": evdtest.EVD},
    ) as running:
        assert running.wait() == 0, running.stderr
        assert running.stdout == "h\n"
        with evdtest.Client(running.directory + "/evd/socket") as client:
            pid = client.call("hello")["pid"]
        assert pid in running.processes()
        os.kill(pid, signal.SIGTERM)


# Somebody else listens


class Listener:
    """Something at a socket that answers each connection with bytes."""

    def __init__(self, path, answer):
        self.answer = answer
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(path)
        self.sock.listen(5)
        self.kept = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer = self.sock.accept()[0]
            except OSError:
                return
            if self.answer is None:
                self.kept.append(peer)
                continue
            peer.recv(4096)
            peer.sendall(self.answer)
            peer.close()

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        for peer in self.kept:
            peer.close()


@pytest.mark.parametrize(
    "answer, said",
    [
        (b"220 mail.example.org ESMTP\r\n", "is not evd: 220 mail.example.org ESMTP"),
        (b'{"result":{"protocol":2}}\n', 'is not evd: {"result":{"protocol":2}}'),
        (b"$(touch evil)`touch evil`\n", "is not evd: $(touch evil)`touch evil`"),
        (b"", "does not answer as evd does"),
    ],
)
def test_socket_of_another(shell, tmp_path, answer, said):
    path = str(tmp_path / "s")
    listener = Listener(path, answer)
    with script(shell, "ev_timer h 1", env={"EVD_SOCKET": path}) as running:
        assert running.wait() == 1
        assert running.stderr.replace("\r", "") == (
            "evd.sh: ev_timer: what listens at %s %s\n" % (path, said)
        )
        assert os.listdir(running.work) == []
    listener.close()


def test_socket_that_does_not_answer(tmp_path):
    """One shell is enough for ten seconds."""
    path = str(tmp_path / "s")
    listener = Listener(path, None)
    run(
        ["dash"],
        "ev_timer h 1",
        env={"EVD_SOCKET": path},
        status=1,
        stderr="evd.sh: ev_timer: what listens at %s does not answer as evd does\n"
        % path,
    )
    listener.close()


def test_hostile_daemon_runs_nothing(shell, tmp_path):
    """It says hello as evd does, and then whatever might be run."""
    path = str(tmp_path / "s")
    hello = b'{"result":{"protocol":1,"version":"x"}}\n'
    lines = [
        '{"id":[1,"session"],"result":{"session":"$(touch evil)\'; touch evil; \'"}}',
        '{"id":[2,""],"result":{}}',
        '{"id":[3,""],"result":{}}',
        '{"event":"timer","watcher":"x;touch evil","revents":1,"seq":1,"time":1}',
        '{"event":"timer","watcher":"h","revents":"$(touch evil)","seq":"`touch evil`",'
        '"time":"\';touch evil;\'\\n touch evil"}',
        '{"event":"$(touch evil)","watcher":"h","revents":1,"seq":1,"time":1}',
        '{"event":"stat","watcher":"h","revents":1,"seq":1,"time":1,"attr":{'
        '"x=$(touch evil)":1,"size":$(touch evil)},"prev":{}}',
        '{"event":"stat","watcher":"h","revents":1,"seq":1,"time":1,"attr":{'
        '"size;touch evil;":1},"prev":{"mode":"$(touch evil)"}}',
        '{"event":"child","watcher":"h","revents":1,"seq":1,"time":1,"exit":"$(touch '
        'evil)","pid":"\'$(touch evil)\'"}',
        '{"id":["1;touch evil","x"],"result":{"x":1}}',
        '{"id":[1,"x"],"error":{"message":"\'; touch evil; \'"}}',
        "'; touch evil; '",
        '{"event":"bye","reason":"\'; touch evil; \'","message":"$(touch evil)"}',
    ]
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(5)

    def serve():
        peer = server.accept()[0]
        peer.recv(4096)
        peer.sendall(hello)
        peer.close()
        peer = server.accept()[0]
        for line in lines[:3]:
            peer.recv(4096)
            peer.sendall(line.encode() + b"\n")
        peer.sendall("\n".join(lines[3:]).encode() + b"\n")
        peer.close()

    threading.Thread(target=serve, daemon=True).start()
    with script(
        shell,
        """
        h() { echo "$EV_EVENT"; }
        ev_timer h 60
        ev_run || echo "status $?"
        """,
        env={"EVD_SOCKET": path},
        preamble="",
    ) as running:
        assert running.wait() == 0, running.stderr
        assert "evil" not in os.listdir(running.work)
        assert running.stdout.endswith("status 1\n"), running.stdout + running.stderr
        assert "closed the connection: '; touch evil; '" in running.stderr
    server.close()


# The daemon goes away


def test_daemon_is_killed_under_the_loop(shell):
    with evdtest.Daemon() as daemon:
        with script(shell, SLEEPER, daemon) as running:
            running.said("ready")
            daemon.kill()
            assert running.wait() == 1
            assert running.stderr == (
                "evd.sh: ev_run: the connection to the daemon has ended (%s)\n"
                % daemon.path
            )
        daemon.process.returncode = 0


def test_daemon_ends_under_the_loop(shell):
    with evdtest.Daemon() as daemon:
        with script(
            shell,
            SLEEPER.replace("ev_run", 'ev_run || echo "status $?"'),
            daemon,
        ) as running:
            running.said("ready")
            daemon.stop()
            assert running.wait() == 0
            assert running.stdout == "ready\nstatus 1\n"
            assert running.stderr == (
                "evd.sh: ev_run: the daemon has ended (%s)\n" % daemon.path
            )


def test_daemon_is_killed_under_a_handler(shell):
    with evdtest.Daemon() as daemon:
        with script(
            shell,
            """
            h() {
                kill -9 %d
                while kill -0 %d 2>/dev/null && grep -q -v ' Z ' /proc/%d/stat; do
                    sleep 0.01
                done
                ev_now || echo "now $?"
            }
            ev_timer h 0
            ev_timer -n other h 60
            ev_run || echo "run $?"
            ev_run && echo "none $?"
            """
            % (daemon.pid, daemon.pid, daemon.pid),
            daemon,
        ) as running:
            assert running.wait() == 0, running.stderr
            assert running.stdout == "now 1\nrun 1\nnone 0\n"
            assert running.stderr == (
                "evd.sh: ev_now: the connection to the daemon has ended (%s)\n"
                % daemon.path
            )
        daemon.wait()
        daemon.process.returncode = 0


@pytest.mark.parametrize("kind", ["socat", "jq"])
def test_helper_is_killed(shell, daemon, kind):
    with script(shell, SLEEPER, daemon) as running:
        running.said("ready")
        kill_kind(running, kind)
        assert running.wait() == 1
        assert "the connection to the daemon has ended" in running.stderr


# The script ends


def test_killed_script_leaves_nothing(shell, daemon):
    with script(shell, SLEEPER, daemon) as running:
        running.said("ready")
        assert {"socat", "jq"} <= set(kinds(running).values())
        os.kill(running.pid, signal.SIGKILL)
        assert running.wait() == -9


def test_killed_script_whose_child_lives_on(shell, daemon):
    """The child has inherited the descriptors; socat and jq end all the same."""
    with script(shell, "ev_timer x 60\nsleep 1000 &" + SLEEPER, daemon) as running:
        running.said("ready")
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        evdtest.wait_until(
            lambda: not {"socat", "jq"} & set(kinds(running).values()),
            "socat and jq have ended",
        )
        evdtest.wait_until(
            lambda: len(running.processes()) == 1, "only the child is left"
        )
        for pid in running.processes():
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("ending", ["exit 3", "exec false", "kill -TERM $$", "false"])
def test_script_that_ends_leaves_nothing(shell, daemon, ending):
    with script(shell, "h() { :; }\nev_timer h 60\n" + ending, daemon) as running:
        assert running.wait() in {
            "exit 3": [3],
            "exec false": [1],
            "kill -TERM $$": [-15],
            "false": [1],
        }[ending]


def test_close_ends_the_session_also_if_a_child_has_the_descriptors(shell, daemon):
    with script(
        shell,
        """
        h() { :; }
        ev_timer h 60
        sleep 1000 & pid=$!
        trap 'kill $pid' TERM
        ev_close
        echo closed
        wait || :
        """,
        daemon,
    ) as running:
        running.said("closed")
        evdtest.wait_until(
            lambda: not {"socat", "jq"} & set(kinds(running).values()),
            "socat and jq have ended",
        )
        running.asleep()
        os.kill(running.pid, signal.SIGTERM)
        running.wait()


def test_interrupt_from_the_terminal_reaches_only_the_script(shell, daemon):
    with script(
        shell,
        """
        int() { echo "int $EV_SIGNUM"; ev_stop; }
        ev_signal int INT
        ev_signal -n quit int QUIT
        echo ready
        ev_run
        ev_now
        echo "still there"
        """,
        daemon,
    ) as running:
        running.said("ready")
        running.asleep()
        os.killpg(running.pid, signal.SIGINT)
        assert running.wait() == 0, running.stderr
        assert running.stdout == "ready\nint 2\nstill there\n"


def test_file_system_is_left_alone(shell, daemon):
    out = run(
        shell,
        """
        h() { :; }
        ev_timer h 60
        ls -A "$TMPDIR"
        ls -A
        """,
        daemon,
    )
    assert out == []


ODD = ["a,b", "c:d", "e f", "g!h", "i'j", 'k"l', "m(n)", "o\\p", "{q}[r]", "é"]


def test_socket_at_any_path(shell):
    # tmp_path may be too long for a socket.
    with tempfile.TemporaryDirectory(dir="/tmp") as base:
        directory = pathlib.Path(base) / "".join(ODD)
        directory.mkdir()
        path = str(directory / "s")
        with evdtest.Daemon(path=path):
            run(shell, "h() { :; }\nev_timer h 0\nev_run", env={"EVD_SOCKET": path})


def test_socket_at_a_relative_path(shell, daemon):
    run(
        shell,
        "h() { :; }\ncd %s\nev_timer h 0\nev_run" % os.path.dirname(daemon.path),
        env={"EVD_SOCKET": os.path.basename(daemon.path)},
    )


def test_other_user_s_daemon(shell, tmp_path):
    """No full rights: no paths and processes, but the rest, and the end, are there."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    with evdtest.Daemon(["--socket-mode", "0666"], uid=65534) as daemon:
        os.chmod(daemon.directory, 0o755)
        with script(
            shell,
            """
            h() { echo h; }
            ev_timer h 0
            ev_signal -n sig h USR1
            ev_stat -n file h /etc/hosts || echo "status $?"
            ev_stop sig
            ev_run
            """,
            daemon,
        ) as running:
            assert running.wait() == 0, running.stderr
            assert running.stdout == "status 1\nh\n"
            assert running.stderr.startswith('evd.sh: ev_stat: type "stat" needs full')


def test_library_is_found_by_the_path_where_it_is_installed(tmp_path):
    """bindir: `.` looks in PATH."""
    shutil.copy(LIBRARY / "evd.sh", tmp_path / "evd.sh")
    os.chmod(tmp_path / "evd.sh", 0o644)
    for command in ["dash", "bash", "bash --posix", "busybox sh", "ksh", "zsh"]:
        if shutil.which(command.split()[0]):
            subprocess.run(
                [*command.split(), "-c", ". evd.sh"],
                env={"PATH": "%s:%s" % (tmp_path, os.environ["PATH"])},
                cwd="/",
                check=True,
            )
