// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

// Number of OpenMP threads that every parallel region of the package uses.

namespace diffmpm {

// Threads of the next parallel loop: the number set by set_thread_count, or the default of OpenMP; fewer where the system cannot
// start them, and 1 in a forked child process or where OMP_STACKSIZE is too small.
int thread_count();

// 0 restores the default of OpenMP.
void set_thread_count(int count);

// Limits the parallel regions that the calling thread starts, for programs with threads of their own; 0 removes the limit.
void limit_thread_count(int count);

}  // namespace diffmpm
