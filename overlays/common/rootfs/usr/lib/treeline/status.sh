# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# treeline status, treeline version

command_status() {
	case "$*" in
		'') print=print_status ;;
		--json) print=print_status_json ;;
		*) fail "status does not know $*; see: treeline help" 2 ;;
	esac
	need_root
	read_settings
	need_ostree
	deployments | $print
}

print_status() {
	echo "ref       $ref"
	echo "updates   ${update_url:-none: set TREELINE_UPDATE_URL in $settings}"
	first_runs=yes
	shown=
	while read -r number commit _ running version; do
		# A rollback deploys a commit anew, and its first deployment is still there.
		case "$shown" in *" $commit "*) continue ;; esac
		shown="$shown $commit "
		[ "$number" != 0 ] || first_runs=$running
		case "$running $number $first_runs" in
			yes*) role=running ;;
			'no 0'*) role='next boot' ;;
			*) role=previous ;;
		esac
		printf '%-9s %s (commit %s)\n' "$role" "$version" "$(echo "$commit" | cut -c 1-12)"
	done
	[ "$first_runs" = yes ] || echo 'Reboot to start the version of the next boot.'
}

# Values cannot hold quotes: refs, versions and commits have none by their own rules.
print_status_json() {
	separator=
	printf '{"ref":"%s","updateUrl":"%s","deployments":[' "$ref" "$update_url"
	while read -r number commit serial running version; do
		[ "$running" = yes ] && is_running=true || is_running=false
		[ "$number" = 0 ] && is_next=true || is_next=false
		printf '%s{"version":"%s","commit":"%s","serial":%s,"running":%s,"next":%s}' \
			"$separator" "$version" "$commit" "$serial" "$is_running" "$is_next"
		separator=,
	done
	echo ']}'
}

command_version() {
	[ $# = 0 ] || fail "version does not know $*; see: treeline help" 2
	# The boot entry says it too, and reading it takes no time; ostree knows in any case.
	version=$(version_of_boot_entry)
	[ -n "$version" ] || version=$(pick_deployment running | cut -d ' ' -f 5)
	[ -n "$version" ] || fail 'cannot tell the version: ostree does not know what runs'
	echo "$version"
}

version_of_boot_entry() {
	argument=$(tr ' ' '\n' </proc/cmdline | grep '^ostree=') || return
	# `title NAME VERSION (ostree:0)`
	entry=$(grep -lF -- "$argument" /boot/loader/entries/*.conf 2>/dev/null | head -n 1)
	[ -n "$entry" ] || return
	sed -n 's/^title .* \([^ ]*\) (ostree:[0-9]*)$/\1/p' "$entry"
}
