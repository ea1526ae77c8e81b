# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
import diffmpm as dm
import pytest


@pytest.fixture
def tiny():
    """Options of a morph that takes a fraction of a second."""
    never = {"patience": 20, "arrival": 0.0}  # all windows are run
    return {"particles": 300, "cell_particles": 3.0, "windows": 4, "steps": 5, "frame_motion": 0.02, **never}


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny bodies run fastest on one thread, and results do not depend on the number."""
    before = dm.get_num_threads()
    dm.set_num_threads(1)
    yield
    dm.set_num_threads(before)
