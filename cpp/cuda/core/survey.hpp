// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

// Devices and versions reported by the CUDA runtime, and which of them are usable. No CUDA here: the tests use machines that do not
// exist.

namespace diffmpm::cuda {

struct Survey {
  struct Device {
    std::string name;
    std::size_t bytes = 0;
    int major = 0, minor = 0;  // compute capability
  };
  int driver = 0;             // newest CUDA version of the driver, 13010 for 13.1; 0: no driver
  int runtime = 0;            // CUDA version of this build
  std::string error;          // of the device query; empty: none
  std::string architectures;  // CMAKE_CUDA_ARCHITECTURES of this build: "80-real;90", or "native"
  std::vector<Device> devices;
};

// Whether a build for `architectures` can run on a device. Machine code runs on later devices of its generation, PTX on all later
// ones. Names without a number, such as "native", mean this machine.
inline bool has_code(std::string_view architectures, int major, int minor) {
  while (!architectures.empty()) {
    const std::size_t end = architectures.find(';');
    const std::string entry(architectures.substr(0, end));
    architectures = end == std::string_view::npos ? std::string_view() : architectures.substr(end + 1);
    char* rest = nullptr;
    const long number = std::strtol(entry.c_str(), &rest, 10);
    if (rest == entry.c_str()) return true;
    const long device = 10L * major + minor;
    if (device == number) return true;
    if (device < number || *rest == 'a') continue;  // code with a letter is for one device, or for one generation
    const bool ptx = entry.find("-real") == std::string::npos, machine = entry.find("-virtual") == std::string::npos;
    if (*rest == 'f' ? number / 10 == major : ptx || (machine && number / 10 == major)) return true;
  }
  return false;
}

// Number of devices, or 0 if none of them is usable.
inline int usable_devices(const Survey& s) {
  if (s.driver < s.runtime / 1000 * 1000 || !s.error.empty()) return 0;
  for (const Survey::Device& device : s.devices)
    if (has_code(s.architectures, device.major, device.minor)) return static_cast<int>(s.devices.size());
  return 0;
}

inline std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// One sentence: the usable devices, or why no device is usable.
inline std::string describe(const Survey& s) {
  const std::string on_cpu = "; everything runs on the CPU";
  if (s.driver == 0) return "compiled in, but there is no NVIDIA driver on this machine" + on_cpu;
  // A driver runs all builds of its CUDA generation: driver 13.0 runs builds with 13.1.
  const int needed = s.runtime / 1000 * 1000;
  if (s.driver < needed)
    return "compiled in, but the NVIDIA driver is too old: it knows CUDA " + version_text(s.driver) +
           ", this build needs " + version_text(needed) + (needed == 13000 ? " (driver 580 or newer)" : "") +
           "; update the driver, until then everything runs on the CPU";
  if (!s.error.empty())
    return "compiled in, but no device can be used: " + s.error + " (driver for CUDA " + version_text(s.driver) + ")" +
           on_cpu;
  std::string text = usable_devices(s) > 0 ? "compiled in" : "compiled in, but no device can be used";
  text += ", driver for CUDA " + version_text(s.driver);
  bool missing = false;
  for (const Survey::Device& device : s.devices) {
    text += "; " + device.name + " with " + std::to_string(device.bytes >> 30) + " GiB, sm_" +
            std::to_string(device.major) + std::to_string(device.minor);
    if (has_code(s.architectures, device.major, device.minor)) continue;
    text += ", for which this build has no code";
    missing = true;
  }
  if (missing) text += "; it was built for CMAKE_CUDA_ARCHITECTURES=" + s.architectures;
  return text;
}

}  // namespace diffmpm::cuda
