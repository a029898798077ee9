# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# Fetches the deltas of the route, and unpacks them into the repository, where nothing counts until it is deployed.

# What an earlier try has left of these is gone on with; of others it is litter.
download_route() {
	mkdir -p "$downloads" || fail "cannot write to $downloads: is /var full? Nothing has changed"
	find "$downloads" -type f | while read -r path; do
		name=${path##*/}
		[ "$name" = index.json ] || [ "$name" = index.json.sig ] || grep -q " ${name%%.*} " "$work/route" || rm -f "$path"
	done
	while read -r delta_file delta_bytes delta_sha256 _; do
		download_delta
	done <"$work/route"
}

download_delta() {
	delta=$downloads/$delta_sha256.delta
	if [ "$(size_of "$delta")" != "$delta_bytes" ]; then
		say "downloading $delta_file, $(((delta_bytes + 1023) / 1024)) kB"
		[ "$(size_of "$delta.part")" -le "$delta_bytes" ] || rm -f "$delta.part"
		[ "$(size_of "$delta.part")" = "$delta_bytes" ] || fetch_large "$update_url/updates/$delta_file" "$delta.part"
		sync
		mv "$delta.part" "$delta"
	fi
	check_delta
}

check_delta() {
	echo "$delta_sha256  $delta" | sha256sum -c -s && [ "$(size_of "$delta")" = "$delta_bytes" ] && return
	rm -f "$delta"
	fail "$delta_file was damaged on the way, and is deleted: try again; nothing has changed"
}

size_of() {
	if [ -e "$1" ]; then stat -c %s "$1"; else echo 0; fi
}

# fetch_large URL FILE: any length of time, but not one of $patience seconds without progress; never more bytes than promised.
fetch_large() {
	(
		ulimit -f $(((delta_bytes + 511) / 512))
		exec wget -q -c -O "$2" "$1"
	) 2>"$work/wget" &
	download=$!
	before=-1
	waited=0
	while kill -0 "$download" 2>/dev/null; do
		[ $((waited % patience)) != 0 ] || {
			now_there=$(size_of "$2")
			[ "$now_there" != "$before" ] || kill "$download" 2>/dev/null
			before=$now_there
		}
		waited=$((waited + 1))
		sleep 1
	done
	wait "$download"
	[ "$(size_of "$2")" != "$delta_bytes" ] || return 0
	cat "$work/wget" >&2
	if grep -q 'No space left' "$work/wget"; then
		rm -f "$2"
		fail "not enough space for $delta_file in /var: it has been filled by something else meanwhile; nothing has changed"
	fi
	fail "the download broke off at $(size_of "$2") of $delta_bytes bytes: try again to go on with it; nothing has changed"
}

# Whoever starts a download waits for it, so those that nobody waits for are of one that was killed.
stop_downloads() {
	for process in $(pidof wget); do
		! tr '\000' ' ' 2>/dev/null <"/proc/$process/cmdline" | grep -qF " $downloads/" || kill "$process" 2>/dev/null
	done
}

apply_route() {
	while read -r delta_file delta_bytes delta_sha256 _; do
		delta=$downloads/$delta_sha256.delta
		check_delta
	done <"$work/route"
	say 'unpacking'
	while read -r delta_file _ delta_sha256 _ _ kernel_from kernel_parts; do
		delta=$downloads/$delta_sha256.delta
		if [ -n "$kernel_from" ]; then
			# shellcheck disable=SC2086 # OLD NEW START
			unpack_kernel "$kernel_from" $kernel_parts "$delta" && continue
			apply_whole_kernel
			return
		fi
		unpack "$delta" || fail "cannot unpack $delta_file: see the message above; nothing has changed"
	done <"$work/route"
}

unpack_kernel() {
	undeployed=yes
	bring_kernel "$@" >"$work/kernel" 2>&1
}

# The same version by another way, which is to be taken from now on.
apply_whole_kernel() {
	cat "$work/kernel" >&2
	say "the kernel of version $target_version cannot be put together here from what has changed in it: taking all of it"
	echo "$target_commit" | replace_file "$kernel_refused" || fail "cannot write $kernel_refused: is /var full? Nothing has changed"
	forget_objects
	if [ "$source" = saved ]; then
		choose_saved_route
	else
		choose_route
		make_room_for_download
		download_route
	fi
	make_room_for_objects
	apply_route
}

# ostree compares each object with its name, and moves all of them into the repository at the end. On an error nothing of
# it stays, nor the downloads: the disk may be full.
unpack() {
	undeployed=yes
	ostree static-delta apply-offline --repo="$repository" "$1" >/dev/null </dev/null && return
	forget_target
	return 1
}

# What is not deployed leaves the repository again, and with it what it came from; not a file that somebody brought.
forget_target() {
	[ "$source" = file ] || rm -rf "$downloads" "$available"
	forget_objects
}

forget_objects() {
	undeployed=
	rm -rf "$repository"/tmp/staging-*
	ostree admin cleanup >/dev/null 2>&1
}
