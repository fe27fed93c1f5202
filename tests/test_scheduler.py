"""Schedulers: cron expressions; and the verb calendar, which only looks at them."""

import calendar
import os
import re
import shutil
import time

import pytest

from evdtest import (
    PERIODIC,
    Daemon,
    command,
    count,
    scaled,
    temporary_directory,
    wait_until,
)

if not os.path.exists("/usr/share/zoneinfo/Europe/Berlin"):
    pytest.skip("no time zones (Debian: tzdata)", allow_module_level=True)


def utc(year, month=1, day=1, hour=0, minute=0, second=0):
    return calendar.timegm((year, month, day, hour, minute, second))


def get(client, name, **members):
    return client.call("get", watcher=name, **members)


def times(client, text, begin, zone="UTC", number=3):
    members = {"from": begin, "next": number, "timezone": zone}
    return client.call("calendar", calendar=text, **members)["next"]


@pytest.fixture(name="client", scope="module")
def fixture_client():
    with Daemon() as evd, evd.connect() as client:
        yield client


# --- the verb calendar --------------------------------------------------------


def test_every_weekday_at_nine(client):
    # A Friday evening in Berlin, the weekend of summer time.
    found = times(client, "0 9 * * MON-FRI", utc(2026, 3, 27, 17), "Europe/Berlin")
    assert found == [utc(2026, 3, day, 7) for day in (30, 31)] + [utc(2026, 4, 1, 7)]


def test_calendar_gives_ten_times_from_now_on(client):
    client.send(
        command("now"),
        command("calendar", calendar="* * * * *", timezone="UTC"),
        command("now"),
    )
    begin, found, end = (reply["result"] for reply in client.replies(3))
    found = found["next"]
    assert found == [found[0] + 60 * n for n in range(10)]
    assert begin["now"] < found[0] <= end["now"] + 60


def test_calendar_behind_from(client):
    assert times(client, "@hourly", 3600)[0] == 7200
    assert times(client, "@hourly", 3599.999)[0] == 3600
    assert times(client, "@hourly", -1.5)[0] == 0
    assert times(client, "@daily", -1e10)[0] == -9999936000
    assert times(client, "@daily", 1e10)[0] == 10000022400


def test_times_have_six_decimals(client):
    client.send(command("calendar", calendar="@yearly", timezone="UTC", next=1))
    assert re.fullmatch(rb'\{"result":\{"next":\[\d+\.000000\]\}\}', client.line())


@pytest.mark.parametrize(
    "text, begin, zone, expected",
    [
        # Summer time, in the words: not there, once behind the gap.
        (
            "30 2 * * *",
            utc(2026, 3, 28, 12),
            "Europe/Berlin",
            [utc(2026, 3, 29, 1), utc(2026, 3, 30, 0, 30), utc(2026, 3, 31, 0, 30)],
        ),
        # There twice: at its first.
        (
            "30 2 * * *",
            utc(2026, 10, 24, 12),
            "Europe/Berlin",
            [utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30), utc(2026, 10, 27, 1, 30)],
        ),
        # An hour or finer: elapsed time.
        (
            "30 * * * *",
            utc(2026, 10, 25, 0),
            "Europe/Berlin",
            [utc(2026, 10, 25, h, 30) for h in range(3)],
        ),
        (
            "30 * * * *",
            utc(2026, 3, 29, 0),
            "Europe/Berlin",
            [utc(2026, 3, 29, h, 30) for h in range(3)],
        ),
        # The same in New York, at its own moments.
        (
            "0 2 * * *",
            utc(2026, 3, 7, 12),
            "America/New_York",
            [utc(2026, 3, 8, 7), utc(2026, 3, 9, 6), utc(2026, 3, 10, 6)],
        ),
        # A day that a whole country left out.
        (
            "0 9 * * *",
            utc(2011, 12, 29, 12),
            "Pacific/Apia",
            [utc(2011, 12, 29, 19), utc(2011, 12, 30, 10), utc(2011, 12, 30, 19)],
        ),
        # Leap days and ends of years.
        (
            "0 0 29 2 *",
            utc(2026),
            "UTC",
            [utc(2028, 2, 29), utc(2032, 2, 29), utc(2036, 2, 29)],
        ),
        (
            "59 59 23 31 12 *",
            utc(2026),
            "UTC",
            [utc(y, 12, 31, 23, 59, 59) for y in (2026, 2027, 2028)],
        ),
        (
            "0 0 L 2 *",
            utc(2026),
            "UTC",
            [utc(2026, 2, 28), utc(2027, 2, 28), utc(2028, 2, 29)],
        ),
    ],
)
def test_times(client, text, begin, zone, expected):
    assert times(client, text, begin, zone) == expected


@pytest.mark.parametrize(
    "text, said",
    [
        ("0 25 * * *", 'field 2 (hour) is "25", expected numbers from 0 to 23'),
        ("0 0 30 2 *", 'field 3 (day of month) is "30"'),
        ("0 0 31 FEB,APR *", "never comes"),
        ("* * * *", "it has 4 fields, expected 5"),
        ("", "it has 0 fields"),
        ("@often", "expected one of: @hourly"),
        ('1 2 3 4 "', r'field 5 (day of week) is """'),
        ("x" * 60000, "(60000 bytes), expected a cron expression of at most 1024"),
        (",".join("9" * 500) + ",x * * * *", 'field 1 (minute) is "9,9,9'),
        ("ü" * 100 + " * * * *", 'field 1 (minute) is "ü'),
    ],
)
@pytest.mark.parametrize("cmd", ["calendar", "watch"])
def test_errors_point_at_the_field(client, cmd, text, said):
    members = {"type": "scheduler", "watcher": "w"} if cmd == "watch" else {}
    error = client.fails(cmd, calendar=text, **members)
    assert error.code == "invalid-argument"
    assert error.message.startswith('member "calendar" is "%s' % text[:30])
    assert said in error.message
    assert client.call("now")


@pytest.mark.parametrize("members", [{}, {"calendar": 5}, {"calendar": None}])
@pytest.mark.parametrize("cmd", ["calendar", "watch"])
def test_calendar_is_a_string(client, cmd, members):
    if cmd == "watch":
        members = {"type": "scheduler", "watcher": "w", **members}
    error = client.fails(cmd, **members)
    assert error.code == "invalid-argument" and '"calendar"' in error.message


@pytest.mark.parametrize("number", [0, 11, -1, 1.5, "1", None])
def test_next_is_1_to_10(client, number):
    error = client.fails("calendar", calendar="@daily", next=number)
    assert error.code == "invalid-argument" and '"next"' in error.message


@pytest.mark.parametrize("begin", [1.1e10, -1.1e10, "now"])
def test_from_is_a_time(client, begin):
    error = client.fails("calendar", calendar="@daily", **{"from": begin})
    assert error.code == "invalid-argument" and '"from"' in error.message


# --- zones --------------------------------------------------------------------

STRANGE = [
    "",
    "/",
    "/etc/localtime",
    "../../../etc/passwd",
    "Europe",
    "Europe/",
    "Europe/../UTC",
    "./UTC",
    "Europe//Berlin",
    "Europe/Nowhere",
    "zone.tab",
    "UTC\n",
    " UTC",
    "x" * 255,
    "x" * 256,
    "x" * 5000,
    "right/UTC",
    "%s%s%n",
]


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("cmd", ["calendar", "watch"])
def test_what_is_no_zone_is_refused(client, cmd, name):
    members = {"type": "scheduler", "watcher": "w"} if cmd == "watch" else {}
    error = client.fails(cmd, calendar="@daily", timezone=name, **members)
    assert error.code == "invalid-argument"
    assert error.message.startswith('member "timezone" is "')


@pytest.fixture(name="directory")
def fixture_directory():
    directory = temporary_directory()
    yield directory
    shutil.rmtree(directory)


def test_only_files_of_the_directory_are_opened(directory):
    """None of these may be read, and the FIFOs must not block."""
    os.mkdir(directory + "/zones")
    with open("/usr/share/zoneinfo/Europe/Berlin", "rb") as file:
        zone = file.read()
    for path in ("outside", "zones/Inside", "zones/.hidden"):
        with open(os.path.join(directory, path), "wb") as file:
            file.write(zone)
    os.mkfifo(directory + "/zones/Fifo")
    os.mkfifo(directory + "/fifo")
    os.symlink("/dev/zero", directory + "/zones/Zero")
    with open(directory + "/zones/Large", "wb") as file:
        file.truncate(1 << 30)
    with Daemon(env={"TZDIR": directory + "/zones"}) as evd, evd.connect() as c:
        c.call("now")
        descriptors = evd.fds()
        assert times(c, "@daily", 0, "Inside")[0] == 82800
        for name in ("../outside", directory + "/outside", "../fifo", ".hidden"):
            assert c.fails("calendar", calendar="@daily", timezone=name)
        for name in ("Fifo", "Zero", "Large", "UTC"):
            error = c.fails("calendar", calendar="@daily", timezone=name)
            assert error.code == "invalid-argument"
        assert evd.fds() == descriptors


@pytest.mark.parametrize(
    "tz, midnight",
    [
        ("UTC", 0),
        ("Asia/Kolkata", -19800),
        (":Asia/Kolkata", -19800),
        ("XYZ+3", 3 * 3600),
        ("/usr/share/zoneinfo/Asia/Tokyo", -9 * 3600),
        ("", 0),
    ],
)
def test_zone_of_the_daemon(tz, midnight):
    with Daemon(env={"TZ": tz}) as evd, evd.connect() as c:
        found = c.call("calendar", calendar="@daily", **{"from": 86400 * 20000 + 43200})
        assert (found["next"][0] - midnight) % 86400 == 0
        c.watch("scheduler", "w", calendar="@daily")
        got = get(c, "w", next=1)
        assert "timezone" not in got
        assert (got["next"][0] - midnight) % 86400 == 0


@pytest.mark.parametrize("name", ["Nowhere", "fifo"])
def test_zone_of_the_daemon_that_cannot_be_read_is_utc(directory, name):
    os.mkfifo(directory + "/fifo")
    with Daemon(env={"TZ": directory + "/" + name}) as evd, evd.connect() as c:
        assert "time zone %s/%s can't be read" % (directory, name) in evd.stderr
        assert ("file or a rule" if name == "fifo" else "No such file") in evd.stderr
        found = c.call("calendar", calendar="@daily", **{"from": 0})["next"]
        assert found[0] == 86400


# --- the watcher --------------------------------------------------------------


def test_fires_at_its_times(client):
    client.watch("scheduler", "w", calendar="* * * * * *", data={"a": 1})
    at = get(client, "w")["at"]
    for _ in range(2):
        event = client.event()
        assert list(event) == [
            "event",
            "watcher",
            "revents",
            "seq",
            "time",
            "at",
            *(["overrun"] if "overrun" in event else []),
            "data",
        ]
        assert event["event"] == "scheduler" and event["revents"] == PERIODIC
        assert at <= event["time"]
        assert event["at"] == int(event["at"]) > event["time"] - 1e-6
        at = event["at"]
    client.call("unwatch", watcher="w")
    client.poll()


def test_get_says_all(client):
    client.watch(
        "scheduler", 1, calendar=" 0\t9 * * MON-FRI", timezone="Asia/Tokyo", data=0
    )
    got = get(client, 1, next=10)
    at, following = got.pop("at"), got.pop("next")
    assert list(got.items()) == [
        ("type", "scheduler"),
        ("watcher", 1),
        ("active", True),
        ("priority", 0),
        ("calendar", " 0\t9 * * MON-FRI"),
        ("timezone", "Asia/Tokyo"),
        ("data", 0),
    ]
    assert following[0] == at and len(following) == 10
    assert following == sorted(set(following))
    assert all(t % 86400 == 0 for t in following)  # nine in Tokyo
    assert all(time.gmtime(t).tm_wday < 5 for t in following)
    client.call("stop", watcher=1)
    got = get(client, 1, next=1)
    assert "at" not in got and got["next"] == following[:1]
    client.call("unwatch", watcher=1)


def test_next_is_of_what_has_times(client):
    client.watch("periodic", "p", interval=3600, offset=7)
    following = get(client, "p", next=3)["next"]
    assert following == [following[0] + 3600 * n for n in range(3)]
    assert following[0] % 3600 == 7
    client.watch("periodic", "once", offset=utc(2200))
    assert get(client, "once", next=3)["next"] == [utc(2200)]
    client.watch("timer", "t", after=1000)
    error = client.fails("get", watcher="t", next=3)
    assert error.code == "invalid-argument" and '"next"' in error.message
    for name in ("p", "once", "t"):
        client.call("unwatch", watcher=name)


def test_set_needs_an_inactive_one(client):
    client.watch("scheduler", "w", calendar="@daily", timezone="UTC")
    for members in ({"calendar": "@hourly"}, {"timezone": "Asia/Tokyo"}):
        assert client.fails("set", watcher="w", **members).code == "watcher-active"
    client.call("stop", watcher="w")
    assert client.fails("set", watcher="w", calendar="x").code == "invalid-argument"
    assert (
        client.fails("set", watcher="w", calendar="@hourly", timezone="x").code
        == "invalid-argument"
    )
    got = get(client, "w")
    assert (got["calendar"], got["timezone"]) == ("@daily", "UTC")
    client.call("set", watcher="w", timezone="Asia/Kolkata")
    client.call("start", watcher="w")
    assert get(client, "w")["at"] % 86400 == 86400 - 19800
    client.call("stop", watcher="w")
    client.call("set", watcher="w", calendar="@hourly")
    client.call("reset", watcher="w")
    got = get(client, "w")
    assert got["active"] and got["at"] % 3600 == 1800
    client.call("unwatch", watcher="w")


def test_once_release_end_and_hold():
    with Daemon() as evd, evd.connect() as c:
        c.watch("scheduler", "w", calendar="* * * * * *", once=True, release=True)
        event = c.event()
        assert event["active"] is False and "at" not in event
        assert c.fails("get", watcher="w").code == "no-such-watcher"
        c.watch("scheduler", "h", calendar="* * * * * *", hold=True)
        first = c.event()
        wait_until(lambda: "pending" in get(c, "h"), "its next event is pending")
        assert c.poll() == []
        c.call("ack")
        assert c.event()["time"] >= first["at"]
        c.watch("scheduler", "e", calendar="* * * * * *", end=True)
        while c.event()["event"] != "bye":
            pass
        c.eof()


def test_every_tick_of_a_held_one_is_counted():
    with Daemon() as evd, evd.connect() as c:
        c.send(
            command("now"),
            command("watch", type="scheduler", watcher=1, calendar="* * * * * *", hold=True),
        )
        begin = c.replies(2)[0]["result"]["now"]
        first = c.event()
        c.watch("timer", "later", after=2.2)
        c.event()
        c.send(command("stop", watcher=1), command("now"))
        stopped, now = (reply["result"] for reply in c.replies(2))
        assert count([first, stopped["cleared"]]) == int(now["now"]) - int(begin)


def test_reset_takes_a_pending_event_back(client):
    client.watch("scheduler", "w", calendar="@yearly")
    client.call("stop", watcher="w")
    client.send(
        command("feed", watcher="w", revents=1), command("reset", watcher="w")
    )
    cleared = {"revents": 1, "overrun": 0}
    assert client.replies(2)[1]["result"] == {"cleared": cleared}
    assert get(client, "w")["active"]
    client.call("unwatch", watcher="w")


def test_texts_are_charged():
    with Daemon(["--max-session-bytes", "40"]) as evd, evd.connect() as c:
        for _ in range(10):
            c.watch("scheduler", "w", calendar="@hourly", timezone="Asia/Tokyo")
            c.call("stop", watcher="w")
            c.call("set", watcher="w", timezone="UTC")
            c.call("set", watcher="w", calendar="@monthly", timezone="Asia/Tokyo")
            error = c.fails("set", watcher="w", calendar="0 0 1,2,3,4,5,6,7,8,9 * *")
            assert error.code == "limit-exceeded"
            assert get(c, "w")["calendar"] == "@monthly"
            error = c.fails("watch", type="scheduler", watcher=2, calendar="* " * 12)
            assert error.code in ("limit-exceeded", "invalid-argument")
            c.call("unwatch", watcher="w")


def test_memory_and_descriptors_come_back():
    with Daemon() as evd:
        with evd.connect() as c:
            c.call("now")
            descriptors = evd.fds()
            zones = ["Europe/Berlin", "Asia/Tokyo", "America/New_York"]
            c.calls(
                [
                    command(
                        "watch",
                        type="scheduler",
                        watcher=n,
                        calendar="%d %d * * *" % (n % 60, n % 24),
                        timezone=zones[n % 3],
                    )
                    for n in range(1000)
                ]
            )
            assert evd.fds() == descriptors
        with evd.connect() as c:
            assert c.call("calendar", calendar="@daily", timezone="Asia/Tokyo")


# --- how long it takes ----------------------------------------------------------

HOSTILE = [
    "0 0 29 2 */7",
    "59 59 23 29 2 */6",
    "* * 29 2 */7",
    "%s 23 29 2 */7" % ",".join(map(str, range(60))),
    "%s %s %s 29 2 */7"
    % tuple(",".join(map(str, range(n))) for n in (60, 60, 24)),
    "0 0 31 12 */7",
]


def test_no_expression_takes_long():
    """A search that went from minute to minute would take minutes here."""
    number = scaled(2000, 100)
    with Daemon() as evd, evd.connect() as c:
        before = evd.cpu()
        for text in HOSTILE:
            for zone in ("Africa/Casablanca", "Europe/Berlin"):
                c.calls(
                    [
                        {
                            "cmd": "calendar",
                            "calendar": text,
                            "timezone": zone,
                            "from": utc(2088, 3, 1) + n,
                        }
                        for n in range(number // len(HOSTILE))
                    ]
                )
        spent = (evd.cpu() - before) / os.sysconf("SC_CLK_TCK")
        # Ten times each. A generous limit: as measured, 5 us a time.
        assert spent < 20
