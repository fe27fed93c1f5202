"""Lines: how they are cut, joined, ended and refused, and clients that go away."""

import os
import signal

import pytest

from evdtest import Client, Daemon, barrier, command, count, encode, scaled, wait_until

LINE_MAX = 65536

PARSE_ERRORS = {
    "empty": b"",
    "blank": b" \t ",
    "cr_alone": b"\r",
    "word": b"hello",
    "cut_short": b'{"cmd":"now"',
    "text_behind": b'{"cmd":"now"} x',
    "two_objects": b'{"cmd":"now"}{"cmd":"now"}',
    "single_quotes": b"{'cmd':'now'}",
    "comma_at_end": b'{"cmd":"now",}',
    "comment": b'{"cmd":"now"/**/}',
    "array": b'["now"]',
    "number": b"1",
    "string": b'"now"',
    "null": b"null",
    "member_twice": b'{"cmd":"now","cmd":"now"}',
    "id_twice": b'{"id":1,"cmd":"now","id":1}',
    "member_twice_by_escape": b'{"cmd":"now","\\u0063md":"now"}',
    "nul_byte": b'{"cmd":"now","id":"a\x00b"}',
    "nul_byte_at_start": b'\x00{"cmd":"now"}',
    "nul_byte_at_end": b'{"cmd":"now"}\x00',
    "nul_escaped": b'{"cmd":"now","id":"\\u0000"}',
    "control_character": b'{"cmd":"now","id":"\x01"}',
    "tab_in_string": b'{"cmd":"now","id":"\t"}',
    "utf8_cut": b'{"cmd":"now","id":"\xc3"}',
    "utf8_overlong": b'{"cmd":"now","id":"\xc0\xaf"}',
    "utf8_surrogate": b'{"cmd":"now","id":"\xed\xa0\x80"}',
    "utf8_too_high": b'{"cmd":"now","id":"\xf4\x90\x80\x80"}',
    "utf8_stray": b'{"cmd":"now","id":"\x80"}',
    "latin1_in_member": b'{"cmd":"now","\xe9":1}',
    "lone_surrogate": b'{"cmd":"now","id":"\\ud800"}',
    "bad_escape": b'{"cmd":"now","id":"\\x41"}',
    "bom": b'\xef\xbb\xbf{"cmd":"now"}',
    "nan": b'{"cmd":"now","id":NaN}',
    "infinity": b'{"cmd":"now","id":-Infinity}',
    "too_large_real": b'{"cmd":"now","id":1e309}',
    "too_large_integer": b'{"cmd":"now","id":9223372036854775808}',
    "leading_zero": b'{"cmd":"now","id":01}',
    "plus_sign": b'{"cmd":"now","id":+1}',
    "no_digit_behind_point": b'{"cmd":"now","id":1.}',
    "true_in_capitals": b'{"cmd":"now","id":TRUE}',
    "nested_10000_deep": b'{"cmd":"now","id":' + b"[" * 10000 + b"]" * 10000 + b"}",
    "opened_10000_times": b"[" * 10000,
}


def error_of(client):
    reply = client.reply()
    assert list(reply)[-1] == "error", reply
    return reply["error"]


def still_served(client, line):
    """Assert that the next command is line number `line`, and is executed."""
    client.call("now")
    assert client.fails("nonsense").line == line + 1


def test_line_cut_at_every_byte():
    line = encode({"cmd": "now", "id": "é\n\\"})
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        for cut in range(1, len(line)):
            c.raw(line[:cut])
            barrier(other)
            c.raw(line[cut:])
            assert c.reply()["id"] == "é\n\\"
        still_served(c, len(line))


def test_line_byte_by_byte():
    with Daemon() as evd, evd.connect() as c, evd.connect() as other:
        for byte in encode({"cmd": "now", "id": 7}):
            c.raw(bytes([byte]))
            barrier(other)
        assert c.reply()["id"] == 7


def test_many_lines_in_one_write():
    with Daemon() as evd, evd.connect() as c:
        replies = c.calls([command("now", id=n) for n in range(1000)])
        assert [reply["id"] for reply in replies] == list(range(1000))


def test_writes_that_end_anywhere():
    lines = b"".join(encode(command("now", id="n%d" % n)) for n in range(300))
    for size in (3, 31, 32, 33, 1021):
        with Daemon() as evd, evd.connect() as c:
            for start in range(0, len(lines), size):
                c.raw(lines[start : start + size])
            replies = c.replies(300)
            assert [reply["id"] for reply in replies] == ["n%d" % n for n in range(300)]


def test_last_line_without_lf_is_executed():
    with Daemon() as evd, evd.connect() as c:
        c.raw(b'{"cmd":"now","id":1}\n{"cmd":"now","id":2}')
        c.shutdown()
        assert [reply["id"] for reply in c.replies(2)] == [1, 2]
        c.eof()


def test_last_line_without_lf_is_refused_as_any_other():
    with Daemon() as evd, evd.connect() as c:
        c.raw(b'{"cmd":"now","id":1}\n{"cmd":')
        c.shutdown()
        c.reply()
        error = error_of(c)
        assert (error["code"], error["line"]) == ("parse-error", 2)
        c.eof()


def test_nothing_behind_the_last_lf_is_no_line():
    with Daemon() as evd, evd.connect() as c:
        c.raw(b'{"cmd":"now","id":1}\n')
        c.shutdown()
        assert c.reply()["id"] == 1
        c.eof()


def test_cr_before_lf_is_white_space():
    with Daemon() as evd, evd.connect() as c:
        c.raw(b'{"cmd":"now","id":1}\r\n \t{ "cmd" : "now" , "id" : 2 } \r\n')
        assert [reply["id"] for reply in c.replies(2)] == [1, 2]


@pytest.mark.parametrize("name", PARSE_ERRORS)
def test_parse_error(name):
    with Daemon() as evd, evd.connect() as c:
        c.watch("timer", "keep", after=1000)
        c.raw(PARSE_ERRORS[name] + b"\n")
        error = error_of(c)
        assert (error["code"], error["line"]) == ("parse-error", 2)
        assert error["message"]
        assert c.call("get", watcher="keep")["active"]
        still_served(c, 4)


def test_errors_count_their_lines():
    with Daemon() as evd, evd.connect() as c:
        bad = list(PARSE_ERRORS.values())
        c.raw(b"".join(b'{"cmd":"now","id":1}\n' + line + b"\n" for line in bad))
        for n in range(len(bad)):
            assert c.reply()["id"] == 1
            assert error_of(c)["line"] == 2 * n + 2


@pytest.mark.parametrize(
    "line, code",
    [
        (b"{}", "invalid-argument"),
        (b'{"id":5}', "invalid-argument"),
        (b'{"id":5,"cmd":7}', "invalid-argument"),
        (b'{"id":5,"cmd":null}', "invalid-argument"),
        (b'{"id":5,"cmd":["now"]}', "invalid-argument"),
        (b'{"id":5,"cmd":"Now"}', "unknown-command"),
        (b'{"id":5,"cmd":""}', "unknown-command"),
        (b'{"id":5,"cmd":"now "}', "unknown-command"),
        (b'{"id":5,"cmd":"now","watcher":"w"}', "invalid-argument"),
        (b'{"id":5,"cmd":"now","Id":1}', "invalid-argument"),
        (b'{"id":5,"cmd":"now","reply":0}', "invalid-argument"),
        (b'{"id":5,"cmd":"now","reply":"false"}', "invalid-argument"),
        (b'{"id":5,"cmd":"now","reply":null}', "invalid-argument"),
    ],
)
def test_no_valid_command(line, code):
    with Daemon() as evd, evd.connect() as c:
        c.raw(line + b"\n")
        reply = c.reply()
        assert reply["error"]["code"] == code
        assert reply["error"]["line"] == 1
        assert reply.get("id") == (5 if b'"id"' in line else None)
        still_served(c, 2)


def test_error_line_is_exact():
    with Daemon() as evd, evd.connect() as c:
        c.raw(b'{"watcher":"w\\u0041","cmd":"get","id":{"a": [1, 2.50]}}\n')
        line = c.line()
        head = b'{"id":{"a": [1, 2.50]},"error":{"code":"no-such-watcher","message":"'
        assert line.startswith(head)
        assert line.endswith(b'","line":1,"cmd":"get","watcher":"wA"}}')


def test_long_verb_is_cut_in_its_error():
    with Daemon() as evd, evd.connect() as c:
        error = c.fails("é" * 60)
        assert error.code == "unknown-command"
        assert error.cmd == "é" * 32


@pytest.mark.parametrize(
    "id",
    [
        b"0",
        b"-0",
        b"1.0e0",
        b"9223372036854775807",
        b'""',
        b'"\\u00e9\\/\\n"',
        '"é"'.encode(),
        b"null",
        b"false",
        b"[ 1 ,\t2 ]",
        b'{"a":{"b":[]}, "c" :null}',
        b"[" * 2000 + b"]" * 2000,
    ],
)
def test_id_comes_back_byte_for_byte(id):
    with Daemon() as evd, evd.connect() as c:
        c.raw(b'{"id": %s ,"cmd":"feed","watcher":1,"revents":0}\n' % id)
        assert c.line().startswith(b'{"id":%s,"error":{"code":"no-such-w' % id)
        c.raw(b'{"cmd":"now","id":%s}\n' % id)
        assert c.line().startswith(b'{"id":%s,"result":{' % id)


def test_reply_without_id():
    with Daemon() as evd, evd.connect() as c:
        c.raw(b'{"cmd":"now"}\n{"cmd":"no"}\n')
        assert c.line().startswith(b'{"result":{"now":')
        assert c.line().startswith(b'{"error":{"code":"unknown-command","message":')


def test_reply_false_silences_success_only():
    with Daemon() as evd, evd.connect() as c:
        quiet = {"id": 1, "reply": False}
        c.send(command("now", **quiet), command("get", watcher="w", **quiet))
        reply = c.reply()
        assert (reply["id"], reply["error"]["line"]) == (1, 2)
        c.send(command("now", id=2, reply=True))
        assert c.reply()["id"] == 2


def padded(size):
    """A command of exactly size bytes with its LF."""
    return b'{"cmd":"now"' + b" " * (size - 14) + b"}\n"


def test_longest_line_is_executed():
    with Daemon() as evd, evd.connect() as c:
        c.raw(padded(LINE_MAX) * 2)
        assert all("result" in reply for reply in c.replies(2))
        still_served(c, 3)


def test_line_one_byte_too_long():
    with Daemon() as evd, evd.connect() as c:
        c.raw(padded(LINE_MAX + 1) + padded(LINE_MAX))
        error = error_of(c)
        assert (error["code"], error["line"]) == ("parse-error", 1)
        assert "longer than 65536 bytes" in error["message"]
        assert "result" in c.reply()
        still_served(c, 3)


def test_too_long_line_is_refused_before_its_end():
    with Daemon() as evd, evd.connect() as c:
        c.raw(padded(20) + b"x" * (LINE_MAX + 1))
        c.reply()
        assert error_of(c)["line"] == 2
        c.raw(b"x" * scaled(10 << 20, 1 << 20) + b"\n")
        still_served(c, 3)
        assert evd.memory() < 32 << 10


def test_too_long_line_without_lf_at_the_end():
    with Daemon() as evd, evd.connect() as c:
        c.raw(b"{" * (3 * LINE_MAX))
        c.shutdown()
        assert error_of(c)["line"] == 1
        c.eof()


def test_too_long_lines_one_after_the_other():
    with Daemon() as evd, evd.connect() as c:
        c.raw((b" " * (2 * LINE_MAX) + b"\n") * 20)
        assert [error_of(c)["line"] for _ in range(20)] == list(range(1, 21))
        still_served(c, 21)


def killed_client(path, data):
    """A real process that connects, writes data and is killed."""
    pid = os.fork()
    if pid == 0:
        try:
            Client(path).sock.sendall(data)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


def closed_client(path, data):
    with Client(path) as client:
        client.raw(data)


@pytest.mark.parametrize("end", [killed_client, closed_client])
def test_client_ends_at_every_byte_of_a_command(end):
    line = encode(command("send", session="watch here", watcher="ended"))
    with Daemon() as evd, evd.connect() as c:
        c.call("hello", session="watch here")
        c.watch("async", "ended")
        open_before = evd.fds()
        for size in range(len(line) + 1):
            end(evd.path, line[:size])
        # Whole, with and without its LF.
        fired = 0
        while fired < 2:
            fired += count([c.event()])
        wait_until(lambda: evd.fds() == open_before, "all are closed in evd too")
        assert fired + count(c.poll()) == 2


def test_10000_connections_that_close_at_once_are_all_executed():
    number = scaled(10000, 500)
    line = encode(command("send", session="sink", watcher="drop"))
    with Daemon() as evd, evd.connect() as c:
        c.call("hello", session="sink")
        c.watch("async", "drop")
        open_before = evd.fds()
        for n in range(number):
            closed_client(evd.path, line if n % 2 else line[:-1])
        fired = 0
        while fired < number:
            fired += count([c.event()])
        wait_until(lambda: evd.fds() == open_before, "all are closed in evd too")
        assert fired + count(c.poll()) == number


def test_clients_in_the_middle_of_a_line_hinder_nobody():
    with Daemon() as evd, evd.connect() as c:
        others = [evd.connect() for _ in range(50)]
        for n, other in enumerate(others):
            other.raw(b'{"cmd":"now","id":"' + b"x" * n)
        c.call("now")
        for n, other in enumerate(others):
            other.raw(b'"}\n')
            assert other.reply()["id"] == "x" * n
            other.close()
