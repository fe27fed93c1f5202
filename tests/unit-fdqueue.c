#include "config.h"

#include "fdqueue.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"

/*
 * What is passed here are eventfds, each with a number of its own in it, so
 * that it can be told which one a line has got.
 */
static struct limits limits;
static struct account account;
static struct fdqueue queue;
static struct error error;
static unsigned int passed; /* the number of the last one */

static void
setup(void)
{
	limits_init(&limits);
	limits.session[LIMIT_DESCRIPTORS] = 1000;
	account_init(&account, &limits, 1000);
	fdqueue_init(&queue, &account);
	passed = 0;
}

static void
teardown(void)
{
	fdqueue_fini(&queue);
	ck_assert_uint_eq(account.used[LIMIT_DESCRIPTORS], 0);
	account_fini(&account);
	limits_fini(&limits);
}

static int
new_descriptor(void)
{
	int fd = eventfd(++passed, EFD_NONBLOCK | EFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* Which one it is; and it is closed. */
static unsigned int
number_of(int fd)
{
	uint64_t number;

	ck_assert_int_eq(read(fd, &number, sizeof(number)), sizeof(number));
	fdqueue_close(&account, fd);
	return (unsigned int)number;
}

/* A read of the bytes from begin to end brings n descriptors. */
static void
receive_flags(uint64_t begin, uint64_t end, size_t n, int flags)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = { 0 };
	struct msghdr msg = {
		.msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
		.msg_flags = flags,
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (size_t i = 0; i < n; i++) {
		int fd = new_descriptor();

		memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &fd, sizeof(fd));
	}
	fdqueue_receive(&queue, &msg, begin, end);
}

static void
receive(uint64_t begin, uint64_t end, size_t n)
{
	receive_flags(begin, end, n, 0);
}

/* A line that ends there says that it takes n, and gets the first and so on. */
static void
line_gets(uint64_t end, size_t n, unsigned int first)
{
	int fds[FDS_MAX];

	ck_assert_int_eq(fdqueue_enter_line(&queue, end, &error), 0);
	ck_assert_msg(fdqueue_take(&queue, n, fds, &error) == 0, "%s",
	    error.message);
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(number_of(fds[i]), first + i);
}

static void
line_is_refused(uint64_t end, size_t n, enum error_code code, const char *text)
{
	int fds[FDS_MAX];

	ck_assert_int_eq(fdqueue_enter_line(&queue, end, &error), 0);
	ck_assert_int_eq(fdqueue_take(&queue, n, fds, &error), -1);
	ck_assert_int_eq(error.code, code);
	ck_assert_msg(strstr(error.message, text) != NULL, "%s", error.message);
}

static void
line_finds_stale(uint64_t end, const char *text)
{
	ck_assert_int_eq(fdqueue_enter_line(&queue, end, &error), -1);
	ck_assert_int_eq(error.code, ERROR_INVALID_ARGUMENT);
	ck_assert_msg(strstr(error.message, text) != NULL, "%s", error.message);
}

static void
assert_queued(unsigned int n)
{
	ck_assert_uint_eq(account.used[LIMIT_DESCRIPTORS], n);
}

/* --- as it should be ------------------------------------------------------- */

START_TEST(lines_take_them_in_order)
{
	receive(0, 30, 4);
	assert_queued(4);
	line_gets(10, 1, 1);
	line_gets(20, 0, 0);
	line_gets(30, 3, 2);
	assert_queued(0);
}
END_TEST

START_TEST(line_may_end_behind_the_read)
{
	receive(0, 1, 2);
	line_gets(10, 1, 1);
	line_gets(20, 1, 2);
}
END_TEST

START_TEST(plain_lines_may_stand_before_in_the_same_read)
{
	receive(0, 40, 2);
	line_gets(10, 0, 0);
	line_gets(20, 0, 0);
	line_gets(30, 1, 1);
	line_gets(40, 1, 2);
}
END_TEST

START_TEST(lines_take_those_of_reads_ahead)
{
	receive(0, 10, 1);
	receive(10, 30, 2);
	receive(30, 40, 1);
	line_gets(10, 1, 1);
	line_gets(20, 1, 2);
	line_gets(30, 1, 3);
	line_gets(40, 1, 4);
}
END_TEST

/* --- asked for more --------------------------------------------------------- */

START_TEST(asking_without_any_is_an_error)
{
	line_is_refused(10, 1, ERROR_INVALID_ARGUMENT, "expected at most 0");
}
END_TEST

START_TEST(asking_for_more_closes_what_there_is)
{
	receive(0, 10, 2);
	line_is_refused(10, 3, ERROR_INVALID_ARGUMENT,
	    "\"fds\" is 3, expected at most 2");
	assert_queued(0);
	receive(10, 20, 1);
	line_gets(20, 1, 3);
}
END_TEST

START_TEST(asking_for_more_takes_nothing_of_later_lines)
{
	receive(0, 10, 1);
	receive(10, 20, 1);
	line_is_refused(10, 2, ERROR_INVALID_ARGUMENT, "expected at most 1");
	assert_queued(1);
	line_gets(20, 1, 2);
}
END_TEST

/* --- left over --------------------------------------------------------------- */

START_TEST(what_is_left_is_an_error_of_the_next_line_that_brings_some)
{
	receive(0, 10, 3);
	line_gets(10, 1, 1);
	line_gets(20, 0, 0);
	receive(20, 30, 1);
	line_finds_stale(30, "not taken (2)");
	assert_queued(0);
	receive(30, 40, 1);
	line_gets(40, 1, 5);
}
END_TEST

START_TEST(what_is_left_is_noticed_before_the_last_byte_of_the_read)
{
	receive(0, 10, 2);
	receive(10, 40, 2);
	line_gets(10, 1, 1);
	ck_assert_int_eq(fdqueue_enter_line(&queue, 20, &error), 0);
	line_finds_stale(40, "not taken (1)");
	assert_queued(0);
}
END_TEST

START_TEST(what_was_passed_with_later_lines_stays)
{
	receive(0, 10, 2);
	receive(10, 20, 1);
	receive(20, 30, 1);
	line_gets(10, 1, 1);
	line_finds_stale(20, "not taken (1)");
	assert_queued(1);
	line_gets(30, 1, 4);
}
END_TEST

START_TEST(one_line_of_two_messages_is_refused)
{
	receive(0, 5, 1);
	receive(5, 10, 1);
	line_finds_stale(10, "not taken (1)");
	assert_queued(0);
}
END_TEST

START_TEST(plain_lines_may_take_what_is_left)
{
	receive(0, 10, 2);
	line_gets(10, 1, 1);
	line_gets(20, 1, 2);
	receive(20, 30, 1);
	line_gets(30, 1, 3);
}
END_TEST

START_TEST(unreadable_line_drops_what_came_with_it)
{
	receive(0, 10, 2);
	receive(10, 20, 1);
	fdqueue_drop(&queue, 10);
	assert_queued(1);
	line_gets(20, 1, 3);
}
END_TEST

START_TEST(unreadable_line_drops_nothing_that_comes_behind_it)
{
	receive(0, 20, 1);
	fdqueue_drop(&queue, 10);
	line_gets(20, 1, 1);
}
END_TEST

/* --- not kept ----------------------------------------------------------------- */

START_TEST(over_the_limit_the_line_is_refused_that_takes_it)
{
	limits.session[LIMIT_DESCRIPTORS] = 2;
	receive(0, 40, 4);
	assert_queued(2);
	ck_assert_int_eq(fdqueue_enter_line(&queue, 10, &error), 0);
	line_gets(10, 1, 1);
	/* One that there is, one that there is not: both are the line's. */
	line_is_refused(20, 2, ERROR_LIMIT_EXCEEDED,
	    "too many descriptors: a session may have 2");
	assert_queued(0);
	line_is_refused(30, 1, ERROR_LIMIT_EXCEEDED, "descriptors");
	line_is_refused(40, 1, ERROR_INVALID_ARGUMENT, "expected at most 0");
	receive(40, 50, 1);
	line_gets(50, 1, 5);
}
END_TEST

START_TEST(without_room_in_the_table_the_line_is_refused)
{
	int lowest = open("/dev/null", O_RDONLY);

	limits.fd_end = lowest + 1;
	close(lowest);
	receive(0, 20, 3);
	assert_queued(1);
	line_gets(10, 1, 1);
	line_is_refused(20, 2, ERROR_LIMIT_EXCEEDED, "RLIMIT_NOFILE");
}
END_TEST

START_TEST(what_was_not_kept_and_is_left_is_an_error_too)
{
	limits.session[LIMIT_DESCRIPTORS] = 1;
	receive(0, 10, 3);
	line_gets(10, 1, 1);
	receive(10, 20, 1);
	line_finds_stale(20, "not taken (2)");
}
END_TEST

START_TEST(what_is_not_kept_takes_no_room)
{
	limits.session[LIMIT_DESCRIPTORS] = 5;
	for (int i = 0; i < 2000; i++)
		receive(i, i + 1, 2);
	ck_assert_uint_le(queue.size, 16);
	line_finds_stale(2000, "not taken");
	assert_queued(0);
}
END_TEST

START_TEST(truncated_message_refuses_all_its_lines)
{
	receive_flags(0, 40, 1, MSG_CTRUNC);
	line_gets(10, 1, 1);
	line_is_refused(20, 1, ERROR_LIMIT_EXCEEDED, "RLIMIT_NOFILE");
	line_is_refused(30, 2, ERROR_LIMIT_EXCEEDED, "RLIMIT_NOFILE");
	line_gets(40, 0, 0);
	receive(40, 50, 1);
	line_gets(50, 1, 2);
	assert_queued(0);
}
END_TEST

START_TEST(truncated_message_leaves_others_alone)
{
	receive(0, 10, 1);
	receive_flags(10, 20, 2, MSG_CTRUNC);
	receive(20, 30, 1);
	line_gets(10, 1, 1);
	line_is_refused(20, 3, ERROR_LIMIT_EXCEEDED, "RLIMIT_NOFILE");
	assert_queued(1);
	line_gets(30, 1, 4);
}
END_TEST

START_TEST(truncated_message_that_was_cut_never_pairs_wrong)
{
	/* The next read has its last lines, and another message behind. */
	receive_flags(0, 5, 1, MSG_CTRUNC);
	receive(5, 40, 2);
	line_gets(10, 1, 1);
	line_is_refused(20, 1, ERROR_LIMIT_EXCEEDED, "RLIMIT_NOFILE");
	line_is_refused(30, 1, ERROR_INVALID_ARGUMENT, "expected at most 0");
	line_is_refused(40, 1, ERROR_INVALID_ARGUMENT, "expected at most 0");
	receive(40, 50, 1);
	line_gets(50, 1, 4);
}
END_TEST

/* --- over a socket ---------------------------------------------------------- */

#define STREAM_LINES 300

/* A line: how long it is, how many it takes, and with which message it goes. */
static struct {
	size_t len;
	size_t fds;
	bool joins; /* the message of the line before */
} lines[STREAM_LINES];

static void
plan_lines(void)
{
	for (int i = 0; i < STREAM_LINES; i++) {
		lines[i].len = 1 + unit_below(40);
		lines[i].fds = unit_below(3) == 0 ? unit_below(4) : 0;
		lines[i].joins = i > 0 && unit_below(2) == 0;
	}
}

/* Sends the lines from the first on that go with one message. */
static int
send_message(int socket, int first)
{
	static char bytes[STREAM_LINES * 40];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { bytes, 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[FDS_MAX], i = first;
	size_t n = 0;

	do {
		iov.iov_len += lines[i].len;
		for (size_t j = 0; j < lines[i].fds; j++)
			fds[n++] = new_descriptor();
		i++;
	} while (i < STREAM_LINES && lines[i].joins && n < FDS_MAX - 4);
	if (n > 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, n * sizeof(int));
	}
	ck_assert_int_eq(sendmsg(socket, &msg, 0), (ssize_t)iov.iov_len);
	for (size_t j = 0; j < n; j++)
		close(fds[j]);
	return i;
}

static uint64_t
receive_some(int socket, uint64_t at, size_t max)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	char bytes[256];
	struct iovec iov = { bytes, 1 + unit_below(max) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n <= 0)
		return at;
	fdqueue_receive(&queue, &msg, at, at + (uint64_t)n);
	return at + (uint64_t)n;
}

START_TEST(it_never_shows_how_the_stream_was_cut)
{
	uint64_t received = 0, end = 0;
	unsigned int next = 1;
	int sockets[2], sent = 0, read = 0;
	/* Short reads, middling ones, and mostly whole messages. */
	size_t max = _i == 0 ? 3 : _i == 1 ? 50 : 256;

	plan_lines();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	while (read < STREAM_LINES) {
		if (sent < STREAM_LINES && unit_below(2) == 0)
			sent = send_message(sockets[0], sent);
		received = receive_some(sockets[1], received, max);
		/* Lines are executed when they are here, or some time later. */
		while (read < STREAM_LINES &&
		    end + lines[read].len <= received && unit_below(4) > 0) {
			end += lines[read].len;
			line_gets(end, lines[read].fds, next);
			next += (unsigned int)lines[read].fds;
			read++;
		}
	}
	assert_queued(0);
	close(sockets[0]);
	close(sockets[1]);
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("fdqueue", setup, teardown);

	tcase_add_test(cases, lines_take_them_in_order);
	tcase_add_test(cases, line_may_end_behind_the_read);
	tcase_add_test(cases, plain_lines_may_stand_before_in_the_same_read);
	tcase_add_test(cases, lines_take_those_of_reads_ahead);
	tcase_add_test(cases, asking_without_any_is_an_error);
	tcase_add_test(cases, asking_for_more_closes_what_there_is);
	tcase_add_test(cases, asking_for_more_takes_nothing_of_later_lines);
	tcase_add_test(cases,
	    what_is_left_is_an_error_of_the_next_line_that_brings_some);
	tcase_add_test(cases,
	    what_is_left_is_noticed_before_the_last_byte_of_the_read);
	tcase_add_test(cases, what_was_passed_with_later_lines_stays);
	tcase_add_test(cases, one_line_of_two_messages_is_refused);
	tcase_add_test(cases, plain_lines_may_take_what_is_left);
	tcase_add_test(cases, unreadable_line_drops_what_came_with_it);
	tcase_add_test(cases,
	    unreadable_line_drops_nothing_that_comes_behind_it);
	tcase_add_test(cases, over_the_limit_the_line_is_refused_that_takes_it);
	tcase_add_test(cases, without_room_in_the_table_the_line_is_refused);
	tcase_add_test(cases, what_was_not_kept_and_is_left_is_an_error_too);
	tcase_add_test(cases, what_is_not_kept_takes_no_room);
	tcase_add_test(cases, truncated_message_refuses_all_its_lines);
	tcase_add_test(cases, truncated_message_leaves_others_alone);
	tcase_add_test(cases, truncated_message_that_was_cut_never_pairs_wrong);
	tcase_add_loop_test(cases, it_never_shows_how_the_stream_was_cut, 0, 3);
	return unit_run(cases);
}
