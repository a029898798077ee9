#!/bin/sh
# In place of OpenRC's own: the first thing that `openrc sysinit` runs. That one finds out whether /proc is mounted by the
# environment of a child, which busybox's sh does not make for an applet, and so would mount a second /proc.

if [ ! -e /proc/self/stat ]; then
	mount -t proc -o nodev,noexec,nosuid proc /proc
fi
if ! mountinfo -q /run; then
	mount -t tmpfs -o mode=0755,nodev,nosuid,size=20% run /run || exit 1
fi
mkdir -p "$RC_SVCDIR" /run/lock
chmod 1777 /run/lock
echo sysinit >"$RC_SVCDIR/softlevel"
