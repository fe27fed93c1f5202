"""Who may do what: every verb, type and member that needs a right, from every peer.

The rights are read from the daemon's own tables; a verb or type that has no sample
here fails the test.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess

import pytest

import evdtest
from evdtest import Client, Daemon, wait_until

if os.geteuid() != 0:
    pytest.skip("other uids and namespaces need root", allow_module_level=True)

NOBODY = 65534
CLONE_NEWNS = 0x20000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
PR_SET_DUMPABLE = 4
LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.fixture(scope="module", name="code")
def fixture_code():
    if "EVD_BUILDDIR" not in os.environ:
        pytest.skip("EVD_BUILDDIR does not say where tests/tables is")
    program = pathlib.Path(os.environ["EVD_BUILDDIR"]) / "tests" / "tables"
    return json.loads(subprocess.check_output([program]))


# --- peers --------------------------------------------------------------------


class Peer(Client):
    """A connection made by another process, which changed itself before.

    The process lives as long as the connection is open, unless stay is false.
    """

    def __init__(self, daemon, change, stay=True):
        connected, connected_out = os.pipe()
        hold_in, self.hold = os.pipe()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.process = os.fork()
        if self.process == 0:
            status = 1
            try:
                os.close(self.hold)
                change()
                sock.connect(daemon.path)
                os.write(connected_out, b"1")
                if stay:
                    os.read(hold_in, 1)
                status = 0
            finally:
                os._exit(status)
        os.close(hold_in)
        os.close(connected_out)
        if os.read(connected, 1) != b"1":
            os.waitpid(self.process, 0)
            pytest.skip("this kind of peer can't be made here")
        os.close(connected)
        if not stay:
            os.waitpid(self.process, 0)
            self.process = None
        self._take(sock)

    def _take(self, sock):
        """As Client, on a socket that is connected."""
        existing = Client.__new__(Client)
        path = evdtest.temporary_directory() + "/x"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            Client.__init__(existing, path)
        os.unlink(path)
        os.rmdir(os.path.dirname(path))
        existing.sock.close()
        self.__dict__.update(existing.__dict__)
        self.sock = sock
        sock.settimeout(evdtest.LIMIT)

    def close(self):
        super().close()
        if self.hold is not None:
            os.close(self.hold)
            self.hold = None
        if self.process is not None:
            os.waitpid(self.process, 0)
            self.process = None


def unshare(flags):
    if LIBC.unshare(flags) < 0:
        raise OSError(ctypes.get_errno(), "unshare")


def become(uid):
    def change():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)

    return change


def in_user_namespace():
    unshare(CLONE_NEWUSER)
    pathlib.Path("/proc/self/uid_map").write_text("0 0 1", encoding="ascii")


def in_mount_namespace():
    unshare(CLONE_NEWNS)


def in_pid_namespace():
    """The process itself stays; its child is the one that connects."""
    unshare(CLONE_NEWPID)
    child = os.fork()
    if child:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def become_dumpable(uid):
    """As become, but evd may look at it, as at a program that was started so."""

    def change():
        become(uid)()
        LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)

    return change


PEERS = {
    "nobody": (become(NOBODY), "the peer's uid is 65534 and evd's is 0"),
    "bin": (become(2), "the peer's uid is 2 and evd's is 0"),
    "user-namespace": (in_user_namespace, "user namespace is not evd's"),
    "mount-namespace": (in_mount_namespace, "mnt namespace is not evd's"),
    "pid-namespace": (in_pid_namespace, "pid namespace is not evd's"),
}


@contextlib.contextmanager
def open_daemon(*args):
    """A daemon that everybody can connect to."""
    with Daemon(["--socket-mode", "0666", *args]) as daemon:
        os.chmod(daemon.directory, 0o711)
        yield daemon


# --- what is asked for --------------------------------------------------------

# Of each verb, a command that is right in a session that has an async "w".
VERBS = {
    "hello": {},
    "watch": {"type": "async", "watcher": "new"},
    "start": {"watcher": "w"},
    "stop": {"watcher": "w"},
    "set": {"watcher": "w", "data": 1},
    "get": {"watcher": "w"},
    "unwatch": {"watcher": "w"},
    "reset": {},
    "feed": {"watcher": "w", "revents": 1},
    "clear": {"watcher": "w"},
    "send": {"watcher": "w"},
    "stat": {"watcher": "w"},
    "ack": {},
    "now": {},
    "update": {},
    "suspend": {},
    "resume": {},
    "ref": {},
    "unref": {},
    "verify": {},
    "loop": {},
    "poll": {},
    "calendar": {"calendar": "@daily"},
    "feed_signal": {"signum": "USR1"},
    "spawn": {"argv": ["true"]},
    "kill": {"pid": 1},
    "list": {},
    "stats": {},
}

# Of each type, members for watch; "fd" says which kind of descriptor is passed.
TYPES = {
    "io": [{"events": "r", "fd": "pipe"}],
    "timer": [{"after": 1}],
    "periodic": [{"interval": 1}],
    "scheduler": [{"calendar": "@daily"}],
    "signal": [{"signum": "USR1"}, {"signum": "KILL", "fed": True}],
    "child": [{"fd": "pidfd"}, {"fd": "pidfd", "reaped": True}],
    "stat": [{"path": "/dev/null"}],
    "idle": [{}],
    "prepare": [{}],
    "check": [{}],
    "fork": [{}],
    "async": [{}],
}

# Of each member that needs a right by itself, a watch with it.
MEMBERS = {
    "io.path": {"events": "r", "path": "/dev/null"},
    "io.pid": {"events": "r", "pid": os.getpid(), "fd": 0},
    "io.fd": {"events": "r", "pid": os.getpid(), "fd": 0},
    "child.pid": {"pid": os.getpid()},
}


def ask(client, cmd, fds=(), **members):
    """The error of a command, None if it was executed."""
    if fds:
        members["fds"] = len(fds)
        line = evdtest.encode({"cmd": cmd, **members})
        socket.send_fds(client.sock, [line], list(fds))
    else:
        client.send({"cmd": cmd, **members})
    return client.reply().get("error")


def ask_for_type(client, kind, sample):
    members = dict(sample)
    fds = []
    if members.get("fd") == "pipe":
        reader, writer = os.pipe()
        os.close(writer)
        fds = [reader]
    elif members.get("fd") == "pidfd":
        fds = [os.pidfd_open(os.getpid())]
    if fds:
        del members["fd"]
    try:
        return ask(client, "watch", fds, type=kind, watcher="new", **members)
    finally:
        for fd in fds:
            os.close(fd)


def matrix(code):
    """What there is to ask for: a name, how to ask, and the right it needs."""
    assert set(VERBS) == {v for r in code["rights"].values() for v in r["verbs"]}
    assert set(TYPES) == {t for r in code["rights"].values() for t in r["types"]}
    assert set(MEMBERS) == {m for r in code["rights"].values() for m in r["members"]}
    for right, of in code["rights"].items():
        for verb in of["verbs"]:
            yield verb, right, lambda c, v=verb: ask(c, v, **VERBS[v])
        for kind in of["types"]:
            for sample in TYPES[kind]:
                harmless = any(
                    sample.get(name.partition(".")[2])
                    for name in code["harmless"]
                    if name.startswith(kind + ".")
                )
                yield (
                    "%s %s" % (kind, sample),
                    "all" if harmless else right,
                    lambda c, k=kind, s=sample: ask_for_type(c, k, s),
                )
        for member in of["members"]:
            kind = member.partition(".")[0]
            yield (
                member,
                right,
                lambda c, k=kind, m=member: ask(
                    c, "watch", type=k, watcher="new", **MEMBERS[m]
                ),
            )


def check(code, connect, has, why):
    """Ask for everything, each in a session of its own."""
    asked = 0
    for name, right, request in matrix(code):
        with connect() as client:
            client.watch("async", "w")
            error = request(client)
            denied = error is not None and error["code"] == "permission-denied"
            assert denied == (right not in has), (name, right, error)
            if denied:
                assert why in error["message"], (name, error)
                # Nothing of it was done.
                sessions = client.call("list")["sessions"]
                mine = [s for s in sessions if s["session"] == session_of(client)]
                assert (mine[0]["watchers"], mine[0]["children"]) == (1, 0), name
        asked += 1
    assert asked >= len(VERBS) + len(TYPES) + len(MEMBERS)


def session_of(client):
    return client.call("hello")["session"]


@pytest.mark.parametrize("name", PEERS)
def test_matrix_of_peers_without_rights(code, name):
    change, why = PEERS[name]
    with open_daemon() as daemon:
        check(code, lambda: Peer(daemon, change), {"all"}, why)


def test_matrix_of_a_peer_with_full_rights(code):
    with open_daemon() as daemon:
        check(code, daemon.connect, {"all", "full", "paths", "spawn"}, None)


@pytest.mark.parametrize("option", ["paths", "spawn"])
def test_matrix_of_options_that_take_rights_away(code, option):
    with open_daemon("--no-" + option) as daemon:
        has = {"all", "full", "paths", "spawn"} - {option}
        check(code, daemon.connect, has, "--no-" + option)


def test_matrix_of_root_at_a_users_daemon(code, monkeypatch):
    """Root can connect everywhere, but evd is not root's."""
    monkeypatch.setattr(
        evdtest,
        "WRAPPER",
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
        + evdtest.WRAPPER,
    )
    directory = evdtest.temporary_directory()
    os.chmod(directory, 0o777)
    try:
        with Daemon(path=directory + "/socket") as daemon:
            why = "the peer's uid is 0 and evd's is 65534"
            check(code, daemon.connect, {"all"}, why)
            # Of its own uid, but it has shut evd out.
            why = "could not be compared with evd's: Permission denied"
            check(code, lambda: Peer(daemon, become(NOBODY)), {"all"}, why)
            # What MEMBERS name is root's: refused by the kernel, not by a right.
            everything = {"all", "full", "paths", "spawn"}
            check(code, lambda: Peer(daemon, become_dumpable(NOBODY)), everything, None)
    finally:
        for name in os.listdir(directory):
            os.unlink(os.path.join(directory, name))
        os.rmdir(directory)


def test_a_peer_that_has_gone_has_no_rights(code):
    """Its namespaces can't be compared; whoever has its connection is not it."""
    with open_daemon() as daemon:
        daemon.process.send_signal(signal.SIGSTOP)
        try:
            peer = Peer(daemon, lambda: None, stay=False)
        finally:
            daemon.process.send_signal(signal.SIGCONT)
        with peer:
            peer.watch("timer", "t", after=100)
            error = peer.fails("spawn", argv=["true"])
            assert error.code == "permission-denied"
            assert "could not be compared" in error.message


def test_a_passed_on_connection_is_a_passed_on_right():
    with open_daemon() as daemon, daemon.connect() as client:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                become(NOBODY)()
                client.call("spawn", argv=["true"], watcher="s")
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0


# --- set ----------------------------------------------------------------------


def test_set_is_no_way_around():
    with open_daemon() as daemon:
        with Peer(daemon, become(NOBODY)) as peer:
            peer.watch("signal", "s", signum="TERM", fed=True, start=False)
            peer.call("set", watcher="s", signum="USR1")
            peer.call("set", watcher="s", fed=True)
            peer.call("set", watcher="s", data=1, priority=1)
            error = peer.fails("set", watcher="s", fed=False)
            assert error.code == "permission-denied"
            peer.call("start", watcher="s")
            os.kill(daemon.pid, signal.SIGUSR1)
            assert peer.poll() == []
            peer.call("feed_signal", signum="USR1")
            assert peer.event()["signum"] == signal.SIGUSR1
            reader, writer = os.pipe()
            assert ask(
                peer,
                "watch",
                [reader],
                type="io",
                watcher="io",
                events="r",
                start=False,
            ) is None
            for members in ({"path": "/etc/shadow"}, {"pid": 1, "fd": 0}):
                error = peer.fails("set", watcher="io", **members)
                assert error.code == "permission-denied"
            assert ask(
                peer,
                "watch",
                [os.pidfd_open(os.getpid())],
                type="child",
                watcher="c",
                start=False,
            ) is None
            for pid in (0, 1):
                error = peer.fails("set", watcher="c", pid=pid)
                assert error.code == "permission-denied"
            os.close(reader)
            os.close(writer)


# --- between uids -------------------------------------------------------------


def test_sessions_of_other_uids():
    with open_daemon() as daemon, daemon.connect() as root:
        root.call("hello", session="same")
        root.watch("async", "a")
        with Peer(daemon, become(NOBODY)) as one, Peer(daemon, become(2)) as two:
            one.call("hello", session="same")
            two.call("hello", session="same")
            one.watch("async", "a")
            number = session_of(root)
            for name in ("same", number, "#1"):
                error = None
                try:
                    one.call("send", watcher="a", session=name)
                except evdtest.EvdError as caught:
                    error = caught
                assert (error is None) == (name == "same"), name
            assert one.event()["watcher"] == "a"
            assert root.poll() == [] and two.poll() == []

            def uids(client, **members):
                return [s["uid"] for s in client.call("list", **members)["sessions"]]

            assert uids(one) == [NOBODY]
            assert uids(one, uid=NOBODY) == [NOBODY]
            assert uids(two) == [2]
            assert uids(root) == [0, NOBODY, 2]
            assert uids(root, uid=2) == [2]
            for members in ({}, {"session": "same"}):
                error = one.fails("list", uid=0, **members)
                assert error.code == "permission-denied"
            names = [w["watcher"] for w in one.call("list", session="same")["watchers"]]
            assert names == ["a"]
            assert two.call("list", session="same") == {"watchers": []}
            listed = root.call("list", session="same", uid=NOBODY)["watchers"]
            assert [w["watcher"] for w in listed] == ["a"]
            assert root.fails("list", session="x", uid=2).code == "no-such-session"
