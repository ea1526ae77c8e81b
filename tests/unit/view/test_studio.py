# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Studio light: tone mapping, and the shadows of a body on itself and on the floor."""

import diffmpm as dm
import numpy as np
from diffmpm import view
from diffmpm._color import display_color, linear_light
from diffmpm.view import studio
from diffmpm.view.body import BodyMaker
from diffmpm.view.shadow import floor_shadow
from numpy.testing import assert_allclose, assert_array_equal


def test_tone_mapping_keeps_colours_and_compresses_highlights():
    dark = np.random.default_rng(0).random((50, 3), np.float32) * np.float32(0.75)
    assert_array_equal(studio.tone_mapped(dark), dark)
    ramp = studio.tone_mapped(np.linspace(0, 50, 2001)[:, None] * np.array([1.0, 0.5, 0.2]))
    assert ramp.min() >= 0 and ramp.max() < 1
    assert (np.diff(ramp, axis=0) >= 0).all()
    assert np.diff(ramp, axis=0).max() < 0.03  # continuous
    assert ramp[-1].min() > 0.8  # bright light is white


def test_a_body_keeps_its_colour_where_the_light_meets_it():
    """The colour of a surface that faces key light and camera is near its own."""
    albedo = np.array([[0.24, 0.47, 0.71], [0.8, 0.63, 0.46]], np.float32)
    towards = np.array([[-0.2, 0.4, 0.89]] * 2, np.float32)
    x = np.array([[0, 1, 0], [0, 0, 0]], np.float32)
    lit = studio.studio_colors(albedo, towards, x, None, None, 0.0)
    assert_allclose(lit, albedo, atol=0.12)
    half = studio.studio_colors(display_color(0.5 * linear_light(albedo)), towards, x, None, None, 0.0)
    assert_allclose(linear_light(half), 0.5 * linear_light(lit), rtol=0.02)  # light is linear


def table():
    """Return points that fill a plate on a column: right, up, towards the camera."""
    grid = np.stack(np.meshgrid(*[np.arange(-20, 21) / 20.0] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    plate = grid[:, 1] > 0.7
    column = np.hypot(grid[:, 0], grid[:, 2]) < 0.3
    return grid[plate | column].astype(np.float32)


def test_a_body_shades_itself():
    occluder = studio.Occluder(table())
    x = np.array([[0.5, 1.04, 0.5], [0.3, 0.0, 0.0], [0.4, 0.7, 0.0], [0.0, 0.4, 0.3]], np.float32)
    normals = np.array([[0, 1, 0], [1, 0, 0], [0, -1, 0], [0, 0, 1]], np.float32)
    key, sky = occluder.key_light(x, normals), occluder.openness(x, normals)
    assert key[0] > 0.95 and sky[0] > 0.9  # the top of the plate
    assert key[2] < 0.3 and key[3] < 0.5  # below the plate
    assert sky[2] < sky[0] - 0.15  # in the corner of plate and column
    again = studio.Occluder(np.float32(2.0**20) * table())
    assert_allclose(again.key_light(np.float32(2.0**20) * x, normals), key, atol=1e-5)


def test_the_shadow_is_darkest_where_the_body_touches_the_floor():
    x = dm.sample("sphere", particles=2000).x
    body = BodyMaker(x, np.array([0.5, 0.5, 0.5]), view.RenderConfig(samples=3000))(x)
    camera = view.orbit(x, size=96, fill=0.2, elevation=20.0)
    low = float(x[:, 2].min())
    dark = [floor_shadow(body.splats, camera, np.array([0.0, 0.0, 1.0]), low - gap) for gap in (0.0, 1.0, 2.0, 3.0)]
    darkest = [float(shadow.max()) for shadow in dark]
    assert 0.5 > darkest[0] > 0.4
    assert np.diff(darkest).max() < 0
    assert darkest[0] > 1.3 * darkest[-1]
