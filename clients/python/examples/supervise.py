#!/usr/bin/env python3
"""A supervisor of a few programs, as programs for pyev are written.

usage: supervise.py COMMAND...

Each COMMAND is given to sh as a child of this program. One that fails is started
again after a pause, which is one second at first and doubles up to a minute; one
that ends well is not. Ctrl-C or SIGTERM ends them all.
"""

import os
import signal
import sys

import pyev

FIRST_PAUSE_S = 1.0
LAST_PAUSE_S = 60.0


class Job:
    """A command: its pid while it runs, or the timer of its next start."""

    def __init__(self, supervisor, number, command):
        self.supervisor = supervisor
        self.number = number
        self.command = command
        self.pause = FIRST_PAUSE_S
        self.pid = 0
        self.child = None
        self.timer = supervisor.loop.timer(0.0, 0.0, self.time_to_start)

    def say(self, text):
        print("[%d] %s" % (self.number, text), flush=True)

    def start(self):
        # In a process group of its own, which can be ended as a whole.
        argv = ["sh", "-c", self.command]
        self.pid = os.posix_spawnp("sh", argv, os.environ, setpgroup=0)
        self.say("started, pid %d" % self.pid)
        loop = self.supervisor.loop
        self.child = loop.child(self.pid, False, self.ended)
        self.child.start()

    def time_to_start(self, timer, revents):
        self.start()

    def ended(self, child, revents):
        child.stop()
        status = os.waitstatus_to_exitcode(child.rstatus)
        self.pid = 0
        if status == 0:
            self.say("done")
        elif not self.supervisor.ending:
            how = "signal %d" % -status if status < 0 else "status %d" % status
            self.say("failed: %s; again in %g s" % (how, self.pause))
            self.timer.set(self.pause, 0.0)
            self.timer.start()
            self.pause = min(2 * self.pause, LAST_PAUSE_S)
        self.supervisor.job_ended()

    def end(self):
        self.timer.stop()
        if self.pid:
            os.killpg(self.pid, signal.SIGTERM)


class Supervisor:
    """The jobs, and the end of them all."""

    def __init__(self, commands):
        self.loop = pyev.default_loop()
        self.ending = False
        self.jobs = [Job(self, n, command) for n, command in enumerate(commands, 1)]
        self.signals = [
            self.loop.signal(signum, self.told_to_end)
            for signum in (signal.SIGINT, signal.SIGTERM)
        ]

    def told_to_end(self, watcher, revents):
        self.ending = True
        for job in self.jobs:
            job.end()
        self.job_ended()

    def job_ended(self):
        """Go on while a job runs or will."""
        if not any(job.pid or job.timer.active for job in self.jobs):
            self.loop.stop(pyev.EVBREAK_ALL)

    def run(self):
        for watcher in self.signals:
            watcher.start()
        for job in self.jobs:
            job.start()
        self.loop.start()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        Supervisor(sys.argv[1:]).run()
    except pyev.Error as error:
        sys.exit("supervise: %s" % error)
