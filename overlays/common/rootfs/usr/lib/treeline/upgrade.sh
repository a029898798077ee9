# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# treeline upgrade: the signed index says what is newest; one delta file brings it; ostree deploys it.

keyring=/usr/share/treeline/trusted.gpg
state=/var/lib/treeline
downloads=$state/downloads
# Bytes.
largest_index=4194304
# Seconds without one more byte after which a download counts as dead.
patience=60

command_upgrade() {
	read_settings
	check_only=
	arguments=$*
	while [ $# -gt 0 ]; do
		case "$1" in
			--url)
				[ -n "$2" ] || fail '--url needs a URL' 2
				update_url=${2%/}
				shift
				;;
			--url=?*) update_url=${1#--url=} && update_url=${update_url%/} ;;
			--check) check_only=yes ;;
			*) fail "upgrade does not know $1; see: treeline help" 2 ;;
		esac
		shift
	done
	need_root
	need_ostree
	[ -n "$update_url" ] || fail "no update URL: set TREELINE_UPDATE_URL in $settings, or give --url URL"
	# shellcheck disable=SC2086 # words
	enter_private_mounts upgrade $arguments
	work=$(mktemp -d /run/treeline.XXXXXX) || fail 'cannot write to /run'
	trap finish EXIT
	trap 'exit 130' INT TERM
	take_lock

	know_deployments
	fetch_index
	read_target
	compare_versions
	[ -z "$check_only" ] || exit 3
	is_deployed "$target_commit" || bring_target
	deploy_target
	say "version $target_version is ready: reboot to start it"
}

finish() {
	rm -rf "$work"
	release_lock
	leave_private_mounts
}

# What runs (in a container that was just made from a template by hand: what would start next).
know_deployments() {
	deployments >"$work/deployments"
	read -r _ first_commit _ _ first_version <"$work/deployments" || fail 'there is no deployment: see ostree admin status'
	read -r _ commit _ _ version <<-END
		$(awk '$4 == "yes"' "$work/deployments")
	END
	commit=${commit:-$first_commit}
	version=${version:-$first_version}
}

is_deployed() {
	awk -v commit="$1" '$2 == commit { found = 1 } END { exit !found }' "$work/deployments"
}

# Nothing in the index counts before its signature is good.
fetch_index() {
	mkdir -p "$downloads" || fail "cannot write to $downloads"
	for name in index.json index.json.sig; do
		fetch_small "$update_url/updates/$name" "$work/$name"
	done
	gpgv -q --homedir "$work" --keyring "$keyring" "$work/index.json.sig" "$work/index.json" 2>"$work/gpgv" || {
		cat "$work/gpgv" >&2
		fail "the update index of $update_url is not signed by the key of this image: nothing has changed"
	}
	LC_ALL=C awk -f "$library/json.awk" "$work/index.json" >"$work/index" || fail "the update index of $update_url cannot be read"
	[ "$(value /format)" = 1 ] ||
		fail "the update index of $update_url has format $(value /format), which this version does not know: upgrade from a newer image"
}

fetch_small() {
	(
		ulimit -f $((largest_index / 512))
		timeout "$patience" wget -q -O "$2" "$1" 2>"$work/wget"
	) && [ -s "$2" ] && return
	cat "$work/wget" >&2
	fail "cannot download $1: is the address right, and does the network work?"
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
	[ -n "$target_commit" ] || fail "$update_url has no versions of $ref"
	if ! is_sha256 "$target_commit" || ! is_number "$target_time"; then
		fail "the update index of $update_url is damaged"
	fi
}

is_sha256() {
	expr "$1" : '[0-9a-f]\{64\}$' >/dev/null
}

is_number() {
	expr "$1" : '[0-9]\{1,15\}$' >/dev/null
}

# Ends here where there is nothing to do.
compare_versions() {
	if [ "$target_commit" = "$first_commit" ]; then
		case "$target_commit" in
			"$commit") say "already up to date: version $version" ;;
			*) say "version $target_version is ready already: reboot to start it" ;;
		esac
		exit 0
	fi
	running_time=$(commit_time "$commit")
	is_number "$running_time" || fail "cannot tell how old the running version is (commit $commit)"
	# The signature of an old index stays good for ever, so the time decides.
	[ "$target_time" -ge "$running_time" ] ||
		fail "$update_url offers version $target_version, which is older than $version, the running one: refused"
	say "$version runs, $target_version is there"
}

# Seconds since 1970.
commit_time() {
	date=$(ostree show --repo="$repository" "$1" | sed -n 's/^Date: *\([-0-9]* [:0-9]*\) +0000$/\1/p')
	[ -n "$date" ] && date -u -d "$date" +%s
}

# Downloads the target and puts it into the repository, where it does not count until it is deployed.
bring_target() {
	choose_delta
	check_space "$delta_bytes"
	download_delta
	say 'unpacking'
	ostree static-delta apply-offline --repo="$repository" "$delta" >/dev/null || {
		forget_target
		fail "cannot apply $delta_file: see the message above; nothing has changed"
	}
	check_commit
}

# From what runs, else from what would start next, else from nothing.
choose_delta() {
	awk -F '\t' -v ref="$ref" -v to="$target_commit" -v running="$commit" -v first="$first_commit" '
		$1 ~ "^/deltas/[0-9]+/" {
			split($1, place, "/")
			field[place[3], place[4]] = $2
			if (place[3] + 1 > count) count = place[3] + 1
		}
		END {
			for (number = 0; number < count; number++) {
				if (field[number, "ref"] != ref || field[number, "to"] != to) continue
				from = field[number, "from"]
				rank = from == running ? 3 : from == first ? 2 : from == "null" ? 1 : 0
				if (rank > best) {
					best = rank
					chosen = number
				}
			}
			if (best) print field[chosen, "file"], field[chosen, "bytes"], field[chosen, "sha256"]
		}
	' "$work/index" >"$work/delta"
	read -r delta_file delta_bytes delta_sha256 <"$work/delta" ||
		fail "$update_url has no delta that leads from version $version to $target_version: install a newer image"
	if ! is_sha256 "$delta_sha256" || ! is_number "$delta_bytes" || ! expr "$delta_file" : '[A-Za-z0-9_][A-Za-z0-9._+-]*$' >/dev/null; then
		fail "the update index of $update_url is damaged"
	fi
}

# The delta itself, what it holds unpacked (three and a half times as much), and air. The version before the running one
# goes now if there is no room for three; otherwise it goes when the new one is deployed.
check_space() {
	needed=$(($1 * 9 / 2 / 1024 + 8192))
	[ "$(free_space)" -lt "$needed" ] || return 0
	drop_previous
	[ "$(free_space)" -ge "$needed" ] ||
		fail "not enough space: the upgrade needs $((needed / 1024)) MB in /var, $(($(free_space) / 1024)) MB are free"
}

free_space() {
	df -Pk "$downloads" | awk 'NR == 2 { print $4 }'
}

drop_previous() {
	tac "$work/deployments" | while read -r number _ _ running version; do
		[ "$running" = no ] || continue
		[ "$number" -gt 0 ] || continue
		say "making room: version $version, the previous one, goes"
		ostree admin undeploy "$number" >/dev/null
	done
}

# A part of the same file that an earlier try left is gone on with; of other files it is litter.
download_delta() {
	delta=$downloads/$delta_sha256.delta
	find "$downloads" -type f ! -name "$delta_sha256.*" -exec rm -f {} +
	if [ "$(size_of "$delta")" != "$delta_bytes" ]; then
		say "downloading $delta_file, $(((delta_bytes + 1023) / 1024)) kB"
		[ "$(size_of "$delta.part")" -le "$delta_bytes" ] || rm -f "$delta.part"
		[ "$(size_of "$delta.part")" = "$delta_bytes" ] || fetch_large "$update_url/updates/$delta_file" "$delta.part"
		mv "$delta.part" "$delta"
	fi
	echo "$delta_sha256  $delta" | sha256sum -c -s && [ "$(size_of "$delta")" = "$delta_bytes" ] && return
	rm -f "$delta"
	fail "$delta_file was damaged on the way, and is deleted: try again; nothing has changed"
}

size_of() {
	if [ -e "$1" ]; then stat -c %s "$1"; else echo 0; fi
}

# Any length of time, but not one of $patience seconds without progress; never more bytes than were promised.
fetch_large() {
	(
		ulimit -f $(((delta_bytes + 511) / 512))
		exec wget -q -c -O "$2" "$1"
	) 2>"$work/wget" &
	process=$!
	before=-1
	waited=0
	while kill -0 $process 2>/dev/null; do
		[ $((waited % patience)) != 0 ] || {
			now=$(size_of "$2")
			[ "$now" != "$before" ] || kill $process 2>/dev/null
			before=$now
		}
		waited=$((waited + 1))
		sleep 1
	done
	wait $process && [ "$(size_of "$2")" = "$delta_bytes" ] && return
	cat "$work/wget" >&2
	fail "the download broke off at $(size_of "$2") of $delta_bytes bytes: try again to go on with it; nothing has changed"
}

# The index is signed, and so is each commit: whoever can change the server but has no key gets nothing deployed.
check_commit() {
	ostree show --repo="$repository" --gpg-verify-remote="$stateroot" "$target_commit" >"$work/commit" 2>&1
	grep -q '^ *Good signature from ' "$work/commit" && return
	forget_target
	sed -n '/signature/p' "$work/commit" >&2
	fail "version $target_version is not signed by the key of this image: refused; nothing has changed"
}

# What is not deployed leaves the repository again.
forget_target() {
	rm -f "$delta"
	ostree admin cleanup >/dev/null 2>&1
}

# ostree merges /etc and the kernel's arguments from what runs, switches at the very end by one rename, and drops what
# is neither running nor new.
deploy_target() {
	before=$(ostree rev-parse --repo="$repository" "$stateroot:$ref" 2>/dev/null)
	ostree refs --repo="$repository" --create="$stateroot:$ref" --force "$target_commit" || fail "cannot write to $repository"
	if ! ostree admin deploy --os="$stateroot" "$stateroot:$ref" >"$work/deploy" 2>&1; then
		cat "$work/deploy" >&2
		[ -z "$before" ] || ostree refs --repo="$repository" --create="$stateroot:$ref" --force "$before"
		forget_target
		fail "cannot deploy version $target_version: see the message above; nothing has changed"
	fi
	rm -rf "$downloads"
}
