"""The manual: its form, its examples, and whether it is in step.

A block of literal text that begins with "$ " is what a terminal shows, as in the
README; one that begins with ">" is a transcript, as those of the protocol.
"""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

import evdtest
from evctltest import evctl
from test_completion import COMMANDS, OPTIONS, TYPES, help_of
from test_readme import Block, Player, Step, add_line
from test_tables import DOCUMENT, SCHEMA, fixture_code, properties  # noqa: F401
from test_transcripts import Player as TranscriptPlayer
from test_transcripts import Transcript

MAN = (
    pathlib.Path(os.environ.get("EVD_SRCDIR") or pathlib.Path(__file__).parents[1])
    / "man"
)
PAGES = sorted(MAN.glob("*.[0-9]"))

# What the page has and a daemon may be without: nothing of it need be there.
LOOP = {"suspend", "resume", "ref", "unref", "verify", "loop"}
HOOKS = {"idle", "prepare", "check", "fork"}


def unescape(line):
    for escape, text in (("\\(dq", '"'), ("\\(ha", "^"), ("\\-", "-"), ("\\e", "\\")):
        line = line.replace(escape, text)
    return line


class Page:
    """Its sections and subsections, as lists of lines of mdoc."""

    def __init__(self, name):
        self.name = name
        self.text = (MAN / name).read_text(encoding="utf-8")
        self.sections = {}
        section = None
        for line in self.text.splitlines():
            if line.startswith(".Sh "):
                section, sub = line[4:], None
                self.sections[section] = {sub: []}
            elif line.startswith(".Ss "):
                sub = line[4:]
                assert sub not in self.sections[section], "twice: " + line
                self.sections[section][sub] = []
            elif section:
                self.sections[section][sub].append(line)

    def subsections(self, section):
        return {k: v for k, v in self.sections[section].items() if k is not None}

    def lines(self, section):
        return sum(self.sections[section].values(), [])

    def blocks(self):
        """The literal blocks, each with the number of its first line."""
        start = None
        for number, line in enumerate(self.text.splitlines(), 1):
            if line.startswith(".Bd -literal"):
                start, block = number + 1, []
            elif line == ".Ed" and start:
                yield start, block
                start = None
            elif start:
                block.append(unescape(line))


EVD, EVCTL_1, PROTOCOL = Page("evd.8"), Page("evctl.1"), Page("evd-protocol.7")


def items(lines, macro):
    """The first names of list items: .It Cm NAME, .It Fl -NAME."""
    return [m.group(1) for m in (re.match(r"\.It %s (\S+)" % macro, l) for l in lines) if m]


def options(lines):
    return {"-" + name for name in items(lines, "Fl")}


# --- form -------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_mandoc_has_nothing_to_say(path):
    if not shutil.which("mandoc"):
        pytest.skip("no mandoc (Debian: mandoc)")
    result = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", path], stdout=subprocess.PIPE, check=False
    )
    assert (result.returncode, result.stdout.decode()) == (0, "")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_refer_to_pages_that_are_there(path):
    for name, section in re.findall(r"^\.Xr (evd\S*|evctl) (\d)", path.read_text(), re.M):
        assert (MAN / ("%s.%s" % (name, section))).exists()


# --- in step ----------------------------------------------------------------


def test_options_of_evd():
    printed = re.findall(r"^  (--[\w-]+)(?: ([A-Z]+))?$", evdtest.run("--help").stdout, re.M)
    lines = EVD.lines("OPTIONS")
    assert options(lines) == {name for name, _ in printed}
    for name, argument in printed:
        assert argument or ".It Fl %s" % name[1:] in lines, name
        if argument:
            with_one = r"\.It Fl %s Ar \w+" % name[1:]
            assert any(re.fullmatch(with_one, line) for line in lines), name


def test_defaults_of_evd():
    text = " ".join(EVD.lines("OPTIONS"))
    for number in re.findall(r"\(default: (\d+)\)", evdtest.run("--help").stdout):
        assert number in text


def test_features_that_evd_can_do_without():
    text = " ".join(EVD.lines("OPTIONS"))
    error = evdtest.run("--disable-feature", "?").stderr
    for name in re.search(r"one of: (.*)", error).group(1).split(", "):
        assert name in text


def test_commands_of_evctl():
    assert list(EVCTL_1.subsections("COMMANDS")) == COMMANDS
    common = options(EVCTL_1.lines("OPTIONS"))
    assert common == OPTIONS[""]
    common -= {"--version"}
    for command, lines in EVCTL_1.subsections("COMMANDS").items():
        assert options(lines) == OPTIONS[command] - common, command
        assert lines[0] == ".Ic evctl " + command
        assert ".Op Ar option ..." in lines


@pytest.mark.parametrize("command", COMMANDS)
def test_arguments_of_options(command):
    """An option has an argument in the page if it has one in --help."""
    lines = EVCTL_1.sections["COMMANDS"][command] + EVCTL_1.lines("OPTIONS")
    for name, argument in re.findall(r"^  (--\w+)( [A-Z]+)?$", help_of(command), re.M):
        item = next(line for line in lines if line.startswith(".It Fl " + name[1:]))
        assert (" Ar " in item) == bool(argument), item


def test_types_of_evctl():
    shown = re.findall(r"^  (\w+)(.*)$", help_of("watch").partition("Any")[0], re.M)
    lines = EVCTL_1.lines("WATCHERS")
    assert items(lines, "Cm") == TYPES
    for name, arguments in shown:
        if name not in TYPES:
            continue
        item = next(line for line in lines if line.startswith(".It Cm " + name))
        words = [w for w in item.split()[3:] if w not in ("Ar", "Op", "Cm", "|")]
        assert words == re.findall(r"\w+", arguments.lower()), item


def test_exit_statuses_of_evctl():
    statuses = {int(n) for n in re.findall(r"^\.It (\d+)", "\n".join(EVCTL_1.lines("EXIT STATUS")), re.M)}
    source = (MAN.parent / "clients/evctl/evctl.h").read_text()
    assert statuses == {int(n) for n in re.findall(r"STATUS_\w+ = (\d+)", source)}
    for number in re.findall(r"(\d+) (?:an event|error|wrong|no daemon|refused|time)", help_of()):
        assert int(number) in statuses


def test_verbs_and_their_members(code):
    verbs = PROTOCOL.subsections("COMMANDS")
    assert set(verbs) - LOOP == set(code["verbs"]) - LOOP
    assert set(verbs) >= set(code["verbs"])
    for verb, members in code["verbs"].items():
        listed = items(verbs[verb], "Cm")
        assert len(set(listed)) == len(listed), verb
        # Not all that loop takes need be there yet.
        assert set(listed) == set(members) or (verb == "loop" and not members), verb


def test_members_of_all_commands(code):
    lines = PROTOCOL.lines("COMMANDS AND REPLIES")
    first = lines[: lines.index(".El")]
    assert set(items(first, "Cm")) == set(code["common"])
    assert set(items(lines[len(first) :], "Cm")) == set(code["errors"])


def test_types_and_their_members(code):
    types = PROTOCOL.subsections("WATCHER TYPES")
    assert set(types) - HOOKS == set(code["types"]) - HOOKS
    assert set(types) >= set(code["types"])
    for name, members in code["types"].items():
        assert set(items(types[name], "Cm")) == set(members), name


def test_features(code):
    of_the_kernel = set(items(PROTOCOL.lines("FEATURES"), "Cm"))
    assert of_the_kernel == set(code["features"]) - set(code["types"])


def test_rights(code):
    lines = PROTOCOL.lines("WHO MAY DO WHAT")
    found, right = {}, None
    for line in lines:
        if line.startswith(".It Sy "):
            right = line[7:]
            found[right] = set()
        elif line == ".El":
            right = None
        elif right and line.startswith(".Cm "):
            found[right] |= set(line[4:].split()) - {",", "."}
    harmless = {name.partition(".")[2] for name in code["harmless"]}
    for right, lists in code["rights"].items():
        if right != "all":
            named = set().union(*lists.values())
            assert found.pop(right) - harmless == named, right
    assert not found


def test_every_member_of_the_schema_is_named():
    named = set(re.findall(r"\w+", " ".join(re.findall(r"^\.(?:It )?[A-Z]\w (.*)", PROTOCOL.text, re.M))))
    named |= set(re.findall(r'"(\w+)"', unescape(PROTOCOL.text)))
    assert set(properties(SCHEMA.definitions)) <= named


def test_bits():
    text = " ".join(PROTOCOL.lines("VALUES")).replace("\\-", "-")
    for bit in re.findall(r"^\| (-?\d+) \| `EV_", DOCUMENT.text, re.M):
        assert re.search(r"(?<!\d)%s " % bit, text), bit


# --- examples ---------------------------------------------------------------


def console(page):
    for number, lines in page.blocks():
        if not lines[0].startswith("$ "):
            continue
        block = Block(number, "1", [])
        for line in lines:
            add_line(block.steps, number, line)
        yield block


def transcripts():
    for number, lines in PROTOCOL.blocks():
        if lines[0].startswith((">", "%")):
            yield Transcript("%s:%d" % (PROTOCOL.name, number), "\n".join(lines), number)


@pytest.mark.parametrize("transcript", transcripts(), ids=lambda t: t.name)
def test_conversations_are_as_shown(transcript):
    TranscriptPlayer(transcript).play()


@pytest.fixture
def player():
    directory = evdtest.temporary_directory()
    player = Player(pathlib.Path(directory))
    start = [
        'PATH=$PWD/build:$PATH TZ=UTC XDG_RUNTIME_DIR=$PWD',
        'export PATH TZ XDG_RUNTIME_DIR',
        'export EVD_SOCKET=$PWD/evd/socket',
        'mkdir -m 0700 evd',
        'evd --socket evd/socket 2>log &',
    ]
    wait = ["until [ -S evd/socket ]; do sleep 0.05; done"]
    player.play(Block(0, "1", [Step(0, [line], []) for line in [*start, *wait]]))
    yield player
    for pid in re.findall(r"\d+", (pathlib.Path(directory) / "build/pid").read_text()):
        try:
            os.kill(int(pid), 15)
        except ProcessLookupError:
            pass
    player.close()
    shutil.rmtree(directory)


@pytest.mark.parametrize("page", [EVD, EVCTL_1, PROTOCOL], ids=lambda page: page.name)
def test_examples_show_what_happens(page, player):
    shown = list(console(page))
    assert shown
    for block in shown:
        try:
            player.play(block)
        except AssertionError as error:
            raise AssertionError("%s: %s" % (page.name, error)) from None
    for terminal in player.terminals.values():
        terminal.expect_prompt()


def test_the_version_that_is_shown():
    status, out, _ = evctl("/nowhere/socket", "--version")
    assert status == 0 and out.strip() in EVD.text


# --- for those who work on it -----------------------------------------------


def test_contributing_names_what_is_there():
    root = MAN.parent
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:src|tests|man|protocol|clients|\.ci)/[^`]*)`", text)
    assert len(named) > 20
    for name in named:
        if "NAME" not in name:
            assert list(root.glob(name)) or name == "clients/", name
    for name in ("main_table", "limit_infos", "error_names", "spec_types"):
        assert name in text
        assert any(name in path.read_text() for path in root.glob("**/*.c")), name
