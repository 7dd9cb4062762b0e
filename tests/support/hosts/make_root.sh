#!/bin/sh
# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Makes the root file system of a bare Debian host:
#
#     make_root.sh DIRECTORY SUITE MIRROR INSTALLED OFFERED
#
# INSTALLED are packages that are installed, OFFERED packages that apt can install later without
# any network (both separated by commas). To be run in mount and pid namespaces of its own.
set -eu
directory=$1 suite=$2 mirror=$3 installed=$4 offered=$5

# As on a host that the installer makes, /bin is /usr/bin from the start. Else bookworm has usrmerge
# with all of Perl move it.
for name in bin sbin lib lib64; do
    mkdir -p "$directory/usr/$name"
    ln -s "usr/$name" "$directory/$name"
done
preferences=$directory/etc/apt/preferences.d/no-usrmerge
mkdir -p "${preferences%/*}"
printf 'Package: usrmerge\nPin: version *\nPin-Priority: -1\n' >"$preferences"

# A mirror may lag behind.
mmdebstrap --mode=root --variant=minbase --include="$installed" \
    --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
    --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Languages "none"' \
    --dpkgopt=force-unsafe-io --skip=check/empty,cleanup/apt/lists \
    "$suite" "$directory" "$mirror"

# The offered packages and what they depend on become a repository of their own below /srv, which
# takes the place of the mirror: what apt does on the host, an update too, is what it always does.
mkdir -p "$directory/srv/offered/partial"
# shellcheck disable=SC2046 # as many arguments as packages
apt-get --quiet --yes --download-only -o Dir="$directory" \
    -o Dir::State::status="$directory/var/lib/dpkg/status" \
    -o Dir::Cache::archives="$directory/srv/offered" install $(echo "$offered" | tr , ' ')
rm -rf "$directory/srv/offered/partial" "$directory/srv/offered/lock" \
    "$directory"/var/lib/apt/lists/* "$directory"/var/cache/apt/*.bin
rm "$preferences" "$directory/etc/apt/apt.conf.d/99mmdebstrap" \
    "$directory/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
(cd "$directory/srv/offered" && apt-ftparchive packages . >Packages)
echo 'deb [trusted=yes] file:/srv/offered ./' >"$directory/etc/apt/sources.list"
LC_ALL=C.UTF-8 chroot "$directory" apt-get --quiet update

rm -f "$directory/etc/hostname" "$directory/etc/resolv.conf"
# Else rsyslogd takes the messages of the kernel, which all hosts share, from the machine.
sed -i '/imklog/d' "$directory/etc/rsyslog.conf"
