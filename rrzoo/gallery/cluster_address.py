"""Whether a Ray cluster answers at an address."""

import re
import socket

from rrzoo import errors

PATIENCE = 5  # s for an address to answer
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000 04 00 00000000")  # RFC 9113, section 3.4
SETTINGS = 4  # type of the frame with which a server of gRPC, which is HTTP/2, begins


def require_answer(address: str) -> None:
    """Refuse an address where no server of gRPC is: Ray itself would wait there for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not re.fullmatch(r"[\w.-]+|\[[\w:]+\]", host) or not port.isdecimal():
        raise errors.ArgumentError(
            f"{address!r} is no address of a Ray cluster: write HOST:PORT, as ray start --head --port PORT has it"
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), PATIENCE) as connection:
            connection.sendall(HELLO)
            answer = connection.recv(9)
    except (OSError, OverflowError) as problem:
        raise errors.ArgumentError(
            f"no Ray cluster answers at {address} ({errors.first_line(problem)}): start one there with ray start "
            "--head, or leave the address away to use this machine alone"
        ) from None
    if len(answer) < 4 or answer[3] != SETTINGS:
        raise errors.ArgumentError(
            f"what answers at {address} is no Ray cluster: give the port of ray start --head, which is 6379 by default"
        )
