# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# What becomes of a version on trial. Needs common.sh and boot-state.sh.

# The commit that was on trial when this boot began; gone when the verdict is given. An upgrade puts another one on trial
# in the same boot, which must be left alone.
trial_of_boot=/run/treeline/trial
result_file=/var/lib/treeline/boot-result
boot_entries=/boot/loader/entries
kernel_command_line=/proc/cmdline
# Seconds that an upgrade may take until we get our turn.
lock_patience=3600
# Seconds that the verdict may take, counted from when somebody waits for it.
verdict_patience=900

# Sets $trial_state, and $trial_version where it is known:
#   none       nothing was on trial, or something else is by now
#   runs       what is on trial runs, and starts at the next boot too
#   fell-back  what is on trial starts first and does not run: the boot loader gave it up
#   waits      what is on trial starts first, but not this time: the boot loader had an old list of entries
#   stale      what is on trial is not what starts next
#   unknown    ostree does not say what is there
look_at_trial() {
	trial_state=none
	trial_version=
	[ -s "$trial_of_boot" ] || return 0
	read -r began_with <"$trial_of_boot"
	read_trial
	[ "$trial_commit" = "$began_with" ] || return 0
	read -r _ first_commit _ first_runs trial_version <<-END
		$(pick_deployment first)
	END
	case "$first_commit $first_runs" in
		' ') trial_state=unknown ;;
		"$trial_commit yes") trial_state=runs ;;
		"$trial_commit no") if had_old_list; then trial_state=waits; else trial_state=fell-back; fi ;;
		*) trial_state=stale ;;
	esac
}

# GRUB does not see what ext4 has only in its journal: after a power cut it may start what the list of before names. By now
# the journal is replayed, and the list names it no more.
had_old_list() {
	grub_counts || return 1
	booted=$(tr ' ' '\n' <"$kernel_command_line" | grep '^ostree=') || return 1
	! cat "$boot_entries"/*.conf 2>/dev/null | tr ' ' '\n' | grep -qxF "$booted"
}

# settle keep: what is on trial stays. settle drop: it is gone, or has to go. Where something else is on trial by now, that
# stays so. Needs the lock and private mounts; sets $ref by read_settings.
settle() {
	look_at_trial
	case "$1 $trial_state" in
		'keep runs' | 'drop stale') ;;
		'drop fell-back') drop_bad_version || return 1 ;;
		*' none')
			rm -f "$trial_of_boot"
			end_deadline
			return
			;;
		*) return 1 ;;
	esac
	disarm_trial || return 1
	rm -f "$trial_of_boot"
	end_deadline
}

# What cannot be remembered stays where it is: it would be offered again. The boot loader has given it up for as long as
# its trial stands. Each step may be the last one before the power is lost; at the next boot all is done again.
drop_bad_version() {
	reason=$(reason_of_fall_back)
	if ! is_bad "$trial_commit" && ! remember_bad "$trial_commit" "$trial_version" "$reason"; then
		echo "treeline: cannot remember that version $trial_version is bad: it stays, but does not start" >&2
		return 1
	fi
	read -r _ running_commit _ <<-END
		$(pick_deployment running)
	END
	[ -n "$running_commit" ] || return 1
	# The ref first: undeploy then prunes what only the dropped version had.
	ostree refs --repo="$repository" --create="$stateroot:$ref" --force "$running_commit" &&
		ostree admin undeploy 0 >/dev/null
}

# A check's last words, where one failed; else it did not get that far.
reason_of_fall_back() {
	if [ "$(result_value result)" = failed ] && [ "$(result_value commit)" = "$trial_commit" ]; then
		reason=$(result_value reason)
	fi
	echo "${reason:-it did not start}"
}

# record_result RESULT COMMIT VERSION REASON [FAILED] [WANTED]. That it cannot be written changes nothing else.
record_result() {
	mkdir -p "${result_file%/*}" &&
		printf '%s\n' "result=$1" "commit=$2" "version=$3" "reason=$4" "failed=${5:-}" "wanted=${6:-}" "time=$(date +%s)" |
		replace_file "$result_file"
} 2>/dev/null

# result_value NAME: of the last result, empty where there is none.
result_value() {
	[ ! -r "$result_file" ] || sed -n "s/^$1=//p" "$result_file" | head -n 1
}

# For whoever wants to deploy. A version on trial would take the place of the one that is known to be good, and what was
# given up would still seem to be what starts next.
wait_for_verdict() {
	[ -e "$trial_of_boot" ] || return 0
	say 'a version is on trial: waiting until its health checks are through'
	tries=$verdict_patience
	while [ -e "$trial_of_boot" ]; do
		[ "$tries" -gt 0 ] || fail 'a version is on trial, and check-boot has not said whether it is good: see treeline status; after a reboot, try again'
		tries=$((tries - 1))
		sleep 1
	done
}

# wait_for_lock SECONDS
wait_for_lock() {
	tries=$1
	until (take_lock) 2>/dev/null; do
		[ "$tries" -gt 0 ] || return 1
		tries=$((tries - 1))
		sleep 1
	done
}
