# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# Shared by treeline's commands.

image_settings=/usr/lib/treeline/image.conf
settings=/etc/treeline.conf
stateroot=treeline
repository=/sysroot/ostree/repo

# fail MESSAGE [EXIT-CODE]
fail() {
	echo "treeline: $1" >&2
	exit "${2:-1}"
}

say() {
	echo "treeline: $1"
}

# Sets $ref and $update_url. The machine's own settings count more than the image's.
read_settings() {
	[ -r "$image_settings" ] || fail "there is no $image_settings: this is no Treeline image"
	# shellcheck disable=SC1090
	. "$image_settings"
	# shellcheck disable=SC1090
	[ ! -r "$settings" ] || . "$settings"
	ref=$TREELINE_REF
	update_url=${TREELINE_UPDATE_URL%/}
}

need_root() {
	[ "$(id -u)" = 0 ] || fail "only root may run this: log in as root, or use su"
}

need_ostree() {
	[ -e /run/ostree-booted ] && [ -d "$repository" ] && return
	fail 'this system does not run from OSTree (a flat template?), so it cannot change its version: replace it by a newer image'
}

# One line a deployment, the one that starts next first: INDEX COMMIT SERIAL RUNNING VERSION; RUNNING is yes or no.
deployments() {
	ostree admin status 2>/dev/null | awk -v stateroot="$stateroot" '
		function put() {
			if (name == stateroot) print number, commit, serial, running, version
			if (name != "") number++
		}
		BEGIN { number = 0 }
		/^[* ] [^ ]+ [0-9a-f]+\.[0-9]+/ {
			put()
			running = /^\*/ ? "yes" : "no"
			split(substr($0, 3), words, " ")
			name = words[1]
			split(words[2], deployment, ".")
			commit = deployment[1]
			serial = deployment[2]
			version = "-"
		}
		$1 == "Version:" { version = $2 }
		END { put() }
	'
}

# pick_deployment first|running|other: its line. `other`: the first that neither runs nor starts next.
pick_deployment() {
	deployments | awk -v which="$1" '
		(which == "first" && $1 == 0) || (which == "running" && $4 == "yes") || (which == "other" && $1 > 0 && $4 == "no") {
			print
			exit
		}
	'
}

# Whether something else than what runs starts next.
is_pending() {
	deployments | starts_another
}

# Of what `deployments` says. Asking ostree takes seconds on small machines.
starts_another() {
	awk '$1 == 0 && $4 == "no" { another = 1 } $4 == "yes" { running = 1 } END { exit !(another && running) }'
}

# What changes the system runs where nobody else sees /sysroot and /boot writable.
# enter_private_mounts COMMAND [ARGUMENT]…: goes on only inside; outside it becomes `treeline COMMAND ARGUMENT…` there.
enter_private_mounts() {
	if [ -z "$TREELINE_MOUNTS_ARE_PRIVATE" ]; then
		unshare -m true 2>/dev/null ||
			fail 'this system may not change its mounts (CAP_SYS_ADMIN is missing): its host must upgrade it, or allow that'
		TREELINE_MOUNTS_ARE_PRIVATE=yes exec unshare -m "$0" "$@"
	fi
}

# Needs enter_private_mounts, and the lock until leave_private_mounts: a read-only file system is so for everybody.
make_mounts_writable() {
	make_writable /sysroot
	make_writable /boot
}

# In a user namespace a remount must repeat the flags that the mount has.
make_writable() {
	! is_writable "$1" || return 0
	# shellcheck disable=SC2016 # awk's variables
	flags=$(awk -v point="$1" '$5 == point { flags = $6 } END { sub(/^r[wo]/, "", flags); print flags }' /proc/self/mountinfo)
	mount -o "remount,bind,rw$flags" "$1" 2>/dev/null
	! is_writable "$1" || return 0
	# Not the mount alone is read-only, but its file system: give it back as it was.
	mount -o "remount,rw" "$1" 2>/dev/null
	is_writable "$1" || fail "cannot make $1 writable"
	read_only_again="$read_only_again $1"
}

# `test -w` of busybox looks at permissions only, and root has all of them.
is_writable() {
	touch -c "$1" 2>/dev/null
}

leave_private_mounts() {
	sync
	for point in $read_only_again; do mount -o remount,ro "$point"; done
	read_only_again=
}

# take_lock: one treeline at a time. The lock is a link to the process that holds it, PROCESS-START, and counts only as long
# as that one lives: another one with its number started at another time.
lock=/run/treeline.lock
take_lock() {
	own=$(identity $$)
	ln -s "$own" "$lock" 2>/dev/null && return
	! is_held "$lock" || refuse_second
	# Whoever held it was killed. One process may clear that away, or two that see it at once would both have the lock.
	ln -s "$own" "$lock.takeover" 2>/dev/null || {
		is_held "$lock.takeover" || rm -f "$lock.takeover"
		fail 'another treeline has just started: try again'
	}
	if is_held "$lock"; then
		rm -f "$lock.takeover"
		refuse_second
	fi
	ln -sfn "$own" "$lock"
	rm -f "$lock.takeover"
}

refuse_second() {
	owner=$(readlink "$lock")
	fail "another treeline is changing this system (process ${owner%-*}): wait until it has ended"
}

is_held() {
	holder=$(readlink "$1")
	[ -n "$holder" ] && [ "$(identity "${holder%-*}")" = "$holder" ]
}

# Number and start of a process: the second is the 22nd field of its `stat`, whose second one may hold blanks and brackets.
identity() {
	started=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20)
	[ -z "$started" ] || echo "$1-$started"
}

release_lock() {
	[ "$(readlink "$lock")" != "$(identity $$)" ] || rm -f "$lock"
}

is_number() {
	expr "$1" : '[0-9]\{1,15\}$' >/dev/null
}

is_sha256() {
	expr "$1" : '[0-9a-f]\{64\}$' >/dev/null
}

# Seconds since 1970 that a commit says.
commit_time() {
	date=$(ostree show --repo="$repository" "$1" | sed -n 's/^Date: *\([-0-9]* [:0-9]*\) +0000$/\1/p')
	[ -n "$date" ] && date -u -d "$date" +%s
}

# A day and a time that people read.
date_of() {
	date -u -d "@$1" '+%Y-%m-%d %H:%M UTC'
}
