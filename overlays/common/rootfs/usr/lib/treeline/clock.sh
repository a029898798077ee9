# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# A machine without a battery starts in 1970. Certificates, and the expiry of signatures, need a better time than that.

# Seconds.
tolerance=3600

# Sets $now, in seconds since 1970: not before the running version was made. A clock that is behind that is set to it where
# that is allowed; in a container it is the host's. (A signature's time is not taken: one made with a wrong clock would
# carry that from machine to machine.)
mend_clock() {
	now=$(date +%s)
	[ "$now" -lt "$running_time" ] || return 0
	wrong=$now
	now=$running_time
	[ $((now - wrong)) -ge "$tolerance" ] || return 0
	# busybox's date says in no other way that it may not.
	date -u -s "@$now" >/dev/null 2>&1
	if [ "$(date +%s)" -ge "$now" ]; then
		say "the clock was wrong ($(date_of "$wrong")), and is set to the time of the running version, $(date_of "$now")"
	else
		say "the clock is wrong ($(date_of "$wrong")): the time of the running version, $(date_of "$now"), is taken instead"
	fi
}
