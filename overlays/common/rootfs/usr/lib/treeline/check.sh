# shellcheck shell=dash
# For health checks, to be sourced: `. /usr/lib/treeline/check.sh`.

# until_limit COMMAND [ARGUMENT]…: again and again until it succeeds. Gives up shortly before the check's time is over, so that
# there is time to say what is wrong.
until_limit() {
	last=$(($(seconds_up) + ${TREELINE_LIMIT:-60} - 5))
	until "$@"; do
		[ "$(seconds_up)" -lt "$last" ] || return 1
		sleep 1
	done
}

# fail MESSAGE
fail() {
	echo "$1"
	exit 1
}

seconds_up() {
	cut -d . -f 1 /proc/uptime
}

# answers_ssh [ADDRESS:]PORT…: whether something says at one of them that it speaks ssh (RFC 4253, 4.2). An address that stands
# for all of the machine's is asked on the loopback interface. (Not at all of them: a kernel may lack IPv6.)
answers_ssh() {
	for place in "$@"; do
		case "$place" in *:*) address=${place%:*} ;; *) address='' ;; esac
		address=${address#[}
		address=${address%]}
		case "$address" in '' | 0.0.0.0 | '*') address=127.0.0.1 ;; ::) address=::1 ;; esac
		case "$(timeout 10 nc -w 5 "$address" "${place##*:}" </dev/null 2>/dev/null | head -c 4)" in SSH-) return ;; esac
	done
	return 1
}
