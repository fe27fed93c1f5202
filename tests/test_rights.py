"""Who may do what: evd does for a peer only what the peer could do itself."""

import json
import os
import subprocess

import pytest

from evdtest import Daemon, command, encode

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x20000, 0x10000000, 0x20000000

# A client that becomes somebody else first; gives the lines that it receives.
CLIENT = """
import ctypes, os, socket, sys
what, number, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if what in ("uid", "dumpable"):
    os.setgid(number); os.setuid(number) # not dumpable from now on
    if what == "dumpable":
        ctypes.CDLL(None).prctl(4, 1)
elif what == "unshare":
    if ctypes.CDLL(None, use_errno=True).unshare(number) < 0:
        sys.exit("unshare: " + os.strerror(ctypes.get_errno()))
    pid = os.fork()
    if pid > 0:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
s = socket.socket(socket.AF_UNIX); s.connect(path)
r, w = os.pipe(); os.write(w, b"x")
for line in sys.stdin.buffer:
    socket.send_fds(s, [line], [r] if b'"fds"' in line else [])
s.shutdown(socket.SHUT_WR)
print(b"".join(iter(lambda: s.recv(65536), b"")).decode(), end="")
"""

LINES = [
    command("watch", type="io", watcher=1, events="r", path="/dev/null"),
    command("watch", type="io", watcher=2, events="r", pid=1, fd=1),
    command("watch", type="io", watcher=3, events="r", fds=1),
    command("watch", type="timer", watcher=4, after=0),
]


def play(evd, what, number=0, lines=LINES):
    """The replies, by their place, and the events, by their watcher."""
    os.chmod(evd.directory, 0o755)
    done = subprocess.run(
        ["/usr/bin/python3", "-c", CLIENT, what, str(number), evd.path],
        input=b"".join(map(encode, lines)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    if done.returncode and b"unshare:" in done.stderr:
        pytest.skip(done.stderr.decode().strip())
    assert done.returncode == 0, done.stderr.decode()
    received = [json.loads(line) for line in done.stdout.splitlines()]
    return (
        [line for line in received if "event" not in line],
        {line["watcher"] for line in received if "event" in line},
    )


def assert_denied(replies, why):
    for reply in replies[:2]:
        assert reply["error"]["code"] == "permission-denied"
        assert why in reply["error"]["message"]
    assert '"path"' in replies[0]["error"]["message"]
    assert replies[2:] == [{"result": {}}, {"result": {}}]


@pytest.fixture(name="evd", scope="module")
def fixture_evd():
    with Daemon(args=["--socket-mode", "0666"]) as daemon:
        yield daemon


def test_same_uid_has_full_rights(evd):
    replies, events = play(evd, "nobody else", lines=[LINES[0], LINES[2]])
    assert replies == [{"result": {}}] * 2 and events == {1, 3}


def test_another_uid_may_pass_but_not_name(evd):
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    replies, events = play(evd, "uid", 65534)
    assert_denied(replies, "uid is 65534 and evd's is %d" % os.getuid())
    assert events == {3, 4}


def test_set_and_start_are_denied_too(evd):
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    lines = [
        command("watch", type="io", watcher=1, events="r", start=False),
        command("set", watcher=1, path="/dev/null"),
        command("set", watcher=1, pid=1, fd=1),
    ]
    replies, _ = play(evd, "uid", 65534, lines)
    assert replies[0] == {"result": {}}
    for reply in replies[1:]:
        assert reply["error"]["code"] == "permission-denied"


@pytest.mark.parametrize(
    "name, flags",
    [
        ("mnt", CLONE_NEWNS),
        ("pid", CLONE_NEWPID),
        ("user", CLONE_NEWUSER),
    ],
)
def test_another_namespace(evd, name, flags):
    replies, events = play(evd, "unshare", flags)
    assert_denied(replies, "the peer's %s namespace is not evd's" % name)
    assert events == {3, 4}


def test_peer_that_cannot_be_compared():
    """Not dumpable, so that its /proc is root's; and evd is not root."""
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    try:
        daemon = Daemon(args=["--socket-mode", "0666"], uid=65534)
    except PermissionError as error:
        pytest.skip("another user can't run evd: %s" % error)
    with daemon as evd:
        replies, events = play(evd, "uid", 65534)
        assert_denied(replies, "the peer's namespaces could not be compared")
        assert events == {3, 4}
        replies, events = play(evd, "dumpable", 65534, [LINES[0], LINES[2]])
        assert replies == [{"result": {}}] * 2 and events == {1, 3}
        replies, events = play(evd, "nobody else")
        assert_denied(replies, "uid is 0 and evd's is 65534")
