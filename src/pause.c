#include "config.h"

#include "pause.h"

void
pause_begin(struct session *s)
{
	if (s->suspended)
		return;
	s->suspended = true;
	timeline_suspend(&s->host.timeline);
}

bool
pause_end(struct session *s)
{
	struct watcher_host *host = &s->host;

	if (!s->suspended)
		return true;
	if (host->timeline.suspended) {
		timeline_resume(&host->timeline);
		alarm_group_resume(&host->alarms);
	}
	if (!alarm_group_is_settled(&host->alarms))
		return false;
	s->suspended = false;
	/* What went on is for the loop to look at, before idles fire. */
	host->set_going = ev_iteration(host->loop);
	s->on_work(s);
	return true;
}
