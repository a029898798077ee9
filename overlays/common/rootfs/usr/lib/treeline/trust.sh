# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# Who may say what runs here: whoever holds a key whose public half is in the image.

keyring=/usr/share/treeline/trusted.gpg

# good_signatures SIGNATURES FILE: for each OpenPGP signature of FILE by a key of the image, a line MADE EXPIRES, in seconds
# since 1970; EXPIRES is 0 where it does not. Whether it has expired is for the caller to say. There may be others, by keys
# unknown here, beside it: gpgv's exit code counts these too. Revoked and expired keys do not count. What gpgv says of it
# all is in $work/gpgv.
# The clock may be behind the key's birth (--ignore-time-conflict): nothing gets better by that.
good_signatures() {
	gpgv -q --status-fd 1 --ignore-time-conflict --homedir "$work" --keyring "$keyring" "$1" "$2" 2>"$work/gpgv" | awk '
		$1 != "[GNUPG:]" { next }
		$2 == "NEWSIG" { refused = 0 }
		$2 == "REVKEYSIG" || $2 == "EXPKEYSIG" { refused = 1 }
		$2 == "VALIDSIG" && !refused && $5 ~ /^[0-9]+$/ && $6 ~ /^[0-9]+$/ { print $5, $6 }
	'
}

# check_commit COMMIT: that it is signed, and made for this image's ref and not for another one's. Sets what is known of it:
# $target_version, $target_time. Otherwise it leaves the repository again.
# Not by ostree: that asks a gpg which takes more memory, and to which all signatures are bad as long as the clock is wrong.
check_commit() {
	object=$repository/objects/$(echo "$1" | sed 's/^../&\//').commit
	if [ ! -e "$object" ]; then
		forget_target
		fail "$origin does not bring the commit $1: refused; nothing has changed"
	fi
	commit_signatures "$1" >"$work/commit.sig"
	if ! good_signatures "$work/commit.sig" "$object" | awk -v now="$now" '$2 == 0 || $2 > now { good = 1 } END { exit !good }'; then
		forget_target
		cat "$work/gpgv" >&2
		fail "the version that $origin brings is not signed by the key of this image: refused; nothing has changed"
	fi
	bindings=$(ostree show --repo="$repository" --print-metadata-key=ostree.ref-binding "$1" 2>/dev/null)
	case "$bindings" in
		*"'$ref'"*) ;;
		*)
			forget_target
			fail "the version that $origin brings is not for $ref, but for ${bindings:-nothing}: refused; nothing has changed"
			;;
	esac
	target_time=$(commit_time "$1")
	target_version=$(ostree show --repo="$repository" --print-metadata-key=version "$1" 2>/dev/null | tr -d "'")
	if ! is_number "$target_time" || ! expr "$target_version" : '[A-Za-z0-9][A-Za-z0-9.+_~-]*$' >/dev/null; then
		forget_target
		fail "the commit $1 that $origin brings says no version: refused; nothing has changed"
	fi
	if is_too_old; then
		forget_target
		refuse_age
	fi
}

# As they were made, one behind the other: ostree prints them as [[byte 0x88, 0x75, …], …].
commit_signatures() {
	# shellcheck disable=SC2059 # the format is the bytes
	printf "$(ostree show --repo="$repository" --print-detached-metadata-key=ostree.gpgsigs "$1" 2>/dev/null | awk '
		BEGIN { FS = "0x" }
		function digit(letter) { return index("123456789abcdef", letter) }
		{ for (number = 2; number <= NF; number++)
			printf "\\%03o", digit(substr($number, 1, 1)) * 16 + digit(substr($number, 2, 1)) }
	')"
}
