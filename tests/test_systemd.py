"""The units under a real systemd, as PID 1 of a container over a copy of this machine.

What is tested is in systemd_inside.py. The machine's own files are only read: what the
container writes goes to a tmpfs.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from evdtest import EVD, LIMIT, WRAPPER, environment, temporary_directory
from test_service import SYSTEMD, has_systemd

HERE = pathlib.Path(__file__).parent
SOURCE = pathlib.Path(os.environ.get("EVD_SRCDIR") or HERE.parent)
INSIDE = HERE / "systemd_inside.py"

# In a mount namespace of its own; $1: a directory, $2: what is added, $3: results.
BOOT = """
set -e
mount -t tmpfs evd-test "$1"
cd "$1"
mkdir upper work root
mount -t overlay -o "lowerdir=/,upperdir=upper,workdir=work" evd-test root
cp -r "$2/." root/
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 exec systemd-nspawn --quiet --boot \
    --register=no --keep-unit --private-network --console=pipe \
    --directory=root --bind="$3:/evd-results" \
    systemd.unit=evd-test.service systemd.journald.forward_to_console=no
"""

TEST_UNIT = """
[Unit]
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
Environment=PYTHONPATH=/opt/evd-test PYTHONDONTWRITEBYTECODE=1
ExecStart=/bin/sh -c ': >/evd-results/booted'
ExecStart=/usr/bin/python3 /opt/evd-test/systemd_inside.py /evd-results
"""

MANAGER_UNIT = """
[Service]
Type=notify
User=2003
Environment=XDG_RUNTIME_DIR=/run/user/2003
ExecStart=/lib/systemd/systemd --user
Delegate=yes
KillMode=mixed
"""

USERS = """
u evd-stranger 2001 - /tmp /bin/sh
u evd-member 2002 - /tmp /bin/sh
u evd-user 2003 - /tmp /bin/sh
"""

PROGRAM = "opt/evd/evd"

# What a sanitizer does at the end of its program is not for a sandbox.
SANITIZED = "[Service]\nEnvironment=ASAN_OPTIONS=detect_leaks=0\n"


def need():
    """The reason why it can't be done here, or None."""
    if not has_systemd():
        return "evd was built without systemd"
    if WRAPPER:
        return "systemd starts evd, not %s" % WRAPPER[0]
    if os.geteuid() != 0:
        return "a container needs root"
    for program, package in (
        ("systemd-nspawn", "systemd-container"),
        ("/lib/systemd/systemd", "systemd"),
        ("/usr/bin/python3", "python3"),
        ("unshare", "util-linux"),
    ):
        if not shutil.which(program):
            return "%s is missing (Debian: %s)" % (program, package)
    return None


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def stage(root):
    """What is added to the copy of the machine."""
    units = root / "etc/systemd"
    for kind in ("system", "user"):
        made = (SYSTEMD / kind / "evd.service").read_text()
        # The prefix may be where a container has a directory of its own, as /tmp.
        made = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/" + PROGRAM, made)
        write(units / kind / "evd.service", made)
        shutil.copy(SOURCE / "systemd" / kind / "evd.socket", units / kind)
        with open(EVD, "rb") as program:
            if b"__asan_init" in program.read():
                write(units / kind / "evd.service.d/sanitized.conf", SANITIZED)
    (root / PROGRAM).parent.mkdir(parents=True)
    shutil.copy(EVD, root / PROGRAM)
    write(units / "system/evd-test.service", TEST_UNIT)
    write(units / "system/evd-test-manager.service", MANAGER_UNIT)
    own = (SOURCE / "systemd/sysusers/evd.conf").read_text()
    write(root / "etc/sysusers.d/evd-test.conf", own + USERS)
    tests = root / "opt/evd-test"
    tests.mkdir(parents=True)
    for path in (INSIDE, HERE / "evdtest.py"):
        shutil.copy(path, tests)
    # A host name and an identity of its own.
    write(root / "etc/hostname", "evd-test\n")


def boot():
    """Boots it, and gives the fault or None by the name of each test."""
    reason = need()
    if reason:
        pytest.skip(reason)
    directory = pathlib.Path(temporary_directory())
    try:
        for name in ("root", "stage", "results"):
            (directory / name).mkdir()
        stage(directory / "stage")
        paths = [str(directory / name) for name in ("root", "stage", "results")]
        result = subprocess.run(
            ["unshare", "--mount", "--propagation", "private"]
            + ["timeout", "--kill-after=10", "%d" % (4 * LIMIT)]
            + ["sh", "-c", BOOT, "sh", *paths],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        if not (directory / "results/booted").exists():
            said = result.stdout.strip().splitlines() or ["nothing was said"]
            pytest.skip("systemd does not boot in a container here: " + said[-1])
        text = (directory / "results/results").read_text()
        faults = {}
        for line in text.splitlines():
            found = json.loads(line)
            faults[found["test"]] = found["fault"]
        return faults, result.stdout
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="module")
def booted():
    return boot()


@pytest.mark.parametrize("name", re.findall(r"(?m)^def (test_\w+)", INSIDE.read_text()))
def test_in_a_container(booted, name):
    faults, console = booted
    assert name in faults, "it did not come to this test:\n" + console[-4000:]
    assert faults[name] is None, faults[name]
