#!/bin/sh
# What includes what in src/ and clients/evctl/: this list, from the bottom to
# the top. A file includes only headers that stand before its own name, its own
# header first. A name with a colon and libraries opens the layers that may
# include those.
cd "$EVD_SRCDIR" || exit 1

layers='
log memory buffer put hash table deadlines gather listeners paths process closer feature signame civil tzrule zone zones calendar cron
base64 filestate throttle
:jansson.h
socket peer message refusal param event stats account registry fdqueue schedule
:ev.h
backend busy fdpoll wallclock timeline alarm pidpoll children signals marks mounts jobs place way dirwatch
service
watcher
recur
watchers/async watchers/check watchers/child watchers/fork watchers/idle
watchers/io watchers/periodic watchers/prepare watchers/scheduler
watchers/signal watchers/stat watchers/timer
watchers/classes
session batch pause verify
connection
command
cmd-calendar cmd-loop cmd-process cmd-session cmd-stats cmd-watcher
client acceptor
ensure
server
main
evctl/evctl
evctl/text evctl/value
evctl/wire evctl/grid
evctl/show evctl/spec
evctl/cmd-calendar evctl/cmd-ls evctl/cmd-run evctl/cmd-send evctl/cmd-spawn
evctl/cmd-stats evctl/cmd-version evctl/cmd-wait evctl/cmd-watch
evctl/main
'

# The two that the server pairs.
apart='connection session'

# Gives the libraries its own allocator.
anything='memory'

export layers apart anything
# shellcheck disable=SC2016 # it is awk's
find clients/evctl src -name '*.[ch]' | sort | xargs awk '
function fault(where, text)
{
	print where ": " text
	faults++
}

function fault_here(text)
{
	fault(FILENAME ":" FNR, text)
}

# A file as the list names it.
function name_of(path)
{
	sub(/^(src|clients)\//, "", path)
	return path
}

# What a file includes: evctl has headers of its own beside it.
function resolve(what)
{
	return name ~ /^evctl\// && ("evctl/" what) in header ? \
		"evctl/" what : what
}

# A file at its end: did it begin as it must?
function check_begin()
{
	if (file !~ /\.c$/)
		return
	if (first != "config.h")
		fault(file, "the first include is not config.h")
	own = name ".h"
	sub(/^evctl\//, "", own)
	if ((name in header) && second != own)
		fault(file, "the second include is not " own)
}

BEGIN {
	n = split(ENVIRON["layers"], list)
	for (i = 1; i <= n; i++) {
		if (list[i] ~ /^:/)
			library[substr(list[i], 2)] = i
		else
			place[list[i]] = i
	}
	split(ENVIRON["apart"], pair)
	for (i = 1; i < ARGC; i++) {
		name = name_of(ARGV[i])
		if (sub(/\.h$/, "", name))
			header[name]
		sub(/\.c$/, "", name)
		seen[name]
		if (!(name in place))
			fault(ARGV[i], "not in the list of layers")
	}
	for (name in place)
		if (!(name in seen))
			fault("src/" name ".c", "in the list of layers, but not there")
}

FNR == 1 {
	if (file != "")
		check_begin()
	file = FILENAME
	first = second = ""
	name = name_of(file)
	sub(/\.[ch]$/, "", name)
}

/^[ \t]*#[ \t]*include/ {
	quoted = $0 ~ /include[ \t]*"/
	what = $0
	gsub(/^[^"<]*["<]|[">].*$/, "", what)
	if (first == "")
		first = what
	else if (second == "")
		second = what

	if (!quoted) {
		if ((what in library) && place[name] < library[what] &&
		    name != ENVIRON["anything"])
			fault_here("<" what "> is for higher layers")
		next
	}
	if (what == "config.h") {
		if (file ~ /\.h$/)
			fault_here("a header that includes config.h")
		next
	}
	if (!sub(/\.h$/, "", what) || !((what = resolve(what)) in header)) {
		fault_here("\"" what "\" is no header of ours")
		next
	}
	if (what == name && file ~ /\.c$/)
		next
	if (place[what] >= place[name])
		fault_here(what ".h is not below " name)
	if (name == pair[1] && what == pair[2])
		fault_here(name " and " what " are apart")
}

END {
	check_begin()
	exit faults > 0
}
'
