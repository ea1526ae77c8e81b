# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Mistakes that a type checker has to find: each line with a comment, with that code, and no other line."""

from __future__ import annotations

import diffmpm as dm

dm.SimConfig(dx=0.1, dt=1e-3, basis="linear")  # [arg-type]
dm.SimConfig(dx=0.1, dt=1e-3, material="rubber")  # [arg-type]
dm.SimConfig(dx="0.1", dt=1e-3)  # [arg-type]
dm.SimConfig(dx=0.1)  # [call-arg]
dm.SimConfig(0.1, 1e-3)  # [call-arg]
dm.SimConfig(dx=0.1, dt=1e-3, gravity=(0.0, -9.81))  # [arg-type]
dm.SimConfig(dx=0.1, dt=1e-3).dx = 0.2  # [misc]
dm.HalfSpace((0.0, 0.0, 0.0), (0.0, 0.0, 1.0), mode="bounce")  # [arg-type]
dm.MorphConfig(particels=300)  # [call-arg]
dm.MorphConfig(optimizer="sgd")  # [arg-type]
dm.morph("sphere")  # [call-arg]
dm.morph("sphere", 3)  # [arg-type]
dm.morph("sphere", "torus", "default", None)  # [call-arg]
dm.sample("box", particles="many")  # [arg-type]
dm.Particles.create([[0.0, 0.0, 0.0]], mass=1.0, volume=1.0)  # [call-arg]
dm.lame_parameters("soft", 0.3)  # [arg-type]
dm.set_num_threads("all")  # [arg-type]
dm.Simulation(dm.sample("box"), {"dx": 0.1})  # [arg-type]
dm.Simulation(dm.sample("box"), dm.SimConfig(dx=0.1, dt=1e-3)).rollout(5, None, 2)  # [call-arg]
roll = dm.Simulation(dm.sample("box"), dm.SimConfig(dx=0.1, dt=1e-3)).rollout(5)
roll.vjp(adj_x=roll.x, wrt=("controls",))  # [arg-type]
roll.vjp(adj_x=roll.x, wrt="everything")  # [arg-type]
roll.vjp(roll.x)  # [call-arg]
print(roll.vjp(adj_x=roll.x).x0)  # [attr-defined]
dm.rasterize(roll, colors=None)  # [arg-type]
dm.rasterize(roll.x, roll.x, covars=roll.F)  # [arg-type]
dm.losses.LogMass([0.0], 1.0)  # [call-arg]
dm.losses.Loss(weight=1.0)  # [abstract]
print(dm.Camera.look_at((0, -6, 2), (0, 0, 0), width=64).width + "px")  # [call-arg, operator]
dm.simulate()  # [attr-defined]
print(dm.no_such_name)  # [attr-defined]
