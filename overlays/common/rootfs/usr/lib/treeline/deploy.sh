# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# Makes the target the version that starts next, on trial.

# ostree merges /etc and the kernel's arguments from what runs, switches at the very end by one rename, and drops what
# is neither running nor new.
deploy_target() {
	export TREELINE_VERSION="$target_version"
	run_hooks before-upgrade || {
		forget_objects
		say "version $target_version is not made ready; nothing has changed"
		exit "$exit_not_now"
	}
	make_room_in_boot "$target_commit"
	before=$(ostree rev-parse --repo="$repository" "$stateroot:$ref" 2>/dev/null)
	on_trial=$target_commit
	if ! arm_trial "$target_commit"; then
		undo_deploy
		fail "cannot put version $target_version on trial: are /sysroot and /boot full, or damaged? Nothing has changed"
	fi
	if ! ostree refs --repo="$repository" --create="$stateroot:$ref" --force "$target_commit" >"$work/deploy" 2>&1 ||
		! ostree admin deploy --os="$stateroot" "$stateroot:$ref" >>"$work/deploy" 2>&1; then
		cat "$work/deploy" >&2
		undo_deploy
		fail "cannot deploy version $target_version: see the message above; nothing has changed"
	fi
	on_trial=
	undeployed=
	[ -z "$retry_wanted" ] || forget_bad "$target_commit"
	rm -rf "$downloads" "$available" "$kernel_refused"
	say "version $target_version is ready: reboot to start it"
	TREELINE_RESULT=ready run_hooks after-upgrade
}

undo_deploy() {
	take_back_trial
	TREELINE_RESULT=failed run_hooks after-upgrade
}

# Also of an upgrade that ends in the middle: unless it got as far as the switch.
take_back_trial() {
	[ -n "${on_trial:-}" ] || return 0
	read -r _ starts_first _ <<-END
		$(pick_deployment first)
	END
	if [ "$starts_first" != "$on_trial" ]; then
		[ -z "$before" ] || ostree refs --repo="$repository" --create="$stateroot:$ref" --force "$before"
		disarm_trial "$on_trial"
		forget_target
	else
		undeployed=
	fi
	on_trial=
}
