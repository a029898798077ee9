# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# Which deltas bring the target: the cheapest way from what runs, what would start next, or nothing.

# Writes $work/route: lines FILE BYTES SHA256 UNPACKED-BYTES MEMORY, in the order in which they apply; for a kernel's delta,
# which does not apply to the repository, further words COMMIT OLD NEW START.
choose_route() {
	free=$(free_memory)
	kernels=
	! takes_kernels || kernels=yes
	find_route "$free" ''
	if has_pair && ! has_room_for_route; then
		kernels=
		find_route "$free" ''
	fi
	[ ! -s "$work/route" ] || return 0
	find_route '' ''
	[ -s "$work/route" ] ||
		fail "$origin has no delta that leads from version $version to $target_version: install a newer image"
	too_little_memory
}

has_pair() {
	awk 'NF > 5 { pair = 1 } END { exit !pair }' "$work/route"
}

# The same, of what --download has left.
choose_saved_route() {
	here=$(find "$downloads" -name '*.delta' | sed 's/.*\///; s/\.delta$//' | tr '\n' ' ')
	free=$(free_memory)
	kernels=
	! takes_kernels || kernels=yes
	find_route "$free" "${here:-none}"
	[ ! -s "$work/route" ] || return 0
	find_route '' "${here:-none}"
	[ ! -s "$work/route" ] || too_little_memory
	fail "not all of version $target_version has been downloaded: treeline upgrade --download goes on with it; nothing has changed"
}

# find_route MEMORY CHECKSUMS
find_route() {
	LC_ALL=C awk -v ref="$ref" -v to="$target_commit" -v from="$commit $first_commit" -v memory="$1" -v have="$2" \
		-v kernels="$kernels" -f "$library/route.awk" "$work/index" >"$work/route" || damaged_index
}

too_little_memory() {
	needed=$(awk '$5 > most { most = $5 } END { printf "%.0f", most }' "$work/route")
	fail "not enough memory: version $target_version needs $(megabytes "$needed") MB to be unpacked, $(megabytes "$free") MB are free, swap included. Stop a service, or add swap; nothing has changed"
}

# Of bytes, rounded up.
megabytes() {
	echo $((($1 + 1048575) / 1048576))
}
