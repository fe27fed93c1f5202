"""The protocol's lists are the same everywhere.

Verbs, their members, types, their members, error codes and features stand in
three places: the tables of the daemon, protocol/protocol.md and
protocol/schema.json. The first are printed by the program tests/tables of the
build directory, as JSON.
"""

import json
import os
import pathlib
import re
import subprocess

import pytest

PROTOCOL = (
    pathlib.Path(os.environ.get("EVD_SRCDIR") or pathlib.Path(__file__).parents[1])
    / "protocol"
)

# --- what the daemon says ---------------------------------------------------


@pytest.fixture(scope="module", name="code")
def fixture_code():
    if "EVD_BUILDDIR" not in os.environ:
        pytest.skip("EVD_BUILDDIR does not say where tests/tables is")
    program = pathlib.Path(os.environ["EVD_BUILDDIR"]) / "tests" / "tables"
    return json.loads(subprocess.check_output([program]))


# --- what the document says -------------------------------------------------


def section(text, title):
    """What stands below a heading, up to the next one of its level or above."""
    level = len(title) - len(title.lstrip("#"))
    match = re.search(
        r"^%s\n(.*?)(?=^#{1,%d} |\Z)" % (re.escape(title), level), text, re.M | re.S
    )
    assert match, "no section " + title
    return match.group(1)


def subsections(text):
    """The sections of level three, by title."""
    return dict(re.findall(r"^### (.+)\n((?:(?!^### ).*\n?)*)", text, re.M))


def first_column(text, head):
    """What the first column of the table with this head lists, in order."""
    if re.search(r"^No %ss\." % head, text, re.M):
        return []
    table = re.search(r"^\| %s \|.*\n\|[- |]+\|\n((?:\|.*\n?)*)" % head, text, re.M)
    assert table, "no table of each %s in: %s" % (head, text[:200])
    rows = re.findall(r"^\| ([^|]*) \|", table.group(1), re.M)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


class Document:
    def __init__(self, text):
        commands = section(text, "## Commands")
        types = section(text, "## Watcher types")
        self.text = text
        self.verbs = {
            verb: first_column(body, "member")
            for verb, body in subsections(commands).items()
        }
        self.types = {
            name: first_column(body, "member")
            for name, body in subsections(types).items()
        }
        self.common = first_column(section(text, "## Commands and replies"), "member")
        self.errors = first_column(section(text, "## Errors"), "code")
        self.features = first_column(commands, "feature")


DOCUMENT = Document((PROTOCOL / "protocol.md").read_text(encoding="utf-8"))

# --- what the schema says ---------------------------------------------------


class Schema:
    def __init__(self, schema):
        self.definitions = schema["$defs"]
        self.common = list(self.definitions["common"]["properties"])
        self.verbs = {
            verb: [name for name in self.members("command-" + verb) if name != "cmd"]
            for verb in self.listed("command-")
        }
        self.types = {
            name: self.members("members-" + name) for name in self.listed("members-")
        }
        self.errors = self.definitions["code"]["enum"]
        self.features = self.definitions["feature"]["enum"]

    def listed(self, prefix):
        return [
            name[len(prefix) :] for name in self.definitions if name.startswith(prefix)
        ]

    def members(self, definition):
        return list(self.definitions[definition].get("properties", {}))


SCHEMA = Schema(json.loads((PROTOCOL / "schema.json").read_text(encoding="utf-8")))

# --- the comparison ---------------------------------------------------------


def as_sets(table):
    """Order is for readers, but what is listed twice is a mistake."""
    if isinstance(table, dict):
        return {key: as_sets(members) for key, members in table.items()}
    assert len(set(table)) == len(table), "listed twice: %r" % (table,)
    return set(table)


LISTS = ["common", "verbs", "types", "errors", "features"]


@pytest.mark.parametrize("what", LISTS)
def test_document_and_schema_agree(what):
    assert as_sets(getattr(DOCUMENT, what)) == as_sets(getattr(SCHEMA, what))


@pytest.mark.parametrize("what", LISTS)
def test_code_and_document_agree(code, what):
    assert as_sets(code[what]) == as_sets(getattr(DOCUMENT, what))


@pytest.mark.parametrize("what", LISTS)
def test_code_and_schema_agree(code, what):
    assert as_sets(code[what]) == as_sets(getattr(SCHEMA, what))


def test_every_verb_is_a_command_with_a_result():
    references = SCHEMA.definitions["command"]["oneOf"]
    assert [r["$ref"] for r in references] == [
        "#/$defs/command-" + verb for verb in SCHEMA.verbs
    ]
    assert SCHEMA.listed("result-") == list(SCHEMA.verbs)


def test_every_type_has_an_event_and_is_a_feature():
    assert set(SCHEMA.types) <= set(SCHEMA.features)
    watch = SCHEMA.definitions["command-watch"]["properties"]["type"]["enum"]
    assert set(watch) == set(SCHEMA.types)
    events = set(SCHEMA.listed("event-")) - {"common", "bye"}
    assert events == set(SCHEMA.types)


def test_every_type_has_its_bit_in_the_table_of_revents():
    rows = re.findall(r"^\| \d+ \| `EV_\w+` \| (.*) \|$", DOCUMENT.text, re.M)
    named = {word for row in rows for word in re.findall(r"\ban? (\w+)", row)}
    assert named == set(SCHEMA.types)


def rights(text):
    """What the table of rights lists, by right."""
    table = re.search(r"^\| right \|.*\n\|[- |]+\|\n((?:\|.*\n)+)", text, re.M)
    assert table, "no table of rights"
    found = {}
    for row in table.group(1).splitlines():
        right, _, *columns = (cell.strip() for cell in row.strip("|").split("|"))
        names = [re.findall(r"`([^`]+)`", column) for column in columns]
        found[right.strip("`")] = dict(zip(("verbs", "types", "members"), names))
    return found


@pytest.mark.parametrize("name", ["protocol/protocol.md", "SECURITY.md"])
def test_rights_are_as_documented(code, name):
    text = (PROTOCOL.parent / name).read_text(encoding="utf-8")
    assert rights(text) == code["rights"]
    for member in code["harmless"]:
        kind = member.partition(".")[0]
        assert "With `%s` true a `%s` is for all" % (member, kind) in text


def properties(schema):
    """The names of all members that a part of the schema speaks of."""
    if isinstance(schema, list):
        for part in schema:
            yield from properties(part)
    elif isinstance(schema, dict):
        yield from schema.get("properties", {})
        for part in schema.values():
            yield from properties(part)


def test_document_names_every_member_of_the_schema():
    for name in sorted(set(properties(SCHEMA.definitions))):
        assert re.search(r'[`"]%s[`"]' % name, DOCUMENT.text), name


def test_every_error_code_is_in_a_transcript(code):
    said = set()
    for path in (PROTOCOL / "transcripts").glob("*.txt"):
        said |= set(re.findall(r'^[A-Z]?< .*"code":"([^"]+)"', path.read_text(), re.M))
    assert said == set(code["errors"])
