"""Downloads of weights, which are all that this project takes from a network (docs/network.md).

    with download_timeout():
        easyocr.Reader(...)
"""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from datatools.errors import UserError
from datatools.files import check_writable, write_atomic

TIMEOUT = 30      # s without a response


@contextlib.contextmanager
def download_timeout() -> Iterator[None]:
    """Have a library's download end with a TimeoutError where the other end is silent; alone it would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def fetch(url: str, digest: str, target: Path, remedy: str) -> None:
    """Download a file that has this SHA-256; `target` appears only whole. Raises UserError that ends with `remedy`."""
    import torch.hub

    check_writable(target.parent)
    try:
        with download_timeout(), write_atomic(target) as temporary:
            torch.hub.download_url_to_file(url, str(temporary), hash_prefix=digest)
    except (OSError, RuntimeError, ValueError) as error:      # no network, another SHA-256, an unknown kind of address
        raise UserError(f"{url}: cannot be fetched to {target} ({error}). {remedy}") from error
