# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# The update index: which commit is the newest of each ref, and the deltas. Its time is that of its signature, so that
# nobody can offer an old one again, nor the last one for ever.

index_format=2
index_time_file=$state/index-time
# Bytes.
largest_index=4194304
# Seconds without one more byte after which a download counts as dead.
patience=60

fetch_index() {
	origin=$update_url
	fetch_small "$update_url/updates/index.json" "$work/index.json"
	# Its name is made of the index, so that the two fit, also while a new one is being published.
	signature=index-$(sha256sum "$work/index.json" | cut -c1-16).sig
	download_small "$update_url/updates/$signature" "$work/index.json.sig" ||
		fail "nobody has signed the update index of $origin as it came (there is no $signature): it was damaged on the way, or is being replaced at this moment: try again; nothing has changed"
	verify_index
	seen=$(index_time)
	if [ "$index_made" -lt "$seen" ] && [ -z "$downgrade_allowed" ]; then
		fail "the update index of $origin is of $(date_of "$index_made"), and this machine has seen one of $(date_of "$seen"): refused, somebody may be holding updates back, or the server is behind (--allow-downgrade accepts it); nothing has changed"
	fi
	[ "$index_made" -le "$seen" ] || echo "$index_made" | replace_file "$index_time_file" ||
		fail "cannot write $index_time_file: is /var full? Nothing has changed"
}

# When the newest index that this machine has accepted was signed, in seconds since 1970; 0 before the first.
index_time() {
	newest=
	read -r newest 2>/dev/null <"$index_time_file"
	if is_number "$newest"; then echo "$newest"; else echo 0; fi
}

# The one of --download. It was the newest when it came.
read_saved_index() {
	origin='what was downloaded'
	cp "$downloads/index.json" "$downloads/index.json.sig" "$work/" || fail 'cannot write to /run'
	verify_index
}

save_index() {
	rm -f "$downloads/index.json"
	{ cp "$work/index.json.sig" "$downloads/" && cp "$work/index.json" "$downloads/index.json.new" && sync &&
		mv "$downloads/index.json.new" "$downloads/index.json"; } ||
		fail "cannot write to $downloads: is /var full? Nothing has changed"
}

# Nothing in the index counts before its signature is good.
verify_index() {
	good_signatures "$work/index.json.sig" "$work/index.json" >"$work/signatures"
	if [ ! -s "$work/signatures" ]; then
		cat "$work/gpgv" >&2
		fail "the update index of $origin is not signed by the key of this image; nothing has changed"
	fi
	index_made=$(awk -v now="$now" '($2 == 0 || $2 > now) && $1 > made { made = $1 } END { if (made) print made }' "$work/signatures")
	if [ -z "$index_made" ]; then
		expired=$(awk '$2 > last { last = $2 } END { print last }' "$work/signatures")
		fail "the update index of $origin has expired on $(date_of "$expired"), and it is $(date_of "$now"): refused. Is the clock right? Then the server must publish a new one; nothing has changed"
	fi
	LC_ALL=C awk -f "$library/json.awk" "$work/index.json" >"$work/index" || fail "the update index of $origin cannot be read; nothing has changed"
	[ "$(value /format)" = "$index_format" ] ||
		fail "the update index of $origin has format $(value /format), which this version does not know: upgrade from a newer image"
}

# fetch_small URL FILE
fetch_small() {
	download_small "$1" "$2" && return
	fail "cannot download $1: is the address right, and does the network work? Nothing has changed"
}

# download_small URL FILE: says why it fails.
download_small() {
	(
		ulimit -f $((largest_index / 512))
		timeout "$patience" wget -q -O "$2" "$1" 2>"$work/wget"
	) && [ -s "$2" ] && return
	cat "$work/wget" >&2
	return 1
}

# value PLACE: from the index.
value() {
	awk -F '\t' -v place="$1" '$1 == place { print $2; exit }' "$work/index"
}

read_target() {
	entry=/refs/$(echo "$ref" | sed 's,~,~0,g; s,/,~1,g')
	target_commit=$(value "$entry/commit")
	target_version=$(value "$entry/version")
	target_time=$(value "$entry/timestamp")
	[ -n "$target_commit" ] || fail "$origin has no versions of $ref; nothing has changed"
	if ! is_sha256 "$target_commit" || ! is_number "$target_time"; then
		damaged_index
	fi
}

damaged_index() {
	fail "the update index of $origin is damaged: its publisher must build it again; nothing has changed"
}
