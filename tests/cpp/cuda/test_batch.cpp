// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/emulation.hpp"
#include "cuda/run_results.hpp"
#include "diffmpm/mpm/trajectory.hpp"
#include "mpm/backend.cuh"

// Steps that are queued together, and their state after a step that needs the host.

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

struct Log {
  int waits = 0, batches = 0, allocations = 0;
  int out_of_memory = -1;  // the allocation that fails
};

// A queue with a log, which rejects operations that a CUDA graph cannot contain.
class WatchedQueue : public EmulatedQueue {
 public:
  explicit WatchedQueue(Log* log, int* sorts = nullptr) : EmulatedQueue(1, sorts), log_(log) {}

  template <class V>
  Buffer<V> allocate(std::int64_t count) {
    check();
    if (log_->allocations++ == log_->out_of_memory) throw std::bad_alloc();
    return EmulatedQueue::allocate<V>(count);
  }
  template <class Body>
  void batch(const Body& body) {
    check(), ++log_->batches;
    in_batch_ = true;
    body();
    in_batch_ = false;
  }
  template <class V>
  void to_host(V* to, const V* from, std::int64_t count) {
    check(), ++log_->waits;
    EmulatedQueue::to_host(to, from, count);
  }
  template <class V>
  void copy(V* to, const V* from, std::int64_t count) {
    check(), EmulatedQueue::copy(to, from, count);
  }
  template <class V>
  void clear(V* values, std::int64_t count) {
    check(), EmulatedQueue::clear(values, count);
  }
  void inclusive_sum(Index* values, std::int64_t count) { check(), EmulatedQueue::inclusive_sum(values, count); }
  void sort_pairs(std::uint64_t* keys, Index* values, std::int64_t count, int bits) {
    check(), EmulatedQueue::sort_pairs(keys, values, count, bits);
  }

 private:
  void check() const {
    if (in_batch_) throw std::logic_error("a batch holds kernels only");
  }

  Log* log_;
  bool in_batch_ = false;
};

template <class T, class Queue = WatchedQueue>
using TestBackend = cuda::DeviceBackend<T, Queue>;
template <class T>
using Watched = Trajectory<TestBackend<T>>;

template <class T>
void same_bits(const RunResults<T>& a, const RunResults<T>& b) {
  CHECK(a.arrays == b.arrays);
  CHECK(std::equal(a.gravity, a.gravity + 3, b.gravity));
  CHECK(a.drag == b.drag);
}

// States 0..4 and the mass and momentum of steps 0..3, for steps that are queued without Trajectory.
struct StoppedRun {
  EmulatedQueue queue;
  TestBackend<double, EmulatedQueue> backend;
  cuda::DeviceLayout layout;
  const Scene<double>& scene;
  Buffer<double> properties;
  std::vector<Buffer<double>> buffers;
  cuda::StepView<double> work;
  BatchOutcome outcome;

  StoppedRun(const MpmParams& params, const Scene<double>& s, std::int64_t steps)
      : backend(params, queue), layout(backend.make_layout(s.x.data(), s.count)), scene(s) {
    const std::int64_t lanes = layout.group_count() * kLanes;
    properties = queue.allocate<double>(lanes * kPropertyComponents);
    for (int n = 0; n < 5; ++n) buffers.push_back(queue.allocate<double>(lanes * kStateComponents));
    for (int n = 0; n < 4; ++n) buffers.push_back(queue.allocate<double>(layout.grid_count() * kGridBlockSize));
    const auto put = [&](const std::vector<double>& in, Buffer<double>& out, int width, int stride, int first) {
      backend.to_groups(layout, in.data(), width, out.data(), stride, first, false);
    };
    put(s.x, buffers[0], 3, kStateComponents, kX), put(s.v, buffers[0], 3, kStateComponents, kV);
    put(s.C, buffers[0], 9, kStateComponents, kC), put(s.F, buffers[0], 9, kStateComponents, kF);
    put(s.mass, properties, 1, kPropertyComponents, kMass), put(s.volume, properties, 1, kPropertyComponents, kVolume);
    put(s.lam, properties, 1, kPropertyComponents, kLam), put(s.mu, properties, 1, kPropertyComponents, kMu);
    work = backend.args(layout);
    outcome = run(0, steps);
  }
  BatchOutcome run(std::int64_t first, std::int64_t steps) {
    return backend.forward(steps, [&](std::int64_t k) {
      const auto n = static_cast<std::size_t>(first + k);
      cuda::StepView<double> a = work;
      a.state_components = kStateComponents, a.properties = properties.data();
      a.control = scene.control.data() + n * scene.size(9);
      a.state = buffers[n].data(), a.next = buffers[n + 1].data(), a.grid_mq = buffers[5 + n].data();
      return a;
    });
  }
};

bool untouched(const Buffer<double>& buffer) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(buffer.data());
  return std::all_of(bytes, bytes + buffer.size() * sizeof(double), [](unsigned char b) { return b == 0xff; });
}
bool same_bytes(const Buffer<double>& a, const Buffer<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

// The error of a run or of its adjoint, and the partial gradient of the control.
struct Failure {
  std::string message;
  std::vector<double> adj_control;
};

template <class Make>
Failure fail(const Scene<double>& scene, const Make& make) {
  Failure failure;
  try {
    auto roll = make();
    failure.adj_control.resize(scene.control.size());
    StateAdjoint<double> end;
    end.layer = scene.steps, end.F = scene.F.data(), end.x = scene.x.data();
    RolloutGradients<double> g;
    g.control = failure.adj_control.data();
    roll->vjp({end}, g);
  } catch (const StepError& error) {
    failure.message = error.what();
  }
  return failure;
}

}  // namespace

TEST_CASE_TEMPLATE("the batch length does not change a bit", T, float, double) {
  const Scene<T> scene(200, 20);
  const MpmParams params = fast_params(Basis::quadratic);
  for (const std::size_t budget : {0, 1}) {
    HostMemory memory;
    const RolloutInput<T> in = run_input(scene, true, budget, memory);
    Log log;
    int sorts = 0;
    Watched<T> step_by_step(params, in, {params, WatchedQueue(&log, &sorts), 1});
    CHECK(sorts >= 6);  // two per ordering: some batches must stop
    const RunResults<T> expected = collect<T>(step_by_step, scene, true, memory);
    for (const int most : {2, 7, 64}) {
      Watched<T> batches(params, in, {params, WatchedQueue(&log), most});
      same_bits(collect<T>(batches, scene, true, memory), expected);
    }
  }
}

TEST_CASE("the host waits once per batch") {
  MpmParams params = scene_params(Basis::quadratic);
  params.dt = 1e-4;
  const Scene<double> scene(100, 70);
  HostMemory memory;
  Log log;
  int sorts = 0;
  Watched<double> roll(params, run_input(scene, false, 0, memory), {params, WatchedQueue(&log, &sorts)});
  CHECK(sorts == 2);              // one ordering
  CHECK(log.waits == 1 + 3 + 5);  // the bounds check, three counts, and batches of 8, 8, 16, 32 and 6 steps
  CHECK(log.batches == 1 + 1 + 2 + 4 + 1);
  log = {};
  RolloutGradients<double> g;
  StateAdjoint<double> end;
  end.layer = 70, end.x = memory.upload(scene.x);
  roll.vjp({end}, g);
  CHECK(log.waits == 2);  // 64 and 6
}

TEST_CASE("the error names the step that stops a batch, as on the CPU") {
  constexpr std::int64_t kSteps = 12, kParticle = 9;
  const auto check = [&](const MpmParams& params, const Scene<double>& scene, const std::string& expected) {
    CHECK(fail(scene, [&] { return cpu_rollout(params, scene.input()); }).message == expected);
    std::vector<double> step_by_step;
    for (const int most : {1, 2, 5, 64})
      for (const std::size_t budget : {0, 1}) {
        CAPTURE(most);
        Log log;
        using Backend = TestBackend<double>;
        const Failure failure = fail(scene, [&] {
          return std::make_unique<Watched<double>>(params, scene.input(budget),
                                                   Backend(params, WatchedQueue(&log), most));
        });
        CHECK(failure.message == expected);
        if (most == 1) step_by_step = failure.adj_control;
        CHECK(failure.adj_control == step_by_step);
      }
  };
  const MpmParams params = scene_params(Basis::quadratic);
  const Scene<double> calm(150, kSteps);
  const auto control = [&](Scene<double>& scene, std::int64_t step) {
    return scene.control.data() + (step * scene.count + kParticle) * 9;
  };
  check(params, calm, "");

  Scene<double> scene = calm;
  control(scene, 6)[0] = -50;
  check(params, scene, "particle 9 is inverted (det F <= 0) in step 6");
  control(scene, 6)[0] = std::numeric_limits<double>::infinity();
  check(params, scene, "particle 9 is not finite in step 6");

  // After several orderings.
  MpmParams falling = params;
  falling.boundary = Boundary::none, falling.gravity[2] = -1500;
  check(falling, calm, "particle 9 left the grid in step 4");

  // No unique rotation in step 5 only.
  std::vector<double> F(calm.size(9));
  cpu_rollout(params, calm.input())->state(5, nullptr, nullptr, nullptr, F.data(), nullptr);
  scene = calm;
  for (int k = 0; k < 9; ++k) {
    const double diagonal = k == 0 ? 1 : (k % 4 == 0 ? 1e-15 : 0);
    control(scene, 5)[k] = diagonal - F[kParticle * 9 + static_cast<std::size_t>(k)];
  }
  check(params, scene, "particle 9 has no unique rotation (two singular values of F near zero) in step 5");
}

TEST_CASE("a gradient can be recomputed after an out-of-memory error") {
  const Scene<double> scene(60, 12);
  const MpmParams params = fast_params(Basis::quadratic);
  HostMemory memory;
  const RolloutInput<double> in = run_input(scene, true, 1, memory);
  const auto gradient = [&](Watched<double>& roll) {
    std::vector<double> out(scene.control.size());
    StateAdjoint<double> end;
    end.layer = scene.steps, end.x = scene.v.data(), end.F = scene.C.data();
    RolloutGradients<double> g;
    g.control = out.data();
    roll.vjp({end}, g);
    return out;
  };
  Log log;
  Watched<double> undisturbed(params, in, {params, WatchedQueue(&log)});
  log.allocations = 0;
  const std::vector<double> expected = gradient(undisturbed);
  const int count = log.allocations;
  CHECK(count > 10);
  for (int n = 0; n < count; ++n) {
    CAPTURE(n);
    log.out_of_memory = -1;
    Watched<double> roll(params, in, {params, WatchedQueue(&log)});
    log.allocations = 0, log.out_of_memory = n;
    CHECK_THROWS_AS(gradient(roll), std::bad_alloc);
    CHECK(gradient(roll) == expected);
  }
}

TEST_CASE("kernels after the step that stops a batch do not change memory") {
  for (const Basis basis : {Basis::quadratic, Basis::cubic}) {
    Scene<double> scene(150, 4);
    scene.control[(1 * 150 + 9) * 9] = -50;  // step 1 inverts particle 9
    const MpmParams params = scene_params(basis);
    StoppedRun all(params, scene, 4), two(params, scene, 2);
    CHECK(all.outcome.steps == 2);
    CHECK(all.outcome.flags == two.outcome.flags);
    CHECK((all.outcome.flags & kFlagInvalidMomentum) != 0);
    for (std::size_t n = 0; n < all.buffers.size(); ++n) CHECK(same_bytes(all.buffers[n], two.buffers[n]));
    for (const std::size_t n : {3, 4, 7, 8}) CHECK(untouched(all.buffers[n]));  // states 3, 4; grids of steps 2, 3
    // The next batch runs normally.
    CHECK(all.run(0, 1).flags == 0);
  }
}
