"""Plays every transcript against a real daemon.

protocol/transcripts/README.md has the grammar. What is played are the files
there and the examples of protocol/protocol.md; each gets a fresh daemon. All
lines, in both directions, are also held against protocol/schema.json.
"""

import collections
import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import time

import jsonschema
import pytest

import evdtest

PROTOCOL = (
    pathlib.Path(os.environ.get("EVD_SRCDIR") or pathlib.Path(__file__).parents[1])
    / "protocol"
)
SCHEMA = json.loads((PROTOCOL / "schema.json").read_text(encoding="utf-8"))
WALL_CLOCK_SLACK = 2.0  # what a wall clock may be off, in seconds
REMAINING_SLACK = 60.0  # what may have passed since a timer was started
BARRIER = {"cmd": "poll", "id": "the end of the transcript"}


class Mismatch(AssertionError):
    """What came is not what the transcript says."""


# --- reading ----------------------------------------------------------------

STEP = re.compile(r"([A-Z]?)(>!|>\?|>\\|>\|\||>\||>|<\\|<\||<)(?: (.*)|)$")
ESCAPE = re.compile(r"\\(?:(\\)|(n)|x([0-9a-f]{2})|\{(\d+):((?:[^\\}]|\\.)+)\})")

# The descriptors that a line from the client brings along.
PASSED = re.compile(r"(.*\S) \+(\w+\.[rw](?: \w+\.[rw])*)$")
# What the transcript itself does to a pipe or a FIFO.
ACTION = re.compile(r"! (write|read|close) (\w+(?:\.[rw])?)$")
DIRECTORY = b"/transcript/"  # in a line: where its FIFOs are

Step = collections.namedtuple("Step", "number connection kind content passed")


def unescape(text):
    """The bytes that a text with escapes stands for."""

    def piece(match):
        backslash, newline, byte, count, repeated = match.groups()
        if backslash:
            return b"\\"
        if newline:
            return b"\n"
        if byte:
            return bytes.fromhex(byte)
        return unescape(repeated) * int(count)

    out, end = b"", 0
    for match in ESCAPE.finditer(text):
        assert "\\" not in text[end : match.start()], "bad escape: " + text
        out += text[end : match.start()].encode() + piece(match)
        end = match.end()
    assert "\\" not in text[end:], "bad escape: " + text
    return out + text[end:].encode()


class Transcript:
    """One conversation: its directives and its steps.

    text: lines in the grammar of protocol/transcripts/README.md.
    first: the number of its first line in the file called name.
    """

    DIRECTIVES = ("any", "daemon", "exact", "fifo", "near", "optional", "pipe", "uid")

    def __init__(self, name, text, first=1):
        self.name = name
        self.directives = {key: [] for key in self.DIRECTIVES}
        self.steps = []
        for number, line in enumerate(text.split("\n"), first):
            if line.startswith("%"):
                key, *words = shlex.split(line[1:])
                assert not self.steps, "%s:%d: late directive" % (name, number)
                self.directives[key] += words
            elif line in ("", "! exit") or ACTION.match(line):
                self.steps.append(Step(number, None, line, None, ()))
            elif not line.startswith("#"):
                self.steps.append(self._step(number, line))

    def _step(self, number, line):
        match = STEP.match(line)
        assert match, "%s:%d: not a line of a transcript: %s" % (
            self.name,
            number,
            line,
        )
        connection, kind, content = match.groups("")
        passed = PASSED.match(content) if kind in (">", ">!", ">?") else None
        if passed:
            content = passed.group(1)
        passed = passed.group(2).split() if passed else ()
        if kind in (">\\", "<\\"):
            content = unescape(content)
        else:
            content = content.encode()
        if kind.startswith("<") and kind != "<|":
            kind, content = "<", Pattern(content, self.directives)
        return Step(number, connection, kind, content, passed)


def transcripts_in_document(path):
    """The fenced blocks of a Markdown document whose info string is transcript."""
    start, block = None, []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if start is None and line == "```transcript":
            start, block = number + 1, []
        elif start is not None and line == "```":
            name = "%s:%d" % (path.name, start)
            yield Transcript(name, "\n".join(block), start)
            start = None
        elif start is not None:
            block.append(line)
    assert start is None, "%s: a block has no end" % path


def transcripts_in_files():
    for path in sorted((PROTOCOL / "transcripts").glob("*.txt")):
        yield Transcript(path.stem, path.read_text(encoding="utf-8"))


# --- matching ---------------------------------------------------------------


def values(text, at=0, path=()):
    """Every value in JSON text without white space: (path, start, end).

    What is in an id or in data is the client's, and is not looked into.
    """
    _, end = json.JSONDecoder().raw_decode(text, at)
    yield path, at, end
    if text[at] != "{" or path[-1:] in (("id",), ("data",)):
        return
    at += 1
    while text[at] != "}":
        name, at = json.JSONDecoder().raw_decode(text, at)
        assert text[at] == ":", "white space in: " + text
        for value in values(text, at + 1, path + (name,)):
            yield value
            if value[0] == path + (name,):
                at = value[2]
        at += text[at] == ","


def decimals(count):
    return re.compile(r"-?\d+\.\d{%d}$" % count)


def is_wall_clock(found, shown, player):
    first, last = player.started - WALL_CLOCK_SLACK, time.time() + WALL_CLOCK_SLACK
    return decimals(6).match(found) and first < float(found) < last


def is_monotonic(found, shown, player):
    return decimals(9).match(found) and 0 < float(found) <= time.monotonic() + 1e-6


def is_next_time(found, shown, player):
    return decimals(6).match(found) and float(found) > player.started - WALL_CLOCK_SLACK


def are_next_times(found, shown, player):
    if not shown.startswith("["):  # where a page of `list` goes on
        return found == shown
    times = found[1:-1].split(",")
    return found[0] == "[" and all(is_next_time(t, shown, player) for t in times)


def is_remaining(found, shown, player):
    return decimals(9).match(found) and (
        abs(float(found) - float(shown)) < REMAINING_SLACK
    )


def is_pid(found, shown, player):
    return found == str(player.daemon.pid)


def is_of_one_kind(found, shown, player):
    def kind(text):
        value = json.loads(text)
        return float if type(value) is int else type(value)

    return kind(found) is kind(shown)


def is_near(tolerance):
    def is_near_enough(found, shown, player):
        return abs(float(found) - float(shown)) <= tolerance

    return is_near_enough


def is_state_of_file(found, shown, player):
    """An attr: of what is not there it is known, else few of its members are."""
    state = json.loads(shown)
    if state["nlink"] == 0:
        return found == shown
    pattern = re.escape(shown)
    for name, value in state.items():
        if name in ("atime", "mtime", "ctime"):
            text = r"-?\d+\.\d{9}"
        else:
            text = str(value) if name in ("nlink", "size") else r"\d+"
        member = '"%s":' % name
        start = pattern.index(member) + len(member)
        end = re.compile(r"[,}]|\\}").search(pattern, start).start()
        pattern = pattern[:start] + text + pattern[end:]
    return re.fullmatch(pattern, found) is not None


def are_features(found, shown, player):
    """Some of them depend on the kernel."""
    there = json.loads(found)
    return there == [
        name
        for name in json.loads(shown)
        if name in there or "-" not in name and name != "inotify"
    ]


# How members are compared whose values nobody can know before.
RULES = {
    "at": is_next_time,
    "attr": is_state_of_file,
    "backend": is_of_one_kind,
    "features": are_features,
    "libev": is_of_one_kind,
    "monotonic": is_monotonic,
    "next": are_next_times,
    "now": is_wall_clock,
    "pid": is_pid,
    "prev": is_state_of_file,
    "remaining": is_remaining,
    "time": is_wall_clock,
    "version": is_of_one_kind,
}


class Pattern:
    """An expected line: text that must come as it stands, and what may vary.

    A list of (text, rule, path), where rule is None for text that must stand
    there; "optional" may stand there; or a function of RULES.
    """

    def __init__(self, line, directives):
        self.line = line.decode("utf-8")
        self.parts = []
        end = 0
        for path, start, stop in values(self.line):
            rule = self._rule(path, directives)
            if rule is None or start < end:
                continue
            if rule == "optional":
                start -= len(',"%s":' % path[-1])
            self.parts.append((self.line[end:start], None, None))
            self.parts.append((self.line[start:stop], rule, path))
            end = stop
        self.parts.append((self.line[end:], None, None))

    @staticmethod
    def _rule(path, directives):
        name = path[-1] if path else None
        if name in directives["optional"]:
            return "optional"
        if name in directives["any"]:
            return is_of_one_kind
        near = directives["near"]
        if name in near[::2]:
            return is_near(float(near[near.index(name) + 1]))
        return None if name in directives["exact"] else RULES.get(name)

    def check(self, line, player):
        """Raise Mismatch unless the line is as expected."""
        try:
            found = line.decode("utf-8")
        except UnicodeDecodeError:
            raise Mismatch("not UTF-8: %r" % line) from None
        at = 0
        for text, rule, path in self.parts:
            if rule is None:
                if not found.startswith(text, at):
                    raise Mismatch("expected %s" % text)
                at += len(text)
            elif rule == "optional":
                at += self._skip(found, at, text, path)
            else:
                at += self._vary(found, at, text, rule, path, player)
        if at != len(found):
            raise Mismatch("more than expected: %s" % found[at:])

    @staticmethod
    def _skip(found, at, text, path):
        key = ',"%s":' % path[-1]
        if not found.startswith(key, at):
            return 0
        start = at + len(key)
        end = json.JSONDecoder().raw_decode(found, start)[1]
        if not is_of_one_kind(found[start:end], text[len(key) :], None):
            raise Mismatch("%s is %s" % (path[-1], found[start:end]))
        return end - at

    @staticmethod
    def _vary(found, at, shown, rule, path, player):
        try:
            end = json.JSONDecoder().raw_decode(found, at)[1]
        except (ValueError, IndexError):
            raise Mismatch("no value of %s" % path[-1]) from None
        if not rule(found[at:end], shown, player):
            raise Mismatch(
                "%s is %s, shown as %s (%s)"
                % (path[-1], found[at:end], shown, rule.__name__)
            )
        return end - at


# --- descriptors --------------------------------------------------------------


class Files:
    """The pipes and FIFOs of a transcript, in a directory of its own."""

    def __init__(self, directives):
        self.directory = evdtest.temporary_directory()
        self.ends = {}
        for name in directives["pipe"]:
            self.ends[name + ".r"], self.ends[name + ".w"] = os.pipe()
            os.set_blocking(self.ends[name + ".r"], False)
        for name in directives["fifo"]:
            os.mkfifo(os.path.join(self.directory, name))

    def end(self, name):
        """A descriptor; a FIFO is opened when its end is first named."""
        if name not in self.ends:
            flags = {"r": os.O_RDONLY, "w": os.O_WRONLY}[name[-1]] | os.O_NONBLOCK
            self.ends[name] = os.open(os.path.join(self.directory, name[:-2]), flags)
        return self.ends[name]

    def act(self, action, name):
        if action == "close":
            os.close(self.end(name))
            del self.ends[name]
        elif action == "write":
            os.write(self.end(name + ".w"), b"x")
        else:
            with contextlib.suppress(BlockingIOError):
                os.read(self.end(name + ".r"), 65536)

    def here(self, line):
        """The line as it is sent, with the directory that there is."""
        return line.replace(DIRECTORY, self.directory.encode() + b"/")

    def anywhere(self, line):
        """The line as it stands in a transcript."""
        return line.replace(self.directory.encode() + b"/", DIRECTORY)

    def close(self):
        for fd in self.ends.values():
            os.close(fd)
        shutil.rmtree(self.directory)


# --- the schema -------------------------------------------------------------


def validator(definition, **more):
    return jsonschema.Draft202012Validator(
        {"$ref": "#/$defs/" + definition, "$defs": SCHEMA["$defs"], **more}
    )


def complain(definition, value, **more):
    """Raise Mismatch unless value is valid."""
    error = jsonschema.exceptions.best_match(
        validator(definition, **more).iter_errors(value)
    )
    if error:
        raise Mismatch("schema.json, %s: %s" % (definition, error.message))


COMMAND = validator("command")


def not_json(constant):
    raise ValueError(constant)


def decode_command(line):
    """What a line from the client says, or None if it is not a JSON object."""
    try:
        evdtest.decode(line)
        return json.loads(line, parse_constant=not_json)
    except (AssertionError, ValueError, RecursionError):
        return None


def check_command(line, valid):
    """A command that the transcript calls valid (or not) must be so by the schema."""
    command = decode_command(line)
    accepted = command is not None and COMMAND.is_valid(command)
    if accepted != valid:
        raise Mismatch(
            "schema.json %s this command" % ("accepts" if accepted else "refuses")
        )


def check_event(event):
    complain("event", event)
    # The schema is open for what may come; evd itself says what is in it only.
    complain("event-" + event["event"], event, unevaluatedProperties=False)


def check_result(verb, result):
    complain("result-" + verb, result, unevaluatedProperties=False)


# --- playing ----------------------------------------------------------------


@contextlib.contextmanager
def other_user(uid, daemon):
    """Be the user that a directive names, who can reach the daemon's socket."""
    if not uid:
        yield
        return
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    os.chmod(daemon.directory, 0o755)
    os.seteuid(int(uid[0]))
    try:
        yield
    finally:
        os.seteuid(0)


class Conversation:
    """One connection of a transcript, and the commands not answered yet."""

    def __init__(self, daemon):
        self.client = daemon.connect()
        self.unsent = b""
        self.passed = []  # the descriptors that go with what is unsent
        self.unended = b""
        self.lines = 0
        self.unanswered = collections.deque()
        self.answered_early = False  # what is unended, as it is too long
        self.half_closed = False
        self.closed = False

    def flush(self):
        data, self.unsent = self.unsent, b""
        fds, self.passed = self.passed, []
        if data:
            try:
                self.client.raw(data, fds)
            except (evdtest.Closed, ConnectionError) as error:
                raise Mismatch("evd does not read: %s" % error) from None
            *lines, self.unended = (self.unended + data).split(b"\n")
            self._count(lines)

    def shutdown(self):
        self.flush()
        if self.unended:
            self._count([self.unended])
        self.half_closed = True
        self.client.shutdown()

    def close(self):
        self.flush()
        self.closed = True
        self.client.close()

    def eof(self):
        self.closed = True
        self.client.eof()
        self.client.close()

    def _count(self, lines):
        for line in lines:
            self.lines += 1
            if not self.answered_early:
                command = decode_command(line) or {}
                self.unanswered.append((self.lines, command))
            self.answered_early = False

    def check(self, line):
        """Hold a line from evd against the schema and the order of commands."""
        message = evdtest.decode(line)
        if "event" in message:
            check_event(message)
        else:
            complain("reply", message)
            self._check_reply(message)

    def _check_reply(self, reply):
        failed = reply["error"]["line"] if "error" in reply else None
        while self.unanswered:
            number, command = self.unanswered.popleft()
            if number == failed:
                return
            if command.get("reply") is False:
                continue
            if failed:
                raise Mismatch("line %d was not answered" % number)
            if reply.get("id") != command.get("id"):
                raise Mismatch("not the reply to line %d" % number)
            check_result(command["cmd"], reply["result"])
            return
        if failed != self.lines + 1 or not self.unended:
            raise Mismatch("a reply to no command")
        self.answered_early = True


class Player:
    """Plays one transcript; raises Mismatch, with its line, where evd differs."""

    def __init__(self, transcript):
        self.transcript = transcript
        self.connections = {}
        self.started = time.time()
        self.daemon = None
        self.files = None
        self.ended = False

    def play(self):
        step = None
        self.files = Files(self.transcript.directives)
        options = self.transcript.directives["daemon"]
        with contextlib.closing(self.files), evdtest.Daemon(options) as self.daemon:
            try:
                for step in self.transcript.steps:
                    self._play(step)
                self._finish()
                if self.ended:
                    self.daemon.wait()
            except Mismatch as mismatch:
                raise Mismatch(
                    "%s:%d: %s" % (self.transcript.name, step.number, mismatch)
                ) from None
            finally:
                for conversation in self.connections.values():
                    conversation.client.close()

    def _play(self, step):
        if step.connection is None:
            self._flush()
            if step.kind == "! exit":
                self.daemon.process.terminate()
                self.ended = True
            elif step.kind:
                self.files.act(*ACTION.match(step.kind).groups())
            return
        conversation = self._connection(step.connection)
        if step.kind in (">", ">!", ">?"):
            if step.kind != ">?":
                check_command(step.content, step.kind == ">")
            conversation.unsent += self.files.here(step.content) + b"\n"
            conversation.passed += map(self.files.end, step.passed)
            return
        if step.kind == ">\\":
            conversation.unsent += step.content
            return
        self._flush()
        if step.kind == ">|":
            conversation.shutdown()
        elif step.kind == ">||":
            conversation.close()
        elif step.kind == "<|":
            self._closed(conversation)
        else:
            self._expect(conversation, step.content)

    def _connection(self, name):
        if name not in self.connections:
            self._flush()
            with other_user(self.transcript.directives["uid"], self.daemon):
                self.connections[name] = Conversation(self.daemon)
        elif any(c.unsent for n, c in self.connections.items() if n != name):
            self._flush()
        return self.connections[name]

    def _flush(self):
        for conversation in self.connections.values():
            conversation.flush()

    def _line(self, conversation):
        try:
            return self.files.anywhere(conversation.client.line())
        except evdtest.Closed:
            raise Mismatch("evd has closed the connection") from None
        except AssertionError as error:
            raise Mismatch(str(error)) from None

    def _expect(self, conversation, pattern):
        line = self._line(conversation)
        try:
            pattern.check(line, self)
            conversation.check(line)
        except Mismatch as mismatch:
            raise Mismatch(
                "%s\n  expected %s\n  came     %s"
                % (mismatch, pattern.line, line.decode("utf-8", "backslashreplace"))
            ) from None

    @staticmethod
    def _closed(conversation):
        try:
            conversation.eof()
        except AssertionError as error:
            raise Mismatch("evd was to close, but: %s" % error) from None

    def _finish(self):
        """Nothing more may have come than the transcript says."""
        self._flush()
        for conversation in self.connections.values():
            if conversation.closed:
                continue
            if conversation.half_closed:
                raise Mismatch("half-closed, and no end is expected")
            if conversation.unended:
                raise Mismatch("the last line has no end")
            conversation.client.send(BARRIER)
            line = self._line(conversation)
            if evdtest.decode(line).get("id") != BARRIER["id"]:
                raise Mismatch("more came: %s" % line.decode("utf-8"))


# --- the tests --------------------------------------------------------------

DOCUMENT = PROTOCOL / "protocol.md"
GRAMMAR = PROTOCOL / "transcripts" / "README.md"
TRANSCRIPTS = [
    *transcripts_in_files(),
    *transcripts_in_document(DOCUMENT),
    *transcripts_in_document(GRAMMAR),
]


def test_there_are_transcripts():
    assert len(list(transcripts_in_files())) > 50
    assert len(list(transcripts_in_document(DOCUMENT))) > 10


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda t: t.name)
def test_transcript(transcript):
    Player(transcript).play()


GOOD = """\
% any priority message
% optional overrun
> {"cmd":"watch","type":"async","watcher":"a","data":{"now": 1}}
> {"cmd":"feed","watcher":"a","revents":1}
< {"result":{}}
< {"result":{}}
< {"event":"async","watcher":"a","revents":1,"seq":1,"time":1.0,"overrun":1,"data":{"now": 1}}
> {"cmd":"get","watcher":"a","id":7}
< {"id":7,"result":{"type":"async","watcher":"a","active":true,"priority":9,"data":{"now": 1}}}
>! {"cmd":"nonsense"}
< {"error":{"code":"unknown-command","message":"?","line":4,"cmd":"nonsense"}}
> {"cmd":"unwatch","watcher":"a","reply":false}
>|
<|
"""

DATA = '"overrun":1,"data":{"now": 1}'
REPLY = '< {"result":{}}\n'
ERROR = '< {"error":{"code":"unknown-command",'
ERROR += '"message":"?","line":4,"cmd":"nonsense"}}\n'

# A name, what to replace in GOOD, and by what.
WRONG = [
    ("a wrong value", '"seq":1', '"seq":2'),
    ("a wrong name", 'async","watcher":"a","rev', 'async","watcher":"b","rev'),
    ("a value of another kind", '"priority":9', '"priority":"9"'),
    ("other white space", DATA, DATA.replace(" ", "")),
    ("another value in data", DATA, DATA.replace(": 1", ": 2")),
    ("a member too many", '"seq":1', '"seq":1,"active":false'),
    ("a member too few", ',"active":true', ""),
    ("another order", '"revents":1,"seq":1', '"seq":1,"revents":1'),
    ("a line missing", REPLY, ""),
    ("a line too many", REPLY, REPLY * 2),
    ("the last line missing", ERROR, ""),
    ("a line after the last", "<|\n", REPLY + "<|\n"),
    ("no end expected", "<|\n", ""),
    ("a command said to be valid", ">! ", "> "),
    ("a command said to be invalid", '> {"cmd":"get"', '>! {"cmd":"get"'),
    ("another id", '"id":7,"result"', '"id":8,"result"'),
]


def play_text(text):
    Player(Transcript("self-test", text)).play()


def test_the_good_transcript_passes():
    play_text(GOOD)


@pytest.mark.parametrize("fault", WRONG, ids=lambda fault: fault[0])
def test_the_runner_sees(fault):
    _, old, new = fault
    assert old in GOOD
    with pytest.raises(Mismatch):
        play_text(GOOD.replace(old, new, 1))


def test_the_runner_sees_a_wrong_clock():
    pattern = Pattern(b'{"time":1.0}', Transcript("none", "").directives)
    player = Player(None)
    pattern.check(b'{"time":%.6f}' % time.time(), player)
    for wrong in (b"0.000000", b"9999999999.000000", b'"now"', b"%f0" % time.time()):
        with pytest.raises(Mismatch):
            pattern.check(b'{"time":%s}' % wrong, player)


def test_the_runner_holds_lines_against_the_schema():
    event = {"event": "async", "watcher": 1, "revents": 1, "seq": 1, "time": 1.5}
    check_event(event)
    check_result("poll", {"seq": 1})
    for wrong in ({"seq": 0}, {"overrun": 0}, {"active": True}, {"new": 1}):
        with pytest.raises(Mismatch):
            check_event({**event, **wrong})
    for wrong in ({}, {"seq": -1}, {"seq": 1, "new": 1}):
        with pytest.raises(Mismatch):
            check_result("poll", wrong)


def played_commands():
    for transcript in TRANSCRIPTS:
        for step in transcript.steps:
            if step.kind == ">":
                yield json.loads(step.content)


def test_transcripts_use_every_member_of_every_command():
    used = {(c["cmd"], name) for c in played_commands() for name in c}
    for name, definition in SCHEMA["$defs"].items():
        if name.startswith("command-"):
            verb = name[len("command-") :]
            for member in definition["properties"]:
                assert (verb, member) in used, "no transcript has it"
    for member in ("id", "reply"):
        assert any((verb, member) in used for verb, _ in used)
    for kind in ("io", "timer", "periodic", "scheduler", "signal", "child"):
        for member in SCHEMA["$defs"]["members-" + kind]["properties"]:
            for verb in ("watch", "set"):
                assert (verb, member) in used, "no transcript has it"


def test_transcripts_have_every_error_code():
    seen = set()
    for transcript in TRANSCRIPTS:
        for step in transcript.steps:
            if step.kind == "<":
                message = json.loads(step.content.line)
                seen.add(message.get("error", {}).get("code"))
    assert seen - {None} == set(SCHEMA["$defs"]["code"]["enum"])
