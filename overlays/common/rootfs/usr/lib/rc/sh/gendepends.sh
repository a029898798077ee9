#!/bin/sh
# In place of OpenRC's own: prints the dependencies of all services. That one also looks into /usr/etc/init.d, where OSTree
# keeps the unchanged /etc: every service would count twice, and one that the machine removed would still count.

# shellcheck disable=SC1091
{
	. /lib/rc/sh/functions.sh
	. /lib/rc/sh/rc-functions.sh
}

config() { say config "$@"; }
need() { say ineed "$@"; }
use() { say iuse "$@"; }
want() { say iwant "$@"; }
before() { say ibefore "$@"; }
after() { say iafter "$@"; }
provide() { say iprovide "$@"; }
depend() { :; }

keyword() {
	for word in "$@"; do
		shift
		case "$word" in
			-containers) word=$(_get_containers) ;;
			!-containers) word=$(_get_containers_remove) ;;
		esac
		set -- "$@" "$word"
	done
	say keyword "$@"
}

say() {
	[ $# -le 1 ] || echo "$RC_SVCNAME $*" >&3
}

# In a subshell: what one script sets is not for the next. Scripts talk to stderr; only `say` reaches our reader.
dependencies() (
	exec 3>&1 1>&2
	for settings in "../conf.d/${RC_SVCNAME%%.*}" "../conf.d/$RC_SVCNAME" /etc/rc.conf /etc/rc.conf.d/*.conf; do
		# shellcheck disable=SC1090
		[ ! -e "$settings" ] || . "$settings"
	done
	if [ -n "$lsb" ]; then
		eval "$lsb"
	else
		# shellcheck disable=SC1090
		. "./$RC_SVCNAME"
	fi
	echo "$RC_SVCNAME" >&3
	_depend
)

for directory in /etc/init.d /usr/local/etc/init.d; do
	cd "$directory" 2>/dev/null || continue
	for RC_SVCNAME in *; do
		[ -f "$RC_SVCNAME" ] || continue
		[ -x "$RC_SVCNAME" ] || continue
		export RC_SVCNAME SVCNAME="$RC_SVCNAME"
		read -r first_line <"$RC_SVCNAME"
		case "$first_line" in
			'#!'*/openrc-run*) lsb= ;;
			*)
				command -v lsb2rcconf >/dev/null || continue
				lsb=$(lsb2rcconf "$RC_SVCNAME")
				[ -n "$lsb" ] || continue
				;;
		esac
		dependencies
	done
done
