"""Run the simulator: `python -m simulators.ftp_server --help`."""

from __future__ import annotations

import sys

from simulators.ftp_server.program import main

sys.exit(main())
