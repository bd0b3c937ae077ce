"""The part of pyftpdlib that the simulator stands on.

pyftpdlib has no annotations and stands on asyncore, whose import warns in Python 3.11. Both
facts stop here: library.pyi has the types, and the warning isn't heard.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from asynchat import async_chat as RawChat  # noqa: N812

    from pyftpdlib.exceptions import _RetryError as RetryLater
    from pyftpdlib.handlers.ftp.data import DTPHandler
    from pyftpdlib.handlers.ftp.dispatchers import ActiveDTP, PassiveDTP
    from pyftpdlib.handlers.ftps.control import TLS_FTPHandler
    from pyftpdlib.handlers.ftps.ssl import SSLConnectionMixin
    from pyftpdlib.ioloop import Acceptor, AsyncChat, IOLoop
    from pyftpdlib.servers import FTPServer


__all__ = [
    "Acceptor",
    "ActiveDTP",
    "AsyncChat",
    "DTPHandler",
    "FTPServer",
    "IOLoop",
    "PassiveDTP",
    "RawChat",
    "RetryLater",
    "SSLConnectionMixin",
    "TLS_FTPHandler",
]
