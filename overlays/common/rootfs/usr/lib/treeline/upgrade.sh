# shellcheck shell=dash disable=SC1090,SC1091,SC2034,SC2154 # the parts of treeline share their variables
# treeline upgrade: the signed index says what is newest, delta files bring it, ostree deploys it, and it starts on trial.
# The stages are parts of their own, in the order in which they run.

state=/var/lib/treeline
# What --download leaves for --apply: the index with its signature, and the deltas by their checksums.
downloads=$state/downloads
# COMMIT VERSION SECONDS checked|downloaded: a version that is there but not applied. For status.
available=$state/available

for part in boot-state verdict clock trust index route memory space kernel download file deploy hooks fleet-lock; do
	. "$library/$part.sh"
done

# Exit codes, beside 0 and 1.
exit_new=3
exit_not_now=4

command_upgrade() {
	read_settings
	parse_upgrade "$@"
	need_root
	need_ostree
	if [ "$source" = network ] && [ -z "$update_url" ]; then
		fail "no update URL: set TREELINE_UPDATE_URL in $settings, or give --url URL"
	fi
	case "$stage" in check | download) ;; *) wait_for_verdict ;; esac
	enter_private_mounts upgrade "$@"
	trap finish_upgrade EXIT
	trap 'exit 130' INT TERM
	take_lock
	has_lock=yes
	make_mounts_writable
	work=$(mktemp -d /run/treeline.XXXXXX) || fail 'cannot write to /run'
	remove_litter
	know_deployments
	mend_clock

	"upgrade_from_$source"
	[ -z "$reboot_wanted" ] || reboot_if_pending
}

# Sets $stage (check, download, apply, or empty: all of them), $source (network, saved, file), and what is allowed.
parse_upgrade() {
	stage=
	file=
	url=
	reboot_wanted=
	downgrade_allowed=
	retry_wanted=
	previous_may_go=
	while [ $# -gt 0 ]; do
		case "$1" in
			--url)
				[ -n "${2:-}" ] || fail '--url needs a URL' 2
				url=$2
				shift
				;;
			--url=?*) url=${1#--url=} ;;
			--check | --download | --apply)
				[ -z "$stage" ] || [ "$stage" = "${1#--}" ] ||
					fail "--$stage and $1 are different things: give one of them; see: treeline help" 2
				stage=${1#--}
				;;
			--reboot) reboot_wanted=yes ;;
			--allow-downgrade) downgrade_allowed=yes ;;
			--retry) retry_wanted=yes ;;
			--drop-previous) previous_may_go=yes ;;
			-* | '') fail "upgrade does not know $1; see: treeline help" 2 ;;
			*)
				[ -z "$file" ] || fail "upgrade takes one file, not both $file and $1" 2
				file=$1
				;;
		esac
		shift
	done
	source='network'
	[ "$stage" != apply ] || source='saved'
	[ -z "$file" ] || source='file'
	if [ -n "$file" ] && [ -n "$stage" ]; then
		fail "--$stage is about versions of a server, and $file is a file: leave one of them out" 2
	fi
	if [ "$source" != network ] && [ -n "$url" ]; then
		fail '--url is of no use here: nothing is asked of a server' 2
	fi
	case "$stage $reboot_wanted" in
		'check yes' | 'download yes') fail "--$stage makes nothing ready to start, so --reboot does not go with it" 2 ;;
	esac
	[ -z "$url" ] || update_url=${url%/}
}

upgrade_from_network() {
	fetch_index
	read_target
	if ! is_newer; then
		rm -rf "$downloads" "$available"
		return
	fi
	if [ "$stage" = check ]; then
		remember_available checked
		exit "$exit_new"
	fi
	if ! is_deployed "$target_commit"; then
		choose_route
		make_room_for_download
		download_route
	fi
	if [ "$stage" = download ]; then
		save_index
		remember_available downloaded
		say "version $target_version is downloaded; make it ready to start with: treeline upgrade --apply"
		return
	fi
	apply_target
}

# Without network. Nothing of what was saved is believed: the index has its signature, and the deltas their checksums in it.
upgrade_from_saved() {
	if [ ! -e "$downloads/index.json" ]; then
		[ -z "$reboot_wanted" ] || ! starts_another <"$work/deployments" || return 0
		fail 'nothing has been downloaded: treeline upgrade --download does that'
	fi
	read_saved_index
	read_target
	is_newer || {
		rm -rf "$downloads" "$available"
		return
	}
	is_deployed "$target_commit" || choose_saved_route
	apply_target
}

apply_target() {
	if is_deployed "$target_commit"; then
		: >"$work/route"
	else
		make_room_for_objects
		apply_route
	fi
	check_commit "$target_commit"
	deploy_target
}

upgrade_from_file() {
	read_file
	is_deployed "$target_commit" || bring_file
	check_commit "$target_commit"
	! is_newer || deploy_target
}

# Says what is to be done. Fails (1) where there is nothing to do; ends where it must not be done.
is_newer() {
	if [ "$target_commit" = "$first_commit" ]; then
		if starts_another <"$work/deployments"; then
			say "version $target_version is ready already: reboot to start it"
		else
			say "already up to date: version $version"
		fi
		return 1
	fi
	if is_bad "$target_commit" && [ -z "$retry_wanted" ]; then
		read -r _ _ bad_since bad_reason <<-END
			$(grep "^$target_commit " "$bad_commits")
		END
		say "version $target_version is there, but failed here on $(date_of "$bad_since"): $bad_reason"
		say "version $version goes on until there is a newer one; --retry tries $target_version again"
		return 1
	fi
	! is_too_old || refuse_age
	say "$version runs, $target_version is there"
}

# The signature of an old version stays good for ever, so the time decides.
is_too_old() {
	[ -z "$downgrade_allowed" ] && [ "$target_time" -lt "$running_time" ]
}

refuse_age() {
	fail "$origin offers version $target_version, which is older than $version, the running one: refused (--allow-downgrade accepts it); nothing has changed"
}

# What runs (in a container that was just made from a template by hand: what would start next).
know_deployments() {
	deployments >"$work/deployments"
	read -r _ first_commit _ _ first_version <"$work/deployments" || fail 'there is no deployment: see ostree admin status'
	read -r _ commit _ _ version <<-END
		$(awk '$4 == "yes"' "$work/deployments")
	END
	commit=${commit:-$first_commit}
	version=${version:-$first_version}
	running_time=$(commit_time "$commit")
	is_number "$running_time" || fail "cannot tell how old the running version is (commit $commit)"
}

is_deployed() {
	awk -v commit="$1" '$2 == commit { found = 1 } END { exit !found }' "$work/deployments"
}

remember_available() {
	echo "$target_commit $target_version $(date +%s) $1" | replace_file "$available" ||
		say "cannot write $available: treeline status will not show version $target_version"
}

# What a killed treeline left: its directory, its download that nobody waits for, half an unpacked delta.
remove_litter() {
	for litter in /run/treeline.??????; do
		[ "$litter" = "$work" ] || [ ! -d "$litter" ] || rm -rf "$litter"
	done
	stop_downloads
	rm -rf "$repository"/tmp/staging-* "$kernel_place"
}

finish_upgrade() {
	trap '' INT TERM
	[ -n "${has_lock:-}" ] || return 0
	stop_downloads
	take_back_trial
	[ -z "${undeployed:-}" ] || forget_objects
	[ -z "${work:-}" ] || rm -rf "$work" "$kernel_place"
	leave_private_mounts
	release_lock
}

# Whether the reboot may be: it is never for nothing, a fleet does not reboot at once, and hooks may have a reason against it.
reboot_if_pending() {
	know_deployments
	if ! starts_another <"$work/deployments"; then
		say 'no version waits to be started: no reboot'
		return
	fi
	take_reboot_lock || exit "$exit_not_now"
	if ! TREELINE_VERSION=$first_version run_hooks before-reboot; then
		release_reboot_lock
		say "version $first_version starts with the next reboot"
		exit "$exit_not_now"
	fi
	say "rebooting into version $first_version"
	sync
	reboot
}
