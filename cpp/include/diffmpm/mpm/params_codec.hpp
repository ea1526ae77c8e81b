// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "diffmpm/mpm/params.hpp"

// Options as one list of numbers, the form in which they come from Python and cross the PyTorch operators: all fields in the order
// of their table, element by element, then those of each collider.

namespace diffmpm {

// Calls f with the one value of a field, or with each of its elements.
template <class Field, class F>
void for_each_element(Field& field, const F& f) {
  if constexpr (std::is_array_v<Field>) {
    for (auto& element : field) f(element);
  } else {
    f(field);
  }
}

inline std::string limits_text(const Limits& limits, bool integer) {
  std::ostringstream text;
  text.precision(17);
  if (integer) {
    text << "an integer from " << limits.least << " to " << limits.most;
  } else {
    text << "a finite number";
    if (limits.least > -kLargest) text << (limits.above ? " > " : " >= ") << limits.least;
    if (limits.most < kLargest) text << (limits.below ? " and < " : " and <= ") << limits.most;
  }
  return text.str();
}

// Throws std::invalid_argument unless a field accepts the value. NaN fails every comparison.
inline void check_limits(double value, const char* prefix, const char* name, const Limits& limits, bool integer) {
  const bool inside = (limits.above ? value > limits.least : value >= limits.least) &&
                      (limits.below ? value < limits.most : value <= limits.most);
  const bool fits = integer ? value == std::floor(value) : value == 0 || limits.least < 0 || value >= kSmallest;
  if (!inside || !fits)
    throw std::invalid_argument(std::string(prefix) + name + ": expected " + limits_text(limits, integer) + ", got " +
                                std::to_string(value));
}

// Reads the options from their list and checks every number. `gravity` (3) and `drag` replace those of the list where they are not
// null. Throws std::invalid_argument.
inline MpmParams unpack_params(const std::vector<double>& numbers, const double* gravity = nullptr,
                               const double* drag = nullptr) {
  std::size_t next = 0;
  const auto read_into = [&](auto& owner, const char* prefix) {
    return [&, prefix](const char* name, const Limits& limits, auto member) {
      const double* const replacement = std::string_view(name) == "gravity" ? gravity
                                        : std::string_view(name) == "drag"  ? drag
                                                                            : nullptr;
      std::size_t r = 0;
      for_each_element(owner.*member, [&]<class Element>(Element& element) {
        if (next == numbers.size())
          throw std::invalid_argument("config: expected the list of all options and colliders, got " +
                                      std::to_string(next) + " numbers");
        const double value = replacement ? replacement[r] : numbers[next];
        ++r, ++next;
        check_limits(value, prefix, name, limits, !std::is_floating_point_v<Element>);
        element = static_cast<Element>(value);
      });
    };
  };
  MpmParams params;
  for_each_field<MpmParams>(read_into(params, ""));
  const std::size_t first = next;
  while (next < numbers.size()) {
    if (params.colliders.size() == static_cast<std::size_t>(kMaxColliders))
      throw std::invalid_argument("colliders: expected at most " + std::to_string(kMaxColliders) + ", got " +
                                  std::to_string((numbers.size() - first) * kMaxColliders / (next - first)));
    Collider& collider = params.colliders.emplace_back();
    for_each_collider_field<Collider>(read_into(collider, "colliders."));
    if ((collider.shape == ColliderShape::sphere) != (collider.radius > 0))
      throw std::invalid_argument("colliders.radius: expected a number > 0 for a sphere and 0 for a half-space, got " +
                                  std::to_string(collider.radius));
  }
  return params;
}

}  // namespace diffmpm
