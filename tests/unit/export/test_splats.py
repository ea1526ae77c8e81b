# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
import numpy as np
import pytest
from diffmpm import export
from diffmpm.errors import ConfigError
from diffmpm.export.splats import rotations
from numpy.testing import assert_allclose, assert_array_equal


def some(m=50, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, 3, 3))
    return rng.standard_normal((m, 3)), A @ A.transpose(0, 2, 1), rng.random((m, 3))


def test_covariances_are_recovered():
    means, covars, colors = some()
    splats = export.Splats.create(means, covars, colors)
    assert all(a.dtype == np.float32 for a in (splats.means, splats.scales, splats.quats, splats.opacities))
    size = np.abs(covars).max(axis=(1, 2), keepdims=True)
    assert_allclose(splats.covariances() / size, covars / size, atol=1e-5)  # single precision
    assert (np.diff(splats.scales, axis=1) <= 0).all()
    assert_allclose(splats.sh * 0.28209479177387814 + 0.5, colors, atol=1e-6)


def test_quaternions_are_those_of_known_rotations():
    half = np.sqrt(0.5)
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # by 90 degrees around z
    covars = turn @ np.diag([9.0, 4.0, 1.0]) @ turn.T
    scales, quats = export.decompose(covars[None])
    assert_allclose(scales, [[3.0, 2.0, 1.0]], rtol=1e-6)
    R = rotations(quats)[0]
    assert_allclose(np.abs(R), np.abs(turn), atol=1e-6)  # axes have no sign
    assert_allclose(np.linalg.det(R), 1.0, atol=1e-6)
    assert_allclose(rotations(np.array([[half, 0.0, 0.0, half]]))[0], turn, atol=1e-12)


@pytest.mark.parametrize("axis", range(3))
def test_half_turns_and_equal_axes(axis):
    """Division by the largest component keeps half turns accurate, where w = 0."""
    flip = -np.eye(3)
    flip[axis, axis] = 1.0
    for lengths in ([3.0, 2.0, 1.0], [2.0, 2.0, 1.0], [1.0, 1.0, 1.0]):
        covars = (flip @ np.diag(lengths) @ flip.T)[None]
        splats = export.Splats.create(np.zeros((1, 3)), covars, np.zeros((1, 3)))
        assert_allclose(splats.covariances(), covars, atol=1e-6)
        assert_allclose(np.linalg.norm(splats.quats, axis=1), 1.0, atol=1e-6)


def test_discs_and_needles_keep_finite_logarithms():
    covars = np.stack([np.diag([1.0, 1.0, 0.0]), np.diag([1.0, 0.0, 0.0]), np.diag([4.0, 1.0, -1e-9])])
    scales, _ = export.decompose(covars)
    assert np.isfinite(np.log(scales)).all()
    assert_allclose(scales[:, 0], [1.0, 1.0, 2.0], rtol=1e-6)
    assert scales[1, 1] == np.float32(1e-6)


def test_widest_limits_only_the_longest_axes():
    covars = np.stack([np.eye(3)] * 9 + [np.diag([100.0, 1.0, 1.0])])
    splats = export.Splats.create(np.zeros((10, 3)), covars, np.zeros((10, 3)), widest=2.0)
    assert_allclose(splats.scales[-1], [2.0, 1.0, 1.0], rtol=1e-6)
    assert_allclose(splats.scales[:-1], 1.0, rtol=1e-6)


def test_zero_gaussians_are_valid():
    splats = export.Splats.create(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros((0, 3)), widest=2.0)
    assert splats.count == 0
    assert_array_equal(splats.covariances().shape, (0, 3, 3))


def test_bad_arguments_are_named():
    for bad in (np.diag([1.0, 1.0, -0.1]), np.zeros((3, 3)), np.array([[1.0, 0.5, 0], [0, 1, 0], [0, 0, 1]])):
        with pytest.raises(ConfigError, match=r"covars: expected symmetric positive semi-definite .* at index 1"):
            export.decompose(np.stack([np.eye(3), bad]))
    with pytest.raises(ConfigError, match="opacity: expected a number between 0 and 1, got 1"):
        export.Splats.create(np.zeros((1, 3)), np.eye(3)[None], np.zeros((1, 3)), opacity=1.0)
    with pytest.raises(ConfigError, match=r"colors: expected shape \(1, 3\)"):
        export.Splats.create(np.zeros((1, 3)), np.eye(3)[None], np.zeros((2, 3)))


def test_colours_in_linear_light():
    splats = export.Splats.create(
        np.zeros((3, 3)),
        np.broadcast_to(np.eye(3), (3, 3, 3)),
        [[0.0, 1.0, 0.5], [0.04, 0.0404, 0.0406], [0.1, 0.2, 0.7]],
    )
    expected = [[0.0, 1.0, 0.21404114], [0.00309598, 0.00312693, 0.00314263], [0.01002283, 0.03310477, 0.44798841]]
    assert_allclose(splats.linear, expected, rtol=1e-4)
