# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# A delta that somebody carried here. No index speaks for it: the commit's own signature, ref and time must do.

# What it says of itself: enough to know what to look for, and to be believed in nothing. Sets $target_commit.
# (ostree 2022.7 ends with an error here after it has said all of that.)
read_file() {
	origin=$file
	[ -f "$file" ] || fail "cannot read $file: there is no such file"
	case "$file" in /*) delta=$file ;; *) delta=$PWD/$file ;; esac
	ostree static-delta show --repo="$repository" "$delta" >"$work/delta" 2>/dev/null
	target_commit=$(sed -n 's/^To: *//p' "$work/delta" | head -n 1)
	from_commit=$(sed -n 's/^From: *//p' "$work/delta" | head -n 1)
	target_version=
	is_sha256 "$target_commit" || fail "$file is not a delta, or is damaged; nothing has changed"
	if is_sha256 "$from_commit" && ! is_deployed "$from_commit"; then
		fail "$file leads on from the commit $(echo "$from_commit" | cut -c 1-12), which is not on this machine: version $version is the commit $(echo "$commit" | cut -c 1-12). Take the delta from there, or the one from nothing; nothing has changed"
	fi
}

bring_file() {
	unpacked=$(awk '/^PartMeta/ { sub(/.* usize=/, ""); bytes += $1 } END { printf "%.0f\n", bytes }' "$work/delta")
	is_number "$unpacked" || unpacked=0
	make_room $((unpacked / 1024 + air))
	say "unpacking $file"
	unpack "$delta" || fail "$file cannot be unpacked: it is damaged, or the disk is full (see the message above); nothing has changed"
}
