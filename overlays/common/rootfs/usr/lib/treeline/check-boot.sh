# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# The parts of check-boot; needs common.sh, boot-state.sh, health.sh, verdict.sh, hooks.sh and fleet-lock.sh.

# Names the process, so that there is one, and so that it can be stopped.
own_lock=/run/treeline/check-boot.lock

check_boot() {
	mkdir -p "${own_lock%/*}"
	(lock=$own_lock && take_lock) 2>/dev/null || exit 0
	make_work
	trap finish EXIT
	trap 'exit 0' INT TERM
	renice 10 $$ >/dev/null 2>&1
	know_what_runs

	fell_back=
	look_at_trial
	case "$trial_state" in
		fell-back)
			bad_commit=$trial_commit
			bad_version=$trial_version
			reason=$(reason_of_fall_back)
			! call_settle_trial drop || fell_back=yes
			;;
		waits) rm -f "$trial_of_boot" ;;
		stale) call_settle_trial drop ;;
	esac
	[ "$trial_state" = runs ] && on=trial || on=boot
	run_checks required "$on" log_check
	failed=$(failed_checks required)
	give_verdict || return 0
	run_checks wanted "$on" log_check
	tell_result
}

finish() {
	trap '' INT TERM
	end_check
	rm -rf "$work"
	release_lock
	(lock=$own_lock && release_lock)
}

# Sets $commit and $version; without OSTree both are empty.
know_what_runs() {
	read_settings
	commit=
	version=
	[ -e /run/ostree-booted ] || return 0
	read -r _ commit _ _ version <<-END
		$(pick_deployment running)
	END
}

call_settle_trial() {
	"$library/settle-trial" "$1" 2>&1 | logger -t treeline -p daemon.warning
	# What is settled is no trial of this boot any more.
	[ ! -e "$trial_of_boot" ]
}

log_check() {
	[ "$3" != ok ] || return 0
	{
		echo "health check $2 ($1) failed after $4 seconds: $5"
		tail -n 50 "$work/output"
	} | logger -t treeline -p daemon.warning
}

# Fails where this boot is over.
give_verdict() {
	look_at_trial
	case "$trial_state:$failed" in
		runs:) call_settle_trial keep || failed=trial trouble='the trial cannot be ended: see the system log' ;;
		runs:*) ! give_up_version || return 1 ;;
		# An upgrade has put another version on trial meanwhile: that one is no reason to restart.
		none:) end_deadline ;;
		unknown:) failed=ostree trouble='ostree does not say what runs' ;;
	esac
	return 0
}

tell_result() {
	wanted=$(failed_checks wanted)
	TREELINE_VERSION=$version
	if [ -n "$fell_back" ]; then
		TREELINE_RESULT=fell-back
		record_result fell-back "$bad_commit" "$bad_version" "$reason" "$failed" "$wanted"
		report "fell back from $bad_version: $reason"
	elif [ -z "$failed" ]; then
		TREELINE_RESULT=good
		record_result good "$commit" "$version" '' '' "$wanted"
		report good
	else
		reason=$(first_failure)
		record_result failed "$commit" "$version" "${reason:-$trouble}" "$failed" "$wanted"
	fi
	if [ -n "$failed" ]; then
		report "failed: $failed"
	else
		run_hooks after-boot
		release_reboot_lock
	fi
}

# The next boot tries again, or is one of the version before, if there is one. An upgrade that goes on may be what helps.
give_up_version() {
	if [ "$(deployments | cut -d ' ' -f 2 | sort -u | wc -l)" -lt 2 ]; then
		call_settle_trial keep
		return 1
	fi
	record_result failed "$commit" "$version" "$(first_failure)" "$failed"
	wait_for_lock "$lock_patience"
	look_at_trial
	[ "$trial_state" = runs ] || return 1
	report "failed: $failed"
	sync
	reboot
}

report() {
	logger -t treeline -p daemon.notice "health: $1"
	echo "treeline: health: $1" >>/dev/console
} 2>/dev/null
