"""Cron expressions: the verb calendar against other ways to find the times.

The first is a search through all minutes, with nothing of evd's in it: the zones are
Python's own, and an expression is known by the sets of numbers that it was made of.
The other is python3-croniter, where it means the same.

EVD_SEED=N in the environment makes other expressions.
"""

import bisect
import collections
import datetime
import os
import random

import pytest

from evdtest import Daemon, command, scaled

zoneinfo = pytest.importorskip("zoneinfo", reason="python3 has no zoneinfo")

if not os.path.exists("/usr/share/zoneinfo/Europe/Berlin"):
    pytest.skip("no time zones (Debian: tzdata)", allow_module_level=True)

SEED = int(os.environ.get("EVD_SEED", "1"))
UTC = datetime.timezone.utc

ZONES = """
    Africa/Cairo Africa/Casablanca America/Asuncion America/Havana America/New_York
    America/Nuuk America/Santiago America/Sao_Paulo America/St_Johns Antarctica/Troll
    Asia/Amman Asia/Gaza Asia/Kathmandu Asia/Kolkata Asia/Tehran Atlantic/Azores
    Australia/Adelaide Australia/Lord_Howe Etc/GMT+12 Europe/Berlin Europe/Dublin
    Europe/Lisbon Pacific/Apia Pacific/Auckland Pacific/Chatham Pacific/Kiritimati UTC
""".split()

MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
WEEKDAYS = "SUN MON TUE WED THU FRI SAT".split()

Field = collections.namedtuple("Field", "low high names")
FIELDS = [
    Field(0, 59, None),
    Field(0, 59, None),
    Field(0, 23, None),
    Field(1, 31, None),
    Field(1, 12, MONTHS),
    Field(0, 6, WEEKDAYS),
]
SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY = range(6)


# --- expressions --------------------------------------------------------------


def spell(rng, field, number):
    """A number of a field as it may be written."""
    if field.names is WEEKDAYS and number == 0 and rng.random() < 0.3:
        return "7"
    if field.names and rng.random() < 0.4:
        name = field.names[number - field.low]
        return rng.choice([name, name.lower(), name.capitalize()])
    return "0%d" % number if rng.random() < 0.05 else "%d" % number


def part(rng, field):
    """One part of a list: its text, and what it means."""
    low, high = field.low, field.high
    first, last = sorted(rng.choices(range(low, high + 1), k=2))
    step = rng.randint(1, rng.choice([3, high - low + 1]))
    plain = "%d-%d" % (first, last)
    if field.names and rng.random() < 0.5:
        plain = "%s-%s" % (field.names[first - low], field.names[last - low])
    return rng.choice(
        [
            (spell(rng, field, first), {first}),
            (spell(rng, field, first), {first}),
            (plain, set(range(first, last + 1))),
            ("%s/%d" % (plain, step), set(range(first, last + 1, step))),
            ("%d/%d" % (first, step), set(range(first, high + 1, step))),
            ("*/%d" % step, set(range(low, high + 1, step))),
        ]
    )


class Expression:
    """A cron expression, and the sets of numbers that its fields stand for."""

    def __init__(self, rng, seconds=False):
        self.sets, self.texts, self.last = [], [], False
        chances = [0, 0.3, 0.45, 0.5, 0.6, 0.5]
        for number, field in enumerate(FIELDS):
            if number == SECOND and not seconds:
                text, numbers = "0", {0}
            elif rng.random() < chances[number]:
                text, numbers = "*", set(range(field.low, field.high + 1))
            else:
                parts = [part(rng, field) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
                if number == DAY and rng.random() < 0.15:
                    self.last = True
                    parts.insert(rng.randint(0, len(parts)), ("L", set()))
                text = ",".join(text for text, _ in parts)
                numbers = set().union(*(numbers for _, numbers in parts))
            self.texts.append(text)
            self.sets.append(numbers)
        self.both = self.texts[DAY][0] == "*" or self.texts[WEEKDAY][0] == "*"
        self.text = rng.choice([" ", " ", "  ", "\t"]).join(
            self.texts if seconds else self.texts[1:]
        )
        self.every_hour = len(self.sets[HOUR]) == 24

    def comes(self):
        """Whether there is such a day at all."""
        if not self.both or self.last:
            return True
        longest = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        return any(min(self.sets[DAY]) <= longest[m - 1] for m in self.sets[MONTH])

    def has_day(self, day):
        if day.month not in self.sets[MONTH]:
            return False
        tomorrow = day + datetime.timedelta(days=1)
        of_month = day.day in self.sets[DAY] or (self.last and tomorrow.day == 1)
        of_week = day.isoweekday() % 7 in self.sets[WEEKDAY]
        return of_month and of_week if self.both else of_month or of_week

    def has_time(self, second):
        """Whether a day has this second of it."""
        return (
            second // 3600 in self.sets[HOUR]
            and second // 60 % 60 in self.sets[MINUTE]
            and second % 60 in self.sets[SECOND]
        )

    def __repr__(self):
        return repr(self.text)


# --- the search ---------------------------------------------------------------

EPOCH = datetime.datetime(1970, 1, 1)


class Window:
    """All moments of some days in a zone, a step apart, and what the clock shows.

    Local times are seconds since 1970 began on the local clock.
    """

    def __init__(self, zone, begin, end, step):
        self.begin, self.end = begin, end
        zone = zoneinfo.ZoneInfo(zone)
        self.shown = []
        first = {}  # when a local time is first shown
        # What was shown before the window begins counts as well.
        for moment in range(begin - 2 * 86400 // (60 // step), end, step):
            local = datetime.datetime.fromtimestamp(moment, zone).replace(tzinfo=None)
            local = int((local - EPOCH).total_seconds())
            first.setdefault(local, moment)
            if moment >= begin:
                self.shown.append((moment, local))
        # What is never shown comes when the clock has gone past it.
        self.reached = []
        order = sorted(first)
        for local in range(order[0], order[-1] + 1, step):
            moment = first.get(local)
            if moment is None:
                moment = first[order[bisect.bisect(order, local)]]
            if moment >= begin:
                self.reached.append((moment, local))
        self.days = {}

    def times(self, expression, after, limit):
        """The first times after one, in order; fewer at the end of the window."""
        pairs = self.shown if expression.every_hour else self.reached
        days, found = {}, []
        at = bisect.bisect_right(pairs, (after, float("inf")))
        times = {}
        for moment, local in pairs[at:]:
            number, second = divmod(local, 86400)
            if number not in days:
                date = (EPOCH + datetime.timedelta(days=number)).date()
                days[number] = expression.has_day(date)
            if not days[number]:
                continue
            if second not in times:
                times[second] = expression.has_time(second)
            if times[second] and (not found or moment > found[-1]):
                found.append(moment)
                if len(found) == limit:
                    break
        return found


def changes(zone, year):
    """The moments of a year at which a zone's offset changes, to the hour."""
    zone = zoneinfo.ZoneInfo(zone)
    begin = int(datetime.datetime(year, 1, 1, tzinfo=UTC).timestamp())
    found, last = [], None
    for moment in range(begin, begin + 366 * 86400, 86400):
        offset = datetime.datetime.fromtimestamp(moment, zone).utcoffset()
        if last not in (None, offset):
            found.append(moment - 86400)
        last = offset
    return found


def moments(rng, zone, count):
    """Begins of windows: before changes of the clock, ends of years, anywhere."""
    found = []
    while len(found) < count:
        year = rng.choice([rng.randint(1975, 2036), rng.randint(2037, 2099)])
        begin = int(datetime.datetime(year, 1, 1, tzinfo=UTC).timestamp())
        found += changes(zone, year)[:2]
        found.append(begin + rng.randint(0, 365) * 86400)
        found.append(rng.choice([begin - 86400, begin + 57 * 86400]))
    return found[:count]


@pytest.fixture(name="client", scope="module")
def fixture_client():
    with Daemon() as evd, evd.connect() as client:
        yield client


@pytest.fixture(name="rng")
def fixture_rng():
    print("EVD_SEED=%d" % SEED)
    return random.Random(SEED)


def ask(client, questions):
    """The times for each (text, zone, from): lists, or None where it is refused."""
    replies = client.calls(
        [
            {
                "cmd": "calendar",
                "calendar": text,
                "timezone": zone,
                "from": after,
                "next": 10,
            }
            for text, zone, after in questions
        ]
    )
    return [reply["result"]["next"] if "result" in reply else None for reply in replies]


def compare(client, rng, zone, window, step, count, seconds):
    """Compare the times of some expressions in a window; how many there were."""
    questions = []
    for _ in range(count):
        expression = Expression(rng, seconds)
        after = window.begin + rng.randint(0, (window.end - window.begin) // 2 // step)
        after = after // step * step + rng.choice([0, 0, 0.5, -1])
        questions.append((expression, zone, after))
    answers = ask(client, [(e.text, z, after) for e, z, after in questions])
    seen = 0
    for (expression, _, after), answer in zip(questions, answers):
        assert (answer is not None) == expression.comes(), expression
        if answer is None:
            continue
        expected = window.times(expression, after, 10)
        found = [t for t in answer if t < window.end]
        assert found[: len(expected)] == expected, (expression, zone, after)
        assert len(found) == len(expected), (expression, zone, after)
        assert answer == sorted(set(answer)) and len(answer) == 10
        seen += len(found)
    return seen


@pytest.mark.parametrize("zone", ZONES)
def test_times_are_those_that_a_search_finds(client, rng, zone):
    seen = 0
    for begin in moments(rng, zone, scaled(6, 2)):
        window = Window(zone, begin, begin + 3 * 86400, 60)
        seen += compare(client, rng, zone, window, 60, 40, False)
    assert seen > 100


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "UTC"])
def test_times_with_seconds_are_those_that_a_search_finds(client, rng, zone):
    seen = 0
    for begin in moments(rng, zone, scaled(4, 1)):
        window = Window(zone, begin, begin + 30 * 3600, 1)
        seen += compare(client, rng, zone, window, 1, 25, True)
    assert seen > 20


def test_rare_days_are_those_that_a_search_finds(client, rng):
    """Years ahead: day by day, in UTC."""
    begin = datetime.date(2024, 3, 1)
    days = [begin + datetime.timedelta(days=n) for n in range(120 * 366)]
    for _ in range(scaled(60, 10)):
        expression = Expression(rng)
        sets = expression.sets
        # One time a day, on few days.
        sets[DAY] = set(rng.sample(range(26, 32), 2))
        sets[MONTH] = set(rng.sample([2, 2, 4, 12], 1))
        sets[WEEKDAY] = {0, rng.randint(0, 6)}
        step = max(sets[WEEKDAY]) or 7
        sets[WEEKDAY] = set(range(0, 7, step))
        expression.last, expression.both = False, True
        hour, minute = rng.randint(0, 23), rng.randint(0, 59)
        text = "%d %d %s %s */%d" % (
            minute,
            hour,
            ",".join(map(str, sets[DAY])),
            ",".join(map(str, sets[MONTH])),
            step,
        )
        start = rng.choice(days[: 90 * 365])
        after = int((start - EPOCH.date()).total_seconds())
        (answer,) = ask(client, [(text, "UTC", after)])
        if not expression.comes():
            assert answer is None, text
            continue
        expected = []
        for day in days[(start - begin).days :]:
            if expression.has_day(day) and len(expected) < 10:
                midnight = int((day - EPOCH.date()).total_seconds())
                expected.append(midnight + hour * 3600 + minute * 60)
        expected = [t for t in expected if t > after]
        assert answer[: len(expected)] == expected[:10], (text, start)


# --- croniter -----------------------------------------------------------------


def agrees(expression):
    """Whether croniter means the same: a */N is no * there, as to either day."""
    # Its week ends with a second Sunday.
    if any("-" not in part and "/" in part for part in expression.texts[WEEKDAY].split(",")):
        return False
    for number in (DAY, WEEKDAY):
        if expression.texts[number][0] == "*" and expression.texts[number] != "*":
            return False
    # It takes a list with every number for a *.
    full = len(expression.sets[DAY]) == 31 or len(expression.sets[WEEKDAY]) == 7
    stars = "*" in (expression.texts[DAY], expression.texts[WEEKDAY])
    # Of a list with L in it, it forgets one or the other.
    alone = expression.texts[DAY] == "L" or not expression.last
    return (stars or not full) and (stars or not expression.last) and alone


def test_times_are_those_of_croniter(client, rng):
    croniter = pytest.importorskip(
        "croniter", reason="no croniter (Debian: python3-croniter)"
    ).croniter
    questions = []
    while len(questions) < scaled(2000, 200):
        expression = Expression(rng)
        if expression.comes() and agrees(expression):
            questions.append((expression, "UTC", rng.randint(0, 4 * 10**9)))
    answers = ask(client, [(e.text, zone, after) for e, zone, after in questions])
    for (expression, _, after), answer in zip(questions, answers):
        start = datetime.datetime.fromtimestamp(after, UTC)
        times = croniter(expression.text, start, ret_type=float)
        expected = [times.get_next() for _ in range(10)]
        assert answer == expected, (expression, after)
