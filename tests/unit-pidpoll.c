#include "config.h"

#include "pidpoll.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fakeclock.h"
#include "feature.h"
#include "process.h"
#include "unit.h"

#define MONOTONIC 1000.0
#define NOW	  3800000000.0
/* Between two looks at zombies, at first. */
#define WAIT_S 0.02

static struct ev_loop *loop;
static struct pidpoll poll;
static pid_t zombie;

static void
on_done(struct pidpoll_item *item)
{
	(void)item;
	ck_abort_msg("nobody has reaped it");
}

static void
setup(void)
{
	siginfo_t info;

	ck_assert(feature_disable("pidfd-info"));
	zombie = fork();
	if (zombie == 0)
		_exit(0);
	ck_assert_int_gt(zombie, 0);
	ck_assert_int_eq(waitid(P_PID, zombie, &info, WEXITED | WNOWAIT), 0);
	fakeclock_start(MONOTONIC, NOW);
	loop = ev_loop_new(EVFLAG_NOENV);
	poll = (struct pidpoll){ .wait = 0 };
	ck_assert_int_eq(pidpoll_init(&poll, loop), 0);
}

static void
teardown(void)
{
	pidpoll_fini(&poll);
	ev_loop_destroy(loop);
	fakeclock.on = false;
	waitpid(zombie, NULL, 0);
}

/* Waits for the reaping, and the loop sees that it is a zombie. */
static int
wait_for_zombie(struct pidpoll_item *item)
{
	int pidfd = process_open(zombie);

	ck_assert_int_ge(pidfd, 0);
	*item = (struct pidpoll_item){ .on_done = on_done };
	ck_assert_int_eq(pidpoll_add(&poll, item, pidfd, UNTIL_REAPED), 0);
	ev_run(loop, EVRUN_NOWAIT);
	ck_assert(item->zombie);
	return pidfd;
}

static void
forget(struct pidpoll_item *item, int pidfd)
{
	pidpoll_del(item);
	close(pidfd);
}

START_TEST(zombies_that_come_do_not_put_off_the_look_at_others)
{
	struct pidpoll_item items[2];
	int pidfds[2];

	pidfds[0] = wait_for_zombie(&items[0]);
	ck_assert(ev_is_active(&poll.timer));
	fakeclock_advance(WAIT_S / 2);
	pidfds[1] = wait_for_zombie(&items[1]);
	ck_assert_double_le(ev_timer_remaining(loop, &poll.timer),
	    WAIT_S / 2 + 1e-6);
	for (int i = 0; i < 2; i++)
		forget(&items[i], pidfds[i]);
}
END_TEST

START_TEST(look_comes_soon_again_when_there_is_a_new_one)
{
	struct pidpoll_item items[2];
	int pidfds[2];

	pidfds[0] = wait_for_zombie(&items[0]);
	for (int i = 0; i < 20; i++) {
		fakeclock_advance(3);
		ev_run(loop, EVRUN_NOWAIT);
	}
	ck_assert_double_ge(ev_timer_remaining(loop, &poll.timer), 1);
	pidfds[1] = wait_for_zombie(&items[1]);
	ck_assert_double_le(ev_timer_remaining(loop, &poll.timer),
	    WAIT_S + 1e-6);
	for (int i = 0; i < 2; i++)
		forget(&items[i], pidfds[i]);
}
END_TEST

int
main(void)
{
	int pidfd = process_open(getpid());
	TCase *cases;

	if (pidfd == -ENOSYS) {
		puts("no pidfd_open(2), which valgrind 3.19 does not know");
		return 77;
	}
	close(pidfd);
	cases = unit_cases("pidpoll", setup, teardown);
	tcase_add_test(cases,
	    zombies_that_come_do_not_put_off_the_look_at_others);
	tcase_add_test(cases, look_comes_soon_again_when_there_is_a_new_one);
	return unit_run(cases);
}
