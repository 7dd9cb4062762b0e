#!/bin/sh
# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Process 1 of a host, in namespaces of its own (mount, pid, network, host name, IPC):
#
#     boot_host.sh ROOT MOUNT_POINT NAME DOMAIN ADDRESS NAME_SERVER AUTHORIZED_KEY
#
# The host writes to memory only, above the read-only ROOT, and all of it is gone when it ends.
set -eu
root=$1 mount_point=$2 name=$3 domain=$4 address=$5 name_server=$6 key=$7

mount -t tmpfs -o mode=0755,size=1g host "$mount_point"
mkdir "$mount_point/upper" "$mount_point/work" "$mount_point/root"
mount -t overlay -o "lowerdir=$root,upperdir=$mount_point/upper,workdir=$mount_point/work" \
    host "$mount_point/root"
cd "$mount_point/root"

mount -t proc -o nosuid,nodev,noexec proc proc
for file in sys sysrq-trigger; do
    if [ -e "proc/$file" ]; then mount -o bind,ro "proc/$file" "proc/$file"; fi
done
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t tmpfs -o mode=0755,nosuid,nodev run run
mount -t tmpfs -o mode=0755,nosuid dev dev
mkdir dev/pts dev/shm run/lock run/sshd
chmod 1777 run/lock
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for number in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${number%:*}" "dev/${number#*:}"
done
for device in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 0666 "dev/${device%:*}" c 1 "${device#*:}"
done
mknod -m 0666 dev/tty c 5 0

# Nothing here can reach a server with a certificate of a public authority, and to hash them all
# takes seconds.
echo 'path-exclude=/usr/share/ca-certificates/mozilla/*' >etc/dpkg/dpkg.cfg.d/no-public-authorities

hostname "$name"
echo "$name" >etc/hostname
printf '127.0.0.1 localhost\n%s %s.%s %s\n' "$address" "$name" "$domain" "$name" >etc/hosts
echo "nameserver $name_server" >etc/resolv.conf
mkdir -p root/.ssh
chmod 0700 root/.ssh
echo "$key" >root/.ssh/authorized_keys

# From here on there is nothing but the host's own files.
pivot_root . .
umount -l .
cd /

# Root of the host can do what root does, but nothing to the machine's kernel or mounts.
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 setpriv --bounding-set \
    -sys_admin,-sys_module,-sys_rawio,-sys_time,-sys_boot,-syslog,-mknod,-mac_admin,-mac_override \
    /bin/sh -euc 'rsyslogd; exec /usr/sbin/sshd -D -e'
