# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# A new kernel from what has changed inside the old one. Inside its bzImage (Linux, Documentation/arch/x86/boot.rst) lies
# the kernel itself as one LZ4 stream, and of that no delta finds what is the same in the next one. So both travel unpacked,
# in parts: head, chunks of 8 MiB, tail. What is put together again is checked by the commit that it must give, and is the
# very file that the new version has. Whoever publishes updates runs these same lines, of the old version.

# Of this disk: unpacked kernels take more than /run has. Nothing in it outlives an upgrade.
kernel_place=$state/kernel
# COMMIT: a version whose kernel could not be put together here.
kernel_refused=$state/kernel-refused

# Whether deltas of kernels may be taken on the way to the target.
takes_kernels() {
	command -v lz4 >/dev/null || return 1
	refused=
	read -r refused 2>/dev/null <"$kernel_refused"
	[ "$refused" != "$target_commit" ]
}

# bring_kernel COMMIT OLD NEW START DELTA: puts the new kernel into the repository, as the commit START: COMMIT with that
# kernel beside it. OLD and NEW are the commits of the kernels' parts, and DELTA leads from the one to the other.
bring_kernel() {
	parts=$kernel_place/repository
	rm -rf "$kernel_place"
	mkdir -p "$kernel_place/new" && chmod 755 "$kernel_place/new" &&
		ostree cat --repo="$repository" "$1" "$(kernel_of "$1")" >"$kernel_place/vmlinuz" &&
		split_kernel "$kernel_place/vmlinuz" "$kernel_place/old" &&
		rm "$kernel_place/vmlinuz" &&
		ostree init --repo="$parts" --mode=bare &&
		ostree config --repo="$parts" set core.fsync false &&
		[ "$(commit_parts "$parts" "$kernel_place/old")" = "$2" ] &&
		ostree static-delta apply-offline --repo="$parts" "$5" &&
		ostree checkout --repo="$parts" -H "$3" "$kernel_place/parts" &&
		join_kernel "$kernel_place/parts" >"$kernel_place/new/vmlinuz" &&
		[ "$(commit_kernel "$repository" "$1" "$kernel_place/new")" = "$4" ]
	brought=$?
	rm -rf "$kernel_place"
	return $brought
} </dev/null

# kernel_of COMMIT: its path.
kernel_of() {
	ostree ls --repo="$repository" "$1" /usr/lib/modules | awk '/^d/ { path = $NF } END { print path "/vmlinuz" }'
}

# split_kernel FILE DIRECTORY: its parts. Fails where it is no bzImage, or not packed by LZ4 as Linux does it: the old frame,
# and behind it four bytes with the length of what is in it.
split_kernel() {
	mkdir -p "$2" || return 1
	size=$(stat -c %s "$1")
	# Of the header, up to the last of what is read here.
	[ "$size" -ge 592 ] || return 1
	[ "$(bytes_of "$1" 514 4 x1)" = 48647253 ] || return 1
	sectors=$(bytes_of "$1" 497 1 u1)
	[ "$sectors" != 0 ] || sectors=4
	start=$(((sectors + 1) * 512 + $(bytes_of "$1" 584 4 u4)))
	length=$(($(bytes_of "$1" 588 4 u4) - 4))
	[ "$length" -gt 0 ] && [ $((start + length)) -lt "$size" ] || return 1
	[ "$(bytes_of "$1" "$start" 4 x1)" = 02214c18 ] || return 1
	head -c "$start" "$1" >"$2/head" &&
		tail -c +$((start + length + 1)) "$1" >"$2/tail" || return 1
	tail -c +$((start + 1)) "$1" | head -c "$length" | lz4 -d -c - 2>/dev/null | {
		chunk=10
		while dd of="$2/$chunk" bs=1048576 count=8 iflag=fullblock 2>/dev/null && [ -s "$2/$chunk" ]; do
			chunk=$((chunk + 1))
		done
		rm -f "$2/$chunk"
	}
	[ -e "$2/10" ]
}

# bytes_of FILE OFFSET COUNT TYPE, as od says it, without blanks; numbers on this machine are as in the file.
bytes_of() {
	od -A n -j "$2" -N "$3" -t "$4" "$1" | tr -d ' \n'
}

# join_kernel DIRECTORY: the file that these are the parts of.
join_kernel() {
	cat "$1/head" && cat "$1"/[0-9]* | lz4 -l -9 -c - 2>/dev/null && cat "$1/tail"
}

# Both print a commit that says nothing but what is in it, and move the files of DIRECTORY into it.
# commit_parts REPOSITORY DIRECTORY
commit_parts() {
	ostree commit --repo="$1" --orphan --no-bindings --timestamp=@0 --subject= --canonical-permissions --no-xattrs --consume \
		--tree=dir="$2"
}

# commit_kernel REPOSITORY COMMIT DIRECTORY: everything of COMMIT, and what is in the directory.
commit_kernel() {
	chmod 755 "$3" && chmod 644 "$3/vmlinuz" &&
		ostree commit --repo="$1" --orphan --no-bindings --timestamp=@0 --subject= --tree=ref="$2" --tree=dir="$3"
}
