# Completion of evctl(1) for bash.

# Those lines of standard input that begin with the word, as they are: names
# of sessions and watchers are others' choice, and no shell's to expand.
_evctl_reply()
{
	local line

	while IFS= read -r line; do
		[[ $line != "$1"* ]] || COMPREPLY+=("$line")
	done
}

_evctl_words()
{
	local word=$1

	shift
	_evctl_reply "$word" < <(printf '%s\n' "$@")
}

_evctl_files()
{
	compopt -o filenames 2>/dev/null
	_evctl_reply "$1" < <(compgen -f -- "$1")
}

_evctl_sessions()
{
	_evctl_reply "$1" < <(EVD_AUTOSTART=0 evctl ls --json 2>/dev/null |
		sed -n 's/^{"session":"\([[:alnum:]_.:-]*\)".*/\1/p')
}

_evctl_watchers()
{
	_evctl_reply "$1" < <(EVD_AUTOSTART=0 evctl ls --json "$2" 2>/dev/null |
		sed -n 's/.*"watcher":"\([[:alnum:]_.:-]*\)","type":"async".*/\1/p')
}

_evctl_zones()
{
	_evctl_reply "$1" < <(cd /usr/share/zoneinfo 2>/dev/null &&
		find [A-Z]* -type f)
}

# What may be the value of an option; fails if it is none that has one.
_evctl_value()
{
	case $1 in
	--socket) _evctl_files "$2" ;;
	--timezone) _evctl_zones "$2" ;;
	--priority) _evctl_words "$2" -2 -1 0 1 2 ;;
	--data | --from | --name | --number | --pace | --session | --timeout) ;;
	*) return 1 ;;
	esac
}

_evctl_options()
{
	local options=()

	case $2 in
	watch) options=(--data --name --once --pace --priority --session
		--timeout) ;;
	wait) options=(--data --name --priority --session --timeout) ;;
	spawn) options=(--leave --session) ;;
	ls) options=(--watchers) ;;
	calendar) options=(--from --number --timezone) ;;
	'') options=(--version) ;;
	esac
	_evctl_words "$1" "${options[@]}" --json --socket --text --help
}

# The words up to the cursor that are no options, into command and arguments.
_evctl_read_words()
{
	local i word

	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		--data | --from | --name | --number | --pace | --priority | \
			--session | --socket | --timeout | --timezone)
			((i++))
			;;
		-*) ;;
		*) arguments+=("$word") ;;
		esac
	done
	command=${arguments[0]}
	arguments=("${arguments[@]:1}")
}

# Of a watcher: first its type, then what the type takes.
_evctl_watcher()
{
	local i first=0

	for ((i = 0; i < ${#arguments[@]}; i++)); do
		[ "${arguments[i]}" != , ] || first=$((i + 1))
	done
	case ${arguments[first]} in
	'') _evctl_words "$1" timer periodic scheduler stat io child signal \
		async idle prepare check fork ;;
	stat | io) _evctl_files "$1" ;;
	signal) _evctl_reply "$1" < <(compgen -A signal | sed 's/^SIG//') ;;
	child) _evctl_reply "$1" < <(cd /proc && printf '%s\n' [1-9]*) ;;
	esac
}

_evctl_argument()
{
	case $command in
	'') _evctl_words "$1" watch wait spawn run send ls stats calendar \
		version ;;
	watch | wait) _evctl_watcher "$1" ;;
	spawn)
		if [ "${#arguments[@]}" -eq 0 ]; then
			_evctl_reply "$1" < <(compgen -c -- "$1")
		else
			_evctl_files "$1"
		fi
		;;
	run) _evctl_files "$1" ;;
	ls) _evctl_sessions "$1" ;;
	send)
		if [ "${#arguments[@]}" -eq 0 ]; then
			_evctl_sessions "$1"
		else
			_evctl_watchers "$1" "${arguments[0]}"
		fi
		;;
	esac
}

_evctl()
{
	local current=${COMP_WORDS[COMP_CWORD]}
	local command='' arguments=()

	COMPREPLY=()
	_evctl_value "${COMP_WORDS[COMP_CWORD - 1]}" "$current" && return
	_evctl_read_words
	case $current in
	-*) _evctl_options "$current" "$command" ;;
	*) _evctl_argument "$current" ;;
	esac
}

complete -F _evctl evctl
