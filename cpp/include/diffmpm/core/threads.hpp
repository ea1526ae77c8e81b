// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

// Number of OpenMP threads that every parallel region of the package uses.

namespace diffmpm {

// Threads for the next parallel loop: what set_thread_count asked for, else OpenMP's own number; fewer where the system starts no
// more, and 1 in a forked child process or where OMP_STACKSIZE leaves threads too little stack.
int thread_count();

// Ask for `count` threads; 0 returns to OpenMP's own number.
void set_thread_count(int count);

// At most `count` threads for the parallel regions that the calling thread starts; 0 takes the limit away. For a program that
// works in several threads of its own.
void limit_thread_count(int count);

}  // namespace diffmpm
