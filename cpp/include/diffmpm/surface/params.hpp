// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

// Options of the surface, mirrored by `python/diffmpm/surface/config.py`; a test compares both.

namespace diffmpm::surface {

struct SurfaceParams {
  double spacing = 0;          // spacing of the particles [m], > 0; 0: measured
  double kernel_radius = 3.0;  // support of the density kernel, in spacings, [1.5, 6]
  double smoothing = 4.0;      // radius of the patches that remove noise, in spacings, [0, 8]; 0: none
  double level = 0.5;          // fill fraction at the surface, (0, 1)
  int parents = 8;             // parent particles per sample, [1, 32]
  double weight_radius = 2.0;  // support of their weights, in spacings, [1, 8]
  int relaxation = 6;          // rounds of relaxation of the samples, [0, 200]
  double flatness = 1.0;       // thickness of a Gaussian along the normal over its width, (0, 1]
  double stretch_limit = 8.0;  // longest over shortest axis of a Gaussian when bound, [1, 1000]
};

}  // namespace diffmpm::surface
