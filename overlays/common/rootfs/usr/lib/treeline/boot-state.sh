# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# What is remembered from boot to boot: the trial of a new version, and the commits that failed theirs. No other file
# knows how. To be sourced after common.sh; what writes to /sysroot and /boot needs enter_private_mounts before.
#
# The trial file names the commit on trial, and on a second line one whose trial this one replaces, for as long as that is
# still deployed. In a container each line also holds the tries left, which /sbin/init of the template counts. On a machine
# of its own, GRUB counts: treeline_tries in grubenv, a block of 1,024 bytes that is only ever written as a whole.

trial_file=/sysroot/ostree/deploy/$stateroot/trial
grub_directory=/boot/grub
bad_commits=/var/lib/treeline/bad-commits
deadline_pid=/run/treeline/deadline.pid
tries_of_machine=3
# What counts in a container knows as little as can be.
tries_of_container=1

# arm_trial COMMIT: before it is deployed. The trial file first: tries without it could not be told from other ones.
# A commit that is on trial already stays so until the new one is deployed in its place.
arm_trial() {
	read_trial
	replaced=
	[ "$trial_commit" = "$1" ] || replaced=$trial_commit
	write_trial "$1" "$replaced" || return 1
	! grub_counts || write_grubenv "$tries_of_machine"
}

# disarm_trial: whatever is on trial has passed, or failed. disarm_trial COMMIT: this one is not deployed after all; what
# its trial replaced is on trial again. The tries first, for the reason above.
disarm_trial() {
	if [ -n "${1:-}" ]; then
		other=$(trial_commits | grep -vxF "$1" | head -n 1)
		if [ -n "$other" ]; then
			write_trial "$other" ''
			return
		fi
	fi
	! grub_counts || [ -z "$(tries_in_grubenv)" ] || write_grubenv '' || return 1
	[ ! -e "$trial_file" ] || { rm -f "$trial_file" && sync; }
}

# Sets $trial_commit, empty where there is none, and $tries_left, empty where nothing counts.
read_trial() {
	trial_commit=$(trial_commits | head -n 1)
	if grub_counts; then tries_left=$(tries_in_grubenv); else tries_left=; fi
	# What starts first decides where an upgrade was cut off before it deployed anything: that is still what it would have
	# replaced. And where GRUB counts and the trial file cannot be read: nothing else is counted.
	if [ "$(trial_commits | wc -l)" -gt 1 ] || { [ -z "$trial_commit" ] && [ -n "$tries_left" ]; }; then
		read -r _ starts_first _ <<-END
			$(pick_deployment first)
		END
		if [ -z "$trial_commit" ] || trial_commits | grep -qxF "$starts_first"; then trial_commit=$starts_first; fi
	fi
	grub_counts || tries_left=$(tries_in_trial_file)
}

grub_counts() {
	[ -e "$grub_directory/grub.cfg" ]
}

# One line each.
trial_commits() {
	[ ! -r "$trial_file" ] || tr '\000' '?' <"$trial_file" | sed -n '1,2s/^\([0-9a-f]\{64\}\)\( [0-9]\)\{0,1\}$/\1/p'
}

tries_in_trial_file() {
	[ -z "$trial_commit" ] || sed -n "s/^$trial_commit \([0-9]\)\$/\1/p" "$trial_file"
}

# write_trial COMMIT REPLACED
write_trial() {
	if grub_counts; then tries=; else tries=" $tries_of_container"; fi
	printf '%s\n' "$1$tries" ${2:+"$2$tries"} | replace_file "$trial_file"
}

# As GRUB reads it: the last one counts.
tries_in_grubenv() {
	[ ! -r "$grub_directory/grubenv" ] || tr '\000' '?' <"$grub_directory/grubenv" |
		sed -n '1 { /^# GRUB Environment Block$/!q }; s/^treeline_tries=\([0-3]\)$/\1/p' | tail -n 1
}

# write_grubenv [TRIES]. In place: this needs no room, and GRUB, which knows nothing of ext4's journal, finds the file
# where it was. Only one that GRUB could not use is replaced by another file.
write_grubenv() {
	block=$(mktemp) || return 1
	{
		printf '# GRUB Environment Block\n'
		[ -z "$1" ] || printf 'treeline_tries=%s\n' "$1"
		printf '%1024s' '' | tr ' ' '#'
	} | head -c 1024 >"$block"
	if [ "$(stat -c '%F %s' "$grub_directory/grubenv" 2>/dev/null)" = 'regular file 1024' ]; then
		dd if="$block" of="$grub_directory/grubenv" bs=1024 count=1 conv=notrunc,fsync 2>/dev/null
	else
		replace_file "$grub_directory/grubenv" <"$block"
	fi
	written=$?
	rm -f "$block"
	return "$written"
}

# replace_file PATH: with standard input; the old or the new one is there whenever power is lost.
replace_file() {
	if cat >"$1.new" && sync && mv -f "$1.new" "$1" && sync; then return 0; fi
	rm -f "$1.new"
	return 1
}

is_bad() {
	grep -q "^$1 " "$bad_commits" 2>/dev/null
}

# remember_bad COMMIT VERSION REASON
remember_bad() {
	mkdir -p "${bad_commits%/*}" || return 1
	{
		other_bad_commits "$1"
		printf '%s %s %s %s\n' "$1" "$2" "$(date +%s)" "$(printf %s "$3" | tr '\n' ' ')"
	} | replace_file "$bad_commits"
}

forget_bad() {
	! is_bad "$1" || other_bad_commits "$1" | replace_file "$bad_commits"
}

other_bad_commits() {
	[ ! -r "$bad_commits" ] || grep -v "^$1 " "$bad_commits"
}

# The process that restarts the machine where a trial does not come to its end (initramfs/deadline, container/deadline); and
# what the kernel's arguments make it do for the same end, which a machine in use that stands still for a while would suffer from.
end_deadline() {
	read -r process 2>/dev/null <"$deadline_pid" || return 0
	! grep -q deadline "/proc/$process/cmdline" 2>/dev/null || kill "$process"
	rm -f "$deadline_pid"
	softlockup=/proc/sys/kernel/softlockup_panic
	if [ -e /run/ostree-booted ] && grub_counts && [ -e "$softlockup" ]; then echo 0 >"$softlockup"; fi
}
