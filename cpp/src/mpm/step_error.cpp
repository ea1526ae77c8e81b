// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <string>

#include "diffmpm/mpm/rollout.hpp"

namespace diffmpm {
namespace {

const char* describe(Cause cause) {
  switch (cause) {
    case Cause::left_grid: return "left the grid";
    case Cause::not_finite: return "is not finite";
    case Cause::inverted: return "is inverted (det F <= 0)";
    case Cause::degenerate: return "has no unique rotation (two singular values of F near zero)";
  }
  return "";
}

}  // namespace

StepError::StepError(Cause why, std::int64_t which, std::int64_t when, bool initial)
    : std::runtime_error("particle " + std::to_string(which) + " " +
                         (initial ? std::string("has an initial F that ") + describe(why)
                                  : describe(why) + (" in step " + std::to_string(when)))),
      cause(why),
      particle(which),
      step(when) {}

}  // namespace diffmpm
