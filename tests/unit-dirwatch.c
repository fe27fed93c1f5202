#include "config.h"

#include "dirwatch.h"

#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feature.h"
#include "unit.h"

/* Files in a directory of the case's own, and how often each has changed. */
#define FILES 1000

static struct ev_loop *loop;
static struct dirwatch dirwatch;
static char directory[64];
static struct file {
	struct dirwatch_item item;
	char path[128];
	int changes;
} files[FILES];

static void
on_change(struct dirwatch_item *item)
{
	((struct file *)item)->changes++;
}

static void
setup(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(directory, sizeof(directory), "%s/evd-unit-XXXXXX",
	    tmp == NULL || strlen(tmp) > 40 ? "/tmp" : tmp);
	ck_assert_ptr_nonnull(mkdtemp(directory));
	loop = ev_loop_new(EVFLAG_NOENV);
	dirwatch_init(&dirwatch, loop);
}

static void
teardown(void)
{
	for (int i = 0; i < FILES; i++) {
		dirwatch_del(&files[i].item);
		unlink(files[i].path);
	}
	/* All is given back. */
	ck_assert_ptr_null(dirwatch.places.root);
	ck_assert_uint_eq(dirwatch.places.table.count, 0);
	ck_assert_uint_eq(dirwatch.places.marks.table.count, 0);
	ck_assert(TAILQ_EMPTY(&dirwatch.jobs.queue));
	dirwatch_fini(&dirwatch);
	ev_loop_destroy(loop);
	rmdir(directory);
}

static void
write_file(int i)
{
	int fd = open(files[i].path, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	close(fd);
}

static void
watch_file(int i)
{
	struct file *file = &files[i];

	*file = (struct file){ .item = { .path = file->path,
				   .on_change = on_change } };
	snprintf(file->path, sizeof(file->path), "%s/%d", directory, i);
	dirwatch_add(&dirwatch, &file->item);
}

/* Lets the loop turn once, without waiting; returns how many changes it saw. */
static int
turn(void)
{
	int before = 0, after = 0;

	for (int i = 0; i < FILES; i++)
		before += files[i].changes;
	ev_run(loop, EVRUN_NOWAIT);
	for (int i = 0; i < FILES; i++)
		after += files[i].changes;
	return after - before;
}

static void
turn_until_done(void)
{
	uint64_t ticket = dirwatch_gather(&dirwatch);

	while (!dirwatch_is_done(&dirwatch, ticket))
		turn();
}

START_TEST(a_change_is_told_once)
{
	watch_file(0);
	watch_file(1);
	write_file(0);
	turn_until_done();
	ck_assert_int_eq(files[0].changes, 1);
	ck_assert_int_eq(files[1].changes, 0);
	ck_assert_int_eq(files[0].item.state.size, 1);
	turn_until_done();
	ck_assert_int_eq(files[0].changes, 1);
}
END_TEST

/* As after an overflow: the marks' owner is told so, and has no events. */
START_TEST(all_is_compared_again_a_part_in_each_iteration)
{
	int seen, turns = 0, all = 0;
	char drop[64 * 1024];

	for (int i = 0; i < FILES; i++)
		watch_file(i);
	for (int i = 0; i < FILES; i++)
		write_file(i);
	while (read(dirwatch.places.marks.fd, drop, sizeof(drop)) > 0)
		continue;
	dirwatch.places.marks.on_overflow(&dirwatch.places.marks);
	while (!TAILQ_EMPTY(&dirwatch.jobs.queue)) {
		seen = turn();
		ck_assert_int_le(seen, JOBS_STEPS);
		all += seen;
		turns++;
	}
	ck_assert_int_eq(all, FILES);
	ck_assert_int_ge(turns, 2 * FILES / JOBS_STEPS);
	for (int i = 0; i < FILES; i++)
		ck_assert_int_eq(files[i].changes, 1);
	/* And each is marked from now on. */
	for (int i = 0; i < FILES; i++)
		ck_assert_int_eq(unlink(files[i].path), 0);
	turn_until_done();
	for (int i = 0; i < FILES; i++)
		ck_assert_int_eq(files[i].changes, 2);
}
END_TEST

START_TEST(an_event_costs_no_more_where_there_are_many)
{
	for (int i = 0; i < FILES; i++)
		watch_file(i);
	for (int i = 0; i < FILES; i += 100) {
		uint64_t tickets = dirwatch.jobs.tickets;

		write_file(i);
		turn_until_done();
		/* The file's place, and perhaps the directory's; no other. */
		ck_assert_uint_le(dirwatch.jobs.tickets - tickets, 3);
		ck_assert_int_ge(files[i].changes, 1);
	}
}
END_TEST

/* As if the new one had got the number of the old, in the same instant. */
START_TEST(another_file_with_all_in_common_is_a_change)
{
	watch_file(0);
	write_file(0);
	turn_until_done();
	files[0].changes = 0;
	ck_assert_int_eq(unlink(files[0].path), 0);
	write_file(0);
	filestate_take(&files[0].item.state, files[0].path, false);
	turn_until_done();
	ck_assert_int_eq(files[0].changes, 1);
}
END_TEST

static void
on_change_remove(struct dirwatch_item *item)
{
	on_change(item);
	for (int i = 0; i < FILES; i++)
		dirwatch_del(&files[i].item);
}

/* One of many that are to be told of the same change removes all. */
START_TEST(items_may_be_removed_when_they_change)
{
	for (int i = 0; i < FILES; i++) {
		watch_file(i);
		dirwatch_del(&files[i].item);
		snprintf(files[i].path, sizeof(files[i].path), "%s/0",
		    directory);
		files[i].item.on_change = on_change_remove;
		dirwatch_add(&dirwatch, &files[i].item);
	}
	write_file(0);
	ck_assert_int_eq(turn() + turn() + turn(), 1);
}
END_TEST

START_TEST(a_ticket_is_for_what_was_there)
{
	uint64_t first, second;

	for (int i = 0; i < FILES; i++)
		watch_file(i);
	for (int i = 0; i < FILES / 2; i++)
		write_file(i);
	first = dirwatch_gather(&dirwatch);
	ck_assert(!dirwatch_is_done(&dirwatch, first));
	for (int i = FILES / 2; i < FILES; i++)
		write_file(i);
	second = dirwatch_gather(&dirwatch);
	while (!dirwatch_is_done(&dirwatch, first))
		turn();
	ck_assert(!dirwatch_is_done(&dirwatch, second));
	for (int i = 0; i < FILES / 2; i++)
		ck_assert_int_eq(files[i].changes, 1);
	while (!dirwatch_is_done(&dirwatch, second))
		turn();
	for (int i = 0; i < FILES; i++)
		ck_assert_int_eq(files[i].changes, 1);
}
END_TEST

START_TEST(without_inotify_all_are_polled)
{
	feature_disable("inotify");
	watch_file(0);
	ck_assert(dirwatch_is_polled(&files[0].item));
	write_file(0);
	turn_until_done();
	ck_assert_int_eq(files[0].changes, 0);
	dirwatch_compare(&files[0].item);
	ck_assert_int_eq(files[0].changes, 1);
}
END_TEST

START_TEST(polled_items_are_compared_a_part_in_each_iteration)
{
	int all = 0;

	feature_disable("inotify");
	for (int i = 0; i < FILES; i++) {
		watch_file(i);
		dirwatch_del(&files[i].item);
		files[i].item.interval = 0.1;
		dirwatch_add(&dirwatch, &files[i].item);
		write_file(i);
	}
	while (all < FILES) {
		int seen = turn();

		ck_assert_int_le(seen, JOBS_STEPS);
		all += seen;
	}
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("dirwatch", setup, teardown);

	tcase_add_test(cases, a_change_is_told_once);
	tcase_add_test(cases, all_is_compared_again_a_part_in_each_iteration);
	tcase_add_test(cases, an_event_costs_no_more_where_there_are_many);
	tcase_add_test(cases, another_file_with_all_in_common_is_a_change);
	tcase_add_test(cases, items_may_be_removed_when_they_change);
	tcase_add_test(cases, a_ticket_is_for_what_was_there);
	tcase_add_test(cases, without_inotify_all_are_polled);
	tcase_add_test(cases,
	    polled_items_are_compared_a_part_in_each_iteration);
	return unit_run(cases);
}
