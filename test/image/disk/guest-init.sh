#!/bin/busybox sh
# The initramfs' init of disk.boot.test.ts: says on the console what it finds on the disk it was booted from.

/bin/busybox mkdir -p /proc /sys /dev /sysroot /bin
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev

say() {
    echo "FOUND $*"
}

argument() {
    tr ' ' '\n' < /proc/cmdline | sed -n "s/^$1=//p"
}

# Disks appear some time after init starts.
device_of() {
    tries=100
    until findfs "$1" 2> /dev/null || [ "$tries" -eq 0 ]; do
        tries=$((tries - 1))
        sleep 0.1
    done
}

root=$(device_of "$(argument root)")
say "root label $(dd if="$root" bs=1 skip=1144 count=16 2> /dev/null | tr -d '\0')"
mount -t ext4 -o ro "$root" /sysroot && say "root mounts"
say "deployment of $(cat "/sysroot$(argument ostree)/usr/etc/hostname")"
mount -t ext4 "$(device_of LABEL=treeline-boot)" /sysroot/boot && say "boot mounts"
say "entries $(grep -c '^LABEL' /sysroot/boot/syslinux/syslinux.cfg)"
swapon "$(device_of LABEL=treeline-swap)" && say "swap of $(awk 'NR == 2 { print $3 }' /proc/swaps) KiB"
if [ -d /sys/firmware/efi ]; then say "UEFI"; else say "BIOS"; fi
umount /sysroot/boot
say "end"
poweroff -f
