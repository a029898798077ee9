# shellcheck shell=dash disable=SC2154 # the settings are variables
# The parts of auto-upgrade; needs common.sh, boot-state.sh and fleet-lock.sh. All times are whole seconds.

available=/var/lib/treeline/available
boot_result=/var/lib/treeline/boot-result
# From one try to get leave for the reboot to the next: doubled each time up to the most, and up to a half more at random.
first_retry=60
last_retry=3600

# Runs until it gets SIGTERM.
upgrade_forever() {
	child=
	trap end TERM INT
	pause "$(random_up_to "$UPGRADE_DELAY")"
	while :; do
		return_reboot_lock
		if has_update_url; then
			if [ "$UPGRADE_REBOOT" = yes ]; then
				upgrade_and_reboot
			else
				upgrade
			fi
		fi
		pause $((UPGRADE_INTERVAL + $(random_up_to "$UPGRADE_DELAY")))
	done
}

check_settings() {
	if ! is_number "$UPGRADE_INTERVAL" || [ "$UPGRADE_INTERVAL" -lt 60 ]; then
		refuse UPGRADE_INTERVAL 'a number of seconds, at least 60'
	fi
	is_number "$UPGRADE_DELAY" || refuse UPGRADE_DELAY 'a number of seconds'
	case "$UPGRADE_REBOOT" in yes | no) ;; *) refuse UPGRADE_REBOOT 'yes or no' ;; esac
	[ -z "$UPGRADE_REBOOT_WINDOW" ] || is_window "$UPGRADE_REBOOT_WINDOW" || refuse UPGRADE_REBOOT_WINDOW 'empty, or hours like 03-05'
}

refuse() {
	eval "value=\$$1"
	fail "$1 in /etc/conf.d/auto-upgrade must be $2, not \"$value\""
}

# The settings may change while this runs. Once is enough to say that there is nothing to do.
has_update_url() {
	read_settings
	[ -z "$update_url" ] || return 0
	[ -n "$said" ] || log "no automatic upgrades: there is no TREELINE_UPDATE_URL in $settings"
	said=yes
	return 1
}

# upgrade [OPTION]…: what it says goes to the log. Its exit code.
upgrade() {
	said=
	output=$(mktemp) || return
	run treeline upgrade "$@" >"$output" 2>&1
	status=$?
	sed 's/^treeline: //' "$output" | logger -t treeline -p daemon.notice
	rm -f "$output"
	return $status
}

# Downloads at any time; the rest belongs together, since what changes in /etc between applying and rebooting is lost.
upgrade_and_reboot() {
	upgrade --download
	retry=$first_retry
	while is_waiting; do
		if [ -n "$UPGRADE_REBOOT_WINDOW" ]; then
			wait_for_window
			# Meanwhile somebody may have changed their mind.
			is_waiting || return 0
		fi
		upgrade --apply --reboot
		# The reboot is under way, or something is wrong that the next round may mend; 4: not now.
		[ $? = 4 ] || return 0
		pause $((retry + $(random_up_to $((retry / 2)))))
		retry=$((retry * 2))
		[ $retry -lt $last_retry ] || retry=$last_retry
	done
}

# Whether a version is downloaded, or ready to start.
is_waiting() {
	grep -q ' downloaded$' "$available" 2>/dev/null || is_pending
}

# check-boot does this after a good start; the server may not have answered then.
return_reboot_lock() {
	[ -e "$fleet_lock_held" ] || return 0
	grep -qx 'result=good' "$boot_result" 2>/dev/null || return 0
	# In a shell of its own: wrong settings end it.
	message=$(read_settings && release_reboot_lock 2>&1) || log "${message#treeline: }"
}

# Not all at the same second here either, but inside of the window.
wait_for_window() {
	seconds=$(seconds_until_window "$UPGRADE_REBOOT_WINDOW" "$(date +%H:%M:%S)")
	[ "$seconds" -gt 0 ] || return 0
	spread=$(($(window_length "$UPGRADE_REBOOT_WINDOW") - 60))
	[ "$spread" -lt "$UPGRADE_DELAY" ] || spread=$UPGRADE_DELAY
	pause $((seconds + $(random_up_to "$spread")))
}

pause() {
	run sleep "$1"
}

# A shell sees signals while it waits, not while a program runs in its foreground.
run() {
	"$@" &
	child=$!
	wait $child
	ended=$?
	child=
	return $ended
}

end() {
	trap '' TERM INT
	# Again until it has ended: a signal that comes right after the fork finds the shell's own handler, and is lost.
	while [ -n "$child" ] && kill "$child" 2>/dev/null; do sleep 0.2; done
	rm -f "$output"
	exit 0
}

log() {
	logger -t treeline -p daemon.notice "$1"
}

# random_up_to MOST
random_up_to() {
	echo $(($(od -A n -N 4 -t u4 /dev/urandom) % ($1 + 1)))
}

# is_window FROM-TO: two hours of two digits.
is_window() {
	case "$1" in
		[01][0-9]-[01][0-9] | [01][0-9]-2[0-4] | 2[0-4]-[01][0-9] | 2[0-4]-2[0-4]) [ "${1%-*}" != "${1#*-}" ] ;;
		*) return 1 ;;
	esac
}

# seconds_until_window FROM-TO HH:MM:SS: 0 inside of the window, which may go over midnight.
seconds_until_window() {
	since=$((($(seconds_of_day "$2") - $(hours "${1%-*}") * 3600 + 86400) % 86400))
	if [ "$since" -lt "$(window_length "$1")" ]; then echo 0; else echo $((86400 - since)); fi
}

# From 0 to 24 is all day.
window_length() {
	length=$((($(hours "${1#*-}") - $(hours "${1%-*}") + 24) % 24))
	[ $length -gt 0 ] || length=24
	echo $((length * 3600))
}

seconds_of_day() {
	minutes=${1#*:}
	echo $(($(hours "${1%%:*}") * 3600 + $(hours "${minutes%:*}") * 60 + $(hours "${minutes#*:}")))
}

# Two digits as a number: 08 would be octal.
hours() {
	echo "${1#0}"
}
