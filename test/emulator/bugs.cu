// Tests of the checks themselves: runs the kernel with the seeded bug that the command line names, or the same kernel
// without it (`name-control`), and prints what the run-time reports or what the result is worth. `list` prints all
// names.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string_view>
#include <vector>

#include "bug_kernels.cuh"

namespace kullback {
namespace {

constexpr size_t kFloats = 4096;

std::vector<float> input, output(kFloats, -7);
float *device_input, *device_output;

void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  printf("reported %s\n", cudaGetErrorString(error));
  exit(3);
}

template <class T>
T* allocate(size_t count, const T* from = nullptr) {
  T* memory = nullptr;
  check(cudaMalloc(&memory, count * sizeof(T)));
  if (from != nullptr) check(cudaMemcpy(memory, from, count * sizeof(T), cudaMemcpyHostToDevice));
  return memory;
}

template <class T>
T* allocate_zeros(size_t count) {
  T* memory = allocate<T>(count);
  check(cudaMemset(memory, 0, count * sizeof(T)));
  return memory;
}

// Launches, waits, and compares `count` results with what a plain loop gives.
template <class... Parameters, class... Arguments>
void expect(size_t count, const std::function<float(size_t)>& expected, void (*kernel)(Parameters...),
            const LaunchShape& shape, Arguments... arguments) {
  check(launch(kernel, shape, nullptr, arguments...));
  check(cudaDeviceSynchronize());
  check(cudaMemcpy(output.data(), device_output, count * sizeof(float), cudaMemcpyDeviceToHost));
  for (size_t i = 0; i < count; ++i) {
    if (output[i] == expected(i)) continue;
    printf("wrong %zu: %g instead of %g\n", i, output[i], expected(i));
    exit(4);
  }
}

float one(size_t) { return 1; }

void run_rotate(Bug bug) {
  expect(256, [](size_t i) { return input[(i + 37) % 256]; }, rotate, {1, 256, 1024}, device_input, device_output, bug);
}

void run_sum_tiles(Bug bug) {
  const auto sum = [](size_t i) {
    float all = 0;
    for (size_t first = 0; first < 256; first += 64) {
      for (size_t k = 0; k < 64; ++k) all += input[first + (k + i) % 64];
    }
    return all;
  };
  expect(64, sum, sum_tiles, {1, 64, 256}, device_input, device_output, 256, bug);
}

void run_exchange(Bug bug) {
  expect(64, [](size_t i) { return input[i ^ 5]; }, exchange_in_warp, {1, 64, 256}, device_input, device_output, bug);
}

void run_copy_ahead(Bug bug) {
  expect(
      128, [](size_t i) { return input[(4 * i + 100) % 512]; }, copy_ahead, {1, 128, 2048}, device_input, device_output,
      bug);
}

void run_two_stages(Bug bug) {
  const auto sum = [](size_t i) {
    float all = 0;
    for (size_t tile = 0; tile < 8; ++tile) {
      for (size_t k = 0; k < 128; ++k) all += input[tile * 128 + (k + i) % 128];
    }
    return all;
  };
  expect(128, sum, two_stages, {1, 128, 1024}, device_input, device_output, 8u, bug);
}

void run_cluster(Bug bug) {
  expect(256, [](size_t) { return 10.0f; }, sum_over_cluster, {8, 32, 16, 4}, device_output, bug);
}

void run_add_between_blocks(Bug bug) {
  check(cudaMemset(device_output, 0, 32 * sizeof(float)));
  expect(32, [](size_t) { return 4.0f; }, add_between_blocks, {4, 32}, device_output, bug);
}

void run_histogram(Bug bug) {
  const auto count = [](size_t bin) {
    float all = 0;
    for (size_t i = 0; i < 256; ++i) all += size_t(input[i]) % 16 == bin ? 1.0f : 0.0f;
    return all;
  };
  expect(16, count, histogram, {1, 256, 64}, device_input, device_output, bug);
}

void run_last_block(Bug bug) {
  const auto sum = [](size_t) {
    float all = 0;
    for (size_t i = 0; i < 8; ++i) all += input[i];
    return all;
  };
  expect(1, sum, last_block_sums, {8, 32}, device_input, allocate<float>(8), allocate_zeros<unsigned>(1), device_output,
         bug);
}

void run_unwritten(Bug bug) { expect(1, one, read_shared_unwritten, {1, 128, 128}, device_output, bug); }

void run_float_atomics() {
  check(cudaMemset(device_output, 0, sizeof(float)));
  check(launch(add_floats_in_any_order, {16, 256}, nullptr, device_output));
  check(cudaDeviceSynchronize());
  check(cudaMemcpy(output.data(), device_output, sizeof(float), cudaMemcpyDeviceToHost));
  unsigned bits;
  memcpy(&bits, output.data(), sizeof bits);
  printf("bits %08x\n", bits);
}

void run_unsynchronised_read() {
  std::vector<float> back(16, -1);
  check(cudaMemcpyAsync(back.data(), device_input, 64, cudaMemcpyDeviceToHost));
  const bool right = back[3] == input[3];
  check(cudaDeviceSynchronize());
  if (right) return;
  printf("wrong 3: read before the stream was synchronised\n");
  exit(4);
}

void run_freed_host_buffer() {
  auto* host = new std::vector<float>(input);
  check(cudaMemcpyAsync(device_output, host->data(), 64, cudaMemcpyHostToDevice));
  delete host;
  check(cudaDeviceSynchronize());
  check(cudaMemcpy(output.data(), device_output, 64, cudaMemcpyDeviceToHost));
  if (output[3] == input[3]) return;
  printf("wrong 3: the host buffer was freed\n");
  exit(4);
}

struct Case {
  const char* name;
  std::function<void()> run;
};

template <class Run>
Case seeded(const char* name, Run run, Bug bug) {
  return {name, [=] { run(bug); }};
}

std::vector<Case> cases() {
  float*& out = device_output;
  return {
      seeded("no-barrier", run_rotate, kNoBarrier),
      seeded("no-second-barrier", run_sum_tiles, kNoSecondBarrier),
      seeded("no-warp-barrier", run_exchange, kNoWarpBarrier),
      seeded("shuffle-as-fence", run_exchange, kShuffleAsFence),
      {"barrier-in-branch", [&] { expect(128, one, barrier_in_branch, {1, 128}, out); }},
      {"return-before-barrier", [&] { expect(100, one, return_before_barrier, {1, 128}, out, 100u); }},
      {"two-barriers-paired", [&] { expect(128, one, two_barriers, {1, 128}, out); }},
      {"shuffle-in-branch", [&] { expect(64, one, shuffle_in_branch, {1, 64}, out); }},
      {"shuffle-in-part-of-a-warp", [&] { expect(48, one, shuffle_in_part_of_a_warp, {1, 48}, out); }},
      {"shuffle-from-outside", [&] { expect(1, one, shuffle_from_outside, {1, 32}, out); }},
      {"shared-one-too-many", [&] { expect(32, [](size_t) { return 2.0f; }, write_shared, {1, 32, 256}, out, 1u); }},
      {"shared-next-array", [&] { expect(32, [](size_t) { return 2.0f; }, write_shared, {1, 32, 256}, out, 64u); }},
      {"device-one-too-many",
       [&] {
         float* small = allocate<float>(100);
         expect(0, one, write_one_too_many, {2, 64}, device_input, small, 100u);
       }},
      {"vector-past-end",
       [&] {
         const float* small = allocate(101, input.data());
         expect(0, one, load_vector_past_end, {1, 32}, small, out, 101u);
       }},
      {"misaligned-vector",
       [&] { expect(3, [](size_t i) { return input[101 * i]; }, load_misaligned, {3, 1}, device_input, out, 101u); }},
      seeded("shared-unwritten", run_unwritten, kUnwritten),
      {"device-unwritten", [&] { expect(32, one, read_device_unwritten, {1, 32}, allocate<float>(32), out); }},
      seeded("no-copy-wait", run_copy_ahead, kNoWait),
      seeded("no-copy-barrier", run_copy_ahead, kNoBarrier),
      seeded("stage-refilled-early", run_two_stages, kNoSecondBarrier),
      seeded("cluster-early-read", run_cluster, kEarlyRead),
      seeded("cluster-early-exit", run_cluster, kEarlyExit),
      seeded("blocks-without-atomics", run_add_between_blocks, kNoAtomic),
      seeded("histogram-without-atomics", run_histogram, kNoAtomic),
      {"float-atomics", run_float_atomics},
      {"unsynchronised-read", run_unsynchronised_read},
      {"freed-host-buffer", run_freed_host_buffer},
      {"too-little-shared", [&] { expect(0, one, rotate, {1, 256, 512}, device_input, out, kNone); }},
      {"host-pointer", [&] { expect(0, one, rotate, {1, 256, 1024}, input.data(), out, kNone); }},
      {"endless-spin", [&] { expect(32, one, spin, {1, 32}, allocate_zeros<int>(1), out); }},
      {"too-many-threads", [&] { expect(0, one, rotate, {1, 2048, 1024}, device_input, out, kNone); }},
      seeded("no-fence", run_last_block, kNoFence),
      {"integer-overflow", [&] { expect(0, one, overflow_index, {1, 1}, device_input, out, 70000); }},
      seeded("no-barrier-control", run_rotate, kNone),
      seeded("no-second-barrier-control", run_sum_tiles, kNone),
      seeded("no-warp-barrier-control", run_exchange, kNone),
      seeded("shared-unwritten-control", run_unwritten, kNone),
      seeded("no-copy-wait-control", run_copy_ahead, kNone),
      seeded("stage-refilled-early-control", run_two_stages, kNone),
      seeded("cluster-early-read-control", run_cluster, kNone),
      seeded("blocks-without-atomics-control", run_add_between_blocks, kNone),
      seeded("histogram-without-atomics-control", run_histogram, kNone),
      seeded("no-fence-control", run_last_block, kNone),
  };
}

}  // namespace
}  // namespace kullback

int main(int count, char** arguments) {
  using namespace kullback;
  const std::string_view name = count == 2 ? arguments[1] : "list";
  const std::vector<Case> all = cases();
  if (name == "list") {
    for (const Case& listed : all) puts(listed.name);
    return 0;
  }
  const auto named = std::find_if(all.begin(), all.end(), [&](const Case& other) { return name == other.name; });
  if (named == all.end()) return 2;
  for (size_t i = 0; i < kFloats; ++i) input.push_back(float((i * 2654435761u >> 7) % 1000) / 8);
  device_input = allocate(input.size(), input.data());
  device_output = allocate(output.size(), output.data());
  named->run();
  puts("clean");
  return 0;
}
