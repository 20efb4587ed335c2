#!/usr/bin/python3
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
"""Serves a folder with fbtftp, with the time-outs of the example in its documentation: for comparison.

Usage: fbtftp_directory.py ADDRESS PORT FOLDER, or --version
"""

import importlib.metadata
import os
import sys

from fbtftp.base_handler import BaseHandler, ResponseData
from fbtftp.base_server import BaseServer

RETRIES = 5
TIMEOUT_SECONDS = 2


class FileResponse(ResponseData):
    """An open file."""

    def __init__(self, path):
        self._file = open(path, "rb")

    def read(self, n):
        return self._file.read(n)

    def size(self):
        return os.fstat(self._file.fileno()).st_size

    def close(self):
        self._file.close()


class Handler(BaseHandler):
    """One transfer: a process."""

    def __init__(self, server, peer, path, options, folder):
        self._folder = folder
        super().__init__(server, peer, path, options, lambda stats: None)

    def get_response_data(self):
        return FileResponse(os.path.join(self._folder, os.path.basename(self._path)))


class Server(BaseServer):
    """The listener."""

    def __init__(self, address, port, folder):
        self._folder = folder
        super().__init__(address, port, RETRIES, TIMEOUT_SECONDS, lambda stats: None)

    def get_handler(self, server, peer, path, options):
        return Handler(server, peer, path, options, self._folder)


if sys.argv[1:] == ["--version"]:
    print("fbtftp", importlib.metadata.version("fbtftp"))
elif len(sys.argv) == 4:
    Server(sys.argv[1], int(sys.argv[2]), sys.argv[3]).run()
else:
    sys.exit(__doc__)
