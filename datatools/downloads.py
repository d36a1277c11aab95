"""Downloads of weights, which are all that this project takes from a network (docs/network.md).

    with download_timeout():
        easyocr.Reader(...)
"""

import contextlib
import socket
from collections.abc import Iterator

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
