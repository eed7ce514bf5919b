// What the emulator itself must do as the hardware does: collectives, clusters, conversions, limits. Prints the line
// of each check that fails and exits with 1.
#include <cstdio>
#include <vector>

#include "device.h"

using namespace kullback;

namespace {

int failures = 0;

void check(bool right, int line) {
  if (right) return;
  printf("semantics.cu:%d failed\n", line);
  ++failures;
}

}  // namespace

#define CHECK(condition) check(condition, __LINE__)

constexpr unsigned kCollectives = 10;

__global__ void collect(unsigned* out) {
  const unsigned lane = threadIdx.x;
  const unsigned full = 0xffffffffu;
  unsigned results[kCollectives];
  results[0] = __shfl_sync(full, lane, 5, 8);
  results[1] = __shfl_xor_sync(full, lane, 3);
  results[2] = __shfl_up_sync(full, lane, 2);
  results[3] = __shfl_down_sync(full, lane, 2);
  results[4] = __ballot_sync(full, lane < 3);
  results[5] = unsigned(__all_sync(full, lane < 31));
  results[6] = unsigned(__any_sync(full, lane > 30));
  results[7] = __reduce_add_sync(full, lane);
  results[8] = __match_any_sync(full, lane % 4);
  results[9] = unsigned(__syncthreads_count(lane < 7));
  for (unsigned i = 0; i < kCollectives; ++i) out[i * 32 + lane] = results[i];
}

// Only the lower half of each warp shuffles, which is legal: its mask names only itself.
__global__ void half_warps(float* out) {
  const unsigned thread = threadIdx.x;
  const unsigned lane = thread % 32;
  const unsigned lower = 0xffffu;
  float value = float(thread);
  if (lane < 16) {
    for (int lanes = 8; lanes > 0; lanes /= 2) value += __shfl_xor_sync(lower, value, lanes, 16);
    value += float(__ballot_sync(lower, lane < 3)) * 1000;
  }
  __syncthreads();
  out[thread] = value;
}

__global__ void cluster_sum(float* out) {
  SharedMemory memory;
  float* shared = memory.take<float>(1);
  if (threadIdx.x == 0) *shared = float(Cluster::rank() + 1);
  Cluster::sync();
  float sum = 0;
  for (unsigned rank = 0; rank < Cluster::size(); ++rank) sum += *Cluster::shared(shared, rank);
  if (threadIdx.x == blockDim.x - 1) out[blockIdx.x] = sum;
  Cluster::sync();
}

__global__ void exponential(float* out) { out[threadIdx.x] = exp2_approx(float(threadIdx.x) - 16); }

namespace {

template <class T>
T* allocate(size_t count) {
  T* memory = nullptr;
  CHECK(cudaMalloc(&memory, count * sizeof(T)) == cudaSuccess);
  return memory;
}

template <class T>
std::vector<T> fetch(const T* memory, size_t count) {
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  std::vector<T> result(count);
  CHECK(cudaMemcpy(result.data(), memory, count * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
  return result;
}

void check_collectives() {
  auto* out = allocate<unsigned>(kCollectives * 32);
  CHECK(launch(collect, {1, 32}, nullptr, out) == cudaSuccess);
  const auto all = fetch(out, kCollectives * 32);
  for (unsigned lane = 0; lane < 32; ++lane) {
    unsigned expected[kCollectives];
    expected[0] = lane / 8 * 8 + 5;
    expected[1] = lane ^ 3;
    expected[2] = lane < 2 ? lane : lane - 2;
    expected[3] = lane > 29 ? lane : lane + 2;
    expected[4] = 0b111;
    expected[5] = 0;
    expected[6] = 1;
    expected[7] = 31 * 32 / 2;
    expected[8] = 0x11111111u << lane % 4;
    expected[9] = 7;
    for (unsigned i = 0; i < kCollectives; ++i) CHECK(all[i * 32 + lane] == expected[i]);
  }
}

void check_half_warps() {
  auto* out = allocate<float>(64);
  CHECK(launch(half_warps, {1, 64}, nullptr, out) == cudaSuccess);
  const auto all = fetch(out, 64);
  CHECK(all[0] == 7120 && all[20] == 20 && all[40] == 7632);
}

void check_clusters() {
  auto* out = allocate<float>(32);
  for (const unsigned size : {1u, 2u, 8u, 16u}) {
    CHECK(launch(cluster_sum, {2 * size, 64, 16, size}, nullptr, out) == cudaSuccess);
    const auto sums = fetch(out, 2 * size);
    for (const float sum : sums) CHECK(sum == float(size * (size + 1)) / 2);
  }
}

void check_launch_limits() {
  auto* out = allocate<float>(64);
  CHECK(launch(cluster_sum, {3, 64, 16, 2}, nullptr, out) == cudaErrorInvalidConfiguration);
  CHECK(launch(cluster_sum, {1, 64, 300 << 10}, nullptr, out) == cudaErrorInvalidConfiguration);
  CHECK(launch(cluster_sum, {1, 64, 60 << 10}, nullptr, out) == cudaSuccess);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
}

void check_exponential() {
  auto* out = allocate<float>(32);
  const auto before = emulator::totals.exponentials;
  CHECK(launch(exponential, {1, 32}, nullptr, out) == cudaSuccess);
  const auto all = fetch(out, 32);
  CHECK(emulator::totals.exponentials == before + 32);
  for (int i = 0; i < 32; ++i) {
    const double error = std::fabs(double(all[size_t(i)]) / std::ldexp(1.0, i - 16) - 1);
    CHECK(error >= 0x1p-23 && error <= 0x1p-21);
  }
}

void check_conversions() {
  const struct {
    float value;
    uint16_t half, brain;
  } known[] = {{0, 0, 0},
               {-0.0f, 0x8000, 0x8000},
               {1, 0x3c00, 0x3f80},
               {-2, 0xc000, 0xc000},
               {65504, 0x7bff, 0x4780},
               {65520, 0x7c00, 0x4780},
               {INFINITY, 0x7c00, 0x7f80},
               {0x1p-24f, 0x0001, 0x3380},
               {0x1p-25f, 0x0000, 0x3300},
               {0x1.8p-25f, 0x0001, 0x3340},
               {1 + 0x1p-11f, 0x3c00, 0x3f80},
               {1 + 3 * 0x1p-11f, 0x3c02, 0x3f80},
               {1 + 0x1p-8f, 0x3c04, 0x3f80},
               {1 + 3 * 0x1p-8f, 0x3c0c, 0x3f82}};
  for (const auto& [value, half, brain] : known) {
    CHECK(FromFloat<Float16>::make(value).bits == half);
    CHECK(FromFloat<Bfloat16>::make(value).bits == brain);
  }
  CHECK(std::isnan(to_float(FromFloat<Float16>::make(NAN))) && std::isnan(to_float(FromFloat<Bfloat16>::make(NAN))));
  // All of them, to float and back.
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const Float16 half{uint16_t(bits)};
    const Bfloat16 brain{uint16_t(bits)};
    CHECK(std::isnan(to_float(half)) || FromFloat<Float16>::make(to_float(half)).bits == bits);
    CHECK(std::isnan(to_float(brain)) || FromFloat<Bfloat16>::make(to_float(brain)).bits == bits);
  }
}

}  // namespace

int main() {
  check_collectives();
  check_half_warps();
  check_clusters();
  check_launch_limits();
  check_exponential();
  check_conversions();
  return failures == 0 ? 0 : 1;
}
