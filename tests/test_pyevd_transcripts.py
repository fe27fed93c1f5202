"""Plays the transcripts of protocol/ through the Python clients of pyev.evd.

Through Connection: every line out by send() and every line in by recv(), so the
order of all lines is held too. Through Session: every command by call(), replies as
results and Errors, and events by event(); between replies and events a session
promises no order that a program could see. What cannot be played through a client
is skipped, and says why.
"""

import asyncio
import collections
import contextlib
import json
import os
import socket

import pytest

import evdpython
import evdtest
import test_transcripts
from test_transcripts import TRANSCRIPTS, Mismatch, Player

import pyev.evd

# How evd writes numbers that are not whole: how many decimals, by the member's name.
DECIMALS = {"time": 6, "now": 6, "at": 6, "next": 6, "monotonic": 9, "remaining": 9}
DECIMALS_IN_ATTR = {"atime": 9, "mtime": 9, "ctime": 9}


def spell(value, name=None):
    """JSON text for what a client gives, spelled as evd spells it."""
    if isinstance(value, dict):
        if name == "data":
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        members = (json.dumps(k) + ":" + spell(v, k) for k, v in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list) and name == "next":
        return "[" + ",".join(spell(v, name) for v in value) + "]"
    decimals = {**DECIMALS, **DECIMALS_IN_ATTR}.get(name)
    if isinstance(value, float) and decimals is not None:
        return "%.*f" % (decimals, value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def respelled(text):
    """Whether a line of a transcript is what spell makes of what it says."""
    return text == spell(json.loads(text))


def connected(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return sock


# --- what cannot be played --------------------------------------------------


def unplayable_by_connection(transcript):
    for step in transcript.steps:
        if step.kind == ">\\":
            lines = step.content
            if not lines.endswith(b"\n"):
                return "it sends a line in pieces, a client sends whole lines"
        if step.kind == "<" and not respelled(step.content.line):
            return "it is about how JSON is spelled, a client gives what it says"
    return None


def unplayable_by_session(transcript):
    reason = unplayable_by_connection(transcript)
    if reason:
        return reason
    connections = set()
    for step in transcript.steps:
        if step.kind == ">||":
            return "it closes without reading, a session reads what it asked for"
        if step.kind == ">\\":
            return "it sends bytes, a session sends commands"
        if step.kind in (">", ">!", ">?"):
            connections.add(step.connection)
            command = test_transcripts.decode_command(step.content)
            if not isinstance(command, dict) or not isinstance(command.get("cmd"), str):
                return "it sends what is no command, a session sends commands"
            if "id" in command:
                return "it has ids of its own, a session makes them"
            if spell(command).encode() != step.content:
                return "it is about how JSON is spelled, a session spells it itself"
            if command.get("fds", len(step.passed)) != len(step.passed):
                return "its fds do not fit, a session counts them itself"
            if step.passed and "fds" not in command:
                return "its fds do not fit, a session counts them itself"
    return None


# --- through Connection -----------------------------------------------------


class ByConnection:
    """Does for a Player what evdtest.Client does, through a Connection."""

    def __init__(self, path):
        self.connection = pyev.evd.Connection(sock=connected(path))

    def raw(self, data, fds=()):
        try:
            self.connection.send(*data[:-1].split(b"\n"), fds=fds)
        except pyev.evd.Closed as closed:
            raise evdtest.Closed(str(closed)) from None

    def send(self, command):
        self.connection.send(command)

    def line(self):
        try:
            message = self.connection.recv(evdtest.LIMIT)
        except pyev.evd.Closed as closed:
            raise evdtest.Closed(str(closed)) from None
        line = spell(message).encode()
        evdtest.skip_if_wrapper_lacks(line)
        return line

    def shutdown(self):
        self.connection.shutdown()

    def eof(self):
        with pytest.raises(pyev.evd.Closed):
            raise AssertionError("more came: %r" % self.connection.recv(evdtest.LIMIT))

    def close(self):
        self.connection.close()


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda t: t.name)
def test_by_connection(transcript, monkeypatch):
    reason = unplayable_by_connection(transcript)
    if reason:
        pytest.skip(reason)
    monkeypatch.setattr(evdtest.Daemon, "connect", lambda evd: ByConnection(evd.path))
    Player(transcript).play()


# --- through Session --------------------------------------------------------


class BySession:
    """A session, the commands whose replies were not looked at, and silent errors."""

    def __init__(self, session):
        self.session = session
        self.tasks = collections.deque()
        self.refused = collections.deque()
        self.unsent = False
        session.on_error = self.refused.append

    def send(self, command, fds):
        members = {name: value for name, value in command.items() if name != "fds"}
        call = self.session.call(members.pop("cmd"), fds=fds, **members)
        task = asyncio.ensure_future(call)
        self.unsent = True
        if members.get("reply") is not False:
            self.tasks.append(task)

    async def reply(self, silent):
        """The next reply, as a line would say it; silent: of a silenced command."""
        if silent:
            while not self.refused:
                await self.session.poll()
            return {"error": of_error(self.refused.popleft())}
        try:
            return {"result": await self.tasks.popleft()}
        except pyev.evd.Closed as closed:
            raise Mismatch(str(closed)) from None
        except pyev.evd.Error as error:
            return {"error": of_error(error)}

    async def end(self, half_closed):
        try:
            event = await self.session.event()
            raise Mismatch("more came: %r" % event)
        except pyev.evd.Closed as closed:
            assert closed.expected == (closed.reason in ("end", "half-close"))
            assert half_closed or closed.reason != "half-close"


def of_error(error):
    members = ("code", "message", "line", "cmd", "watcher")
    return {
        name: getattr(error, name)
        for name in members
        if getattr(error, name) is not None
    }


class SessionPlayer(Player):
    """Plays a transcript through sessions; a line is a result, an Error or an event."""

    async def play_async(self):
        self.sent = collections.defaultdict(list)
        try:
            await self.play_steps()
        finally:
            for by in self.connections.values():
                await by.session.close()

    async def play_steps(self):
        for step in self.transcript.steps:
            try:
                await self.play_step(step)
            except Mismatch as mismatch:
                text = "%s:%d: %s" % (self.transcript.name, step.number, mismatch)
                raise Mismatch(text) from None
        for by in self.connections.values():
            if not by.session.closed:
                await by.session.poll()
                assert by.session.queued == 0, "more came"
                assert not by.tasks and not by.refused

    async def play_step(self, step):
        if step.connection is None:
            await self.settle()
            if step.kind == "! exit":
                self.daemon.process.terminate()
                self.ended = True
            elif step.kind:
                self.files.act(*test_transcripts.ACTION.match(step.kind).groups())
            return
        by = self.by(step.connection)
        if any(b.unsent for b in self.connections.values() if b is not by):
            await self.settle()
        if step.kind in (">", ">!", ">?"):
            command = json.loads(self.files.here(step.content))
            self.sent[step.connection].append(command)
            by.send(command, list(map(self.files.end, step.passed)))
        elif step.kind == ">|":
            await self.settle()
            await by.session.shutdown()
        elif step.kind == "<|":
            await self.settle()
            await by.end(">|" in [s.kind for s in self.transcript.steps])
        else:
            await self.settle()
            await self.expect(by, step)

    def by(self, name):
        if name not in self.connections:
            with test_transcripts.other_user(
                self.transcript.directives["uid"], self.daemon
            ):
                session = pyev.evd.Session(connected(self.daemon.path))
            self.connections[name] = BySession(session)
        return self.connections[name]

    async def settle(self):
        """All that was called is written; what is called at once goes into one write."""
        for by in self.connections.values():
            if by.unsent:
                by.unsent = False
                await asyncio.sleep(0)
            while by.session._output.size and not by.session.closed:
                await asyncio.sleep(0)

    async def expect(self, by, step):
        shown = json.loads(step.content.line)
        if shown.get("event") == "bye":
            if await by.session.wait_closed() != shown["reason"]:
                raise Mismatch("it has ended by %s" % by.session.reason)
            return
        if "event" in shown:
            try:
                message = await by.session.event()
            except pyev.evd.Closed as closed:
                raise Mismatch(str(closed)) from None
        else:
            error = shown.get("error", {})
            sent = self.sent[step.connection]
            silent = bool(error) and sent[error["line"] - 1].get("reply") is False
            message = await by.reply(silent)
        line = self.files.anywhere(spell(message).encode())
        evdtest.skip_if_wrapper_lacks(line)
        step.content.check(line, self)


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda t: t.name)
def test_by_session(transcript):
    reason = unplayable_by_session(transcript)
    if reason:
        pytest.skip(reason)
    player = SessionPlayer(transcript)
    player.files = test_transcripts.Files(transcript.directives)
    options = transcript.directives["daemon"]
    with contextlib.closing(player.files), evdtest.Daemon(options) as player.daemon:
        evdpython.run(player.play_async)
        if player.ended:
            player.daemon.wait()


# --- the players themselves -------------------------------------------------


def test_most_can_be_played():
    by_connection = [t for t in TRANSCRIPTS if not unplayable_by_connection(t)]
    by_session = [t for t in TRANSCRIPTS if not unplayable_by_session(t)]
    assert len(by_connection) > len(TRANSCRIPTS) * 0.8
    assert len(by_session) > len(TRANSCRIPTS) * 0.6


@pytest.mark.parametrize("play", [test_by_connection, test_by_session])
@pytest.mark.parametrize(
    "old, new",
    [
        ('"seq":1', '"seq":2'),
        ('"priority":9', '"priority":"9"'),
        ('"now":1', '"now":2'),
        (test_transcripts.REPLY, ""),
        (test_transcripts.REPLY, test_transcripts.REPLY * 2),
        (test_transcripts.ERROR, ""),
        ("<|\n", test_transcripts.REPLY + "<|\n"),
    ],
)
def test_the_players_see(play, old, new, monkeypatch):
    good = test_transcripts.GOOD.replace('"now": 1', '"now":1')
    good = good.replace(',"id":7', "").replace('"id":7,', "")
    monkeypatch.setattr(evdtest, "LIMIT", 1.0)
    arguments = (monkeypatch,) if play is test_by_connection else ()
    play(test_transcripts.Transcript("good", good), *arguments)
    assert old in good
    with pytest.raises((Mismatch, AssertionError, asyncio.TimeoutError, IndexError)):
        play(test_transcripts.Transcript("bad", good.replace(old, new, 1)), *arguments)
