# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# What image and machine want done before and after an upgrade or a boot; after common.sh and read_settings.

hook_directories='/usr/lib/treeline/hooks /etc/treeline/hooks'

# run_hooks EVENT: the executables of EVENT.d of both directories, by name; one of /etc replaces that of the same name. They
# get TREELINE_EVENT, and as far as the caller has set them TREELINE_VERSION, which it is about, and TREELINE_RESULT.
# before-…: the first that fails, or takes too long, ends it: 1, and what was to be done must not be. after-…: all run.
run_hooks() {
	hook_status=0
	for hook in $(hook_names "$1"); do
		run_hook "$1" "$hook" && continue
		case "$1" in
			before-*)
				say "the hook $(hook_path "$1" "$hook") is against it ($(hook_failure))" >&2
				hook_status=1
				break
				;;
			*) say "the hook $(hook_path "$1" "$hook") has failed ($(hook_failure))" >&2 ;;
		esac
	done
	return $hook_status
}

# Names with blanks are no names of hooks.
hook_names() {
	for hook_directory in $hook_directories; do
		for hook_file in "$hook_directory/$1.d"/*; do
			[ ! -f "$hook_file" ] || [ ! -x "$hook_file" ] || echo "${hook_file##*/}"
		done
	done | grep -v '[[:blank:]]' | LC_ALL=C sort -u
}

# The last directory that has it counts.
hook_path() {
	for hook_directory in $hook_directories; do
		[ ! -x "$hook_directory/$1.d/$2" ] || hook_found=$hook_directory/$1.d/$2
	done
	echo "$hook_found"
}

# Where the system's own mounts are, not the private ones of an upgrade: what a hook mounts or unmounts is for all.
run_hook() {
	hook_seconds=${TREELINE_HOOK_SECONDS:-300}
	set -- "$1" "$(hook_path "$1" "$2")"
	TREELINE_EVENT=$1
	TREELINE_VERSION=${TREELINE_VERSION:-}
	TREELINE_RESULT=${TREELINE_RESULT:-}
	export TREELINE_EVENT TREELINE_VERSION TREELINE_RESULT
	if [ -n "${TREELINE_MOUNTS_ARE_PRIVATE:-}" ] && nsenter -t 1 -m true 2>/dev/null; then
		set -- nsenter -t 1 -m timeout -k 10 "$hook_seconds" "$2"
	else
		set -- timeout -k 10 "$hook_seconds" "$2"
	fi
	"$@" </dev/null
	hook_code=$?
	return $hook_code
}

hook_failure() {
	case $hook_code in
		124 | 137 | 143) echo "not done after $hook_seconds seconds, or killed" ;;
		*) echo "exit code $hook_code" ;;
	esac
}
