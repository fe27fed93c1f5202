# evd.sh: an event loop for shell scripts. evd.sh(7) is the manual.
# shellcheck shell=sh disable=SC2034 # EV_... are for scripts
#
#     . evd.sh
#     tick() { echo "tick $EV_SEQ"; }
#     ev_timer tick 0 2
#     ev_run
#
# A watcher is registered with the function that handles its events; ev_run waits
# for them and calls the functions. What an event says is in variables, EV_...
#
# How it works: one socat holds the connection, one jq makes a line of shell out of
# each line of evd. Two descriptors lead there, 8 (events and replies come in) and 9
# (commands go out); EV_FD_IN and EV_FD_OUT change that before the first use. No
# process is started for an event. When this shell ends, in whatever way, both end.
#
# All names begin with ev_, EV_ or _ev_. Only what jq has quoted, or has checked to
# be a plain name or a number, is evaluated.

# The state. It belongs to the process _ev_pid: a subshell has a copy of it and the
# same descriptors, but must not use them.
#
#   _ev_names             names of all watchers, each with a blank behind it
#   _ev_f_NAME            the function that handles it
#   _ev_d_NAME            its data
#   _ev_t_NAME            its type
#   _ev_a_NAME            1 if it is active
#   _ev_h_NAME            1 if it is held after each event
#   _ev_z_NAME            1 if ev_again starts it, and does not stop it
#   _ev_k_NAME            signal: its name; child: its pid if it is this shell's
#   _ev_x_NAME            child: what wait said
#   _ev_s_SIGNAL          how many active watchers a signal has
#   _ev_active            how many watchers are active, with ev_ref and ev_unref
#   _ev_q_N               lines that were read while a reply was waited for, from
#                         _ev_head up to below _ev_tail
#   _ev_depth             how many ev_run are running
#   _ev_current           the line of the event that is being handled

_ev_nl='
'
_ev_type='' _ev_kind=''
: "${EV_FD_IN:=8}" "${EV_FD_OUT:=9}"

# jq's program: a line of evd becomes a line of shell, a function's name without its
# _ev_ and the arguments.
#   e NAME TYPE REVENTS SEQ TIME [ACTIVE OVERRUN ERROR][;EV_...=...]   an event
#     ;_ev_a and ;_ev_p or ;_ev_s follow with what stat(2) says now, and said before
#   r N 0 VALUE                   the reply to command N: what was wanted of it
#   r N 1 MESSAGE                 its error
#   bye REASON MESSAGE            the daemon closes
#   bad MESSAGE                   a command was not JSON
#   odd TEXT                      nobody asked for this
# Every value is quoted by @sh. So a line feed can only be inside of quotes.
# Times and inode numbers are taken from the text, since jq would round them. What can
# be told from other numbers is left out, since a shell reads byte by byte.
# shellcheck disable=SC2016 # the $ are jq's
_ev_jq_program='
def text: if . == null then "" elif type == "string" then .[:2000] else tojson end;
def value($name): "EV_\($name)=\(text | @sh)";
def which($ino): "\(.dev) \($ino | split(",")[0]) \(.mode) \(.nlink) \(.uid) \(.gid) \(.rdev) ";
def changing($size; $atime; $mtime; $ctime):
  ($mtime | rtrimstr(",\"c")) as $mtime
  | "\($size) \($atime | rtrimstr(",\"m")) \($mtime)"
    + ($ctime | split("}")[0] | if . == $mtime then "" else " " + . end);
def stat($raw):
  ($raw | split("\"ino\":")) as $ino | ($raw | split("time\":")) as $time
  | (.attr | which($ino[1])) as $attr | (.prev | which($ino[2])) as $prev
  | $attr + changing(.attr.size; $time[2]; $time[3]; $time[4])
    + if $attr == $prev then ";_ev_s " else ";_ev_p " + $prev end
    + changing(.prev.size; $time[5]; $time[6]; $time[7])
  | select(test("\\A[0-9. -]*;_ev_[ps][0-9. -]*\\z")) | "_ev_a " + .;
def times: (.at | value("AT")), (.jump // false | value("JUMP"));
def child: (.pid | value("PID")), (.status | value("STATUS")),
  (if .signal then .signal + 128 else .exit end | value("EXIT")),
  (.signal | value("SIGNAL")), (.stopped | value("STOPPED")),
  (.continued // false | value("CONTINUED"));
def event($raw):
  {io: 1, timer: 1, periodic: 2, scheduler: 2, signal: 3, child: 4, stat: 5,
   idle: 1, prepare: 1, check: 1, fork: 1, async: 1}[.event] as $shape
  | if $shape == null then empty else
    @sh "e \(.watcher) " + .event + @sh " \(.revents) \(.seq) \(.time)"
    + (if .active == false or .overrun or .error then
        @sh " \(.active != false) \(.overrun // 0) \(.error // "")"
      else "" end)
    + ([if $shape == 2 then times
        elif $shape == 3 then .signum | value("SIGNUM")
        elif $shape == 4 then child
        elif $shape == 5 then stat($raw)
        else empty end | ";" + .] | add // "") end;
. as $raw | try fromjson catch null
| if type != "object" then @sh "odd \($raw[:200])"
  elif .event == "bye" then @sh "bye \(.reason | text) \(.message | text)"
  elif .event then event($raw)
  elif .id | type == "array" then
    .id as [$n, $wanted]
    | if .result then @sh "r \($n) 0 \(.result[$wanted] | text)"
      else @sh "r \($n) 1 \(.error.message | text)" end
  elif .error.code == "parse-error" then @sh "bad \(.error.message | text)"
  else @sh "odd \(.error.message // $raw[:200])" end
| if contains("\n") then split("\n") | join("\u0027\"$_ev_nl\"\u0027") else . end'

# --- messages ----------------------------------------------------------------

# usage: _ev_fail FUNCTION TEXT...
# Prints a message to standard error. Status 1.
_ev_fail()
{
	_ev_v=$1
	shift
	# The script's IFS may be any.
	(IFS=' ' && printf 'evd.sh: %s: %s\n' "$_ev_v" "$*" >&2)
	return 1
}

# usage: _ev_need FUNCTION PROGRAM PACKAGE
# Status 0 if the program is there, else 1 and a message.
_ev_need()
{
	command -v "$2" >/dev/null 2>&1 ||
		_ev_fail "$1" "$2 is missing (Debian: apt-get install $3)"
}

# --- lines from jq ------------------------------------------------------------

# usage: _ev_e NAME TYPE REVENTS SEQ TIME [ACTIVE OVERRUN ERROR]
# Sets the variables that all events have, and unsets what only the event before had.
# Those that the type adds follow on the line.
_ev_e()
{
	case ${EV_EVENT-} in
	"$2") ;;
	stat)
		unset EV_ATTR_DEV EV_ATTR_INO EV_ATTR_MODE EV_ATTR_NLINK \
			EV_ATTR_UID EV_ATTR_GID EV_ATTR_RDEV EV_ATTR_SIZE \
			EV_ATTR_ATIME EV_ATTR_MTIME EV_ATTR_CTIME \
			EV_PREV_DEV EV_PREV_INO EV_PREV_MODE EV_PREV_NLINK \
			EV_PREV_UID EV_PREV_GID EV_PREV_RDEV EV_PREV_SIZE \
			EV_PREV_ATIME EV_PREV_MTIME EV_PREV_CTIME
		;;
	child)
		unset EV_PID EV_STATUS EV_EXIT EV_SIGNAL EV_STOPPED EV_CONTINUED
		;;
	periodic | scheduler) unset EV_AT EV_JUMP ;;
	signal) unset EV_SIGNUM ;;
	esac
	EV_WATCHER=$1 EV_EVENT=$2 EV_REVENTS=$3 EV_SEQ=$4 EV_TIME=$5
	EV_ACTIVE=${6-true} EV_OVERRUN=${7-0} EV_ERROR=${8-}
}

# usage: _ev_a DEV INO MODE NLINK UID GID RDEV SIZE ATIME MTIME [CTIME]
# A ctime that is not said is the mtime.
_ev_a()
{
	EV_ATTR_DEV=$1 EV_ATTR_INO=$2 EV_ATTR_MODE=$3 EV_ATTR_NLINK=$4
	EV_ATTR_UID=$5 EV_ATTR_GID=$6 EV_ATTR_RDEV=$7 EV_ATTR_SIZE=$8
	EV_ATTR_ATIME=$9 EV_ATTR_MTIME=${10} EV_ATTR_CTIME=${11-${10}}
}

# usage: _ev_p DEV INO MODE NLINK UID GID RDEV SIZE ATIME MTIME [CTIME]
# What was there before.
_ev_p()
{
	EV_PREV_DEV=$1 EV_PREV_INO=$2 EV_PREV_MODE=$3 EV_PREV_NLINK=$4
	EV_PREV_UID=$5 EV_PREV_GID=$6 EV_PREV_RDEV=$7 EV_PREV_SIZE=$8
	EV_PREV_ATIME=$9 EV_PREV_MTIME=${10} EV_PREV_CTIME=${11-${10}}
}

# usage: _ev_s SIZE ATIME MTIME [CTIME]
# The same, where it was the same but for these.
_ev_s()
{
	_ev_p "$EV_ATTR_DEV" "$EV_ATTR_INO" "$EV_ATTR_MODE" "$EV_ATTR_NLINK" \
		"$EV_ATTR_UID" "$EV_ATTR_GID" "$EV_ATTR_RDEV" "$@"
}

# usage: _ev_r N STATUS TEXT
_ev_r()
{
	_ev_replied=$2
	case $2 in
	0) EV_RESULT=$3 ;;
	*) _ev_error=$3 ;;
	esac
}

# usage: _ev_bad MESSAGE
_ev_bad()
{
	_ev_replied=1 _ev_error=$1
}

# usage: _ev_bye REASON MESSAGE
_ev_bye()
{
	case $1 in
	exit) _ev_why='the daemon has ended' ;;
	*) _ev_why="the daemon has closed the connection: $1${2:+: $2}" ;;
	esac
}

# usage: _ev_odd TEXT
# An error of a command that wanted no reply, or what is not evd's.
_ev_odd()
{
	_ev_fail evd "$1" || :
}

# usage: _ev_read FUNCTION
# Reads a line into _ev_line, which is empty if a signal came first. Status 0, or 1
# and a message if the connection has ended.
_ev_read()
{
	# Not all shells empty it when they are interrupted.
	_ev_line=''
	IFS= read -r _ev_line <&"$EV_FD_IN" || _ev_interrupted "$1"
}

# usage: _ev_interrupted FUNCTION
# What _ev_read does where `read` has failed: that is so at the end, and in some shells
# also if a trap has run. Part of a line may have been read.
_ev_interrupted()
{
	_ev_part=$_ev_line _ev_line=''
	while _ev_connected; do
		case $_ev_part in '') return 0 ;; esac
		IFS= read -r _ev_line <&"$EV_FD_IN" && break
		_ev_part=$_ev_part$_ev_line _ev_line=''
	done
	# There may be more from before the end.
	if [ -z "$_ev_line" ] && ! IFS= read -r _ev_line <&"$EV_FD_IN"; then
		_ev_lost "$1" || return
	fi
	_ev_line=$_ev_part$_ev_line
}

# usage: _ev_connected
# Status 0 while jq lives, which it does as long as the connection.
_ev_connected()
{
	_ev_v=
	{
		IFS=' ' read -r _ev_v _ev_v _ev_v _ev_rest <"/proc/$_ev_jq/stat"
	} 2>/dev/null || :
	case $_ev_v in '' | Z | X) return 1 ;; esac
}

# usage: _ev_lost FUNCTION
# The connection has ended. Prints why. Status 1.
_ev_lost()
{
	_ev_fail "$1" "${_ev_why:-the connection to the daemon has ended} ($_ev_path)" || :
	_ev_forget
	_ev_gone=1
	return 1
}

# --- the connection -----------------------------------------------------------

# usage: _ev_forget
# Back to the state before the first use: no connection, no watchers. An ev_run that
# is running ends.
_ev_forget()
{
	case ${_ev_pid-} in
	?*) eval "exec $EV_FD_IN<&- $EV_FD_OUT>&-" ;;
	esac
	while :; do
		case ${_ev_names-} in '') break ;; esac
		_ev_name=${_ev_names%% *}
		_ev_names=${_ev_names#* }
		_ev_off "$_ev_name"
		_ev_unset "$_ev_name"
	done
	_ev_pid='' _ev_active=0 _ev_id=0 _ev_head=0 _ev_tail=0 _ev_session=''
	case ${_ev_depth-0} in 0) ;; *) _ev_break=all ;; esac
}

# usage: _ev_self
# Sets _ev_v to the process id of this shell. ($$ is another one in a subshell.)
_ev_self()
{
	IFS=' ' read -r _ev_v _ev_rest </proc/self/stat
}

# usage: _ev_find FUNCTION
# Sets _ev_path to the daemon's socket, and starts a daemon if there is none. Status
# 0, or 1 and a message.
_ev_find()
{
	_ev_path=${EVD_SOCKET-}
	case $_ev_path in
	/*) return ;;
	?*)
		_ev_path=${PWD:-$(pwd)}/$_ev_path
		return
		;;
	esac
	case ${XDG_RUNTIME_DIR-} in
	/*) _ev_path=$XDG_RUNTIME_DIR/evd/socket ;;
	*) _ev_path=/tmp/evd-$(id -u)/socket ;;
	esac
	case ${EVD_AUTOSTART-} in 0) return ;; esac
	_ev_need "$1" "${EVD_COMMAND:-evd}" evd || return
	"${EVD_COMMAND:-evd}" --ensure </dev/null >/dev/null ||
		_ev_fail "$1" "${EVD_COMMAND:-evd} --ensure has failed"
}

# usage: _ev_ask LINE
# Sends a line on a connection of its own, and prints the answer, which must come
# within ten seconds, or why there is none.
_ev_ask()
{
	printf '%s\n' "$1" | socat -t 10 -T 10 - "$_ev_address" 2>&1
}

# usage: _ev_probe FUNCTION
# Looks who listens at _ev_path, and sets _ev_address. Status 0 if it is evd, else 1
# and a message.
_ev_probe()
{
	_ev_need "$1" socat socat || return
	_ev_find "$1" || return
	# socat reads more than a path in a path.
	_ev_address=UNIX-CONNECT:$_ev_path
	case $_ev_path in
	*[!ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-]*)
		_ev_address=UNIX-CONNECT:$(printf '%s\n' "$_ev_path" |
			sed 's/[][\\,:!(){}"'\'']/\\&/g')
		;;
	esac
	_ev_v=$(_ev_ask '{"cmd":"hello"}')
	case $_ev_v in
	'{"result":{"protocol":1,'*) return 0 ;;
	'{"event":"bye",'*) _ev_fail "$1" "the daemon refuses: $_ev_v" ;;
	'') _ev_fail "$1" "what listens at $_ev_path does not answer as evd does" ;;
	[0-9]*/*' socat['*)
		_ev_fail "$1" "no daemon at $_ev_path: ${_ev_v##*: }"
		;;
	*) _ev_fail "$1" "what listens at $_ev_path is not evd: $_ev_v" ;;
	esac
}

# usage: _ev_connect FUNCTION
# Starts socat and jq, between two FIFOs whose names are gone before anything is
# said. They are in no job of this shell, hold nothing of it open, and live on when
# the terminal's keys signal its process group.
_ev_connect()
{
	_ev_need "$1" jq jq && _ev_probe "$1" || return
	case $EV_FD_IN$EV_FD_OUT in
	[!3-9]* | *[!3-9] | ???* | "$EV_FD_IN$EV_FD_IN")
		_ev_fail "$1" 'EV_FD_IN and EV_FD_OUT are expected from 3 to 9,' \
			'and not the same'
		return
		;;
	esac
	# A FIFO may be that of a parent that uses this file too.
	for _ev_v in "$EV_FD_IN" "$EV_FD_OUT"; do
		if [ -e "/proc/self/fd/$_ev_v" ] && [ ! -p "/proc/self/fd/$_ev_v" ]; then
			_ev_fail "$1" "descriptor $_ev_v is in use (EV_FD_IN and" \
				'EV_FD_OUT say which ones are taken)'
			return
		fi
	done
	if ! _ev_dir=$(mktemp -d "${TMPDIR:-/tmp}/evd.XXXXXX") ||
		! mkfifo -m 600 "$_ev_dir/in" "$_ev_dir/out"; then
		rm -rf "$_ev_dir"
		_ev_fail "$1" 'no FIFO can be made'
		return
	fi
	# Opened for both, a FIFO waits for nobody, and a write to it is never a
	# SIGPIPE. What is read has to end with jq, so that is opened anew.
	eval "exec $EV_FD_IN<>\"\$_ev_dir/in\" $EV_FD_OUT<>\"\$_ev_dir/out\""
	{
		_ev_jq=$(_ev_start)
	} 3<"$_ev_dir/out" 4>"$_ev_dir/in"
	eval "exec $EV_FD_IN<\"\$_ev_dir/in\""
	rm -rf "$_ev_dir"
	_ev_self
	_ev_pid=$_ev_v _ev_why='' _ev_gone=0
	_ev_call "$1" session '"cmd":"hello"' || return
	_ev_session=$EV_RESULT
	# The session is to end with this shell, whoever has inherited descriptors.
	# Without full rights that can't be had.
	_ev_call "$1" '' "\"cmd\":\"watch\",\"type\":\"child\",\"watcher\":\"_ev_self\",\"pid\":$_ev_pid,\"end\":true" ||
		[ -n "$_ev_pid" ]
}

# usage: _ev_start
# In a subshell: starts socat and jq between descriptors 3 and 4, with nothing else of
# the script's but its variables. Prints jq's pid.
_ev_start()
{
	trap '' HUP INT QUIT TERM
	cd /
	exec 5<&- 6<&- 7<&- 8<&- 9<&- 2>/dev/null
	socat -t 0 -b 65536 -,setsid "$_ev_address" <&3 3<&- 4<&- |
		jq --unbuffered -R -r "$_ev_jq_program" >&4 3<&- 4<&- &
	echo "$!"
}

# usage: _ev_open FUNCTION
# Makes sure that this shell has a connection. Status 0, or 1 and a message.
_ev_open()
{
	case ${_ev_pid-} in
	'') _ev_connect "$1" ;;
	*)
		_ev_self
		case $_ev_v in
		"$_ev_pid") ;;
		*)
			_ev_fail "$1" 'this is a subshell, the loop is its' \
				"parent's (ev_close lets go of it)"
			;;
		esac
		;;
	esac
}

# usage: _ev_write LINE
# Sends a line. A signal may interrupt it in some shells; then nothing was written.
_ev_write()
{
	until printf '%s\n' "$1" >&"$EV_FD_OUT"; do
		_ev_connected || return 0
	done 2>/dev/null
}

# usage: _ev_call FUNCTION MEMBER COMMAND
# Sends a command, given as the inside of its object, and waits for the reply.
# Events that come meanwhile queue. Sets EV_RESULT to the result's MEMBER. Status 0;
# 1 with _ev_error set if it is refused; 1 and a message if the connection ends.
_ev_call()
{
	_ev_id=$((_ev_id + 1)) _ev_error=''
	_ev_write "{\"id\":[$_ev_id,\"$2\"],$3}"
	while :; do
		_ev_read "$1" || return
		case $_ev_line in
		"r $_ev_id "* | 'bad '*) break ;;
		'e '*) _ev_put ;;
		'r '* | '') ;;
		*) eval "_ev_$_ev_line" ;;
		esac
	done
	eval "_ev_$_ev_line"
	return "$_ev_replied"
}

# --- the table of watchers ----------------------------------------------------

# usage: _ev_unset NAME
_ev_unset()
{
	unset "_ev_f_$1" "_ev_d_$1" "_ev_t_$1" "_ev_a_$1" "_ev_h_$1" "_ev_z_$1" \
		"_ev_k_$1" "_ev_x_$1"
}

# usage: _ev_has FUNCTION NAME
# Status 0 if there is a watcher of this name, else 1 and a message.
_ev_has()
{
	_ev_open "$1" || return
	_ev_v=
	case $2 in
	'' | [0-9]* | *[!A-Za-z0-9_]*) ;;
	*) eval "_ev_v=\${_ev_f_$2-}" ;;
	esac
	case $_ev_v in
	'') _ev_fail "$1" "there is no watcher \"$2\"" ;;
	esac
}

# usage: _ev_on NAME
# The watcher is active now. For a signal, the shell's trap begins.
_ev_on()
{
	eval "_ev_v=\${_ev_a_$1-} _ev_a_$1=1 _ev_type=\$_ev_t_$1 _ev_kind=\$_ev_k_$1"
	case $_ev_v in 1) return ;; esac
	_ev_active=$((_ev_active + 1))
	case $_ev_type in
	signal)
		eval "_ev_s_$_ev_kind=\$((\${_ev_s_$_ev_kind-0} + 1))"
		# A trap within a trap has in dash the status of what the first one
		# interrupted.
		# shellcheck disable=SC2064 # now
		trap "_ev_signalled $_ev_kind || :" "$_ev_kind"
		;;
	esac
}

# usage: _ev_off NAME
# The watcher is inactive now. With the last one of a signal, that has its default
# action again.
_ev_off()
{
	eval "_ev_v=\${_ev_a_$1-} _ev_a_$1= _ev_type=\${_ev_t_$1-} _ev_kind=\${_ev_k_$1-}"
	case $_ev_v in '') return ;; esac
	_ev_active=$((_ev_active - 1))
	case $_ev_type in
	signal)
		eval "_ev_v=\$((_ev_s_$_ev_kind - 1)) _ev_s_$_ev_kind=\$_ev_v"
		case $_ev_v in 0) trap - "$_ev_kind" ;; esac
		;;
	esac
}

# usage: _ev_signalled SIGNAL
# What traps do: the signal goes to evd, and comes back as an event, in its order.
_ev_signalled()
{
	# If there is no room, earlier ones have not been read yet.
	{
		printf '{"cmd":"feed_signal","signum":"%s","reply":false}\n' "$1" \
			>&"$EV_FD_OUT"
	} 2>/dev/null
}

# usage: _ev_spent NAME
# Status 0 if an event in the queue says that the watcher is not active any more.
_ev_spent()
{
	_ev_i=$_ev_head
	while [ "$_ev_i" -lt "$_ev_tail" ]; do
		eval "_ev_v=\$_ev_q_$_ev_i"
		case $_ev_v in
		"e '$1' "*)
			case ${_ev_v#e * * * * * } in false*) return ;; esac
			;;
		esac
		_ev_i=$((_ev_i + 1))
	done
	return 1
}

# usage: _ev_drop NAME
# Takes the watcher's events out of the queue.
_ev_drop()
{
	! _ev_spent "$1" || _ev_off "$1"
	_ev_i=$_ev_head
	while [ "$_ev_i" -lt "$_ev_tail" ]; do
		eval "_ev_v=\$_ev_q_$_ev_i"
		case $_ev_v in "e '$1' "*) eval "_ev_q_$_ev_i=" ;; esac
		_ev_i=$((_ev_i + 1))
	done
}

# --- registering --------------------------------------------------------------

# usage: _ev_args FUNCTION MIN MAX USAGE ARGUMENT...
# Takes the options of a watcher, and looks whether as many arguments follow. Sets
# _ev_shift, how many words the options are; _ev_name, _ev_data, _ev_start, _ev_held;
# and _ev_members, JSON that begins with a comma. Status 0; 1 without a connection;
# 2 and a message if the arguments are wrong.
_ev_args()
{
	_ev_open "$1" || return
	_ev_func=$1 _ev_min=$2 _ev_max=$3 _ev_usage=$4
	_ev_name='' _ev_data='' _ev_start=1 _ev_held='' _ev_members='' _ev_again=''
	_ev_mine=''
	shift 4
	_ev_shift=$#
	while :; do
		case ${1-} in
		-[ndpz])
			[ "$#" -ge 2 ] || break
			_ev_option "$1" "$2" || return
			shift
			;;
		-1) _ev_members=$_ev_members',"once":true' ;;
		-h) _ev_members=$_ev_members',"hold":true' _ev_held=1 ;;
		-s) _ev_members=$_ev_members',"start":false' _ev_start='' ;;
		-j) _ev_members=$_ev_members',"jumps":true' ;;
		-L) _ev_members=$_ev_members',"follow":true' ;;
		-r) _ev_members=$_ev_members',"reaped":true' ;;
		-l) _ev_members=$_ev_members',"on_end":"leave"' ;;
		*) break ;;
		esac
		shift
	done
	_ev_shift=$((_ev_shift - $#))
	case ${1-} in -*) set -- ;; esac
	if [ "$#" -lt "$_ev_min" ] || [ "$#" -gt "$_ev_max" ]; then
		_ev_fail "$_ev_func" "usage: $_ev_func [OPTIONS] $_ev_usage" || return 2
	fi
	_ev_name=${_ev_name:-$1}
	case $_ev_name in
	[0-9]* | _ev_* | *[!A-Za-z0-9_]* | '')
		_ev_fail "$_ev_func" "\"$_ev_name\" is no name, expected letters," \
			"digits and _ (-n gives a name)" || return 2
		;;
	esac
}

# usage: _ev_option OPTION VALUE
_ev_option()
{
	case $1 in
	-n) _ev_name=$2 ;;
	-d) _ev_data=$2 ;;
	-p) _ev_add_number priority "$2" ;;
	-z)
		_ev_string "$2"
		_ev_members=$_ev_members,\"timezone\":$_ev_v
		;;
	esac
}

# usage: _ev_number FUNCTION WHAT TEXT
# Sets _ev_v to the number as JSON has it. Status 0, or 2 and a message.
_ev_number()
{
	_ev_sign='' _ev_v=$3
	case $_ev_v in
	-*) _ev_sign=- _ev_v=${_ev_v#-} ;;
	+*) _ev_v=${_ev_v#+} ;;
	esac
	while :; do
		case $_ev_v in
		0[0123456789]*) _ev_v=${_ev_v#0} ;;
		.*) _ev_v=0$_ev_v ;;
		*) break ;;
		esac
	done
	_ev_v=$_ev_sign${_ev_v%.}
	case $_ev_v in
	*[!0123456789.eE+-]*) ;;
	*[0123456789]) return 0 ;;
	esac
	_ev_fail "$1" "$2 is \"$3\", expected a number" || return 2
}

# usage: _ev_add_number MEMBER TEXT
_ev_add_number()
{
	_ev_number "$_ev_func" "$1" "$2" || return
	_ev_members=$_ev_members,\"$1\":$_ev_v
}

# usage: _ev_string TEXT
# Sets _ev_v to the text as JSON. What is not plain costs a jq.
_ev_string()
{
	case $1 in
	*[!ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789\ ,*/_.:@+-]*)
		_ev_v=$(jq -n --arg text "$1" '$text')
		;;
	*) _ev_v=\"$1\" ;;
	esac
}

# usage: _ev_add_path TEXT
# Adds a path, which may be relative. One that is not plain goes as base64: a file's
# name can be any bytes.
_ev_add_path()
{
	case $1 in
	'') _ev_fail "$_ev_func" 'the path is empty, expected one' || return 2 ;;
	/*) _ev_v=$1 ;;
	*) _ev_v=${PWD:-$(pwd)}/$1 ;;
	esac
	case $_ev_v in
	*[!ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789\ ,*/_.:@+-]*)
		_ev_v=$(printf %s "$_ev_v" | base64 | tr -d '\n')
		_ev_members=$_ev_members,\"path_base64\":\"$_ev_v\"
		;;
	*) _ev_members=$_ev_members,\"path\":\"$_ev_v\" ;;
	esac
}

# usage: _ev_watch HANDLER TYPE
# Registers what _ev_args and others have gathered. Status 0, or 1 with _ev_error.
_ev_watch()
{
	_ev_replace "$_ev_name" || return
	_ev_call "$_ev_func" '' \
		"\"cmd\":\"watch\",\"type\":\"$2\",\"watcher\":\"$_ev_name\"$_ev_members" ||
		return
	_ev_enter "$1" "$2"
}

# usage: _ev_replace NAME
# Forgets an inactive watcher of this name. Status 0; 1 with _ev_error if there is an
# active one.
_ev_replace()
{
	_ev_error=''
	eval "_ev_v=\${_ev_f_$1-}"
	case $_ev_v in '') return ;; esac
	! _ev_spent "$1" || _ev_off "$1"
	eval "_ev_v=\${_ev_a_$1-}"
	case $_ev_v in
	'') ev_unwatch "$1" ;;
	*)
		_ev_error="there is an active watcher \"$1\" (ev_stop $1 stops it,"
		_ev_error="$_ev_error -n gives another name)"
		return 1
		;;
	esac
}

# usage: _ev_enter HANDLER TYPE
# The watcher that was registered goes into the table.
_ev_enter()
{
	_ev_names="$_ev_names$_ev_name "
	eval "_ev_f_$_ev_name=\$1 _ev_d_$_ev_name=\$_ev_data _ev_t_$_ev_name=\$2" \
		"_ev_h_$_ev_name=\$_ev_held _ev_z_$_ev_name=\$_ev_again" \
		"_ev_k_$_ev_name=\$_ev_mine"
	case $_ev_start in 1) _ev_on "$_ev_name" ;; esac
}

# usage: _ev_register HANDLER TYPE
# As _ev_watch, and prints why it is refused.
_ev_register()
{
	_ev_watch "$@" || _ev_refused "$_ev_func"
}

# usage: _ev_refused FUNCTION
# Prints _ev_error; that the connection has ended was printed before. Status 1.
_ev_refused()
{
	case $_ev_error in '') return 1 ;; esac
	_ev_fail "$1" "$_ev_error"
}

# usage: _ev_plain TYPE ARGUMENT...
# Registers a watcher of a type that has nothing of its own: options and a HANDLER.
_ev_plain()
{
	_ev_plain=$1
	shift
	_ev_args "ev_$_ev_plain" 1 1 HANDLER "$@" || return
	shift "$_ev_shift"
	_ev_register "$1" "$_ev_plain"
}

# usage: ev_timer [-n NAME] [-d DATA] [-p PRIORITY] [-1hs] HANDLER AFTER [REPEAT]
# Runs HANDLER after AFTER seconds, then every REPEAT seconds. Prints nothing. Status
# 0, or 1 (refused) or 2 (wrong arguments) and a message.
ev_timer()
{
	_ev_args ev_timer 2 3 'HANDLER AFTER [REPEAT]' "$@" || return
	shift "$_ev_shift"
	_ev_add_number after "$2" && _ev_add_number repeat "${3-0}" || return
	case ${_ev_v%%[eE]*} in *[123456789]*) _ev_again=1 ;; esac
	_ev_register "$1" timer
}

# usage: ev_periodic [-n NAME] [-d DATA] [-p PRIORITY] [-1hjs] HANDLER OFFSET [INTERVAL]
# Runs HANDLER whenever the wall clock minus OFFSET is a multiple of INTERVAL seconds;
# without INTERVAL once, at OFFSET. -j: also when the clock is set. Prints nothing.
# Status as ev_timer.
ev_periodic()
{
	_ev_args ev_periodic 2 3 'HANDLER OFFSET [INTERVAL]' "$@" || return
	shift "$_ev_shift"
	_ev_add_number offset "$2" && _ev_add_number interval "${3-0}" || return
	_ev_again=1
	_ev_register "$1" periodic
}

# usage: ev_cron [-n NAME] [-d DATA] [-p PRIORITY] [-z ZONE] [-1hs] HANDLER EXPRESSION
# Runs HANDLER at the times of a cron EXPRESSION of five fields, or six with seconds
# before them, in the time zone ZONE. Prints nothing. Status as ev_timer.
ev_cron()
{
	_ev_args ev_cron 2 2 'HANDLER EXPRESSION' "$@" || return
	shift "$_ev_shift"
	_ev_string "$2"
	_ev_members=$_ev_members,\"calendar\":$_ev_v _ev_again=1
	_ev_register "$1" scheduler
}

# usage: ev_signal [-n NAME] [-d DATA] [-p PRIORITY] [-1hs] HANDLER SIGNAL
# Runs HANDLER when this shell gets SIGNAL (a name or a number), in its order with
# other events. It takes the place of the signal's trap; with its last watcher the
# signal has its default action again. Prints nothing. Status as ev_timer.
ev_signal()
{
	_ev_args ev_signal 2 2 'HANDLER SIGNAL' "$@" || return
	shift "$_ev_shift"
	_ev_mine=${2#SIG}
	case $_ev_mine in
	*[!0123456789]*) ;;
	??? | ????*) _ev_mine='' ;;
	*) _ev_mine=$(kill -l "$_ev_mine" 2>/dev/null) || _ev_mine='' ;;
	esac
	case $_ev_mine in
	'' | *[!A-Z0-9]*)
		_ev_fail ev_signal "\"$2\" is no signal" || return 2
		;;
	KILL | STOP) false ;;
	*) (trap - "$_ev_mine") 2>/dev/null ;;
	esac || _ev_fail ev_signal "\"$2\" is no signal that this shell can handle" ||
		return
	_ev_members="$_ev_members,\"signum\":\"$_ev_mine\",\"fed\":true"
	_ev_register "$1" signal
}

# usage: ev_child [-n NAME] [-d DATA] [-p PRIORITY] [-rs] HANDLER PID
# Runs HANDLER when the process has ended, be it a child of this shell or not, also if
# it has ended before. Of a child, EV_EXIT is what wait says. -r: of another one, when
# its parent has reaped it, with EV_EXIT where the kernel tells. Prints nothing. Status
# as ev_timer.
ev_child()
{
	_ev_args ev_child 2 2 'HANDLER PID' "$@" || return
	shift "$_ev_shift"
	_ev_rest_members=$_ev_members
	_ev_add_number pid "$2" || return
	! _ev_is_child "$2" || _ev_mine=$2
	_ev_watch "$1" child || case $_ev_error in
	*ESRCH*)
		# It has ended and was reaped. An event is made of a watcher that could
		# not fire.
		_ev_members="$_ev_rest_members,\"pid\":$_ev_pid,\"start\":false"
		_ev_mine=$2 _ev_start=''
		_ev_register "$1" child && ev_feed "$_ev_name" 2048
		;;
	*) _ev_refused ev_child ;;
	esac
}

# usage: _ev_is_child PID
# Status 0 if the process is a child of this shell. (Not by the child's own file: where
# it is gone before all of that was read, bash gives the rest to whoever reads next.)
_ev_is_child()
{
	_ev_v=''
	# There is no LF at its end, so the status says nothing.
	IFS=' ' read -r _ev_v 2>/dev/null <"/proc/$_ev_pid/task/$_ev_pid/children" || :
	case " $_ev_v " in *" $1 "*) ;; *) return 1 ;; esac
}

# usage: ev_spawn [-n NAME] [-d DATA] [-p PRIORITY] [-l] HANDLER COMMAND [ARGUMENT...]
# evd starts COMMAND in this directory with this environment, with nothing to read and
# its output thrown away, and HANDLER runs when it has ended. It is terminated when the
# loop ends; -l: it is left alone. Sets EV_RESULT to its pid. Prints nothing. Status as
# ev_timer.
ev_spawn()
{
	_ev_args ev_spawn 2 100000 'HANDLER COMMAND [ARGUMENT...]' "$@" || return
	shift "$_ev_shift"
	_ev_handler=$1
	shift
	_ev_replace "$_ev_name" || _ev_refused ev_spawn || return
	_ev_v=$(printf '%s\0' "$@" | jq -r -R -s --argjson count "$#" \
		--arg cwd "${PWD:-$(pwd)}" '
		def odd: contains("\ufffd");
		{argv: split("\u0000")[:$count], cwd: $cwd,
		 env: (env | with_entries(select("\(.key)\(.value)" | odd | not)))}
		| if [.argv, .cwd] | tojson | odd then empty else tojson[1:-1] end')
	case $_ev_v in
	'') _ev_fail ev_spawn 'the arguments are expected to be UTF-8' || return 2 ;;
	esac
	_ev_call ev_spawn pid \
		"\"cmd\":\"spawn\",$_ev_v,\"watcher\":\"$_ev_name\"$_ev_members" ||
		_ev_refused ev_spawn || return
	_ev_enter "$_ev_handler" child
}

# usage: ev_stat [-n NAME] [-d DATA] [-p PRIORITY] [-1hLs] HANDLER PATH [INTERVAL]
# Runs HANDLER when what is at PATH has changed, also if nothing is there yet. What is
# there is in EV_ATTR_..., what was before in EV_PREV_... -L: follow a link. INTERVAL:
# how often to look where the kernel does not tell. Prints nothing. Status as ev_timer.
ev_stat()
{
	_ev_args ev_stat 2 3 'HANDLER PATH [INTERVAL]' "$@" || return
	shift "$_ev_shift"
	_ev_add_number interval "${3-0}" || return
	_ev_add_path "$2" || return
	_ev_register "$1" stat
}

# usage: ev_io [-n NAME] [-d DATA] [-p PRIORITY] [-1s] HANDLER DESCRIPTOR|PATH [r|w|rw]
# Runs HANDLER when the descriptor of this shell, or the FIFO or device at PATH, can be
# read (written), again and again until it has been. Prints nothing. Status as ev_timer.
ev_io()
{
	_ev_args ev_io 2 3 'HANDLER DESCRIPTOR|PATH [r|w|rw]' "$@" || return
	shift "$_ev_shift"
	case ${3-r} in
	r | w | rw) ;;
	*) _ev_fail ev_io "\"$3\" is none of r, w, rw" || return 2 ;;
	esac
	_ev_members="$_ev_members,\"events\":\"${3-r}\"" _ev_held=1
	case $2 in
	*[!0123456789]* | '')
		_ev_add_path "$2" || return
		_ev_register "$1" io
		return
		;;
	esac
	_ev_rest_members=$_ev_members
	_ev_members="$_ev_members,\"pid\":$_ev_pid,\"fd\":$2"
	_ev_watch "$1" io || case $_ev_error in
	*EPERM*)
		# Yama forbids it; what is no socket can be had by a path.
		_ev_members="$_ev_rest_members,\"path\":\"/proc/$_ev_pid/fd/$2\""
		_ev_register "$1" io
		;;
	*) _ev_refused ev_io ;;
	esac
}

# usage: ev_async [-n NAME] [-d DATA] [-p PRIORITY] [-1hs] HANDLER
# Runs HANDLER when somebody calls ev_send. Prints nothing. Status as ev_timer.
ev_async()
{
	_ev_plain async "$@"
}

# usage: ev_idle [-n NAME] [-d DATA] [-p PRIORITY] [-1s] HANDLER
# Runs HANDLER whenever there is nothing else to do. Prints nothing. Status as ev_timer.
ev_idle()
{
	_ev_args ev_idle 1 1 HANDLER "$@" || return
	shift "$_ev_shift"
	_ev_held=1
	_ev_register "$1" idle
}

# usage: ev_prepare [-n NAME] [-d DATA] [-p PRIORITY] [-1s] HANDLER
# Runs HANDLER behind each batch of events. Prints nothing. Status as ev_timer.
ev_prepare()
{
	_ev_plain prepare "$@"
}

# usage: ev_check [-n NAME] [-d DATA] [-p PRIORITY] [-1s] HANDLER
# Runs HANDLER before each batch of events. Prints nothing. Status as ev_timer.
ev_check()
{
	_ev_plain check "$@"
}

# --- the life of a watcher ----------------------------------------------------

# usage: _ev_verb FUNCTION MEMBER COMMAND
# A command of its own. Sets EV_RESULT. Status 0, or 1 and a message.
_ev_verb()
{
	_ev_open "$1" || return
	_ev_call "$@" || _ev_refused "$1"
}

# usage: _ev_act FUNCTION VERB NAME
# A command that has a watcher and nothing else. Status 0, or 1 and a message.
_ev_act()
{
	_ev_has "$1" "$3" || return
	_ev_call "$1" '' "\"cmd\":\"$2\",\"watcher\":\"$3\"" || _ev_refused "$1"
}

# usage: ev_start NAME
# Starts a watcher that is not active; its events from before are gone. A timer goes
# on with what remained. Prints nothing. Status 0, or 1 and a message.
ev_start()
{
	_ev_act ev_start start "${1-}" || return
	! _ev_spent "$1" || _ev_off "$1"
	eval "_ev_v=\${_ev_a_$1-}"
	case $_ev_v in
	'')
		_ev_drop "$1"
		_ev_on "$1"
		;;
	esac
}

# usage: ev_stop [NAME]
# Stops a watcher; events of it that were not handled are gone. Without NAME the same
# as ev_break. Prints nothing. Status 0, or 1 and a message.
ev_stop()
{
	case $# in
	0)
		# In a trap, a mere return has the status from before the trap.
		ev_break one
		return 0
		;;
	esac
	_ev_act ev_stop stop "$1" || return
	_ev_drop "$1"
	_ev_off "$1"
}

# usage: ev_unwatch NAME
# Stops a watcher and forgets it. Prints nothing. Status 0, or 1 and a message.
ev_unwatch()
{
	_ev_act ev_unwatch unwatch "${1-}" || return
	_ev_drop "$1"
	_ev_off "$1"
	_ev_unset "$1"
	_ev_v=" $_ev_names"
	_ev_v="${_ev_v%%" $1 "*} ${_ev_v#*" $1 "}"
	_ev_names=${_ev_v# }
}

# usage: ev_again NAME
# A timer begins anew with its REPEAT, and stops if that is 0; a periodic or a cron
# looks for its next time anew. Prints nothing. Status 0, or 1 and a message.
ev_again()
{
	_ev_act ev_again reset "${1-}" || return
	_ev_drop "$1"
	eval "_ev_v=\$_ev_z_$1"
	case $_ev_v in
	1) _ev_on "$1" ;;
	*) _ev_off "$1" ;;
	esac
}

# usage: ev_set NAME MEMBER NUMBER
# Changes a number of a watcher: repeat, offset, interval; if it is not active also
# after, priority. Prints nothing. Status 0, 1 (refused) or 2 (wrong arguments) and a
# message.
ev_set()
{
	_ev_has ev_set "${1-}" || return
	case ${2-} in
	repeat | offset | interval | priority | after) ;;
	*) _ev_fail ev_set 'usage: ev_set NAME MEMBER NUMBER' || return 2 ;;
	esac
	_ev_number ev_set "$2" "${3-}" || return
	_ev_verb ev_set '' \
		"\"cmd\":\"set\",\"watcher\":\"$1\",\"$2\":$_ev_v" || return
	case $2${3%%[eE]*} in
	repeat*[123456789]*) eval "_ev_z_$1=1" ;;
	repeat*) eval "_ev_z_$1=" ;;
	esac
}

# usage: ev_get NAME MEMBER
# Sets EV_RESULT to a member of what get of the protocol says: active, remaining, at.
# Empty if there is none. Prints nothing. Status 0, 1 or 2 (wrong arguments) and a
# message.
ev_get()
{
	_ev_has ev_get "${1-}" || return
	case ${2-} in
	'' | *[!a-z_]*) _ev_fail ev_get 'usage: ev_get NAME MEMBER' || return 2 ;;
	esac
	_ev_verb ev_get "$2" "\"cmd\":\"get\",\"watcher\":\"$1\""
}

# usage: ev_remaining NAME
# Sets EV_RESULT to the seconds until a timer fires. Prints nothing. Status 0, or 1 and
# a message.
ev_remaining()
{
	ev_get "${1-}" remaining
}

# usage: ev_feed NAME [REVENTS]
# Makes an event of a watcher, as if it had fired. Prints nothing. Status 0, 1 or 2
# (wrong arguments) and a message.
ev_feed()
{
	_ev_has ev_feed "${1-}" || return
	_ev_number ev_feed REVENTS "${2-0}" || return
	_ev_verb ev_feed '' "\"cmd\":\"feed\",\"watcher\":\"$1\",\"revents\":$_ev_v"
}

# usage: ev_clear NAME
# Takes back what a watcher has fired and was not handled yet. Prints nothing. Status
# 0, or 1 and a message.
ev_clear()
{
	_ev_act ev_clear clear "${1-}" || return
	_ev_drop "$1"
}

# usage: ev_send NAME [SESSION]
# Wakes the async watcher NAME: of this loop, also from a subshell of it, or of another
# program that has named its SESSION. Prints nothing. Status 0; 1 and a message, also if
# nobody waits; 2 if the arguments are wrong.
ev_send()
{
	case ${1-} in
	'') _ev_fail ev_send 'usage: ev_send NAME [SESSION]' || return 2 ;;
	esac
	_ev_string "$1"
	_ev_command="\"cmd\":\"send\",\"watcher\":$_ev_v"
	case ${2-${_ev_session-}} in
	?*)
		_ev_string "${2-$_ev_session}"
		_ev_command=$_ev_command,\"session\":$_ev_v
		;;
	esac
	_ev_self
	case ${_ev_pid-} in
	"$_ev_v") _ev_verb ev_send sent "$_ev_command" ;;
	*) _ev_send_aside ;;
	esac || return
	case $EV_RESULT in
	true) ;;
	*) _ev_fail ev_send "\"$1\" is not active" ;;
	esac
}

# usage: _ev_send_aside
# Sends _ev_command on a connection of its own. Sets EV_RESULT. Status 0, or 1 and a
# message.
_ev_send_aside()
{
	_ev_probe ev_send || return
	EV_RESULT=$(_ev_ask "{$_ev_command}")
	case $EV_RESULT in
	'{"result":{"sent":'*)
		EV_RESULT=${EV_RESULT#*:*:}
		EV_RESULT=${EV_RESULT%%\}*}
		;;
	*) _ev_fail ev_send "$EV_RESULT" ;;
	esac
}

# --- the loop -----------------------------------------------------------------

# usage: ev_session NAME
# Names this loop, so that others can ev_send to it. Prints nothing. Status 0, or 1 and
# a message.
ev_session()
{
	_ev_open ev_session || return
	_ev_string "${1-}"
	_ev_verb ev_session session "\"cmd\":\"hello\",\"session\":$_ev_v" || return
	_ev_session=$EV_RESULT
}

# usage: ev_now
# Sets EV_RESULT to the time of the loop, in seconds since the Epoch. Prints nothing.
# Status 0, or 1 and a message.
ev_now()
{
	_ev_verb ev_now now '"cmd":"now"'
}

# usage: ev_update
# As ev_now, but the loop looks at the clock first.
ev_update()
{
	_ev_verb ev_update now '"cmd":"update"'
}

# usage: ev_suspend
# From now on no event comes, and timers stand still. Prints nothing. Status 0, or 1
# and a message.
ev_suspend()
{
	_ev_verb ev_suspend '' '"cmd":"suspend"'
}

# usage: ev_resume
# Undoes ev_suspend; timers go on with what remained. Prints nothing. Status 0, or 1
# and a message.
ev_resume()
{
	_ev_verb ev_resume '' '"cmd":"resume"'
}

# usage: ev_ref
# ev_run counts one watcher more as active. Prints nothing. Status 0, or 1 and a
# message.
ev_ref()
{
	_ev_open ev_ref || return
	_ev_active=$((_ev_active + 1))
}

# usage: ev_unref
# ev_run counts one watcher less as active, so that it ends when only those are left
# that it need not wait for. Prints nothing. Status 0, or 1 and a message.
ev_unref()
{
	_ev_open ev_unref || return
	_ev_active=$((_ev_active - 1))
}

# usage: ev_break [all]
# Ends the innermost ev_run, or all of them, when the handler returns that runs now.
# May be called in a trap. Prints nothing. Status 0.
ev_break()
{
	case ${_ev_depth:-0} in 0) return 0 ;; esac
	_ev_break=${1:-one}
	# `read` of some shells goes on after a trap: this is an answer for it.
	case $_ev_pid in
	?*) printf '{"id":[0,""],"cmd":"now"}\n' >&"$EV_FD_OUT" ;;
	esac
}

# usage: ev_close
# Ends the loop: forgets all watchers and closes the connection. In a subshell, lets
# go of its parent's loop, so that it can have one of its own. Prints nothing. Status 0.
ev_close()
{
	case ${_ev_pid-} in '') return 0 ;; esac
	_ev_self
	case $_ev_v in
	"$_ev_pid")
		# Children may have the descriptors: that they are closed says nothing.
		printf '%s%s\n' '{"cmd":"watch","type":"timer","watcher":"_ev_end",' \
			'"after":0,"end":true}' >&"$EV_FD_OUT"
		;;
	*) _ev_depth=0 ;;
	esac
	_ev_forget
}

# usage: ev_run [nowait | once]
# Handles events until no watcher is active, or ev_stop or ev_break ends it; nowait:
# those that are there now; once: the same, but waits for the first. Sets EV_RESULT to
# how many watchers are active. Prints what handlers print. Status 0; 1 and a message if
# the connection ends; 2 if the argument is wrong; under `set -e` that of a handler that
# fails.
ev_run()
{
	case ${1-} in
	'' | nowait | once) ;;
	*) _ev_fail ev_run 'usage: ev_run [nowait | once]' || return 2 ;;
	esac
	EV_RESULT=0
	case ${_ev_pid-} in '') return 0 ;; esac
	_ev_open ev_run || return
	case $_ev_depth in 0) _ev_break='' ;; esac
	_ev_depth=$((_ev_depth + 1))
	set -- "${1-}" "$_ev_current"
	case $1 in
	'') _ev_loop ;;
	*) _ev_iterate "$1" ;;
	esac
	set -- "$?" "$2"
	case $1$_ev_gone in 01) set -- 1 "$2" ;; esac
	_ev_depth=$((_ev_depth - 1)) _ev_current=$2
	case $_ev_break in one) _ev_break='' ;; esac
	# What the handler around this handles is its event again.
	case $2 in ?*) _ev_load "$2" ;; esac
	EV_RESULT=$_ev_active
	return "$1"
}

# usage: _ev_loop
# Status as ev_run.
_ev_loop()
{
	while :; do
		case $_ev_head in
		"$_ev_tail")
			if [ "$_ev_active" -gt 0 ]; then
				# This is _ev_read, for speed.
				_ev_line=''
				IFS= read -r _ev_line <&"$EV_FD_IN" ||
					_ev_interrupted ev_run || return
			else
				# What was fed is handled all the same.
				_ev_call ev_run seq '"cmd":"poll"' || return
				case $_ev_head in "$_ev_tail") return 0 ;; esac
				_ev_take
			fi
			;;
		*) _ev_take ;;
		esac
		_ev_status=0
		case $_ev_line in
		'e '*)
			_ev_load "$_ev_line"
			_ev_handle
			;;
		'r '* | '') ;;
		*) eval "_ev_$_ev_line" ;;
		esac
		case $_ev_status$_ev_break in 0) ;; *) return "$_ev_status" ;; esac
	done
}

# usage: _ev_iterate nowait|once
# Status as ev_run.
_ev_iterate()
{
	while [ "$1" = once ] && [ "$_ev_active" -gt 0 ] &&
		[ "$_ev_head" = "$_ev_tail" ] && [ -z "$_ev_break" ]; do
		_ev_read ev_run || return
		case $_ev_line in
		'e '*) _ev_put ;;
		'r '* | '') ;;
		*) eval "_ev_$_ev_line" ;;
		esac
	done
	_ev_call ev_run seq '"cmd":"poll"' || return
	set -- "$_ev_tail"
	while [ "$_ev_head" -lt "$1" ]; do
		_ev_take
		_ev_status=0
		case $_ev_line in
		'e '*)
			_ev_load "$_ev_line"
			_ev_handle
			;;
		esac
		case $_ev_status$_ev_break in 0) ;; *) return "$_ev_status" ;; esac
	done
}

# usage: _ev_put
# Puts _ev_line to the end of the queue.
_ev_put()
{
	eval "_ev_q_$_ev_tail=\$_ev_line"
	_ev_tail=$((_ev_tail + 1))
}

# usage: _ev_take
# Takes _ev_line from the head of the queue.
_ev_take()
{
	eval "_ev_line=\$_ev_q_$_ev_head"
	unset "_ev_q_$_ev_head"
	_ev_head=$((_ev_head + 1))
}

# usage: _ev_load LINE
# Sets the variables of an event, and _ev_handler and _ev_held. Without a watcher of
# ours, _ev_handler is empty.
_ev_load()
{
	_ev_current=$1
	eval "_ev_$1"
	case $EV_WATCHER in
	*[!A-Za-z0-9_]*)
		_ev_handler=''
		return
		;;
	esac
	eval "_ev_handler=\${_ev_f_$EV_WATCHER-} EV_DATA=\${_ev_d_$EV_WATCHER-}" \
		"_ev_held=\${_ev_h_$EV_WATCHER-}"
	case $EV_EVENT in
	child)
		eval "_ev_kind=\${_ev_k_$EV_WATCHER-} _ev_v=\${_ev_x_$EV_WATCHER-}"
		case $_ev_kind in ?*) EV_PID=$_ev_kind EV_EXIT=$_ev_v ;; esac
		;;
	esac
}

# usage: _ev_handle
# Handles the event that was loaded. Sets _ev_status, under `set -e` to the handler's
# status. (The handler stands alone, in no condition: in one the shell would not look at
# `set -e` in it.)
_ev_handle()
{
	case $_ev_handler in '') return 0 ;; esac
	case $EV_ACTIVE in false) _ev_off "$EV_WATCHER" ;; esac
	case $EV_EVENT in child) _ev_reap ;; esac
	set -- "$_ev_held"
	"$_ev_handler"
	_ev_status=$?
	_ev_current=''
	case $_ev_status$- in
	0* | *e*) ;;
	*) _ev_status=0 ;;
	esac
	case $1$_ev_status in 10) _ev_ack ;; esac
}

# usage: _ev_ack
# The handler is done: what EV_WATCHER watches is looked at again. The handler around
# this one, if any, is not done.
_ev_ack()
{
	case $_ev_pid in '') return 0 ;; esac
	case $_ev_depth in
	1) _ev_v=\"seq\":$EV_SEQ ;;
	*)
		eval "_ev_v=\${_ev_f_$EV_WATCHER-}"
		case $_ev_v in '') return 0 ;; esac
		_ev_v=\"watcher\":\"$EV_WATCHER\"
		;;
	esac
	_ev_write "{\"cmd\":\"ack\",$_ev_v,\"reply\":false}"
}

# usage: _ev_reap
# Sets EV_EXIT and EV_PID of a child of this shell.
_ev_reap()
{
	case $_ev_kind in '') return 0 ;; esac
	EV_EXIT=0
	wait "$_ev_kind" 2>/dev/null || EV_EXIT=$?
	eval "_ev_x_$EV_WATCHER=\$EV_EXIT"
}

# A shell that has this file read again goes on with its loop; one that has inherited
# exported variables begins with none.
_ev_self
case ${_ev_pid-} in
"$_ev_v") ;;
*)
	_ev_pid='' _ev_names='' _ev_depth=0 _ev_current='' _ev_break=''
	_ev_forget
	;;
esac
