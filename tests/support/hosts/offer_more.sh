#!/bin/sh
# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Makes a layer for the root file system of a host, in which its repository offers more packages:
#
#     offer_more.sh LAYER ROOT SUITE MIRROR PACKAGES...
#
# Each of PACKAGES, a package or several separated by blanks, may exclude the others, as mail servers
# do. To be run in a mount namespace of its own: mounts are left behind.
set -eu
layer=$1 root=$2 suite=$3 mirror=$4
shift 4

rm -rf "$layer.work"
mkdir "$layer" "$layer.work"
mount -t overlay -o "lowerdir=$root,upperdir=$layer,workdir=$layer.work" offer /mnt
mount -t tmpfs offer /mnt/tmp
mkdir -p /mnt/tmp/lists/partial /mnt/srv/offered/partial
keys=/mnt/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] $mirror $suite main" >/mnt/tmp/sources.list

# The machine's apt, asked what the host lacks. It keeps what it knows of the mirror from one
# question to the next, whatever the machine's own settings are.
apt_for_host() {
    apt-get --quiet --yes -o Dir=/mnt -o Dir::State::lists=/mnt/tmp/lists \
        -o Dir::Etc::sourcelist=/mnt/tmp/sources.list -o Dir::Cache::archives=/mnt/srv/offered \
        -o Dir::State::status=/mnt/var/lib/dpkg/status \
        -o Dir::Cache::pkgcache=pkgcache.bin -o Dir::Cache::srcpkgcache=srcpkgcache.bin \
        -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none "$@"
}
apt_for_host update
for packages; do
    # A recommended package may be one that excludes those which are installed.
    # shellcheck disable=SC2086 # as many arguments as packages
    apt_for_host --no-install-recommends --download-only install $packages
done

cd /mnt/srv/offered
rm -rf partial lock
apt-ftparchive packages . >Packages
cd /
rm -f /mnt/var/cache/apt/*.bin
umount /mnt/tmp /mnt
rm -rf "$layer.work"
