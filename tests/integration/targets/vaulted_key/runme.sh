#!/usr/bin/env bash
# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The key of a vault: as a file, inline in the variables and inline in a task, under two vault IDs.
# Only a script can give ansible-playbook the vault's passwords.

set -eux

cd "${OUTPUT_DIR}"
echo "the vault password of dev" > dev
echo "the vault password of prod" > prod
identities=(--vault-id dev@dev --vault-id prod@prod)
secret=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY

printf 'file_secret: %s\nfile_newline: |\n  %s\n' "${secret}" "${secret}" > file.yml
ansible-vault encrypt "${identities[@]}" --encrypt-vault-id prod file.yml
{
    printf '%s' "${secret}" |
        ansible-vault encrypt_string "${identities[@]}" --encrypt-vault-id dev --stdin-name inline_secret
    echo
    echo "${secret}" |
        ansible-vault encrypt_string "${identities[@]}" --encrypt-vault-id dev --stdin-name inline_newline
} > inline.yml

ansible-playbook "${identities[@]}" -i "${INVENTORY_PATH}" "${OLDPWD}/playbook.yml" \
    -e "folder=${OUTPUT_DIR}" "$@"
test "$(stat -c %a sasl_passwd)" = 600
grep -qxF '[email-smtp.us-east-1.amazonaws.com]:587 AKIAIOSFODNN7EXAMPLE:BLBM/9hSUELfq8Gw+rU1YcBjkOxGbhT2XG763xVLGWL9' sasl_passwd
