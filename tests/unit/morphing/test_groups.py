# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Groups of particles on coarse grids."""

from dataclasses import replace

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.errors import SimulationError
from diffmpm.morphing import chain
from diffmpm.morphing.config import MorphConfig
from diffmpm.morphing.groups import groups_of
from diffmpm.morphing.problem import make_problem


@pytest.fixture
def body(rng):
    count = 1000
    F = np.eye(3) + 0.1 * rng.normal(size=(count, 3, 3))
    arrays = {"mass": rng.uniform(1, 2, count), "volume": rng.uniform(1, 2, count), "lam": 3.0, "mu": 2.0}
    return dm.Particles.create(rng.uniform(size=(count, 3)), F=F, v=rng.normal(size=(count, 3)), **arrays)


def test_groups_are_a_partition_into_compact_parts(body):
    groups = groups_of(body.x, 10.0, widest=1.0)
    assert sorted(groups.order) == list(range(1000))
    sizes = np.diff(groups.starts, append=1000)
    assert sizes.min() >= 5
    assert sizes.max() <= 10
    extents = [np.ptp(body.x[part], axis=0).max() for part in np.split(groups.order, groups.starts[1:])]
    assert np.median(extents) < 1.5 * (8 / 1000) ** (1 / 3)
    assert groups_of(body.x, 1.9, widest=1.0) is None


def test_particles_of_different_parts_do_not_form_a_group(rng):
    """A leaf between two bodies would have its particle in the gap."""
    x = rng.uniform(size=(501, 3))
    x[250:, 0] += 4.0
    groups = groups_of(x, 8.0, widest=0.5)
    assert all(np.ptp(x[part, 0]) < 0.5 for part in np.split(groups.order, groups.starts[1:]))


def test_merge_conserves_mass_volume_and_center(body):
    body = replace(body, mass=np.full(1000, 1.5))
    groups = groups_of(body.x, 10.0, widest=1.0)
    merged = groups.merge(body)
    assert merged.count == len(groups.starts)
    for name in ("mass", "volume"):
        assert getattr(merged, name).sum() == pytest.approx(getattr(body, name).sum())
    np.testing.assert_allclose(merged.mass @ merged.x, body.mass @ body.x)
    np.testing.assert_allclose(merged.mass @ merged.v, body.mass @ body.v, atol=1e-9)
    parts = np.split(groups.order, groups.starts[1:])
    assert all((merged.F[k] == body.F[part]).all(axis=(1, 2)).any() for k, part in enumerate(parts))


def test_spread_controls_give_each_particle_the_motion_of_its_group(body, rng):
    groups = groups_of(body.x, 10.0, widest=1.0)
    merged = groups.merge(body)
    control = 0.1 * rng.normal(size=(2, merged.count, 3, 3))
    spread = groups.spread(control, merged, body)
    for k, part in enumerate(np.split(groups.order, groups.starts[1:])):
        motion = (merged.F[k] + control[:, k]) @ np.linalg.inv(merged.F[k])
        for p in part:
            np.testing.assert_allclose(body.F[p] + spread[:, p], motion @ body.F[p], atol=1e-12)


def coarse():
    """A morph whose first level has groups of up to five particles."""
    config = MorphConfig(particles=4000, cell_particles=4.0, coarse_cells=200.0, steps=10, iterations=3, windows=2)
    problem = make_problem("sphere", "box", config)
    return config, problem, problem.objectives(config)


def test_particles_follow_their_groups():
    config, problem, objectives = coarse()
    after = chain.advance(chain.start_chain(problem, config), problem, objectives, config)
    particles = replace(problem.body, x=after.body.x)
    loss = objectives[0].loss.evaluate(dm.Simulation(particles, problem.sims[0]).rollout(0)).value
    record = after.history[0]
    assert after.body.count == config.particles
    assert loss < 0.5 * record["loss_start"]
    assert after.pairs == ()


def test_a_window_in_which_particles_cannot_follow_runs_without_groups(monkeypatch):
    config, problem, objectives = coarse()
    start = chain.start_chain(problem, config)

    def fails(*args):
        raise SimulationError("inverted", particle=0, step=0, cause="inverted")

    monkeypatch.setattr(chain, "follow", fails)
    failed = chain.advance(start, problem, objectives, config)
    monkeypatch.setattr(chain, "groups_of", lambda x, largest, widest: None)
    alone = chain.advance(start, problem, objectives, config)
    np.testing.assert_array_equal(failed.body.x, alone.body.x)
    assert len(failed.pairs) == len(alone.pairs) > 0
