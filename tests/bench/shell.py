"""What evd.sh costs, beside what a script would do otherwise; for make bench-shell.

Events handled per second, and the time from a file's change to its handler, in dash (or
in the shell that is the argument).
"""

import os
import shutil
import statistics
import subprocess
import sys
import time

import evdtest
from evdshell import LIBRARY

EVENTS = 40000
WATCHERS = 100
CHANGES = 300
ROUNDS = 5

COUNT = """
n=0
h() { n=$((n + 1)); case $n in 1) date +%s%N ;; LAST) date +%s%N; DONE ;; esac; }
"""

# The same events as evd.sh gets them; commands that make them are beside.
LOOP = """
i=0
while [ $i -lt WATCHERS ]; do ev_async -n z$i h; i=$((i + 1)); done
cat feeds >&9 &
ev_run
"""

ASSIGN = (
    "EV_WATCHER='z%d' EV_EVENT='async' EV_REVENTS=1 EV_SEQ=%d EV_TIME=1795410747.845182 "
    "EV_ACTIVE=true EV_OVERRUN=0 EV_ERROR=''\n"
)
EVENT = (
    '{"event":"async","watcher":"z%d","revents":1,"seq":%d,"time":1795410747.845182}\n'
)
SHORT = "e 'z%d' async 1 %d 1795410747.845182\n"
SHORT_E = """
_ev_e() {
    EV_WATCHER=$1 EV_EVENT=$2 EV_REVENTS=$3 EV_SEQ=$4 EV_TIME=$5
    EV_ACTIVE=${6-true} EV_OVERRUN=${7-0} EV_ERROR=${8-}
}
"""


def rate(shell, text, events, directory, env, stdin=None):
    """Events per second from the first one handled to the last; the best round."""
    text = text.replace("LAST", str(events)).replace("WATCHERS", str(WATCHERS))
    best = 0
    for _ in range(ROUNDS):
        source = None
        if stdin:
            source = subprocess.Popen(
                ["head", "-n", str(events), stdin], cwd=directory, stdout=subprocess.PIPE
            )
        out = subprocess.run(
            [*shell, "-c", text],
            cwd=directory,
            env=env,
            stdin=source.stdout if source else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout.split()
        if source:
            source.stdout.close()
            source.wait()
        best = max(best, (events - 1) * 1e9 / (int(out[1]) - int(out[0])))
    return best


def lines(directory, name, form, count=EVENTS):
    with open(os.path.join(directory, name), "w") as file:
        for i in range(count):
            file.write(form % (i % WATCHERS, i + 1))


def rates(shell, directory, env):
    lines(directory, "assign", ASSIGN)
    lines(directory, "short", SHORT)
    lines(directory, "json", EVENT)
    with open(os.path.join(directory, "feeds"), "w") as file:
        for i in range(EVENTS):
            file.write(
                '{"cmd":"feed","watcher":"z%d","revents":1,"reply":false}\n'
                % (i % WATCHERS)
            )
            if i % WATCHERS == WATCHERS - 1:
                # So that none is merged into another one.
                file.write('{"cmd":"poll","reply":false}\n')

    read = "while read -r line; do eval "
    yield "evd.sh, from the daemon", rate(
        shell,
        ". evd.sh\n" + COUNT.replace("DONE", "ev_stop") + LOOP,
        EVENTS,
        directory,
        env,
    )
    yield "evd.sh, lines of jq at hand", rate(
        shell,
        ". evd.sh\n"
        + COUNT.replace("DONE", "ev_stop")
        + LOOP.replace("cat feeds >&9 &", "exec 8<&0"),
        EVENTS,
        directory,
        env,
        "short",
    )
    yield "while read, eval of EV_...=... lines", rate(
        shell,
        COUNT.replace("DONE", ":") + read + '"$line"; h; done',
        EVENTS,
        directory,
        env,
        "assign",
    )
    yield "while read, eval of evd.sh's lines", rate(
        shell,
        SHORT_E + COUNT.replace("DONE", ":") + read + '"_ev_$line"; h; done',
        EVENTS,
        directory,
        env,
        "short",
    )
    yield "while read, one jq for each event", rate(
        shell,
        COUNT.replace("DONE", ":")
        + 'while read -r line; do seq=$(printf "%s\\n" "$line" | jq .seq); h; done',
        200,
        directory,
        env,
        "json",
    )


def latency(shell, text, directory, env):
    """From a write to a file until the handler has said so, in microseconds."""
    path = os.path.join(directory, "file")
    with open(path, "w") as file:
        file.write("x")
    process = subprocess.Popen(
        [*shell, "-c", text],
        cwd=directory,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout.readline() == b"ready\n"
    time.sleep(0.5)
    times = []
    with open(path, "w") as file:
        process.stdout.readline()
        for i in range(CHANGES):
            time.sleep(0.002)
            start = time.monotonic()
            file.write("x")
            file.flush()
            process.stdout.readline()
            times.append((time.monotonic() - start) * 1e6)
    os.killpg(process.pid, 15)
    process.wait()
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def latencies(shell, directory, env):
    yield "evd.sh", latency(
        shell,
        ". evd.sh\nh() { echo x; }\nev_stat h file\necho ready\nev_run",
        directory,
        env,
    )
    if shutil.which("inotifywait"):
        yield "inotifywait -m | while read", latency(
            shell,
            "echo ready\ninotifywait -q -m -e modify file |"
            " while read -r line; do echo x; done",
            directory,
            env,
        )
    else:
        print("  no inotifywait (Debian: inotify-tools)")


def main():
    shell = sys.argv[1:] or ["dash"]
    with evdtest.Daemon() as daemon:
        env = evdtest.environment(
            {
                "EVD_SOCKET": daemon.path,
                "PATH": "%s:%s" % (LIBRARY, os.environ["PATH"]),
            }
        )
        directory = evdtest.temporary_directory()
        print("%s, events handled per second, the best of %d:" % (shell[0], ROUNDS))
        for name, value in rates(shell, directory, env):
            print("  %-40s %8.0f" % (name, value))
        print("from a change to its handler, µs, median and 99 %:")
        for name, (median, most) in latencies(shell, directory, env):
            print("  %-40s %8.0f %8.0f" % (name, median, most))
        print("  %-40s %8.0f" % ("while sleep 1", 1e6 / 2))
        shutil.rmtree(directory)


main()
