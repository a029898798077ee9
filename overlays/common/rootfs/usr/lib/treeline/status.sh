# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# treeline status, treeline version

# What `treeline upgrade --check` and `--download` have found: COMMIT VERSION SECONDS checked|downloaded.
available=/var/lib/treeline/available

command_status() {
	case "$*" in
		'') print=print_status ;;
		--json) print=print_status_json ;;
		*) fail "status does not know $*; see: treeline help" 2 ;;
	esac
	need_root
	read_settings
	need_ostree
	# shellcheck disable=SC1090
	for part in boot-state health verdict; do . "$library/$part.sh"; done
	known_deployments=$(deployments)
	read_trial
	$print
}

print_status() {
	echo "ref       $ref"
	echo "updates   ${update_url:-none: set TREELINE_UPDATE_URL in $settings}"
	echo "$known_deployments" | print_deployments
	print_trial
	print_result
	print_pending
	print_bad
	! echo "$known_deployments" | head -n 1 | grep -q ' no ' || echo 'Reboot to start the version of the next boot.'
}

print_deployments() {
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
		print_version "$role" "$version" "$commit"
	done
}

# print_version LABEL VERSION COMMIT [MORE]
print_version() {
	printf '%-9s %s (commit %s)%s\n' "$1" "$2" "$(echo "$3" | cut -c 1-12)" "${4:-}"
}

print_trial() {
	[ -n "$trial_commit" ] || return 0
	case "$tries_left" in
		'') tries= ;;
		0) tries=', no try left' ;;
		1) tries=', 1 try left' ;;
		*) tries=", $tries_left tries left" ;;
	esac
	print_version 'on trial' "$(version_of "$trial_commit")" "$trial_commit" "$tries"
}

# Of the deployed commit.
version_of() {
	version=$(echo "$known_deployments" | awk -v commit="$1" '$2 == commit { print $5; exit }')
	echo "${version:--}"
}

print_result() {
	[ -r "$result_file" ] || return 0
	failed=$(result_value failed)
	case "$(result_value result)" in
		good) words=good ;;
		failed) words="failed: $(result_value reason)" ;;
		fell-back) words="fell back from $(result_value version): $(result_value reason)${failed:+; failed since: $failed}" ;;
		*) words=unknown ;;
	esac
	wanted=$(result_value wanted)
	echo "health    $words${wanted:+; not as it should be: $wanted} ($(utc "$(result_value time)"))"
}

print_pending() {
	[ -r "$available" ] || return 0
	read -r commit version _ step <"$available"
	case "$step" in downloaded) words=', downloaded' ;; *) words= ;; esac
	print_version pending "$version" "$commit" "$words"
}

print_bad() {
	[ -r "$bad_commits" ] || return 0
	while read -r commit version time reason; do
		print_version bad "$version" "$commit" ": $reason ($(utc "$time"))"
	done <"$bad_commits"
}

# utc SECONDS
utc() {
	date_of "$1" 2>/dev/null || echo 'at an unknown time'
}

print_status_json() {
	printf '{"ref":%s,"updateUrl":%s,"deployments":[' "$(json_string "$ref")" "$(json_string "$update_url")"
	echo "$known_deployments" | deployments_json
	printf '],"trial":%s,"lastResult":%s,"pending":%s,"bad":[' "$(trial_json)" "$(result_json)" "$(pending_json)"
	bad_json
	echo ']}'
}

# Versions and commits cannot hold quotes, by their own rules.
deployments_json() {
	separator=
	while read -r number commit serial running version; do
		[ -n "$number" ] || continue
		[ "$running" = yes ] && is_running=true || is_running=false
		[ "$number" = 0 ] && is_next=true || is_next=false
		printf '%s{"version":"%s","commit":"%s","serial":%s,"running":%s,"next":%s}' \
			"$separator" "$version" "$commit" "$serial" "$is_running" "$is_next"
		separator=,
	done
}

trial_json() {
	if [ -n "$trial_commit" ]; then
		printf '{"version":%s,"commit":"%s","triesLeft":%s}' \
			"$(json_string "$(version_of "$trial_commit")")" "$trial_commit" "${tries_left:-null}"
	else
		echo null
	fi
}

result_json() {
	if [ -r "$result_file" ]; then
		separator='{'
		for name in result commit version reason; do
			printf '%s"%s":%s' "$separator" "$name" "$(json_string "$(result_value "$name")")"
			separator=,
		done
		printf ',"failed":%s,"wanted":%s,"time":%s}' \
			"$(words_json failed)" "$(words_json wanted)" "$(json_number "$(result_value time)")"
	else
		echo null
	fi
}

# words_json NAME: of the last result.
words_json() {
	separator=
	printf '['
	result_value "$1" | tr ' ' '\n' | while read -r word; do
		[ -n "$word" ] || continue
		printf '%s%s' "$separator" "$(json_string "$word")"
		separator=,
	done
	printf ']'
}

pending_json() {
	if [ -r "$available" ]; then
		read -r commit version time step <"$available"
		printf '{"version":%s,"commit":%s,"time":%s,"downloaded":%s}' "$(json_string "$version")" "$(json_string "$commit")" \
			"$(json_number "$time")" "$([ "$step" = downloaded ] && echo true || echo false)"
	else
		echo null
	fi
}

bad_json() {
	[ -r "$bad_commits" ] || return 0
	separator=
	while read -r commit version time reason; do
		printf '%s{"version":%s,"commit":%s,"time":%s,"reason":%s}' "$separator" \
			"$(json_string "$version")" "$(json_string "$commit")" "$(json_number "$time")" "$(json_string "$reason")"
		separator=,
	done <"$bad_commits"
}

# What somebody else wrote may be no number.
json_number() {
	case "$1" in '' | *[!0-9]* | 0?*) echo null ;; *) echo "$1" ;; esac
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
