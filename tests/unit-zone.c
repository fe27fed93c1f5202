#include "config.h"

#include "zone.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "civil.h"
#include "unit.h"
#include "zones.h"

#define HOUR_S 3600

static int32_t
offset_at(const struct zone *zone, int64_t t)
{
	struct zone_span span;

	zone_span_at(zone, t, &span);
	ck_assert_int_le(span.start, t);
	ck_assert_int_gt(span.end, t);
	return span.offset;
}

static int64_t
utc(int year, int month, int day, int hour)
{
	return civil_to_days(year, month, day) * DAY_S + hour * HOUR_S;
}

static struct zone *
rule(const char *s)
{
	return zone_parse_rule(s, strlen(s));
}

/* A change of the offset at this moment, and none an hour around it. */
static void
changes(const struct zone *zone, int64_t t, int32_t before, int32_t behind)
{
	struct zone_span span;

	ck_assert_int_eq(offset_at(zone, t - HOUR_S), before);
	ck_assert_int_eq(offset_at(zone, t - 1), before);
	ck_assert_int_eq(offset_at(zone, t), behind);
	ck_assert_int_eq(offset_at(zone, t + HOUR_S), behind);
	zone_span_at(zone, t, &span);
	ck_assert_int_eq(span.start, t);
	zone_span_at(zone, t - 1, &span);
	ck_assert_int_eq(span.end, t);
}

/* --- rules ---------------------------------------------------------------- */

START_TEST(rules_without_summer_time)
{
	static const struct {
		const char *s;
		int32_t offset;
	} rules[] = {
		{ "UTC0", 0 },
		{ "EST5", -5 * HOUR_S },
		{ "IST-5:30", 19800 },
		{ "<+0545>-5:45", 20700 },
		{ "<-0330>3:30:15", -12615 },
		{ "XYZ+1", -HOUR_S },
		{ "XYZ24", -24 * HOUR_S },
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		struct zone *zone = rule(rules[i].s);
		struct zone_span span;

		ck_assert_msg(zone != NULL, "%s", rules[i].s);
		zone_span_at(zone, 0, &span);
		ck_assert_int_eq(span.offset, rules[i].offset);
		ck_assert_int_eq(span.start, INT64_MIN);
		ck_assert_int_eq(span.end, INT64_MAX);
		zone_unref(zone);
	}
}
END_TEST

START_TEST(rules_with_summer_time)
{
	struct zone *zone = rule("CET-1CEST,M3.5.0,M10.5.0/3");

	changes(zone, utc(2026, 3, 29, 1), HOUR_S, 2 * HOUR_S);
	changes(zone, utc(2026, 10, 25, 1), 2 * HOUR_S, HOUR_S);
	changes(zone, utc(2100, 3, 28, 1), HOUR_S, 2 * HOUR_S);
	zone_unref(zone);

	/* Summer time goes on over the end of the year. */
	zone = rule("NZST-12NZDT,M9.5.0,M4.1.0/3");
	changes(zone, utc(2026, 4, 4, 14), 13 * HOUR_S, 12 * HOUR_S);
	changes(zone, utc(2026, 9, 26, 14), 12 * HOUR_S, 13 * HOUR_S);
	ck_assert_int_eq(offset_at(zone, utc(2027, 1, 1, 0)), 13 * HOUR_S);
	zone_unref(zone);

	/* It is the winter that is another one. */
	zone = rule("IST-1GMT0,M10.5.0,M3.5.0/1");
	changes(zone, utc(2026, 3, 29, 1), 0, HOUR_S);
	changes(zone, utc(2026, 10, 25, 1), HOUR_S, 0);
	zone_unref(zone);

	/* Hours before the day, and many behind it. */
	zone = rule("<-02>2<-01>,M3.5.0/-1,M10.5.0/0");
	changes(zone, utc(2026, 3, 29, 1), -2 * HOUR_S, -HOUR_S);
	zone_unref(zone);
	zone = rule("EET-2EEST,M3.4.4/50,M10.4.4/50");
	changes(zone, utc(2026, 3, 28, 0), 2 * HOUR_S, 3 * HOUR_S);
	zone_unref(zone);

	/* As POSIX has it where nothing is said. */
	zone = rule("EST5EDT");
	changes(zone, utc(2026, 3, 8, 7), -5 * HOUR_S, -4 * HOUR_S);
	changes(zone, utc(2026, 11, 1, 6), -4 * HOUR_S, -5 * HOUR_S);
	zone_unref(zone);
}
END_TEST

START_TEST(rules_by_day_of_year)
{
	/* Day 60 is 1 March in the one form, and in leap years not so here. */
	struct zone *zone = rule("AAA0BBB,J60/0,J300/0");

	changes(zone, utc(2027, 3, 1, 0), 0, HOUR_S);
	changes(zone, utc(2028, 3, 1, 0), 0, HOUR_S);
	zone_unref(zone);
	zone = rule("AAA0BBB,59/0,299/0");
	changes(zone, utc(2027, 3, 1, 0), 0, HOUR_S);
	changes(zone, utc(2028, 2, 29, 0), 0, HOUR_S);
	zone_unref(zone);

	/* Always summer. */
	zone = rule("XXX3EDT4,0/0,J365/23");
	for (int64_t t = utc(2026, 1, 1, 0); t < utc(2030, 1, 1, 0);
	     t += 1800 * 7)
		ck_assert_int_eq(offset_at(zone, t), -4 * HOUR_S);
	zone_unref(zone);
}
END_TEST

START_TEST(rules_that_are_none)
{
	static const char *const wrong[] = { "", "UTC", "5", "AB3", "UTC0X",
		"EST5EDT,", "EST5EDT,M3.2.0", "EST5EDT,M3.2.0,M11.1.0,",
		"EST5EDT,M13.2.0,M11.1.0", "EST5EDT,M3.6.0,M11.1.0",
		"EST5EDT,M3.2.7,M11.1.0", "EST5EDT,J0,J365", "EST5EDT,1,366",
		"EST5EDT,M3.2.0/168,M11.1.0", "EST25", "EST5:60", "<EST5",
		"EST99999999999999999999", ":UTC0", "Europe/Berlin" };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(rule(wrong[i]) == NULL, "%s", wrong[i]);
}
END_TEST

/* --- files ---------------------------------------------------------------- */

/* A file under construction. */
struct file {
	unsigned char bytes[512];
	size_t len;
};

static void
file_int(struct file *f, int64_t n, int size)
{
	for (int shift = (size - 1) * 8; shift >= 0; shift -= 8)
		f->bytes[f->len++] = (unsigned char)((uint64_t)n >> shift);
}

static void
file_bytes(struct file *f, const char *s, size_t len)
{
	memcpy(f->bytes + f->len, s, len);
	f->len += len;
}

/* An hour ahead from second 1000 on, then two from 2000 on. */
static void
file_block(struct file *f, char version, int time_size)
{
	static const char zeroes[15];

	file_bytes(f, "TZif", 4);
	f->bytes[f->len++] = (unsigned char)version;
	file_bytes(f, zeroes, 15);
	file_int(f, 0, 4);
	file_int(f, 0, 4);
	file_int(f, 0, 4);
	file_int(f, 2, 4); /* times */
	file_int(f, 3, 4); /* types */
	file_int(f, 4, 4); /* characters */
	file_int(f, 1000, time_size);
	file_int(f, 2000, time_size);
	file_bytes(f, "\1\2", 2);
	for (int i = 0; i < 3; i++) {
		file_int(f, i * HOUR_S, 4);
		file_int(f, 0, 2);
	}
	file_bytes(f, "ABC", 4);
}

static struct file
file_make(const char *footer)
{
	struct file f = { .len = 0 };

	file_block(&f, '2', 4);
	file_block(&f, '2', 8);
	file_bytes(&f, footer, strlen(footer));
	return f;
}

START_TEST(file_with_a_rule)
{
	struct file f = file_make("\nCET-1CEST,M3.5.0,M10.5.0/3\n");
	struct zone *zone = zone_parse(f.bytes, f.len);
	struct zone_span span;

	ck_assert_ptr_nonnull(zone);
	ck_assert_int_eq(offset_at(zone, INT64_MIN / 2), 0);
	ck_assert_int_eq(offset_at(zone, 999), 0);
	ck_assert_int_eq(offset_at(zone, 1000), HOUR_S);
	ck_assert_int_eq(offset_at(zone, 1999), HOUR_S);
	/* The rule is for what comes behind. */
	zone_span_at(zone, 2000, &span);
	ck_assert_int_eq(span.offset, HOUR_S);
	ck_assert_int_eq(span.start, 2000);
	changes(zone, utc(2026, 3, 29, 1), HOUR_S, 2 * HOUR_S);
	zone_unref(zone);
}
END_TEST

START_TEST(file_without_a_rule)
{
	struct file f = file_make("\n\n"), old = { .len = 0 };
	struct zone *zone = zone_parse(f.bytes, f.len);

	ck_assert_int_eq(offset_at(zone, utc(2026, 3, 29, 1)), 2 * HOUR_S);
	zone_unref(zone);
	file_block(&old, '\0', 4);
	zone = zone_parse(old.bytes, old.len);
	ck_assert_int_eq(offset_at(zone, 1999), HOUR_S);
	ck_assert_int_eq(offset_at(zone, 2000), 2 * HOUR_S);
	ck_assert_int_eq(offset_at(zone, INT64_MAX / 2), 2 * HOUR_S);
	zone_unref(zone);
}
END_TEST

START_TEST(file_that_is_cut_is_none)
{
	struct file f = file_make("\nCET-1CEST,M3.5.0,M10.5.0/3\n");

	for (size_t len = 0; len < f.len; len++) {
		/* Of its own size, so that a sanitizer sees its end. */
		void *bytes = memory_alloc(len + 1);

		memcpy((char *)bytes + 1, f.bytes, len);
		ck_assert_ptr_null(zone_parse((char *)bytes + 1, len));
		free(bytes);
	}
}
END_TEST

START_TEST(file_that_is_damaged_does_no_harm)
{
	int good = 0;

	for (int i = 0; i < 50000; i++) {
		struct file f = file_make("\nCET-1CEST,M3.5.0,M10.5.0/3\n");
		struct zone_span span;
		struct zone *zone;

		for (size_t n = unit_below(4); n > 0; n--)
			f.bytes[unit_below(f.len)] = (unsigned char)unit_below(
			    256);
		zone = zone_parse(f.bytes, f.len);
		if (zone == NULL)
			continue;
		good++;
		for (int64_t t = -5000; t < 5000; t += 999) {
			zone_span_at(zone, t, &span);
			if (span.start > t || span.end <= t)
				ck_abort_msg("a span without its time");
		}
		zone_unref(zone);
	}
	ck_assert_int_gt(good, 1000);
}
END_TEST

/* --- names ---------------------------------------------------------------- */

static char directory[] = "/tmp/evd-zone-XXXXXX";

static void
make_file(const char *name, const void *bytes, size_t len)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), len);
	close(fd);
}

static void
make_directory(void)
{
	struct file f = file_make("\nCET-1CEST,M3.5.0,M10.5.0/3\n");
	char path[128];

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/Land", directory);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	make_file("Land/Town", f.bytes, f.len);
	make_file("Etc+1", f.bytes, f.len);
	make_file("empty", "", 0);
	make_file("text", "hello, hello, hello, hello, hello, hello, hello\n",
	    48);
	make_file("dot.file", f.bytes, f.len);
	snprintf(path, sizeof(path), "%s/fifo", directory);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/null", directory);
	ck_assert_int_eq(symlink("/dev/null", path), 0);
	snprintf(path, sizeof(path), "%s/loop", directory);
	ck_assert_int_eq(symlink("loop", path), 0);
	setenv("TZDIR", directory, 1);
}

static void
remove_directory(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", directory);
	ck_assert_int_eq(system(command), 0);
	unsetenv("TZDIR");
}

START_TEST(zones_are_found_by_name)
{
	struct zone *a, *b, *c;
	struct zones zones;

	make_directory();
	zones_init(&zones);
	ck_assert_int_eq(zones_find(&zones, "Land/Town", 9, &a), 0);
	ck_assert_int_eq(zones_find(&zones, "Land/Town and more", 9, &b), 0);
	ck_assert_ptr_eq(a, b);
	ck_assert_int_eq(zones_find(&zones, "Etc+1", 5, &c), 0);
	ck_assert_ptr_ne(a, c);
	ck_assert_str_eq(zone_name(a), "Land/Town");
	zone_unref(a);
	ck_assert_int_eq(offset_at(b, 1500), HOUR_S);
	zone_unref(b);
	zone_unref(c);
	ck_assert(LIST_EMPTY(&zones.named));
	zones_fini(&zones);
	remove_directory();
}
END_TEST

START_TEST(names_lead_nowhere_else)
{
	static const char *const wrong[] = { "", "/", ".", "..", "Land",
		"Land/", "Land/..", "Land//Town", "/Land/Town", "./Land/Town",
		"Land/../Land/Town", "../../etc/passwd", "/etc/localtime",
		"Land/Town/", "Land/Town\n", "Land Town", "dot.file", "empty",
		"text", "fifo", "null", "loop", "nothing", "Land/Town/More",
		"-", "_", "\xc3\xa9", "Land\\Town" };
	struct zones zones;
	struct zone *zone;
	char longer[300];

	make_directory();
	zones_init(&zones);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(zones_find(&zones, wrong[i], strlen(wrong[i]),
				  &zone) == -EINVAL,
		    "%s", wrong[i]);
	ck_assert_int_eq(zones_find(&zones, "Land\0Town", 9, &zone), -EINVAL);
	memset(longer, 'x', sizeof(longer));
	for (size_t len = 250; len <= sizeof(longer); len++)
		ck_assert_int_eq(zones_find(&zones, longer, len, &zone),
		    -EINVAL);
	zones_fini(&zones);
	remove_directory();
}
END_TEST

static int32_t
own_offset(const char *tz, int64_t t)
{
	struct zones zones;
	struct zone *zone;
	int32_t offset;

	setenv("TZ", tz, 1);
	zones_init(&zones);
	zone = zones_own(&zones);
	offset = offset_at(zone, t);
	ck_assert_ptr_null(zone_name(zone));
	zone_unref(zone);
	zones_fini(&zones);
	return offset;
}

START_TEST(own_zone_is_as_libc_has_it)
{
	char path[128];

	make_directory();
	snprintf(path, sizeof(path), "%s/Land/Town", directory);
	ck_assert_int_eq(own_offset("Land/Town", 1500), HOUR_S);
	ck_assert_int_eq(own_offset(":Land/Town", 1500), HOUR_S);
	ck_assert_int_eq(own_offset(path, 1500), HOUR_S);
	ck_assert_int_eq(own_offset("XYZ-3", 1500), 3 * HOUR_S);
	ck_assert_int_eq(own_offset("", 1500), 0);
	/* What is none is UTC, and blocks nobody. */
	ck_assert_int_eq(own_offset("Land/Nowhere", 1500), 0);
	ck_assert_int_eq(own_offset("fifo", 1500), 0);
	snprintf(path, sizeof(path), "%s/fifo", directory);
	ck_assert_int_eq(own_offset(path, 1500), 0);
	unsetenv("TZ");
	remove_directory();
}
END_TEST

int
main(void)
{
	TCase *cases = tcase_create("zone");

	tcase_add_test(cases, rules_without_summer_time);
	tcase_add_test(cases, rules_with_summer_time);
	tcase_add_test(cases, rules_by_day_of_year);
	tcase_add_test(cases, rules_that_are_none);
	tcase_add_test(cases, file_with_a_rule);
	tcase_add_test(cases, file_without_a_rule);
	tcase_add_test(cases, file_that_is_cut_is_none);
	tcase_add_test(cases, file_that_is_damaged_does_no_harm);
	tcase_add_test(cases, zones_are_found_by_name);
	tcase_add_test(cases, names_lead_nowhere_else);
	tcase_add_test(cases, own_zone_is_as_libc_has_it);
	return unit_run(cases);
}
