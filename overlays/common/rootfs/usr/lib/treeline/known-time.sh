# shellcheck shell=dash
# What a machine knows of the time without asking anybody.

# Its modification time is when the machine was last known to run.
last_seen=/var/lib/treeline/clock
# Written where the clock was behind: the time it was set to, and the seconds since power on.
clock_was_set=/run/treeline/clock-was-set

# Seconds since 1970: the newest of when this system was made, and when the machine was last seen. Not when the newest update
# index was signed: a publisher's clock that is ahead would set the clocks of all its machines.
newest_known_time() {
	{
		echo 0
		sed -n "s/^TREELINE_EPOCH='\(.*\)'$/\1/p" /usr/lib/treeline/image.conf
		stat -c %Y $last_seen
	} 2>/dev/null | grep '^[0-9]\{1,11\}$' | sort -n | tail -n 1
}

# Fails as long as a clock that was behind still runs on from where it was set to at boot.
clock_is_right() {
	[ -s $clock_was_set ] || return 0
	read -r time up <$clock_was_set
	apart=$(($(date +%s) - time - $(cut -d . -f 1 /proc/uptime) + up))
	[ "${apart#-}" -gt 5 ]
}
