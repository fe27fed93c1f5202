"""Files: stat watchers on a real file system.

Every test makes its changes first and then asks with `poll`: what came by then must
have the final state, as os.stat sees it.
"""

import base64
import contextlib
import ctypes
import decimal
import json
import mmap
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest

import evdtest
from evdtest import Daemon, EvdError, scaled, wait_until

STAT = 0x1000
FIELDS = "dev ino mode nlink uid gid rdev size mtime ctime".split()
MISSING = dict.fromkeys(FIELDS, 0)
SEED = int(os.environ.get("EVD_SEED", "5"))
OPERATIONS = int(os.environ.get("EVD_OPERATIONS", "0")) or scaled(4000, 800)


# --- what is there, and what evd says ------------------------------------------


def truth(path, follow=False):
    """What the file is, in the words of the protocol; times as whole nanoseconds.

    The time of access is left out: reading is no change.
    """
    try:
        st = os.stat(path) if follow else os.lstat(path)
    except (OSError, ValueError):
        return dict(MISSING)
    state = {name: getattr(st, "st_" + name) for name in FIELDS[:8]}
    return {**state, "mtime": st.st_mtime_ns, "ctime": st.st_ctime_ns}


def told(attr):
    """An attr or prev of evd's, in the same form."""
    assert list(attr) == FIELDS[:8] + ["atime", "mtime", "ctime"]
    for name in ("atime", "mtime", "ctime"):
        assert attr[name].as_tuple().exponent == -9, "nine decimals: %r" % attr
    state = {name: attr[name] for name in FIELDS[:8]}
    for name in ("mtime", "ctime"):
        state[name] = int(attr[name].scaleb(9))
    return state


class Client(evdtest.Client):
    """A client that reads times exactly, and keeps what it was told of each file."""

    def __init__(self, daemon):
        super().__init__(daemon.path)
        self.known = {}
        self.files = {}

    def recv(self):
        return json.loads(self.line().decode("utf-8"), parse_float=decimal.Decimal)

    def stat(self, watcher, path, follow=False, **members):
        """Watch a file; gives the result, which must say what is there."""
        if follow:
            members["follow"] = True
        result = self.watch("stat", watcher, path=path, **members)
        self.files[watcher] = (path, follow)
        self.known[watcher] = told(result["attr"])
        assert self.known[watcher] == truth(path, follow)
        return result

    def take(self, event):
        """Note what an event tells; it must go on from what was known."""
        watcher = event["watcher"]
        assert event["event"] == "stat"
        assert event["revents"] == STAT
        assert told(event["prev"]) == self.known[watcher], event
        self.known[watcher] = told(event["attr"])
        return event

    def changes(self):
        """All events that are due now, by watcher; states must be those of now."""
        events = {}
        for event in self.poll():
            events.setdefault(event["watcher"], []).append(self.take(event))
        self.check()
        return events

    def check(self):
        for watcher, (path, follow) in self.files.items():
            assert self.known[watcher] == truth(path, follow), (watcher, path)

    def changed(self, watcher):
        """Assert that there are events of this watcher alone; gives the last.

        More than one where a change has steps, as making a file and writing it.
        """
        events = self.changes()
        assert list(events) == [watcher], events
        return events[watcher][-1]

    def unchanged(self):
        assert self.changes() == {}


@pytest.fixture(name="tree")
def fixture_tree():
    """An empty directory."""
    path = os.path.realpath(tempfile.mkdtemp(prefix="evd-stat-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(name="daemon")
def fixture_daemon():
    with Daemon() as daemon:
        yield daemon


@pytest.fixture(name="client")
def fixture_client(daemon):
    with Client(daemon) as client:
        yield client


def write(path, text="x"):
    """Write a file anew, as a shell does by >."""
    with open(path, "w") as file:
        file.write(text)


def create(path):
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))


def rewrite(path, text="x"):
    """Overwrite what is there, in place."""
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, text.encode(), 0)
    os.close(fd)


def append(path):
    with open(path, "a") as file:
        file.write("more")


def replace_link(target, path):
    """Retarget a link as ln -sfn does by a rename."""
    os.symlink(target, path + ".new")
    os.rename(path + ".new", path)


def file_system(path):
    return subprocess.check_output(["stat", "-f", "-c", "%T", path]).decode().strip()


def is_fine(path):
    """Whether each change has a time of its own there, by what evd knows."""
    release = [int(part) for part in os.uname().release.split(".")[:2]]
    return release >= [6, 13] and file_system(path) in (
        "ext2/ext3",
        "xfs",
        "btrfs",
        "tmpfs",
    )


# --- one file, and each way to change it ----------------------------------------


def by_second_link(path):
    """Through another name, in another directory."""
    other = os.path.join(os.path.dirname(path), "other")
    rewrite(os.path.join(other, "link"))


def by_mapping(path):
    fd = os.open(path, os.O_RDWR)
    memory = mmap.mmap(fd, 1)
    os.close(fd)
    memory[0] = ord("m")
    memory.close()


def by_allocation(path):
    fd = os.open(path, os.O_WRONLY)
    os.posix_fallocate(fd, 0, 100000)
    os.close(fd)


def by_rename_over(path):
    write(path + ".new", "n")
    os.rename(path + ".new", path)


def by_rename_away_and_back(path):
    os.rename(path, path + ".old")
    os.rename(path + ".old", path)


def by_new_one_of_the_same_size(path):
    os.unlink(path)
    write(path)


def by_write_kept_open(path):
    """Without a close."""
    by_write_kept_open.fd = os.open(path, os.O_WRONLY)
    os.write(by_write_kept_open.fd, b"k")


WAYS = {
    "rewrite": rewrite,
    "write anew": write,
    "write, kept open": by_write_kept_open,
    "append": append,
    "second hard link": by_second_link,
    "mapping, at munmap": by_mapping,
    "truncate": lambda path: os.truncate(path, 0),
    "truncate to more": lambda path: os.truncate(path, 1000),
    "fallocate": by_allocation,
    "chmod": lambda path: os.chmod(path, 0o600),
    "chown": lambda path: os.chown(path, os.getuid(), os.getgid()),
    "touch": os.utime,
    "touch, before the Epoch": lambda path: os.utime(path, ns=(-1, -1500000000)),
    "touch, mtime only": lambda path: subprocess.check_call(["touch", "-m", path]),
    "setxattr": lambda path: os.setxattr(path, "user.evd", b"value"),
    "link": lambda path: os.link(path, path + ".link"),
    "unlink of another link": lambda path: os.unlink(path + ".second"),
    "rename of another link": lambda path: os.rename(path + ".second", path + ".3"),
    "rename over": by_rename_over,
    "rename away": lambda path: os.rename(path, path + ".old"),
    "rename away and back": by_rename_away_and_back,
    "removal": os.unlink,
    "another one of the same size": by_new_one_of_the_same_size,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_change_of_a_file_is_told(client, tree, way):
    if way == "mapping, at munmap" and file_system(tree) == "tmpfs":
        pytest.skip("a mapping leaves no trace in the times of tmpfs")
    path = tree + "/file"
    os.mkdir(tree + "/other")
    write(path)
    os.link(path, tree + "/other/link")
    os.link(path, path + ".second")
    assert client.stat("file", path)["via"] == "inotify"
    client.unchanged()
    before = client.known["file"]
    try:
        WAYS[way](path)
    except OSError as error:
        pytest.skip("%s: %s" % (way, error))
    client.changed("file")
    assert client.known["file"] != before or way == "another one of the same size"
    client.unchanged()
    if way == "write, kept open":
        os.close(by_write_kept_open.fd)
    # It is watched on, in whatever way it is there now.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    client.changes()
    write(path, "again")
    assert "file" in client.changes()
    rewrite(path, "AGAIN")
    assert "file" in client.changes()


def test_500_rewrites_of_the_same_size_2_ms_apart(client, tree):
    path = tree + "/file"
    write(path)
    client.stat("file", path)
    for i in range(500):
        rewrite(path, str(i % 10))
        time.sleep(0.002)
    client.changes()


def test_each_of_500_rewrites_of_the_same_size(client, tree):
    path = tree + "/file"
    write(path)
    client.stat("file", path)
    for i in range(500):
        rewrite(path, str(i % 10))
        client.changed("file")


def test_each_of_500_new_files_with_all_in_common(client, tree):
    """Also the number, and at times even the times."""
    path = tree + "/file"
    write(path)
    client.stat("file", path)
    for _ in range(500):
        os.unlink(path)
        write(path)
        client.changed("file")


def test_reading_is_no_change(client, tree):
    path = tree + "/file"
    write(path)
    os.utime(path, (1, 1))
    client.stat("file", path)
    with open(path) as file:
        file.read()
    os.listdir(tree)
    client.unchanged()


def test_times_are_exact_also_before_the_epoch(client, tree):
    path = tree + "/file"
    write(path)
    for ns in (0, 1, -1, 999999999, -999999999, -1000000000, -1000000001, 10**18 + 7):
        os.utime(path, ns=(ns, ns))
        attr = client.watch("stat", ns % 2**40, path=path)["attr"]
        assert int(attr["mtime"].scaleb(9)) == ns
        assert int(attr["atime"].scaleb(9)) == ns


# --- paths -------------------------------------------------------------------------


def test_a_path_whose_directories_appear_one_after_another(client, tree):
    client.stat("deep", tree + "/a/b/c/file")
    for name in ("a", "a/b", "a/b/c"):
        os.mkdir(tree + "/" + name)
        client.unchanged()
    write(tree + "/a/b/c/file")
    client.changed("deep")
    shutil.rmtree(tree + "/a")
    client.changed("deep")
    os.makedirs(tree + "/a/b/c")
    write(tree + "/a/b/c/file")
    client.changed("deep")
    rewrite(tree + "/a/b/c/file", "y")
    client.changed("deep")


def test_a_directory_that_comes_with_all_in_it(client, tree):
    client.stat("deep", tree + "/a/b/file")
    os.makedirs(tree + "/new/b")
    write(tree + "/new/b/file")
    os.rename(tree + "/new", tree + "/a")
    client.changed("deep")
    rewrite(tree + "/a/b/file", "y")
    client.changed("deep")


def test_a_parent_renamed_away_and_another_in_its_place(client, tree):
    for name in ("one", "two"):
        os.makedirs(tree + "/" + name + "/sub")
        write(tree + "/" + name + "/sub/file", name)
    client.stat("file", tree + "/one/sub/file")
    client.stat("moved", tree + "/old/sub/file")
    os.rename(tree + "/one", tree + "/old")
    assert set(client.changes()) == {"file", "moved"}
    os.rename(tree + "/two", tree + "/one")
    client.changed("file")
    rewrite(tree + "/old/sub/file", "y")
    client.changed("moved")
    rewrite(tree + "/one/sub/file", "z")
    client.changed("file")


def test_a_parent_that_is_away_for_an_instant(client, tree):
    """What is below may be looked at just then."""
    path = tree + "/dir/file"
    os.mkdir(tree + "/dir")
    client.stat("file", path)
    client.stat("deep", tree + "/dir/sub/deep")
    for i in range(scaled(1000, 200)):
        if i % 2:
            os.unlink(path)
            shutil.rmtree(tree + "/dir/sub")
        else:
            write(path)
            os.mkdir(tree + "/dir/sub")
            write(tree + "/dir/sub/deep")
        for _ in range(i % 7):
            by_rename_away_and_back(tree + "/dir")
        client.changes()
    assert client.call("get", watcher="deep")["via"] == "inotify"


def test_two_directories_exchanged(client, tree):
    libc = ctypes.CDLL(None, use_errno=True)
    for name in ("one", "two"):
        os.mkdir(tree + "/" + name)
        write(tree + "/" + name + "/file", name)
        client.stat(name, tree + "/" + name + "/file")
    one, two = (os.fsencode(tree + "/" + name) for name in ("one", "two"))
    if libc.renameat2(-100, one, -100, two, 2) != 0:
        pytest.skip("renameat2: " + os.strerror(ctypes.get_errno()))
    assert set(client.changes()) == {"one", "two"}
    rewrite(tree + "/one/file", "y")
    client.changed("one")


def test_a_file_in_place_of_a_directory_and_back(client, tree):
    os.mkdir(tree + "/a")
    write(tree + "/a/file")
    client.stat("file", tree + "/a/file")
    client.stat("a", tree + "/a")
    shutil.rmtree(tree + "/a")
    write(tree + "/a")
    assert set(client.changes()) == {"file", "a"}
    os.unlink(tree + "/a")
    os.mkdir(tree + "/a")
    write(tree + "/a/file")
    assert set(client.changes()) == {"file", "a"}


@pytest.mark.parametrize(
    "shape",
    ["%s/dir/file", "/%s/dir/file", "%s//dir/.//file", "%s/dir/../dir/file"],
)
def test_one_file_in_many_spellings(client, tree, shape):
    os.mkdir(tree + "/dir")
    client.stat("file", shape % tree)
    write(tree + "/dir/file")
    client.changed("file")
    os.rename(tree + "/dir", tree + "/old")
    client.changed("file")
    os.mkdir(tree + "/dir")
    write(tree + "/dir/file")
    client.changed("file")


def test_names_of_the_root(client):
    for path in ("/", "//", "/.", "/..", "/../"):
        result = client.watch("stat", path, path=path)
        assert told(result["attr"])["ino"] == os.lstat("/").st_ino


def test_the_longest_names(client, tree):
    name = "n" * 255
    client.stat("long", tree + "/" + name)
    client.stat("too long", tree + "/" + name + "n")
    write(tree + "/" + name)
    client.changed("long")


def test_names_that_are_not_utf_8(client, tree):
    path = os.fsencode(tree) + b"/caf\xe9\xff"
    text = base64.b64encode(path).decode()
    result = client.watch("stat", "latin", path_base64=text)
    assert told(result["attr"]) == MISSING
    client.files["latin"], client.known["latin"] = (path, False), dict(MISSING)
    write(path)
    client.changed("latin")
    state = client.call("get", watcher="latin")
    assert state["path_base64"] == text
    assert "path" not in state


def test_names_that_are_strange(client, tree):
    for number, name in enumerate(['"', "\\", "a\nb", "\x7f", "é€", " ", "..."]):
        client.stat(number, tree + "/" + name)
        write(tree + "/" + name)
        client.changed(number)
        assert client.call("get", watcher=number)["path"] == tree + "/" + name


def test_directories(client, tree):
    path = tree + "/dir"
    client.stat("dir", path)
    client.stat("slash", path + "/", follow=False)
    os.mkdir(path)
    assert set(client.changes()) == {"dir", "slash"}
    for change in (
        lambda: write(path + "/file"),
        lambda: os.mkdir(path + "/sub"),
        lambda: os.rename(path + "/file", path + "/renamed"),
        lambda: os.unlink(path + "/renamed"),
        lambda: os.rmdir(path + "/sub"),
        lambda: os.chmod(path, 0o700),
        lambda: os.rmdir(path),
    ):
        change()
        assert set(client.changes()) == {"dir", "slash"}
    os.mkdir(path)
    write(path + "/file")
    client.changes()
    rewrite(path + "/file", "y")
    client.unchanged()


def test_a_fifo_and_a_socket(client, tree):
    client.stat("fifo", tree + "/fifo")
    os.mkfifo(tree + "/fifo")
    client.changed("fifo")
    os.chmod(tree + "/fifo", 0o600)
    client.changed("fifo")


# --- symbolic links -----------------------------------------------------------------


@pytest.mark.parametrize("follow", [False, True])
def test_a_link_retargeted(client, tree, follow):
    for name in ("one", "two"):
        write(tree + "/" + name, name)
    os.symlink("one", tree + "/link")
    client.stat("link", tree + "/link", follow)
    replace_link(tree + "/two", tree + "/link")
    client.changed("link")
    rewrite(tree + "/one", "1")
    client.unchanged()
    rewrite(tree + "/two", "2")
    assert ("link" in client.changes()) == follow
    replace_link("missing", tree + "/link")
    client.changed("link")
    write(tree + "/missing")
    assert ("link" in client.changes()) == follow
    os.unlink(tree + "/link")
    client.changed("link")


def test_the_owner_of_a_link_itself(client, tree):
    os.symlink("missing", tree + "/link")
    client.stat("link", tree + "/link")
    client.stat("target", tree + "/link", follow=True)
    os.utime(tree + "/link", ns=(1, 1), follow_symlinks=False)
    client.changed("link")


def test_a_chain_of_links(client, tree):
    os.mkdir(tree + "/far")
    os.symlink(tree + "/2", tree + "/1")
    os.symlink("./far/../3", tree + "/2")
    os.symlink("far/4", tree + "/3")
    os.symlink("../end", tree + "/far/4")
    client.stat("chain", tree + "/1", follow=True)
    write(tree + "/end")
    client.changed("chain")
    os.unlink(tree + "/3")
    client.changed("chain")
    os.symlink("end", tree + "/3")
    client.changed("chain")
    os.rename(tree + "/far", tree + "/gone")
    client.changed("chain")  # by way of far/..
    os.mkdir(tree + "/far")
    client.changed("chain")
    rewrite(tree + "/end", "y")
    client.changed("chain")


def test_a_link_to_a_directory_on_the_way(client, tree):
    for name in ("v1", "v2"):
        os.makedirs(tree + "/releases/" + name)
        write(tree + "/releases/" + name + "/config", name)
    os.symlink("releases/v1", tree + "/current")
    client.stat("config", tree + "/current/config")
    replace_link("releases/v2", tree + "/current")
    client.changed("config")
    rewrite(tree + "/releases/v2/config", "y")
    client.changed("config")
    rewrite(tree + "/releases/v1/config", "z")
    client.unchanged()
    os.rename(tree + "/releases", tree + "/old")
    client.changed("config")
    os.rename(tree + "/old", tree + "/releases")
    client.changed("config")


def test_loops_of_links(client, tree):
    os.symlink("b", tree + "/a")
    os.symlink("a", tree + "/b")
    os.symlink("self", tree + "/self")
    os.symlink("in/side", tree + "/in")
    for name in ("a", "b", "self", "in"):
        client.stat(name, tree + "/" + name, follow=True)
        client.stat(name + "/", tree + "/" + name + "/x/y")
    client.unchanged()
    replace_link("end", tree + "/b")
    client.unchanged()
    write(tree + "/end")
    assert set(client.changes()) == {"a", "b"}
    os.unlink(tree + "/self")
    os.makedirs(tree + "/self/x/y")
    assert set(client.changes()) == {"self", "self/"}
    os.unlink(tree + "/in")
    write(tree + "/in")
    client.changed("in")


def test_forty_links_are_followed_and_no_more(client, tree):
    write(tree + "/0")
    for i in range(1, 42):
        os.symlink(str(i - 1), tree + "/" + str(i))
    client.stat("forty", tree + "/40", follow=True)
    client.stat("more", tree + "/41", follow=True)
    rewrite(tree + "/0", "y")
    client.changed("forty")
    replace_link("0", tree + "/1")
    client.unchanged()
    replace_link("0", tree + "/2")
    client.changed("more")


# --- mounts ---------------------------------------------------------------------------


@pytest.fixture(name="mount")
def fixture_mount():
    """A function that mounts; for this process and its children alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x20000) != 0:  # CLONE_NEWNS
        pytest.skip("may not mount: " + os.strerror(ctypes.get_errno()))
    if subprocess.call(["mount", "--make-rprivate", "/"]) != 0:
        pytest.skip("may not mount")
    mounted = []

    def mount(*args):
        subprocess.check_call(["mount", *args])
        mounted.append(args[-1])

    yield mount
    for path in reversed(mounted):
        subprocess.call(["umount", "-l", path], stderr=subprocess.DEVNULL)


def test_a_mount_over_a_directory(mount, client, tree):
    path = tree + "/dir"
    os.mkdir(path)
    write(path + "/file")
    client.stat("dir", path)
    client.stat("file", path + "/file")
    mount("-t", "tmpfs", "none", path)
    assert set(client.changes()) == {"dir", "file"}
    write(path + "/file", "on top")
    assert set(client.changes()) == {"dir", "file"}
    subprocess.check_call(["umount", path])
    assert set(client.changes()) == {"dir", "file"}
    rewrite(path + "/file", "y")
    client.changed("file")


def test_a_mount_wakes_evd(mount, daemon, client, tree):
    """Without a poll that asks."""
    write(tree + "/file")
    write(tree + "/over")
    client.stat("file", tree + "/file")
    daemon.settle()
    mount("--bind", tree + "/over", tree + "/file")
    client.take(client.event())
    client.check()
    rewrite(tree + "/over", "y")
    client.changed("file")
    daemon.settle()
    subprocess.check_call(["umount", tree + "/file"])
    client.take(client.event())
    client.check()


# --- events -----------------------------------------------------------------------------


def test_an_event_comes_by_itself(client, tree):
    client.stat("file", tree + "/file")
    write(tree + "/file")
    event = client.take(client.event())
    assert "active" not in event
    while client.known["file"] != truth(tree + "/file"):
        client.take(client.event())


def test_two_sessions_on_one_path(daemon, tree):
    with Client(daemon) as one, Client(daemon) as two:
        one.stat("file", tree + "/file")
        two.stat("same", tree + "/file")
        two.stat("again", tree + "/file")
        write(tree + "/file")
        one.changed("file")
        assert set(two.changes()) == {"same", "again"}
        one.close()
        rewrite(tree + "/file", "y")
        assert set(two.changes()) == {"same", "again"}
        two.call("unwatch", watcher="again")
        del two.files["again"]
        rewrite(tree + "/file", "z")
        two.changed("same")


def is_overrun(event, tree):
    """One change was merged into another; with coarse times there may be more."""
    return event["overrun"] == 1 or (event["overrun"] > 1 and not is_fine(tree))


def test_merged_events_keep_the_first_prev_and_the_last_attr(client, tree):
    path = tree + "/file"
    client.stat("file", path, hold=True)
    create(path)
    client.changed("file")
    os.chmod(path, 0o600)
    assert client.poll() == []
    os.unlink(path)
    assert client.poll() == []
    client.call("ack")
    # What was there when the last event was written; what is there now.
    event = client.changed("file")
    assert is_overrun(event, tree)
    assert client.known["file"] == MISSING
    # Also when that is the same.
    create(path)
    assert client.poll() == []
    os.unlink(path)
    assert client.poll() == []
    assert is_overrun(client.call("get", watcher="file")["pending"], tree)
    client.call("ack")
    event = client.changed("file")
    assert is_overrun(event, tree)
    assert event["prev"] == event["attr"]


def test_what_is_taken_back_is_not_told_again(client, tree):
    path = tree + "/file"
    client.stat("file", path, hold=True)
    create(path)
    client.changed("file")
    append(path)
    client.poll()
    cleared = client.call("clear", watcher="file")["cleared"]
    assert cleared["revents"] == STAT
    client.known["file"] = truth(path)
    client.unchanged()
    append(path)
    client.changed("file")


def test_once(client, tree):
    client.stat("file", tree + "/file", once=True, release=True)
    create(tree + "/file")
    event = client.changed("file")
    assert event["active"] is False
    append(tree + "/file")
    assert client.poll() == []
    assert client.fails("get", watcher="file").code == "no-such-watcher"


def test_start_takes_the_state_anew(client, tree):
    path = tree + "/file"
    assert client.watch("stat", "file", path=path, start=False) == {}
    write(path)
    assert client.poll() == []
    result = client.call("start", watcher="file")
    assert told(result["attr"]) == truth(path)
    assert result["via"] == "inotify"
    assert client.call("start", watcher="file") == {}
    client.files["file"], client.known["file"] = (path, False), truth(path)
    append(path)
    client.changed("file")
    client.call("stop", watcher="file")
    append(path)
    assert client.poll() == []
    assert "attr" not in client.call("get", watcher="file")


def test_set(client, tree):
    path = tree + "/file"
    client.stat("file", tree + "/other")
    for members in ({"path": path}, {"follow": True}):
        error = client.fails("set", watcher="file", **members)
        assert error.code == "watcher-active"
    client.call("set", watcher="file", interval=10)
    client.call("stop", watcher="file")
    client.call("set", watcher="file", path=path, follow=True)
    os.symlink("target", path)
    client.call("start", watcher="file")
    state = client.call("get", watcher="file")
    assert state["path"] == path
    assert state["follow"] is True
    assert state["interval"] == 10
    assert state["via"] == "inotify"
    client.files["file"], client.known["file"] = (path, True), dict(MISSING)
    write(tree + "/target")
    client.changed("file")


def test_paths_are_charged(tree):
    with Daemon(["--max-bytes", "1000"]) as daemon, Client(daemon) as client:
        long = tree + "/" + "x/" * 200
        client.watch("stat", 1, path=long)
        error = client.fails("watch", type="stat", watcher=2, path=long * 2)
        assert error.code == "limit-exceeded"
        client.watch("stat", 2, path=long)
        text = base64.b64encode(long.encode()).decode()
        error = client.fails("watch", type="stat", watcher=3, path_base64=text)
        assert error.code == "limit-exceeded"
        client.call("unwatch", watcher=1)
        client.watch("stat", 3, path_base64=text)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"path": "relative"},
        {"path": ""},
        {"path": 5},
        {"path": "/" + "x" * 4095},
        {"path": "/a", "path_base64": "L2E="},
        {"path_base64": "L2"},
        {"path_base64": "L2E"},
        {"path_base64": "L2F="},
        {"path_base64": "L2*="},
        {"path_base64": "===="},
        {"path_base64": ""},
        {"path_base64": "YS9i"},
        {"path_base64": base64.b64encode(b"/a\0b").decode()},
        {"path_base64": base64.b64encode(b"/" + b"x" * 4095).decode()},
        {"path": "/a", "interval": 0.05},
        {"path": "/a", "interval": -1},
        {"path": "/a", "interval": 2e10},
        {"path": "/a", "follow": 1},
    ],
)
def test_members_that_are_wrong(client, members):
    error = client.fails("watch", type="stat", watcher=1, **members)
    assert error.code == "invalid-argument"
    assert "expected" in error.message
    assert client.fails("get", watcher=1).code == "no-such-watcher"


def test_members_at_their_limits(client):
    client.watch("stat", 1, path="/" + "x" * 4094)
    client.watch("stat", 2, path="/" + "x/" * 2000, interval=0.1)
    client.watch("stat", 3, path="/a", interval=1e10)
    path = base64.b64encode(b"/" + b"x" * 4094).decode()
    client.watch("stat", 4, path_base64=path)
    assert client.call("get", watcher=4)["path_base64"] == path


def as_somebody_else(directory, line):
    """The answer to a line that another user writes to the socket in a directory."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # Relative, as not all above may let everybody through.
        os.chdir(directory)
        os.setgroups([])
        os.setresuid(65534, 65534, 65534)
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect("socket")
            peer.sendall(line)
            os.write(writer, peer.recv(4096))
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader, "rb") as answer:
        return answer.read()


def test_other_peers_may_not():
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    with Daemon(["--socket-mode", "0666"]) as daemon:
        os.chmod(daemon.directory, 0o711)
        answer = as_somebody_else(
            daemon.directory,
            b'{"cmd":"watch","type":"stat","watcher":1,"path":"/"}\n',
        )
        assert json.loads(answer)["error"]["code"] == "permission-denied"


# --- the verb --------------------------------------------------------------------------


def test_the_verb_replies_with_what_is_there(client, tree):
    path = tree + "/file"
    client.stat("file", path)
    write(path)
    attr = client.call("stat", watcher="file")["attr"]
    assert told(attr) == truth(path)
    client.changed("file")
    client.watch("timer", "timer", after=1000)
    assert client.fails("stat", watcher="timer").code == "invalid-argument"
    assert client.fails("stat", watcher="none").code == "no-such-watcher"


def test_the_verb_makes_an_event_behind_its_reply(tree):
    path = tree + "/file"
    with Daemon(["--disable-feature", "inotify"]) as daemon, Client(daemon) as client:
        client.stat("file", path, interval=1e10)
        write(path)
        assert client.poll() == []
        client.send({"cmd": "stat", "watcher": "file"})
        assert told(client.recv()["result"]["attr"]) == truth(path)
        client.take(client.recv())
        client.unchanged()
        client.call("stop", watcher="file")
        append(path)
        attr = client.call("stat", watcher="file")["attr"]
        assert told(attr) == truth(path)
        assert client.poll() == []


# --- many, and much ------------------------------------------------------------------


def cpu_ns(daemon):
    with open("/proc/%d/schedstat" % daemon.pid) as file:
        return int(file.read().split()[0])


def sleeps(daemon, seconds):
    """Whether it does, all the time."""
    daemon.settle()
    wakeups = daemon.wakeups()
    time.sleep(seconds)
    return daemon.wakeups() == wakeups


@pytest.fixture(name="quiet_tree")
def fixture_quiet_tree():
    """A directory where others do little in the directories above."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = os.path.realpath(tempfile.mkdtemp(prefix="evd-stat-", dir=base))
    yield path
    shutil.rmtree(path)


def test_10000_files_and_10000_missing_paths_in_one_directory(
    daemon, client, quiet_tree
):
    tree = quiet_tree
    count = scaled(10000, 1000)
    empty = daemon.memory()
    commands = [
        {"cmd": "watch", "type": "stat", "watcher": i, "path": "%s/%d" % (tree, i)}
        for i in range(2 * count)
    ]
    client.calls(commands[count:])
    missing = daemon.memory() - empty
    for i in range(count):
        write("%s/%d" % (tree, i))
    replies = client.calls(commands[:count])
    assert {reply["result"]["via"] for reply in replies} == {"inotify"}
    client.poll()

    # Longer than what would be the interval. Others may disturb it: try again.
    assert any(sleeps(daemon, 6) for _ in range(10))

    for change, first in ((rewrite, 0), (write, count), (os.unlink, 0)):
        start = cpu_ns(daemon)
        for i in range(first, first + 500):
            change("%s/%d" % (tree, i))
            assert client.event()["watcher"] == i
            client.poll()
        each = (cpu_ns(daemon) - start) / 500 / 1e6
        print("%s: %.3f ms of work" % (change.__name__, each))
    print("%d missing paths: %d KiB" % (count, missing))


def test_everything_is_given_back(daemon, tree):
    """The marks of a session that has ended, by their number in the kernel."""

    def marks():
        total = 0
        for fd in os.listdir("/proc/%d/fdinfo" % daemon.pid):
            with contextlib.suppress(FileNotFoundError):
                with open("/proc/%d/fdinfo/%s" % (daemon.pid, fd)) as file:
                    total += sum(line.startswith("inotify") for line in file)
        return total

    for i in range(100):
        write("%s/%d" % (tree, i))
    with Client(daemon) as client:
        for i in range(200):
            client.stat(i, "%s/%d" % (tree, i))
            client.stat("deep %d" % i, "%s/%d/a/b" % (tree, i))
        assert marks() >= 101
        for i in range(200):
            client.call("unwatch", watcher="deep %d" % i)
        assert marks() >= 101
    wait_until(lambda: marks() == 0, "no mark is left")


MAKE_FILES = """
import os, sys, time
start = time.monotonic()
print(flush=True)
for i in range(%d):
    path = "%%s/noise-%%d" %% (sys.argv[1], i)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    os.unlink(path)
    # 100,000 a minute
    time.sleep(max(0, start + i * 0.0006 - time.monotonic()))
"""


def test_a_directory_in_which_others_make_100000_files_a_minute(client, daemon, tree):
    """The watched file is told of meanwhile, and commands are answered."""
    path = tree + "/file"
    client.stat("file", path)
    client.stat("dir", tree)
    start = cpu_ns(daemon), time.monotonic()
    noise = subprocess.Popen(
        [sys.executable, "-c", MAKE_FILES % 5000, tree], stdout=subprocess.PIPE
    )
    try:
        noise.stdout.readline()
        rounds = 0
        while noise.poll() is None:
            write(path, "round %d" % rounds)
            wanted = truth(path)
            while client.known["file"] != wanted:
                event = client.event()
                client.known[event["watcher"]] = told(event["attr"])
            rounds += 1
        assert rounds > 1
    finally:
        noise.kill()
        noise.wait()
        noise.stdout.close()
    share = (cpu_ns(daemon) - start[0]) / 1e9 / (time.monotonic() - start[1])
    print("%d rounds, %.1f %% of a CPU" % (rounds, share * 100))
    for event in client.poll():
        client.known[event["watcher"]] = told(event["attr"])
    client.check()


def test_an_overflow_of_the_queue(daemon, tree):
    """All is compared again, and nothing was missed."""
    with open("/proc/sys/fs/inotify/max_queued_events") as file:
        limit = int(file.read())
    if limit > 100000:
        pytest.skip("the queue holds %d events" % limit)
    os.mkdir(tree + "/noise")
    os.mkdir(tree + "/dir")
    os.symlink("0", tree + "/link")
    with Client(daemon) as client:
        for i in range(1000):
            if i % 2:
                write("%s/%d" % (tree, i))
            client.stat(i, "%s/%d" % (tree, i))
        client.stat("noise", tree + "/noise")
        client.stat("deep", tree + "/dir/a/b/c")
        client.stat("link", tree + "/link", follow=True)
        daemon.process.send_signal(signal.SIGSTOP)
        try:
            for i in range(limit // 2 + 10):
                os.mkdir("%s/noise/%d" % (tree, i))
                os.rmdir("%s/noise/%d" % (tree, i))
            for i in range(1000):
                if i % 3 == 0:
                    write("%s/%d" % (tree, i), "new")
                elif i % 2 and i % 5 == 0:
                    os.unlink("%s/%d" % (tree, i))
            os.makedirs(tree + "/dir/a/b/c")
            replace_link("1", tree + "/link")
        finally:
            daemon.process.send_signal(signal.SIGCONT)
        client.changes()
        assert "were lost" in daemon.stderr
        write(tree + "/dir/a/b/c/file")
        assert list(client.changes()) == ["deep"]
        rewrite(tree + "/1", "y")
        assert set(client.changes()) == {1, "link"}
        # And on it goes without.
        write(tree + "/0", "again")
        client.changed(0)


# --- without inotify ------------------------------------------------------------------


def test_polling(tree):
    path = tree + "/a/file"
    with Daemon(["--disable-feature", "inotify"]) as daemon, Client(daemon) as client:
        features = client.call("hello")["features"]
        assert "inotify" not in features
        assert "fine-mtime" in features or not is_fine(tree)
        assert client.stat("file", path, interval=0.1)["via"] == "poll"
        assert client.stat("slow", path)["via"] == "poll"
        assert client.call("get", watcher="slow")["interval"] == 0
        assert "disabled" in daemon.stderr
        os.mkdir(tree + "/a")
        write(path)
        client.take(client.event())
        append(path)
        event = client.event()
        while event["watcher"] != "file" or told(event["attr"]) != truth(path):
            event = client.event()
        # About 5 s.
        while event["watcher"] != "slow":
            event = client.event()


def test_the_interval_can_be_set_while_active(tree):
    path = tree + "/file"
    with Daemon(["--disable-feature", "inotify"]) as daemon, Client(daemon) as client:
        client.stat("file", path, interval=1000)
        error = client.fails("set", watcher="file", interval=0.01)
        assert error.code == "invalid-argument"
        client.call("set", watcher="file", interval=0.1)
        # From the next comparison on.
        client.call("stat", watcher="file")
        write(path)
        client.take(client.event())


def test_a_file_system_that_does_not_tell(client, daemon):
    result = client.watch("stat", "self", path="/proc/%d/status" % os.getpid())
    assert result["via"] == "poll"
    assert "does not tell" in daemon.stderr


def run_out(what):
    """The scenario below; in a user namespace of its own, with a low limit."""
    limit = "/proc/sys/user/max_inotify_" + what
    tree = tempfile.mkdtemp(prefix="evd-stat-")
    for i in range(30):
        write("%s/%d" % (tree, i))
    with open(limit, "w") as file:
        file.write("20" if what == "watches" else "0")
    try:
        with Daemon() as daemon, Client(daemon) as client:
            vias = [
                client.stat(i, "%s/%d" % (tree, i), interval=0.1)["via"]
                for i in range(30)
            ]
            assert vias[-1] == "poll"
            assert ("inotify" in vias) == (what == "watches")
            assert "max_user_" + what in daemon.stderr
            assert daemon.stderr.count("compared every") == 1
            for i in range(30):
                append("%s/%d" % (tree, i))
            while any(client.known[i] != truth("%s/%d" % (tree, i)) for i in range(30)):
                client.take(client.event())
            # When there is room again it is used.
            with open(limit, "w") as file:
                file.write("1000")
            wait_until(
                lambda: client.call("get", watcher=29)["via"] == "inotify",
                "via inotify",
            )
            client.changes()
            write(tree + "/29", "again")
            client.changed(29)
    finally:
        shutil.rmtree(tree)


@pytest.mark.parametrize("what", ["watches", "instances"])
def test_inotify_runs_out(what):
    probe = ["unshare", "--user", "--map-root-user"]
    limit = "/proc/sys/user/max_inotify_" + what
    if subprocess.call([*probe, "sh", "-c", "echo 9 >" + limit]) != 0:
        pytest.skip("no user namespace, or no limit of its own in it")
    subprocess.check_call([*probe, sys.executable, __file__, what])


def out_of_reach():
    """The scenario below, for somebody whom modes keep out."""
    tree = tempfile.mkdtemp(prefix="evd-stat-")
    os.makedirs(tree + "/dir/sub")
    path = tree + "/dir/sub/file"
    write(path)
    write(tree + "/mine alone")
    os.chmod(tree + "/mine alone", 0)
    try:
        with Daemon() as daemon, Client(daemon) as client:
            assert client.stat("file", path, interval=0.1)["via"] == "inotify"
            for mode in (0, 0o600, 0, 0o400):
                os.chmod(tree + "/dir", mode)
                client.changed("file")
                assert client.known["file"] == MISSING
                os.chmod(tree + "/dir", 0o700)
                client.changed("file")
            assert client.call("get", watcher="file")["via"] == "inotify"
            # What may not be read can't be marked.
            os.chmod(tree + "/dir", 0o300)
            client.poll()
            assert client.call("get", watcher="file")["via"] == "poll"
            assert "Permission denied" in daemon.stderr
            os.rename(tree + "/dir/sub", tree + "/dir/other")
            client.take(client.event())
            assert client.known["file"] == MISSING
            os.chmod(tree + "/dir", 0o700)
            os.rename(tree + "/dir/other", tree + "/dir/sub")
            assert "file" in client.changes()
            assert client.call("get", watcher="file")["via"] == "inotify"
            result = client.stat("mine", tree + "/mine alone", interval=0.1)
            assert result["via"] == "poll"
            os.chmod(tree + "/mine alone", 0o600)
            client.take(client.event())
            client.check()
            assert client.call("get", watcher="mine")["via"] == "inotify"
    finally:
        os.chmod(tree + "/dir", 0o700)
        shutil.rmtree(tree)


def test_directories_out_of_reach():
    if os.geteuid() != 0:
        out_of_reach()
        return
    command = [sys.executable, __file__, "out_of_reach"]
    nobody = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}
    probe = [sys.executable, "-c", "open(%r); open(%r)" % (__file__, evdtest.EVD)]
    try:
        subprocess.check_call(probe, stderr=subprocess.DEVNULL, **nobody)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("others may not run what is tested")
    env = {**os.environ, "EVD": evdtest.EVD}
    subprocess.check_call(command, env=env, **nobody)


def test_features_that_can_be_disabled_are_listed():
    done = evdtest.run("--disable-feature", "inotifi")
    assert done.returncode == 2
    assert "expected one of: inotify, fine-mtime" in done.stderr


def test_features_are_disabled_one_by_one():
    options = ["--disable-feature", "inotify", "--disable-feature", "fine-mtime"]
    with Daemon(options) as daemon, Client(daemon) as client:
        features = client.call("hello")["features"]
        assert "stat" in features
        assert not {"inotify", "fine-mtime"} & set(features)
        for feature in ("inotify", "fine-mtime"):
            assert client.fails("hello", need=[feature]).code == "not-supported"


# --- without fine times ---------------------------------------------------------------


def test_with_coarse_times_a_write_is_itself_a_change(tree):
    """What is seen of it: a file opened for writing and closed."""
    path = tree + "/file"
    write(path)
    for args, told_of in ([], False), (["--disable-feature", "fine-mtime"], True):
        with Daemon(args) as daemon, Client(daemon) as client:
            features = client.call("hello")["features"]
            if not told_of and "fine-mtime" not in features:
                continue
            assert ("fine-mtime" in features) == (not told_of)
            client.stat("file", path)
            os.close(os.open(path, os.O_WRONLY))
            if not told_of:
                if is_fine(tree):
                    client.unchanged()
                continue
            event = client.changed("file")
            assert event["prev"] == event["attr"]
            rewrite(path, "y")
            assert "file" in client.changes()


# --- all of it, against a model --------------------------------------------------------


class Model:
    """Random operations on a small tree, with os.stat as judge of the outcome.

    Names are few, so that operations meet: directories replaced by links, links by
    directories, and so on. Links lead up as well, also out of the tree to directories
    that hold it. Nothing is ever changed but what is really in the tree.
    """

    NAMES = ["a", "b", "c"]

    def __init__(self, tree, rng):
        self.tree = tree
        self.rng = rng
        self.operations = [
            getattr(self, name) for name in sorted(dir(self)) if name.startswith("do_")
        ]

    def any_path(self, depth=4):
        """A path to watch, or for a link to lead to; only a name."""
        parts = self.rng.choices(self.NAMES, k=self.rng.randint(1, depth))
        return "/".join([self.tree, *parts])

    def path(self, depth=4):
        """A path to change: neither it nor what it leads to is outside of the tree."""
        for _ in range(20):
            path = self.any_path(depth)
            parent = os.path.realpath(os.path.dirname(path))
            real = os.path.realpath(path)
            if (parent + "/").startswith(self.tree + "/") and real.startswith(
                self.tree + "/"
            ):
                return path
        # All lead outside, or nearly.
        path = self.any_path(1)
        if os.path.islink(path):
            os.unlink(path)
        raise OSError("no path inside")

    def operate(self):
        operation = self.rng.choice(self.operations)
        with contextlib.suppress(OSError, shutil.Error):
            operation()
        return operation.__name__

    def do_mkdir(self):
        os.makedirs(self.path())

    def do_mkdir_one(self):
        os.mkdir(self.path())

    def do_rmdir(self):
        os.rmdir(self.path())

    def do_remove_tree(self):
        shutil.rmtree(self.path())

    def do_create(self):
        create(self.path())

    def do_write(self):
        write(self.path(), "x" * self.rng.randint(0, 2))

    def do_rewrite(self):
        rewrite(self.path())

    def do_append(self):
        append(self.path())

    def do_truncate(self):
        os.truncate(self.path(), self.rng.randint(0, 3))

    def do_unlink(self):
        os.unlink(self.path())

    def do_chmod(self):
        os.chmod(self.path(), self.rng.choice([0o600, 0o644, 0o700, 0o755]))

    def do_touch(self):
        os.utime(self.path())

    def do_set_times(self):
        ns = self.rng.choice([0, 10**9, -(10**9) - 1])
        os.utime(self.path(), ns=(ns, ns), follow_symlinks=self.rng.random() < 0.5)

    def do_link(self):
        os.link(self.path(), self.path(), follow_symlinks=False)

    def do_rename(self):
        os.rename(self.path(), self.path())

    do_rename_2 = do_rename_3 = do_rename

    def do_rename_away_and_back(self):
        path = self.path()
        os.rename(path, path + ".away")
        os.rename(path + ".away", path)

    def target(self):
        up = "../" * self.rng.randint(0, 2)
        down = "/".join(self.rng.choices(self.NAMES + [".", ".."], k=2))
        return self.rng.choice([self.any_path(), up + down, self.rng.choice(self.NAMES)])

    def do_symlink(self):
        os.symlink(self.target(), self.path())

    def do_retarget(self):
        path = self.path()
        if os.path.islink(path):
            replace_link(self.target(), path)

    def do_link_in_place_of(self):
        path = self.path(3)
        if os.path.lexists(path):
            os.rename(path, self.tree + "/put-away")
            try:
                os.symlink(self.target(), path)
            finally:
                self.put_away()

    def put_away(self):
        self.remove(self.tree + "/put-away")

    def clear(self):
        """Begin anew, as links that all lead outside leave little to do."""
        for name in self.NAMES:
            self.remove(self.tree + "/" + name)

    @staticmethod
    def remove(path):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)


def play_model(tree, args=(), strict=True):
    # Links lead up, too; but not to where others change something.
    tree += "/1/2/3/4/5/6"
    os.makedirs(tree)
    rng = random.Random(SEED)
    model = Model(tree, rng)
    print("EVD_SEED=%d, %d operations" % (SEED, OPERATIONS))
    done, told_of, idle = 0, 0, 0
    with Daemon(args) as daemon, Client(daemon) as client:

        def watch(number):
            suffix = rng.choice(["", "", "", "/", "/.", "/.."])
            client.stat(number, model.any_path() + suffix, rng.random() < 0.5)

        for number in range(40):
            watch(number)
        while done < OPERATIONS:
            if rng.random() < 0.02:
                model.clear()
            names = [model.operate() for _ in range(rng.choice([1, 1, 1, 2, 5, 50]))]
            done += len(names)
            try:
                events = client.changes()
            except AssertionError:
                print("operation %d: %s" % (done, names))
                raise
            told_of += len(events)
            for event in sum(events.values(), []):
                idle += told(event["attr"]) == told(event["prev"])
            if rng.random() < 0.05:
                number = rng.randrange(40)
                client.call("unwatch", watcher=number)
                watch(number)
        print("%d events, %d of them without a difference" % (told_of, idle))
        if strict and is_fine(tree):
            # A file was replaced by one that has all in common, at most.
            assert idle <= told_of // 50
        assert told_of > done // 20
        client.call("now")
        assert "error" not in daemon.stderr


def test_random_operations_against_a_model(tree):
    play_model(tree)


def test_random_operations_with_coarse_times(tree):
    play_model(tree, ["--disable-feature", "fine-mtime"], strict=False)


if __name__ == "__main__":
    if sys.argv[1] == "out_of_reach":
        out_of_reach()
    else:
        run_out(sys.argv[1])
