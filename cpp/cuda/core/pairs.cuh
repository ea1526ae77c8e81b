// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <tuple>

#include "diffmpm/core/memory.hpp"
#include "diffmpm/mpm/params.hpp"

namespace diffmpm::cuda {

// Keys and values sorted together.
template <class Key>
struct Pairs {
  Key* keys;
  Index* values;
};

// Buffers of V..., with `counts` elements each, in one shared allocation: each allocation costs the host microseconds.
template <class... V, class Queue, class... Count>
std::tuple<Buffer<V>...> allocate_together(Queue& queue, Count... counts) {
  static_assert(sizeof...(V) == sizeof...(Count));
  constexpr std::size_t kLine = 256;  // bytes, the alignment of device memory
  const auto padded = [](std::size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; };
  const Buffer<std::byte> all = queue.template allocate<std::byte>(
      static_cast<std::int64_t>((padded(static_cast<std::size_t>(counts) * sizeof(V)) + ... + 0)));
  std::size_t used = 0;
  const auto next = [&]<class U>(std::size_t count) {
    void* const at = all.data() + used;
    used += padded(count * sizeof(U));
    return Buffer<U>(std::shared_ptr<void>(all.owner(), at), count);
  };
  return { next.template operator()<V>(static_cast<std::size_t>(counts))... };  // braces: evaluated in order
}

}  // namespace diffmpm::cuda
