# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# treeline rollback

command_rollback() {
	[ $# = 0 ] || fail "rollback does not know $*; see: treeline help" 2
	# shellcheck disable=SC1090,SC1091 # in the guest
	for part in boot-state verdict; do . "$library/$part.sh"; done
	need_root
	read_settings
	need_ostree
	enter_private_mounts rollback
	trap 'leave_private_mounts; release_lock' EXIT
	# Right after a start, what gives the verdict on the version that runs may have it.
	wait_for_lock 60 || take_lock
	make_mounts_writable

	read -r _ first_commit _ first_runs first_version <<-END
		$(pick_deployment first)
	END
	if [ "$first_runs" = no ]; then
		drop_pending "$first_commit" "$first_version"
	else
		return_to_previous
	fi
}

# drop_pending COMMIT VERSION: an upgrade that has not been started yet, or has failed. The running version starts again.
drop_pending() {
	read -r _ commit _ _ version <<-END
		$(pick_deployment running)
	END
	[ -n "$commit" ] || fail 'cannot tell what runs: see ostree admin status'
	# The ref first: undeploy then prunes what only the dropped version had.
	before=$(ostree rev-parse --repo="$repository" "$stateroot:$ref" 2>/dev/null)
	ostree refs --repo="$repository" --create="$stateroot:$ref" --force "$commit" || fail "cannot drop version $2"
	if ! ostree admin undeploy 0 >/dev/null; then
		[ -z "$before" ] || ostree refs --repo="$repository" --create="$stateroot:$ref" --force "$before"
		fail "cannot drop version $2: see the message above; nothing has changed"
	fi
	# Not before: until it is gone, it may be started.
	disarm_trial "$1"
	say "version $2, which had not been started, is dropped: version $version goes on"
}

# ostree 2022.7 cannot make an old deployment the default one. Deploying its commit again does: with today's /etc.
# The old one is retained, so that there is something to return to if this is taken back before the reboot.
return_to_previous() {
	read -r _ commit _ _ version <<-END
		$(pick_deployment other)
	END
	[ -n "$commit" ] || fail 'there is no previous version to return to'
	before=$(ostree rev-parse --repo="$repository" "$stateroot:$ref" 2>/dev/null)
	ostree refs --repo="$repository" --create="$stateroot:$ref" --force "$commit" || fail "cannot return to version $version"
	# It ran once, but not with today's /etc.
	if ! arm_trial "$commit" || ! ostree admin deploy --retain-rollback --os="$stateroot" "$stateroot:$ref" >/dev/null; then
		disarm_trial "$commit"
		[ -z "$before" ] || ostree refs --repo="$repository" --create="$stateroot:$ref" --force "$before"
		fail "cannot return to version $version: see the message above; nothing has changed"
	fi
	drop_surplus
	say "version $version starts at the next boot: reboot to return to it"
}

# Next, running, previous: more are litter of going to and fro.
drop_surplus() {
	number=$(deployments | wc -l)
	while [ "$number" -gt 3 ]; do
		number=$((number - 1))
		ostree admin undeploy "$number" >/dev/null || return
	done
}
