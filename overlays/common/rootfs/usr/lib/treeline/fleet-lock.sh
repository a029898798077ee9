# shellcheck shell=dash disable=SC2034,SC2154 # the parts of treeline share their variables
# Asks a FleetLock server before a reboot, so that the machines of a fleet do not reboot at once, and tells it when this one
# is well again: https://coreos.github.io/zincati/development/fleetlock/protocol/. Settings: TREELINE_FLEET_LOCK_URL,
# TREELINE_FLEET_LOCK_GROUP. After common.sh, boot-state.sh and read_settings.

fleet_id_file=/var/lib/treeline/id
# Is there from before the lock is asked for until the server knows that it is free again.
fleet_lock_held=/var/lib/treeline/reboot-lock

# Fails (1), and says why, where this machine may not reboot now. Asking again for what one has is allowed.
take_reboot_lock() {
	[ -n "${TREELINE_FLEET_LOCK_URL:-}" ] || return 0
	check_fleet_settings
	date +%s | replace_file "$fleet_lock_held" || {
		say "cannot write $fleet_lock_held: is /var full? No reboot" >&2
		return 1
	}
	ask_fleet_lock pre-reboot && return
	say "$TREELINE_FLEET_LOCK_URL does not let this machine reboot now: $fleet_answer" >&2
	return 1
}

# Quick and quiet where no lock is held. 1 where the server could not be told: try again later.
release_reboot_lock() {
	[ -e "$fleet_lock_held" ] || return 0
	if [ -n "${TREELINE_FLEET_LOCK_URL:-}" ]; then
		check_fleet_settings
		ask_fleet_lock steady-state || {
			say "$TREELINE_FLEET_LOCK_URL does not take the lock back: $fleet_answer; it is tried again later" >&2
			return 1
		}
	fi
	rm -f "$fleet_lock_held"
}

check_fleet_settings() {
	fleet_group=${TREELINE_FLEET_LOCK_GROUP:-default}
	case "$TREELINE_FLEET_LOCK_URL" in
		http://?* | https://?*) ;;
		*) fail "TREELINE_FLEET_LOCK_URL in $settings must begin with http:// or https://, not \"$TREELINE_FLEET_LOCK_URL\"" ;;
	esac
	expr "$fleet_group" : '[A-Za-z0-9.-]\{1,\}$' >/dev/null ||
		fail "TREELINE_FLEET_LOCK_GROUP in $settings must be letters, digits, . and -, not \"$fleet_group\""
}

# ask_fleet_lock pre-reboot|steady-state. 200 means yes. Of any other answer, wget tells the status line and not the body.
ask_fleet_lock() {
	read_fleet_id || {
		fleet_answer="cannot write $fleet_id_file"
		return 1
	}
	fleet_answer=$(timeout 30 wget -q -O /dev/null --header 'fleet-lock-protocol: true' --header 'Content-Type: application/json' \
		--post-data "{\"client_params\": {\"id\": \"$fleet_id\", \"group\": \"$fleet_group\"}}" \
		"${TREELINE_FLEET_LOCK_URL%/}/v1/$1" 2>&1) && return
	fleet_answer=${fleet_answer#wget: }
	fleet_answer=${fleet_answer:-no answer}
	return 1
}

# Made at first use; a machine keeps it for ever.
read_fleet_id() {
	fleet_id=
	read -r fleet_id 2>/dev/null <"$fleet_id_file"
	expr "$fleet_id" : '[0-9a-f]\{32\}$' >/dev/null && return
	fleet_id=$(od -A n -N 16 -t x1 /dev/urandom | tr -d ' \n')
	echo "$fleet_id" | replace_file "$fleet_id_file"
}
