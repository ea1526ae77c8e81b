# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""``python -m diffmpm``: the command ``diffmpm``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
