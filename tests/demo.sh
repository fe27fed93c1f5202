#!/bin/sh
# Shows evd at work: starts a daemon on a private socket, and talks to it over
# socat, as any script can. The lines are as they are on the wire. Fails if an
# event does not come.
#
# EVD           the daemon [build/evd]
# EVD_WRAPPER   a command to run it under
set -u

command -v socat >/dev/null || {
	echo 'socat is missing (Debian: apt-get install socat)'
	exit 77
}

evd=${EVD:-$(dirname "$0")/../build/evd}
python=$(dirname "$0")/../clients/python
dir=$(mktemp -d "${TMPDIR:-/tmp}/evd-demo.XXXXXX") || exit 1
socket=$dir/socket
address=UNIX-CONNECT:$socket
pids=

# The tools

clean_up()
{
	for pid in $pids; do
		kill "$pid" 2>/dev/null
	done
	wait
	rm -rf "$dir"
}

fail()
{
	cat "$dir/log"
	echo "demo: $*"
	exit 1
}

# say TEXT...: a word of explanation.
say()
{
	printf '\n# %s\n' "$@"
}

# wait_for COMMAND...: until it succeeds, at most 20 s.
wait_for()
{
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 400 ] || return 1
		sleep 0.05
	done
}

# start_session NAME: sends the lines of standard input in a session of its
# own, until that ends. They are kept in $dir as NAME.in, what comes back as
# NAME.out. -t: socat must not leave soon after the end of its own input.
start_session()
{
	cat >"$dir/$1.in"
	sed 's/^/> /' "$dir/$1.in"
	timeout --foreground 20 socat -t 60 - "$address" <"$dir/$1.in"
}

# show_session NAME: the same, and shows each line as it comes.
show_session()
{
	{
		start_session "$1" || echo "socat gave $?" >"$dir/failure"
	} | tee "$dir/$1.out"
	[ ! -e "$dir/failure" ] || fail "$(cat "$dir/failure")"
}

# came NAME PATTERN...: whether for each pattern a line has come back.
came()
{
	out=$dir/$1.out
	shift
	for pattern; do
		grep -v '^> ' "$out" | grep -q -e "$pattern" || return 1
	done
}

# expect NAME PATTERN...: the same, at once, or the demo has failed.
expect()
{
	came "$@" || fail "did not come: $*"
}

# The daemon

trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# shellcheck disable=SC2086 # a command with its arguments
${EVD_WRAPPER-} "$evd" --socket "$socket" 2>"$dir/log" &
daemon=$!
pids=$daemon

listens()
{
	grep -q 'listening' "$dir/log" || ! kill -0 $daemon 2>/dev/null
}
wait_for listens
cat "$dir/log"
kill -0 $daemon 2>/dev/null || fail "the daemon does not run"

# The events

say 'A timer, half a second from now. "end": the session ends with its event.'
show_session tea <<-'END'
	{"cmd":"watch","type":"timer","watcher":"tea","after":0.5,"end":true}
END
expect tea '"event":"timer","watcher":"tea"' '"event":"bye","reason":"end"'

say 'A timer that repeats, with data of ours, until another one ends it all.'
show_session tick <<-'END'
	{"cmd":"watch","type":"timer","watcher":"tick","after":0.2,"repeat":0.2,"data":["any","JSON"]}
	{"cmd":"watch","type":"timer","watcher":"enough","after":0.7,"end":true}
END
expect tick '"watcher":"tick".*"data":\["any","JSON"\]' \
	'"watcher":"enough"' '"event":"bye"'

say 'A periodic: at each full second of the wall clock; here, the next one.'
show_session second <<-'END'
	{"cmd":"watch","type":"periodic","watcher":"second","interval":1,"end":true}
END
expect second '"event":"periodic","watcher":"second".*"at":' '"event":"bye"'

say 'A scheduler: a calendar as cron has it. "* * * * * *" is each second.'
show_session cron <<-'END'
	{"cmd":"calendar","calendar":"0 9 * * MON-FRI","timezone":"Europe/Berlin","next":2}
	{"cmd":"watch","type":"scheduler","watcher":"cron","calendar":"* * * * * *","end":true}
END
expect cron '"result":{"next":\[' '"event":"scheduler","watcher":"cron".*"at":' \
	'"event":"bye"'

say 'A program that evd starts, and how it has ended.'
show_session child <<-'END'
	{"cmd":"spawn","argv":["sh","-c","exit 3"],"watcher":"work","end":true}
END
expect child '"event":"child","watcher":"work".*"exit":3,"active":false' \
	'"event":"bye"'

say 'A signal to the daemon, here from a program that it has started.'
show_session signal <<-'END'
	{"cmd":"watch","type":"signal","watcher":"usr1","signum":"USR1","end":true}
	{"cmd":"spawn","argv":["sh","-c","kill -USR1 $PPID"]}
END
expect signal '"event":"signal","watcher":"usr1".*"signum":10' '"event":"bye"'

say 'A stat: one program waits for a file that is not there yet, ...'
start_session file >"$dir/file.out" <<-END &
	{"cmd":"watch","type":"stat","watcher":"note","path":"$dir/note","end":true}
END
file=$!
pids="$pids $file"
wait_for came file '"result":{"attr":{.*"nlink":0,' || fail 'no answer'
cat "$dir/file.out"

say '... and another process makes it.'
sh -c 'echo hello >"$1"' sh "$dir/note"
wait $file || fail "socat gave $?"
sed 1,2d "$dir/file.out"
expect file '"event":"stat","watcher":"note".*"nlink":1,.*"prev":{.*"nlink":0,' \
	'"event":"bye"'

say 'An async: one program waits, as the session "kitchen", ...'
start_session bell >"$dir/bell.out" <<-'END' &
	{"cmd":"hello","session":"kitchen"}
	{"cmd":"watch","type":"async","watcher":"bell","end":true}
END
bell=$!
pids="$pids $bell"
wait_for came bell '"session":"kitchen"' '"result":{}' || fail 'no kitchen'
cat "$dir/bell.out"

say '... and another one, which knows its name, wakes it.'
show_session send <<-'END'
	{"cmd":"send","watcher":"bell","session":"kitchen"}
END
expect send '"sent":true'
wait $bell || fail "socat gave $?"

say 'So the first one has got:'
sed 1,4d "$dir/bell.out"
expect bell '"event":"async","watcher":"bell"' '"event":"bye"'

say 'A check opens each batch, a prepare closes it; an idle comes alone.'
show_session batch <<-'END'
	{"cmd":"watch","type":"check","watcher":"first"}
	{"cmd":"watch","type":"prepare","watcher":"last"}
	{"cmd":"watch","type":"timer","watcher":"now","at":0}
	{"cmd":"watch","type":"idle","watcher":"nothing","end":true}
END
expect batch '"watcher":"first","revents":32768,"seq":1' \
	'"watcher":"now".*"seq":2' '"watcher":"last","revents":16384,"seq":3' \
	'"event":"idle","watcher":"nothing"' '"event":"bye"'

say 'An io: something to read in a FIFO. Nobody has it open yet but evd.'
mkfifo "$dir/fifo"
start_session fifo >"$dir/fifo.out" <<-END &
	{"cmd":"watch","type":"io","watcher":"fifo","events":"r","path":"$dir/fifo","end":true}
END
fifo=$!
pids="$pids $fifo"
wait_for came fifo '"result":{}' || fail 'no watcher of the FIFO'
cat "$dir/fifo.out"

say 'Somebody writes into it, and there is the event.'
echo hello >"$dir/fifo"
wait $fifo || fail "socat gave $?"
sed 1,2d "$dir/fifo.out"
expect fifo '"event":"io","watcher":"fifo","revents":1' '"event":"bye"'

# Python, if there is one

if python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
	say 'A program in Python, with asyncio.'
	cat >"$dir/tea.py" <<-'END'
		import asyncio, pyev.evd

		async def main():
		    async with pyev.evd.connect() as session:
		        async with session.watch("timer", after=0.1) as tea:
		            async for event in tea:
		                print("the tea is ready:", event)

		asyncio.run(main())
	END
	cat "$dir/tea.py"
	EVD_SOCKET=$socket PYTHONPATH=$python python3 "$dir/tea.py" \
		>"$dir/python.out" || fail 'the program in Python failed'
	cat "$dir/python.out"
	expect python 'the tea is ready'
fi

if command -v jq >/dev/null; then
	say 'All of it is an event loop for scripts too: clients/shell/evd.sh.'
	cat >"$dir/script" <<-'END'
		. evd.sh
		tick()  { echo "tick $EV_SEQ"; }
		built() { echo "make ended with $EV_EXIT"; ev_stop; }
		ev_timer tick 0 0.2
		(sleep 0.5; exit 2) & ev_child built $!
		ev_run
	END
	cat "$dir/script"
	echo
	EVD_SOCKET=$socket PATH=$(dirname "$0")/../clients/shell:$PATH \
		timeout --foreground 20 sh "$dir/script" >"$dir/script.out" ||
		fail "the script gave $?"
	cat "$dir/script.out"
	expect script '^tick 1$' '^make ended with 2$'
fi

# The end

say 'And SIGTERM ends the daemon.'
kill $daemon
wait $daemon || fail "the daemon gave $?"
[ ! -e "$socket" ] || fail 'the daemon left its socket'
echo 'All events came.'
