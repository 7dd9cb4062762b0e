#!/bin/sh
# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Makes the root file system of a bare Debian host:
#
#     make_root.sh DIRECTORY SUITE SCRIPT MIRROR INSTALLED OFFERED
#
# SCRIPT is debootstrap's script for the suite. INSTALLED are packages that are installed, OFFERED
# packages that apt can install later without any network (both separated by commas). To be run in
# mount and pid namespaces of its own: mounts are left behind.
set -eu
directory=$1 suite=$2 script=$3 mirror=$4 installed=$5 offered=$6

debootstrap --variant=minbase --include="$installed" \
    "$suite" "$directory" "$mirror" "/usr/share/debootstrap/scripts/$script"

# The offered packages and what they depend on become a repository of their own below /srv, which
# takes the place of the mirror: what apt does on the host, an update too, is what it always does.
mount -t proc proc "$directory/proc"
for file in hosts resolv.conf; do
    touch "$directory/etc/$file"
    mount --bind "/etc/$file" "$directory/etc/$file"
done
chroot "$directory" /bin/sh -eu -s "$(echo "$offered" | tr , ' ')" <<'END'
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
# As debootstrap, which takes a mirror that lags behind.
apt-get --quiet -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none update
apt-get clean
mkdir -p /srv/offered/partial
apt-get --quiet --yes --download-only -o Dir::Cache::archives=/srv/offered install $1
cd /srv/offered
rm -rf partial lock
for deb in *.deb; do
    dpkg-deb --field "$deb"
    echo "Filename: ./$deb"
    echo "Size: $(stat --format=%s "$deb")"
    echo "SHA256: $(sha256sum "$deb" | cut -d ' ' -f 1)"
    echo
done >Packages
rm -rf /var/lib/apt/lists/* /etc/apt/sources.list.d
echo 'deb [trusted=yes] file:/srv/offered ./' >/etc/apt/sources.list
apt-get --quiet update
END

for file in hosts resolv.conf; do
    umount "$directory/etc/$file"
    rm "$directory/etc/$file"
done
umount "$directory/proc"
rm -f "$directory/etc/hostname"
# Else rsyslogd takes the messages of the kernel, which all hosts share, from the machine.
sed -i '/imklog/d' "$directory/etc/rsyslog.conf"
