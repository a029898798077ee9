# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# treeline health; and running health checks, for check-boot.

checks=/usr/lib/treeline/health.d
own_checks=/etc/treeline/health.d
# Seconds that a check has where its file does not say otherwise: `# limit: 120`.
usual_limit=60
# Bytes of a file that a check writes, its output too: that is in memory.
largest_output=1048576

command_health() {
	case "$*" in
		'') report=print_check ;;
		--json) report=: ;;
		*) fail "health does not know $*; see: treeline help" 2 ;;
	esac
	need_root
	make_work
	trap 'end_check; rm -rf "$work"' EXIT
	trap 'exit 130' INT TERM
	run_checks required hand "$report"
	run_checks wanted hand "$report"
	[ "$report" = print_check ] || print_checks_json
	[ -z "$(failed_checks required)" ]
}

make_work() {
	work=$(mktemp -d /run/treeline.XXXXXX) || fail 'cannot write to /run'
	: >"$work/results"
}

print_check() {
	case "$3" in ok) said=ok ;; *) said="failed: $5" ;; esac
	printf '%-9s %-12s %s\n' "$1" "$2" "$said"
}

print_checks_json() {
	[ -z "$(failed_checks required)" ] && result=good || result=failed
	separator=
	printf '{"result":"%s","checks":[' "$result"
	while read -r kind name ended seconds message; do
		printf '%s{"name":"%s","kind":"%s","result":"%s","seconds":%s,"message":%s}' \
			"$separator" "$name" "$kind" "$ended" "$seconds" "$(json_string "$message")"
		separator=,
	done <"$work/results"
	echo ']}'
}

# run_checks required|wanted trial|boot|hand REPORT: one after the other, in the order of their names. The second argument
# reaches them as $TREELINE_CHECK. Adds a line for each to $work/results: KIND NAME RESULT SECONDS MESSAGE, the result being
# ok, failed or late; calls REPORT with these five, what the check printed being in $work/output.
run_checks() {
	list_checks "$1" >"$work/list"
	while read -r name path <&3; do
		began=$(seconds_up)
		run_check "$2" "$path"
		seconds=$(($(seconds_up) - began))
		printf '%s\n' "$1 $name $ended $seconds $message" >>"$work/results"
		"$3" "$1" "$name" "$ended" "$seconds" "$message"
	done 3<"$work/list"
}

# failed_checks required|wanted: the names of those that failed, on one line.
failed_checks() {
	awk -v kind="$1" '$1 == kind && $3 != "ok" { print $2 }' "$work/results" | xargs
}

# What the first of the required checks that failed said, with its name.
first_failure() {
	awk '$1 == "required" && $3 != "ok" { name = $2; sub(/^([^ ]+ ){4}/, ""); print name ": " $0; exit }' "$work/results"
}

# One line a check: NAME PATH. A file in /etc takes the place of one with its name in /usr; what cannot be executed, like a
# link to /dev/null, switches it off.
list_checks() {
	for directory in "$checks/$1" "$own_checks/$1"; do ls "$directory" 2>/dev/null; done |
		grep '^[A-Za-z0-9_-]\{1,64\}$' | sort -u | while read -r name; do
		path=$own_checks/$1/$name
		[ -e "$path" ] || [ -L "$path" ] || path=$checks/$1/$name
		[ ! -f "$path" ] || [ ! -x "$path" ] || echo "$name $path"
	done
}

# run_check trial|boot|hand PATH: sets $ended and $message. All processes that it leaves in its session end with it.
run_check() {
	limit=$(limit_of "$2")
	rm -f "$work/late"
	(
		ulimit -S -f $((largest_output / 512))
		exec setsid env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C TREELINE_CHECK="$1" TREELINE_LIMIT="$limit" "$2"
	) </dev/null >"$work/output" 2>&1 3<&- &
	check=$!
	# shellcheck disable=SC2016 # the inner shell's
	setsid sh -c 'sleep "$1"; : >"$3"; kill -TERM "-$2"; sleep 2; kill -KILL "-$2"' - "$limit" "$check" "$work/late" \
		</dev/null >/dev/null 2>&1 3<&- &
	watch=$!
	wait "$check"
	code=$?
	end_check
	if [ -e "$work/late" ]; then
		ended=late
		message="still ran after $limit seconds"
	elif [ $code = 0 ]; then
		ended=ok
		message=$(last_line)
	else
		ended=failed
		message=$(last_line)
		message=${message:-exit code $code}
	fi
}

end_check() {
	[ -n "$watch" ] || return 0
	# By its number too, where setsid has not happened yet.
	kill -KILL "-$watch" "$watch" 2>/dev/null
	kill -KILL "-$check" "$check" 2>/dev/null
	wait "$watch" "$check" 2>/dev/null
	watch=
}
watch=

limit_of() {
	limit=$(head -c 1024 "$1" | tr '\000' '?' | sed -n 's/^# limit: \([1-9][0-9]\{0,3\}\)$/\1/p' | head -n 1)
	echo "${limit:-$usual_limit}"
}

# Of what a check printed, safe to be shown and stored: printable ASCII, 200 characters at most.
last_line() {
	tail -c 4096 "$work/output" | tr '\t\r' ' \n' | tr -cd '\040-\176\n' | sed 's/^ *//; s/ *$//; /^$/d' | tail -n 1 | cut -c 1-200
}

# The clock may be set while checks run.
seconds_up() {
	cut -d . -f 1 /proc/uptime
}

# json_string TEXT: with its quotes.
json_string() {
	printf '"%s"' "$(printf %s "$1" | tr -cd '\040-\176' | sed 's/[\\"]/\\&/g')"
}
