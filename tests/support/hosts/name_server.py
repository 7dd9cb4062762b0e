# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A name server for the hosts, as a program: IPv4 addresses from a file, and nothing else.

    python name_server.py ADDRESS FILE

FILE is a JSON object, name to address or to another name in it (CNAME), and is read anew for each
question. A hosts file would not do: Postfix's smtp client asks DNS only, unless
``smtp_host_lookup`` says otherwise. Questions and answers are as in RFC 1035, section 4; no
compression is needed but for the names of answers.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
import sys
from pathlib import Path

_TYPE_A = 1
_TYPE_CNAME = 5
_AUTHORITATIVE = 0x8480  # response, authoritative, recursion available
_NO_SUCH_NAME = 3


def answer(query: bytes, addresses: dict[str, str]) -> bytes:
    """The response to ``query``: the address, no data for other types, or no such name.

    Raises ValueError if ``query`` is not one question.
    """
    if len(query) < 12 or query[4:6] != b"\0\1":
        raise ValueError("not one question")
    labels: list[str] = []
    position = 12
    while length := query[position]:
        labels.append(query[position + 1 : position + 1 + length].decode("ascii"))
        position += 1 + length
    question = query[12 : position + 5]
    asked = struct.unpack("!H", question[-4:-2])[0]
    known = addresses.get(".".join(labels).lower())
    records: list[bytes] = []
    name = 12  # where the name is that the next record is about
    address = known
    if address is not None and address in addresses:
        canonical = b"".join(
            bytes([len(label)]) + label.encode("ascii") for label in (*address.split("."), "")
        )
        records.append(_record(name, _TYPE_CNAME, canonical))
        name = position + 5 + len(records[0]) - len(canonical)
        address = addresses[address]
    if address is not None and asked == _TYPE_A:
        records.append(_record(name, _TYPE_A, ipaddress.IPv4Address(address).packed))
    flags = _AUTHORITATIVE | (0 if known is not None else _NO_SUCH_NAME)
    counts = struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
    return query[:2] + counts + question + b"".join(records)


def _record(name: int, kind: int, content: bytes) -> bytes:
    """A record of class IN, with no time to live, about the name at offset ``name``."""
    return struct.pack("!HHHIH", 0xC000 | name, kind, 1, 0, len(content)) + content


def main(address: str, file: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))
        while True:
            query, client = server.recvfrom(512)
            try:
                response = answer(query, json.loads(file.read_text("utf-8")))
            except (IndexError, ValueError) as error:
                sys.stderr.write(f"{client[0]}: {error}: {query!r}\n")
            else:
                server.sendto(response, client)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
