# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# Room on the disks, before anything is written. Deployments are only given up for it while two are left, the running one
# and another, unless --drop-previous says otherwise. Sizes in KiB.

# A deployment's directories, its /etc, ostree's own files.
air=16384

# Deltas that are not here yet, and what all of them hold.
make_room_for_download() {
	make_room "$(($(missing_bytes) / 1024 + $(unpacked_bytes) / 1024 + air))"
}

# As it is, without giving anything up.
has_room_for_route() {
	place=$repository
	needed=$(($(missing_bytes) / 1024 + $(unpacked_bytes) / 1024 + air))
	has_room
}

make_room_for_objects() {
	make_room "$(($(unpacked_bytes) / 1024 + air))"
}

missing_bytes() {
	missing=0
	while read -r _ bytes sha256 _; do
		missing=$((missing + bytes - $(size_of "$downloads/$sha256.delta") - $(size_of "$downloads/$sha256.delta.part")))
	done <"$work/route"
	if [ $missing -gt 0 ]; then echo $missing; else echo 0; fi
}

unpacked_bytes() {
	awk '{ bytes += $4 } END { printf "%.0f\n", bytes }' "$work/route"
}

# make_room KIB: in /var, which is one file system with the repository.
make_room() {
	needed=$1
	place=$repository
	free_deployments_until has_room && return
	fail "not enough space: version ${target_version:-of this file} needs $((needed / 1024)) MB in /var, $(($(free_space "$place") / 1024)) MB are free.$(way_out) Nothing has changed"
}

# make_room_in_boot COMMIT: for its kernel and initramfs. ostree names their directory by the checksum of both, so that
# deployments with the same ones share it; it copies new ones before it removes any.
make_room_in_boot() {
	modules=$(ostree ls --repo="$repository" "$1" /usr/lib/modules | awk '/^d/ { path = $NF } END { print path }')
	set -- "$1" "$modules/vmlinuz"
	! ostree ls --repo="$repository" "$1" "$modules/initramfs.img" >/dev/null 2>&1 || set -- "$@" "$modules/initramfs.img"
	checksum=$(ostree cat --repo="$repository" "$@" | sha256sum | cut -d ' ' -f 1)
	[ ! -d "/boot/ostree/$stateroot-$checksum" ] || return 0
	size=$(ostree ls --repo="$repository" "$@" | awk '{ bytes += $4 } END { printf "%.0f\n", bytes }')
	# Boot entries, directories, and the last block of each file.
	needed=$((size / 1024 + 64))
	place=/boot
	free_deployments_until has_room && return
	forget_target
	fail "not enough space: the kernel of version $target_version needs $((needed / 1024 + 1)) MB in /boot, $(($(free_space /boot) / 1024)) MB are free.$(way_out) Nothing has changed"
}

way_out() {
	if [ -n "$(oldest_to_give)" ]; then
		echo ' Remove something; or give up the version before the running one with --drop-previous: then there is none to fall back to until the new one has started.'
	else
		echo ' Remove something.'
	fi
}

has_room() {
	[ "$(free_space "$place")" -ge "$needed" ]
}

free_space() {
	df -Pk "$1" | awk 'NR == 2 { print $4 }'
}

# free_deployments_until TEST: the oldest first, never the running one nor the one that starts next.
free_deployments_until() {
	while ! "$1"; do
		least=2
		[ -z "$previous_may_go" ] || least=1
		[ "$(wc -l <"$work/deployments")" -gt $least ] || return 1
		read -r number _ _ _ dropped <<-END
			$(oldest_to_give)
		END
		[ -n "$number" ] || return 1
		say "making room: version $dropped goes"
		ostree admin undeploy "$number" >/dev/null || return 1
		know_deployments
	done
}

oldest_to_give() {
	awk '$1 > 0 && $4 == "no"' "$work/deployments" | tail -n 1
}
