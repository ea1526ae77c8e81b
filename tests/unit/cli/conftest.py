# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
import diffmpm as dm
import pytest


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny bodies are fastest with one thread, and results do not depend on the number."""
    before = dm.get_num_threads()
    dm.set_num_threads(1)
    yield
    dm.set_num_threads(before)
