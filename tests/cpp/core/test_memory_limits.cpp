// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "diffmpm/core/memory.hpp"

namespace {

// Sets the first byte of new memory, frees it, and returns that byte of a second allocation: fresh pages are zero.
char byte_after_reuse(std::size_t bytes, std::size_t later_bytes) {
  *static_cast<volatile char*>(diffmpm::allocate_bytes(bytes).get()) = 42;
  return *static_cast<volatile char*>(diffmpm::allocate_bytes(later_bytes).get());
}

}  // namespace

TEST_CASE("freed memory is used again for a slightly different size while as much is in use") {
  constexpr std::size_t kBytes = std::size_t{300} << 20;  // more than is cached in any case
  {
    const auto in_use = diffmpm::allocate_bytes(kBytes + kBytes / 8);
    CHECK(byte_after_reuse(kBytes, kBytes - kBytes / 64) == 42);
    CHECK(byte_after_reuse(kBytes, kBytes + kBytes / 64) == 42);
  }
  CHECK(byte_after_reuse(kBytes, kBytes) != 42);
}

#if defined(__linux__)
namespace {

namespace fs = std::filesystem;

// A copy of the system files that are read.
class FakeSystem {
 public:
  FakeSystem() : root_(fs::temp_directory_path() / "diffmpm-fake-system") {
    fs::remove_all(root_);
    write("proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n");
  }
  ~FakeSystem() { fs::remove_all(root_); }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }
  std::size_t available() const { return diffmpm::available_memory_in(root_.string()); }

 private:
  fs::path root_;
};

}  // namespace

TEST_CASE("available memory is the least of the system memory and the remainder of each control group") {
  const FakeSystem system;
  CHECK(system.available() == 8000 * 1024);
  system.write("proc/self/cgroup", "0::/a/b\n");
  CHECK(system.available() == 8000 * 1024);
  system.write("sys/fs/cgroup/a/b/memory.max", "max\n");
  system.write("sys/fs/cgroup/a/memory.max", "3000000\n");
  system.write("sys/fs/cgroup/a/memory.current", "1000000\n");
  CHECK(system.available() == 2000000);
  system.write("sys/fs/cgroup/a/memory.stat", "anon 7\ninactive_file 400000\n");
  CHECK(system.available() == 2400000);
  system.write("sys/fs/cgroup/memory.max", "500000\n");  // of a container, whose own group is the root
  system.write("sys/fs/cgroup/memory.current", "600000\n");
  CHECK(system.available() == 0);
}

TEST_CASE("control groups of version 1 count as well") {
  const FakeSystem system;
  system.write("proc/self/cgroup", "5:cpu,memory:/job\n1:name=systemd:/\n");
  system.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "4000000\n");
  system.write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "1500000\n");
  system.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(system.available() == 2500000);
}

TEST_CASE("calls that need more than half of the memory raise an error with both sizes") {
  const double free = static_cast<double>(diffmpm::available_memory());
  CHECK_NOTHROW(diffmpm::require_memory(0.2 * free, "x: expected less", "take less"));
  CHECK_THROWS_WITH_AS(diffmpm::require_memory(1e15, "x: expected less", "take less"),
                       doctest::Contains("x: expected less, got 1e+06 GB of "), std::invalid_argument);
}
#endif

TEST_CASE("sizes that overflow raise bad_alloc") {
  CHECK_THROWS_AS(diffmpm::Buffer<double>(~std::size_t{0} / 4), std::bad_alloc);
}
