#!/usr/bin/env bash
# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Installs the packages that are its arguments, or else those that tests/requirements/debian.txt
# lists, where this machine lacks them, if it is a Debian and we are root. Otherwise says what is
# missing; the tests that need it name themselves NOT RUN.
set -euo pipefail

if [ "$#" -eq 0 ]; then
    mapfile -t listed < <(grep -v -e '^#' -e '^$' "$(dirname "$0")/../requirements/debian.txt")
    set -- "${listed[@]}"
fi

if ! command -v apt-get > /dev/null; then
    echo "No apt-get here: install by hand what Debian has in its packages $*"
    exit 0
fi

missing=()
for package in "$@"; do
    state="$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null || true)"
    [ "$state" = installed ] || missing+=("$package")
done

if [ "${#missing[@]}" -eq 0 ]; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "Not root, so not installed: ${missing[*]}"
    exit 0
fi

# Debian asks policy-rc.d before a package starts a daemon. None of the tests needs the machine's.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 0755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
debconf-set-selections << 'PRESEED'
postfix postfix/main_mailer_type select Local only
postfix postfix/mailname string localhost
PRESEED
echo "Installing ${missing[*]}"
apt-get update -q -o Dpkg::Use-Pty=0 < /dev/null
apt-get install -q -y --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" < /dev/null
