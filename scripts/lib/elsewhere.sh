#!/bin/sh
# Runs a command ("$@") in surroundings of its own; `npm run reproduce` calls it inside fresh mount, UTS and PID namespaces,
# so that all of it is gone when the command ends.
#
#   ELSEWHERE            the directory that things happen in
#   ELSEWHERE_DISK       optional: a file system image to mount there
#   ELSEWHERE_CONTENTS   optional: a directory whose contents go there first
#   ELSEWHERE_MODULES    node_modules for its checkout
#   ELSEWHERE_HOSTNAME   optional: the name of the machine
#   ELSEWHERE_TIME       optional: how far away now is, as faketime(1) takes it
#   ELSEWHERE_PRELOAD    with ELSEWHERE_TIME: the library of faketime(1)
#   ELSEWHERE_BIN        with ELSEWHERE_TIME: a directory with a setpriv(1) that knows of it
set -eu

if [ -n "${ELSEWHERE_HOSTNAME-}" ]; then
	printf '%s' "$ELSEWHERE_HOSTNAME" >/proc/sys/kernel/hostname
fi
if [ -n "${ELSEWHERE_DISK-}" ]; then
	mount -o loop "$ELSEWHERE_DISK" "$ELSEWHERE"
fi
if [ -n "${ELSEWHERE_CONTENTS-}" ]; then
	cp -a "$ELSEWHERE_CONTENTS/." "$ELSEWHERE/"
fi
if [ -d "$ELSEWHERE/checkout/node_modules" ]; then
	mount --bind "$ELSEWHERE_MODULES" "$ELSEWHERE/checkout/node_modules"
	# It is the real one: nothing that goes wrong in here may reach it.
	mount -o remount,bind,ro "$ELSEWHERE/checkout/node_modules"
	cd "$ELSEWHERE/checkout"
fi
umask 077
if [ -n "${ELSEWHERE_TIME-}" ]; then
	# Every program that Treeline runs is started by setpriv, found here first, with an environment that holds none of ours.
	mount --bind "$ELSEWHERE_BIN" /usr/local/sbin
	# The times of files are those that the kernel gives them.
	export LD_PRELOAD="$ELSEWHERE_PRELOAD" FAKETIME="$ELSEWHERE_TIME" NO_FAKE_STAT=1 FAKETIME_DONT_FAKE_MONOTONIC=1
fi
exec "$@"
