#include "config.h"

#include "event.h"

#include <jansson.h>
#include <string.h>

#include "put.h"
#include "unit.h"

#define SLICE(s)                   \
	{                          \
		(s), sizeof(s) - 1 \
	}

/* The line of an event to whose type nothing is to be added. */
static struct buffer b;

static const char *
line_of(const struct event *event)
{
	buffer_clear(&b);
	event_begin(&b, event);
	event_end(&b, event);
	return unit_text(&b);
}

static void
setup(void)
{
	buffer_init(&b, NULL);
}

static void
teardown(void)
{
	buffer_fini(&b);
}

static struct event
tick(void)
{
	return (struct event){
		.type = SLICE("timer"),
		.watcher = SLICE("\"tick\""),
		.revents = 256,
		.seq = 1,
		.time = 1795397820.123456,
		.active = true,
	};
}

START_TEST(plain_event)
{
	struct event event = tick();

	ck_assert_str_eq(line_of(&event),
	    "{\"event\":\"timer\",\"watcher\":\"tick\",\"revents\":256,"
	    "\"seq\":1,\"time\":1795397820.123456}\n");
}
END_TEST

START_TEST(event_of_a_watcher_that_stopped)
{
	struct event event = tick();

	event.active = false;
	ck_assert_str_eq(line_of(&event),
	    "{\"event\":\"timer\",\"watcher\":\"tick\",\"revents\":256,"
	    "\"seq\":1,\"time\":1795397820.123456,\"active\":false}\n");
}
END_TEST

START_TEST(event_with_overrun_and_data)
{
	struct event event = tick();

	event.overrun = 41;
	event.data = (struct slice)SLICE("{ \"a\" : [1, 2] }");
	ck_assert_str_eq(line_of(&event),
	    "{\"event\":\"timer\",\"watcher\":\"tick\",\"revents\":256,"
	    "\"seq\":1,\"time\":1795397820.123456,\"overrun\":41,"
	    "\"data\":{ \"a\" : [1, 2] }}\n");
}
END_TEST

START_TEST(what_the_type_adds_stands_in_the_middle)
{
	struct event event = tick();

	event.active = false;
	event.overrun = 1;
	event.data = (struct slice)SLICE("null");
	event_begin(&b, &event);
	put_key(&b, "at");
	put_u64(&b, 5);
	event_end(&b, &event);
	ck_assert_str_eq(unit_text(&b),
	    "{\"event\":\"timer\",\"watcher\":\"tick\",\"revents\":256,"
	    "\"seq\":1,\"time\":1795397820.123456,\"at\":5,"
	    "\"active\":false,\"overrun\":1,\"data\":null}\n");
}
END_TEST

START_TEST(numbers_at_their_edges)
{
	struct event event = tick();
	json_t *read;

	event.watcher = (struct slice)SLICE("9007199254740991");
	event.revents = INT32_MIN;
	event.seq = UINT64_MAX;
	event.overrun = UINT64_MAX;
	ck_assert_str_eq(line_of(&event),
	    "{\"event\":\"timer\",\"watcher\":9007199254740991,"
	    "\"revents\":-2147483648,\"seq\":18446744073709551615,"
	    "\"time\":1795397820.123456,"
	    "\"overrun\":18446744073709551615}\n");
	event.seq = event.overrun = INT64_MAX;
	read = json_loads(line_of(&event), 0, NULL);
	ck_assert_ptr_nonnull(read);
	json_decref(read);
}
END_TEST

START_TEST(lines_stand_behind_what_is_there)
{
	struct event event = tick();

	buffer_puts(&b, "before\n");
	event_begin(&b, &event);
	event_end(&b, &event);
	ck_assert_ptr_nonnull(strstr(unit_text(&b), "before\n{\"event\""));
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("event", setup, teardown);

	tcase_add_test(cases, plain_event);
	tcase_add_test(cases, event_of_a_watcher_that_stopped);
	tcase_add_test(cases, event_with_overrun_and_data);
	tcase_add_test(cases, what_the_type_adds_stands_in_the_middle);
	tcase_add_test(cases, numbers_at_their_edges);
	tcase_add_test(cases, lines_stand_behind_what_is_there);
	return unit_run(cases);
}
