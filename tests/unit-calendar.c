#include "config.h"

#include "calendar.h"

#include <string.h>
#include <time.h>

#include "civil.h"
#include "cron.h"
#include "unit.h"

#define YEAR_S	 INT64_C(31556952)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct zone *utc, *berlin, *lord_howe, *negative;

static struct zone *
rule(const char *s)
{
	struct zone *zone = zone_parse_rule(s, strlen(s));

	ck_assert_ptr_nonnull(zone);
	return zone;
}

static void
setup(void)
{
	utc = rule("UTC0");
	berlin = rule("CET-1CEST,M3.5.0,M10.5.0/3");
	lord_howe = rule("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0");
	negative = rule("<-02>2<-01>,M3.5.0/-1,M10.5.0/0");
}

static void
teardown(void)
{
	zone_unref(utc);
	zone_unref(berlin);
	zone_unref(lord_howe);
	zone_unref(negative);
}

static struct calendar
parsed(const char *s)
{
	char fault[CRON_FAULT_SIZE];
	struct calendar c;

	ck_assert_msg(cron_parse(&c, s, strlen(s), fault) == 0, "%s: %s", s,
	    fault);
	return c;
}

/* Local time, of a zone an hour or two ahead of UTC. */
static int64_t
at(int year, int month, int day, int hour, int minute, int ahead)
{
	return civil_to_days(year, month, day) * DAY_S + (hour - ahead) * 3600 +
	    minute * 60;
}

static void
comes(const char *s, const struct zone *zone, int64_t behind, int64_t first,
    int64_t second)
{
	struct calendar c = parsed(s);

	ck_assert_int_eq(calendar_next(&c, zone, behind), first);
	ck_assert_int_eq(calendar_next(&c, zone, first), second);
	ck_assert_uint_eq(calendar_count(&c, zone, behind, second), 2);
	ck_assert_uint_eq(calendar_count(&c, zone, behind, second - 1), 1);
	ck_assert_uint_eq(calendar_count(&c, zone, behind, first - 1), 0);
}

/* --- parsing -------------------------------------------------------------- */

START_TEST(fields_are_read)
{
	struct calendar c = parsed("1,5 */12 9-11 2/10 JAN,mar-MAY 5-7");

	ck_assert_uint_eq(c.seconds, 1 << 1 | 1 << 5);
	ck_assert_uint_eq(c.minutes,
	    UINT64_C(1) | UINT64_C(1) << 12 | UINT64_C(1) << 24 |
		UINT64_C(1) << 36 | UINT64_C(1) << 48);
	ck_assert_uint_eq(c.hours, 1 << 9 | 1 << 10 | 1 << 11);
	ck_assert_uint_eq(c.days, 1 << 2 | 1 << 12 | 1 << 22);
	ck_assert_uint_eq(c.months, 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5);
	ck_assert_uint_eq(c.weekdays, 1 << 5 | 1 << 6 | 1);
	ck_assert(!c.both_days && !c.last_day);
}
END_TEST

START_TEST(without_seconds_it_is_the_minutes_first)
{
	ck_assert_uint_eq(parsed("* * * * *").seconds, 1);
	ck_assert_uint_eq(parsed("* * * * * *").seconds,
	    (UINT64_C(1) << 60) - 1);
}
END_TEST

static bool
equal(const struct calendar *a, const struct calendar *b)
{
	return a->seconds == b->seconds && a->minutes == b->minutes &&
	    a->hours == b->hours && a->days == b->days &&
	    a->months == b->months && a->weekdays == b->weekdays &&
	    a->last_day == b->last_day && a->both_days == b->both_days;
}

START_TEST(equal_expressions)
{
	static const char *const pairs[][2] = {
		{ "@hourly", "0 * * * *" },
		{ "@daily", "0 0 * * *" },
		{ "@midnight", "0 0 * * *" },
		{ "@weekly", "0 0 * * 0" },
		{ "@monthly", "0 0 1 * *" },
		{ "@yearly", "0 0 1 1 *" },
		{ " @annually\t", "0 0 1 1 *" },
		{ "0 0 * * 7", "0 0 * * sun" },
		{ "0 0 * * FRI-SUN", "0 0 * * 0,5,6" },
		{ "0 0 * * SUN-TUE", "0 0 * * 0-2" },
		{ "0 0 * * 7/2", "0 0 * * 0" },
		{ "\t0  9 * * 1-5 ", "0 9 * * MON-FRI" },
		{ "0 9 1,L * *", "0 9 l,01 * *" },
		{ "0-59/60 0 * * *", "0 0 * * *" },
	};

	for (size_t i = 0; i < COUNT(pairs); i++) {
		struct calendar a = parsed(pairs[i][0]);
		struct calendar b = parsed(pairs[i][1]);

		ck_assert_msg(equal(&a, &b), "%s", pairs[i][0]);
	}
}
END_TEST

START_TEST(errors_point_at_the_field)
{
	static const char *const wrong[][2] = {
		{ "60 * * * *",
		    "field 1 (minute) is \"60\", expected numbers "
		    "from 0 to 59" },
		{ "0 0 60 * * *", "field 3 (hour) is \"60\", expected" },
		{ "60 0 0 * * *", "field 1 (second) is \"60\", expected" },
		{ "0 24 * * *", "field 2 (hour) is \"24\", expected" },
		{ "0 0 0 * *", "field 3 (day of month) is \"0\", expected" },
		{ "0 0 32 * *", "field 3 (day of month) is \"32\"" },
		{ "0 0 1 0 *", "field 4 (month) is \"0\"" },
		{ "0 0 1 13 *", "field 4 (month) is \"13\"" },
		{ "0 0 1 JANU *", "field 4 (month) is \"JANU\"" },
		{ "0 0 1 MON *", "field 4 (month) is \"MON\"" },
		{ "0 0 * * 8", "field 5 (day of week) is \"8\"" },
		{ "0 0 * * L", "field 5 (day of week) is \"L\"" },
		{ "0 0 L-3 * *", "field 3 (day of month) is \"L-3\"" },
		{ "0 0 L/2 * *", "field 3 (day of month) is \"L/2\"" },
		{ "0 L * * *", "field 2 (hour) is \"L\"" },
		{ "5-1 * * * *",
		    "field 1 (minute) is \"5-1\", expected a "
		    "range that ends behind its begin" },
		{ "* * * * 6-0", "field 5 (day of week) is \"6-0\"" },
		{ "*/0 * * * *",
		    "field 1 (minute) is \"*/0\", expected a "
		    "step" },
		{ "*/61 * * * *", "field 1 (minute) is \"*/61\"" },
		{ "* */25 * * *", "field 2 (hour) is \"*/25\"" },
		{ "*/ * * * *", "field 1 (minute) is \"*/\"" },
		{ "/5 * * * *", "field 1 (minute) is \"/5\"" },
		{ "1/2/3 * * * *", "field 1 (minute) is \"1/2/3\"" },
		{ "1-2-3 * * * *", "field 1 (minute) is \"1-2-3\"" },
		{ "-1 * * * *", "field 1 (minute) is \"-1\"" },
		{ "+1 * * * *", "field 1 (minute) is \"+1\"" },
		{ "1- * * * *", "field 1 (minute) is \"1-\"" },
		{ "*-5 * * * *", "field 1 (minute) is \"*-5\"" },
		{ "** * * * *", "field 1 (minute) is \"**\"" },
		{ "? * * * *", "field 1 (minute) is \"?\"" },
		{ "1, * * * *",
		    "field 1 (minute) is \"1,\", expected no "
		    "empty part" },
		{ ",1 * * * *", "field 1 (minute) is \",1\"" },
		{ "1,2,x * * * *",
		    "field 1 (minute) is \"1,2,x\" with "
		    "\"x\", expected" },
		{ "99999999999999999999 * * * *", "field 1 (minute) is" },
		{ "1.5 * * * *", "field 1 (minute) is \"1.5\"" },
		{ "0 0 30 2 *",
		    "field 3 (day of month) is \"30\", expected a "
		    "day that one of the months has" },
		{ "0 0 31 2,4,6,9,11 *", "field 3 (day of month) is \"31\"" },
		{ "0 0 30,31 FEB */2", "field 3 (day of month) is \"30,31\"" },
		{ "", "it has 0 fields, expected 5" },
		{ " \t", "it has 0 fields" },
		{ "*", "it has 1 field," },
		{ "* * * *", "it has 4 fields" },
		{ "* * * * * * *", "it has 7 fields" },
		{ "@reboot",
		    "expected one of: @hourly, @daily, @midnight, "
		    "@weekly, @monthly, @yearly, @annually" },
		{ "@daily *", "expected one of: @hourly" },
		{ "@", "expected one of: @hourly" },
		{ "@Daily", "expected one of: @hourly" },
	};
	char fault[CRON_FAULT_SIZE];
	struct calendar c;

	for (size_t i = 0; i < COUNT(wrong); i++) {
		const char *s = wrong[i][0], *said = wrong[i][1];

		ck_assert_msg(cron_parse(&c, s, strlen(s), fault) == -1, "%s",
		    s);
		ck_assert_msg(strncmp(fault, said, strlen(said)) == 0, "%s: %s",
		    s, fault);
	}
}
END_TEST

START_TEST(any_bytes_are_refused_or_have_times)
{
	static const char alphabet[] = "0123456789*/-,L @JANSU\t\xff\x80.";
	char fault[CRON_FAULT_SIZE], s[64];
	int good = 0;

	for (int i = 0; i < 200000; i++) {
		size_t len = unit_below(i % 2 == 0 ? 16 : 40);
		struct calendar c;

		for (size_t k = 0; k < len; k++)
			s[k] = alphabet[unit_below(sizeof(alphabet))];
		/* Most of them would not get far. */
		if (len > 10)
			memcpy(s + len - 8, " * * * *", 8);
		memset(fault, 'x', sizeof(fault));
		if (cron_parse(&c, s, len, fault) < 0) {
			ck_assert_ptr_nonnull(memchr(fault, '\0',
			    sizeof(fault)));
			continue;
		}
		good++;
		ck_assert_int_ne(calendar_next(&c, berlin, 0), CALENDAR_NEVER);
	}
	ck_assert_int_gt(good, 100);
}
END_TEST

/* --- days ----------------------------------------------------------------- */

START_TEST(day_of_month_or_of_week)
{
	/* 2026-06-01 is a Monday. */
	int64_t may = at(2026, 5, 31, 0, 0, 0);

	comes("0 0 3 * MON", utc, may, at(2026, 6, 1, 0, 0, 0),
	    at(2026, 6, 3, 0, 0, 0));
	comes("0 0 3 * *", utc, may, at(2026, 6, 3, 0, 0, 0),
	    at(2026, 7, 3, 0, 0, 0));
	comes("0 0 * * MON", utc, may, at(2026, 6, 1, 0, 0, 0),
	    at(2026, 6, 8, 0, 0, 0));
	/* What begins with * leaves it to the other one: both. */
	comes("0 0 */10 * MON", utc, may, at(2026, 6, 1, 0, 0, 0),
	    at(2026, 8, 31, 0, 0, 0));
	comes("0 0 13 * */5", utc, may, at(2026, 9, 13, 0, 0, 0),
	    at(2026, 11, 13, 0, 0, 0));
}
END_TEST

START_TEST(last_day_of_the_month)
{
	comes("0 0 L * *", utc, at(2028, 1, 31, 0, 0, 0),
	    at(2028, 2, 29, 0, 0, 0), at(2028, 3, 31, 0, 0, 0));
	comes("0 0 L 2 *", utc, at(2026, 1, 31, 0, 0, 0),
	    at(2026, 2, 28, 0, 0, 0), at(2027, 2, 28, 0, 0, 0));
	comes("0 0 15,L 4 *", utc, at(2026, 1, 31, 0, 0, 0),
	    at(2026, 4, 15, 0, 0, 0), at(2026, 4, 30, 0, 0, 0));
}
END_TEST

START_TEST(leap_days_and_year_ends)
{
	comes("0 0 29 2 *", utc, at(2026, 1, 1, 0, 0, 0),
	    at(2028, 2, 29, 0, 0, 0), at(2032, 2, 29, 0, 0, 0));
	/* 2100 has none. */
	comes("0 0 29 2 *", utc, at(2096, 1, 1, 0, 0, 0),
	    at(2096, 2, 29, 0, 0, 0), at(2104, 2, 29, 0, 0, 0));
	/* Forty years: on a Sunday. */
	comes("0 0 29 2 */7", utc, at(2088, 1, 1, 0, 0, 0),
	    at(2088, 2, 29, 0, 0, 0), at(2128, 2, 29, 0, 0, 0));
	comes("59 23 31 12 *", utc, at(2026, 12, 31, 23, 58, 0),
	    at(2026, 12, 31, 23, 59, 0), at(2027, 12, 31, 23, 59, 0));
	comes("@yearly", berlin, at(2026, 12, 31, 23, 59, 1),
	    at(2027, 1, 1, 0, 0, 1), at(2028, 1, 1, 0, 0, 1));
	comes("59 59 23 * * *", utc, at(2026, 12, 30, 23, 59, 0) + 59,
	    at(2026, 12, 31, 23, 59, 0) + 59, at(2027, 1, 1, 23, 59, 0) + 59);
}
END_TEST

/* --- summer time ---------------------------------------------------------- */

/* In Berlin 2026: 29 March, 2 to 3 o'clock; 25 October, 3 to 2 o'clock. */

START_TEST(time_that_does_not_exist_comes_behind_the_gap)
{
	int64_t before = at(2026, 3, 28, 12, 0, 1);
	int64_t behind = at(2026, 3, 29, 3, 0, 2);

	comes("30 2 * * *", berlin, before, behind, at(2026, 3, 30, 2, 30, 2));
	comes("0 2 * * *", berlin, before, behind, at(2026, 3, 30, 2, 0, 2));
	/* Many are one, also with the one that is there. */
	comes("*/10 2 * * *", berlin, before, behind, at(2026, 3, 30, 2, 0, 2));
	comes("0,30 2,3 * * *", berlin, before, behind,
	    at(2026, 3, 29, 3, 30, 2));
	comes("0 3 * * *", berlin, before, behind, at(2026, 3, 30, 3, 0, 2));
	comes("30 2 29 3 *", berlin, before, behind, at(2027, 3, 29, 2, 30, 2));
	/* Half an hour is left out there. */
	comes("15 2 * * *", lord_howe, at(2026, 10, 4, 1, 0, 0) - 37800,
	    at(2026, 10, 4, 2, 30, 11), at(2026, 10, 5, 2, 15, 11));
}
END_TEST

START_TEST(time_that_exists_twice_comes_at_its_first)
{
	int64_t before = at(2026, 10, 24, 12, 0, 2);
	int64_t first = at(2026, 10, 25, 2, 30, 2);
	int64_t again = at(2026, 10, 25, 2, 30, 1);

	comes("30 2 * * *", berlin, before, first, at(2026, 10, 26, 2, 30, 1));
	comes("0 2,3 * * *", berlin, before, at(2026, 10, 25, 2, 0, 2),
	    at(2026, 10, 25, 3, 0, 1));
	/* Also for one that begins when it is there again. */
	comes("30 2 * * *", berlin, again - 60, at(2026, 10, 26, 2, 30, 1),
	    at(2026, 10, 27, 2, 30, 1));
	comes("45 2 * * *", berlin, again, at(2026, 10, 26, 2, 45, 1),
	    at(2026, 10, 27, 2, 45, 1));
	comes("30 2 * * *", berlin, first, at(2026, 10, 26, 2, 30, 1),
	    at(2026, 10, 27, 2, 30, 1));
}
END_TEST

START_TEST(every_hour_follows_elapsed_time)
{
	struct calendar hourly = parsed("@hourly");
	struct calendar quarter = parsed("*/15 * * * *");
	int64_t t = at(2026, 3, 28, 0, 0, 1), u = t;
	int64_t end = at(2026, 10, 27, 0, 0, 1);

	ck_assert_uint_eq(calendar_count(&hourly, berlin, t, end),
	    (end - t) / 3600);
	while (t < end) {
		int64_t next = calendar_next(&hourly, berlin, t);

		ck_assert_int_eq(next - t, 3600);
		t = next;
	}
	for (int i = 0; i < 20000; i++) {
		int64_t next = calendar_next(&quarter, berlin, u);

		ck_assert_int_eq(next - u, 900);
		u = next;
	}
	comes("30 */1 25 10 *", berlin, at(2026, 10, 25, 1, 30, 2),
	    at(2026, 10, 25, 2, 30, 2), at(2026, 10, 25, 2, 30, 1));
}
END_TEST

/* --- both functions ------------------------------------------------------- */

/* Some expression, dense or not; as good as any. */
static const char *
expression(char *s, size_t size)
{
	static const char *const minutes[] = { "*", "0", "30", "*/7", "5-9",
		"59", "0,45" };
	static const char *const hours[] = { "*", "*", "2", "0,23", "1-3",
		"*/5", "0" };
	static const char *const days[] = { "*", "*", "L", "29", "1,15",
		"*/9" };
	static const char *const months[] = { "*", "*", "*", "3,10", "2",
		"12" };
	static const char *const weekdays[] = { "*", "*", "SUN", "1-5", "*/7" };

#define ANY(a) ((a)[unit_below(COUNT(a))])
	snprintf(s, size, "%s%s %s %s %s %s", unit_below(4) == 0 ? "*/20 " : "",
	    ANY(minutes), ANY(hours), ANY(days), ANY(months), ANY(weekdays));
#undef ANY
	return s;
}

START_TEST(count_is_how_often_next_can_be_asked)
{
	const struct zone *const zones[] = { utc, berlin, lord_howe, negative };

	for (int i = 0; i < 3000; i++) {
		const struct zone *zone = zones[unit_below(4)];
		char s[64];
		struct calendar c = parsed(expression(s, sizeof(s)));
		int64_t from = (int64_t)unit_below(130 * YEAR_S);
		int64_t t = from;
		uint64_t n = unit_below(50);

		for (uint64_t k = 0; k < n; k++) {
			int64_t next = calendar_next(&c, zone, t);

			ck_assert_int_gt(next, t);
			t = next;
		}
		ck_assert_msg(calendar_count(&c, zone, from, t) == n,
		    "%s from %jd", s, (intmax_t)from);
		if (n > 0)
			ck_assert_uint_eq(calendar_count(&c, zone, from, t - 1),
			    n - 1);
		ck_assert_uint_eq(calendar_count(&c, zone, t,
				      calendar_next(&c, zone, t) - 1),
		    0);
	}
}
END_TEST

START_TEST(ends_of_time)
{
	struct calendar c = parsed("* * * * * *");

	ck_assert_int_eq(calendar_next(&c, berlin, INT64_MAX - 1),
	    CALENDAR_NEVER);
	ck_assert_int_lt(calendar_next(&c, berlin, INT64_MIN), 0);
	ck_assert_uint_eq(calendar_count(&c, utc, 0, 1000000000), 1000000000);
	ck_assert_uint_eq(calendar_count(&c, utc, 5, 5), 0);
	ck_assert_uint_eq(calendar_count(&c, utc, 5, 4), 0);
	ck_assert_int_eq(calendar_next(&c, utc, -2), -1);
}
END_TEST

/* Ten thousand searches of the worst kind: seconds would be a loop. */
START_TEST(searches_are_short)
{
	static const char *const worst[] = { "0 0 29 2 */7", "0 0 29 2 *",
		"59 59 23 29 2 */6", "* * 29 2 */7", "0 0 */31 2 */7" };
	clock_t begin = clock();
	int64_t sum = 0;

	for (size_t i = 0; i < COUNT(worst); i++) {
		struct calendar c = parsed(worst[i]);

		for (int k = 0; k < 2000; k++)
			sum += calendar_next(&c, berlin,
				   at(2088, 3, 1, 0, 0, 1) + k * 3600) > 0;
	}
	ck_assert_int_eq(sum, 10000);
	printf("a search: %.1f us\n",
	    (double)(clock() - begin) / CLOCKS_PER_SEC * 100);
	ck_assert_int_lt((clock() - begin) / CLOCKS_PER_SEC, 20);
}
END_TEST

START_TEST(dates_there_and_back)
{
	for (int64_t day = -800000; day < 800000; day++) {
		struct civil date = civil_from_days(day);

		/* An assertion takes its time. */
		if (civil_to_days(date.year, date.month, date.day) != day ||
		    date.day > civil_month_length(date.year, date.month))
			ck_abort_msg("day %jd", (intmax_t)day);
	}
	ck_assert_int_eq(civil_weekday(0), 4);
	ck_assert_int_eq(civil_weekday(-1), 3);
	ck_assert_int_eq(civil_to_days(2000, 3, 1), 11017);
}
END_TEST

int
main(void)
{
	TCase *cases = tcase_create("calendar");

	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, fields_are_read);
	tcase_add_test(cases, without_seconds_it_is_the_minutes_first);
	tcase_add_test(cases, equal_expressions);
	tcase_add_test(cases, errors_point_at_the_field);
	tcase_add_test(cases, any_bytes_are_refused_or_have_times);
	tcase_add_test(cases, day_of_month_or_of_week);
	tcase_add_test(cases, last_day_of_the_month);
	tcase_add_test(cases, leap_days_and_year_ends);
	tcase_add_test(cases, time_that_does_not_exist_comes_behind_the_gap);
	tcase_add_test(cases, time_that_exists_twice_comes_at_its_first);
	tcase_add_test(cases, every_hour_follows_elapsed_time);
	tcase_add_test(cases, count_is_how_often_next_can_be_asked);
	tcase_add_test(cases, ends_of_time);
	tcase_add_test(cases, searches_are_short);
	tcase_add_test(cases, dates_there_and_back);
	return unit_run(cases);
}
