// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

// Number of OpenMP threads that every parallel region of the package uses.

namespace diffmpm {

// Threads for the next parallel region: what set_thread_count asked for, else OpenMP's own number; 1 in a child
// process that was forked after OpenMP had started, because its runtime would wait there for threads that do not exist.
int thread_count();

// Ask for `count` threads; 0 returns to OpenMP's own number.
void set_thread_count(int count);

// At most `count` threads for the parallel regions that the calling thread starts; 0 takes the limit away. For a program that
// works in several threads of its own.
void limit_thread_count(int count);

}  // namespace diffmpm
