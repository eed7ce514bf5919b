// Kernels with seeded bugs: each takes the name of the one to make, and is correct without one.
#ifndef KULLBACK_EMULATOR_BUG_KERNELS_CUH
#define KULLBACK_EMULATOR_BUG_KERNELS_CUH

#include "device.h"

namespace kullback {

enum Bug {
  kNone,
  kNoBarrier,
  kNoSecondBarrier,
  kNoWarpBarrier,
  kShuffleAsFence,
  kUnwritten,
  kNoWait,
  kNoFence,
  kNoAtomic,
  kEarlyRead,
  kEarlyExit
};

__global__ void rotate(const float* in, float* out, Bug bug) {
  SharedMemory memory;
  float* shared = memory.take<float>(256);
  const unsigned thread = threadIdx.x;
  shared[thread] = in[thread];
  if (bug != kNoBarrier) __syncthreads();
  out[thread] = shared[(thread + 37) % 256];
}

// One array used again and again: it needs a barrier on both sides.
__global__ void sum_tiles(const float* in, float* out, int count, Bug bug) {
  SharedMemory memory;
  float* shared = memory.take<float>(64);
  const unsigned thread = threadIdx.x;
  float sum = 0;
  for (int first = 0; first < count; first += 64) {
    shared[thread] = in[first + thread];
    __syncthreads();
    for (unsigned k = 0; k < 64; ++k) sum += shared[(k + thread) % 64];
    if (bug != kNoSecondBarrier) __syncthreads();
  }
  out[thread] = sum;
}

__global__ void exchange_in_warp(const float* in, float* out, Bug bug) {
  SharedMemory memory;
  float* shared = memory.take<float>(64);
  const unsigned thread = threadIdx.x;
  shared[thread] = in[thread];
  float other = 0;
  if (bug == kShuffleAsFence) other = __shfl_xor_sync(0xffffffffu, in[thread], 1);
  if (bug == kNone) __syncwarp();
  out[thread] = shared[thread ^ 5] + 0 * other;
}

__global__ void barrier_in_branch(float* out) {
  if (threadIdx.x < 64) __syncthreads();
  out[threadIdx.x] = 1;
}

__global__ void return_before_barrier(float* out, unsigned count) {
  if (threadIdx.x >= count) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

__global__ void two_barriers(float* out) {
  if (threadIdx.x < 64) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}

__global__ void shuffle_in_branch(float* out) {
  float value = 1;
  if (threadIdx.x % 32 < 16) value = __shfl_down_sync(0xffffffffu, value, 1);
  out[threadIdx.x] = value;
}

__global__ void shuffle_in_part_of_a_warp(float* out) { out[threadIdx.x] = __shfl_down_sync(0xffffffffu, 1.0f, 1); }

__global__ void shuffle_from_outside(float* out) {
  const unsigned mask = threadIdx.x < 8 ? 0xffu : 0xffffff00u;
  out[threadIdx.x] = __shfl_sync(mask, float(threadIdx.x), 0);
}

__global__ void write_shared(float* out, unsigned offset) {
  SharedMemory memory;
  float* first = memory.take<float>(32);
  float* second = memory.take<float>(32);
  first[threadIdx.x + offset] = 1;
  second[threadIdx.x] = 2;
  __syncthreads();
  out[threadIdx.x] = second[threadIdx.x];
}

__global__ void write_one_too_many(const float* in, float* out, unsigned count) {
  const unsigned i = blockIdx.x * 64 + threadIdx.x;
  if (i <= count) out[i] = in[i < count ? i : 0];
}

__global__ void load_vector_past_end(const float* in, float* out, unsigned count) {
  const auto* const packs = reinterpret_cast<const Pack<float, 4>*>(in);
  for (unsigned i = threadIdx.x; i * 4 < count; i += 32) {
    const Pack<float, 4> pack = packs[i];
    float sum = 0;
    for (unsigned k = 0; k < 4 && i * 4 + k < count; ++k) sum += pack.element[k];
    out[i] = sum;
  }
}

__global__ void load_misaligned(const float* in, float* out, unsigned columns) {
  const Pack<float, 4> pack = *reinterpret_cast<const Pack<float, 4>*>(in + blockIdx.x * columns);
  out[blockIdx.x] = pack.element[0];
}

__global__ void read_shared_unwritten(float* out, Bug bug) {
  SharedMemory memory;
  float* shared = memory.take<float>(32);
  if (threadIdx.x < (bug == kUnwritten ? 3 : 32)) shared[threadIdx.x] = 1;
  __syncthreads();
  float maximum = -1e30f;
  // fmaxf drops the NaN.
  for (int i = 0; i < 4; ++i) maximum = fmaxf(maximum, shared[i]);
  if (threadIdx.x == 0) out[0] = maximum;
}

__global__ void read_device_unwritten(const float* workspace, float* out) {
  out[threadIdx.x] = fmaxf(1, workspace[threadIdx.x]);
}

__global__ void copy_ahead(const float* in, float* out, Bug bug) {
  SharedMemory memory;
  float* shared = memory.take<float>(512);
  const unsigned thread = threadIdx.x;
  copy_async<16>(shared + 4 * thread, in + 4 * thread);
  commit_copies();
  if (bug != kNoWait) wait_copies<0>();
  if (bug != kNoBarrier) __syncthreads();
  out[thread] = shared[(4 * thread + 100) % 512];
  if (bug == kNoWait) wait_copies<0>();
}

// Two stages, of which one is filled while the other is read.
__global__ void two_stages(const float* in, float* out, unsigned tiles, Bug bug) {
  SharedMemory memory;
  float* shared = memory.take<float>(256);
  const unsigned thread = threadIdx.x;
  const auto stage_of = [=](unsigned tile) { return shared + tile % 2 * 128; };
  float sum = 0;
  copy_async<4>(stage_of(0) + thread, in + thread);
  commit_copies();
  for (unsigned tile = 0; tile < tiles; ++tile) {
    const unsigned next = tile + 1;
    if (next < tiles) copy_async<4>(stage_of(next) + thread, in + next * 128 + thread);
    commit_copies();
    wait_copies<1>();
    __syncthreads();
    for (unsigned k = 0; k < 128; ++k) sum += stage_of(tile)[(k + thread) % 128];
    if (bug != kNoSecondBarrier) __syncthreads();
  }
  wait_copies<0>();
  out[thread] = sum;
}

__global__ void sum_over_cluster(float* out, Bug bug) {
  SharedMemory memory;
  float* shared = memory.take<float>(1);
  if (threadIdx.x == 0) *shared = float(Cluster::rank() + 1);
  if (bug == kEarlyRead) {
    __syncthreads();
  } else {
    Cluster::sync();
  }
  float sum = 0;
  for (unsigned rank = 0; rank < Cluster::size(); ++rank) sum += *Cluster::shared(shared, rank);
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
  if (bug != kEarlyExit) Cluster::sync();
}

__global__ void add_between_blocks(float* out, Bug bug) {
  if (bug == kNoAtomic) {
    out[threadIdx.x] += 1;
  } else {
    atomicAdd(&out[threadIdx.x], 1.0f);
  }
}

__global__ void histogram(const float* in, float* out, Bug bug) {
  SharedMemory memory;
  unsigned* shared = memory.take<unsigned>(16);
  if (threadIdx.x < 16) shared[threadIdx.x] = 0;
  __syncthreads();
  unsigned* bin = &shared[unsigned(in[threadIdx.x]) % 16];
  if (bug == kNoAtomic) {
    *bin += 1;
  } else {
    atomicAdd(bin, 1u);
  }
  __syncthreads();
  if (threadIdx.x < 16) out[threadIdx.x] = float(shared[threadIdx.x]);
}

__global__ void add_floats_in_any_order(float* out) {
  atomicAdd(out, 1.0f / float(blockIdx.x * blockDim.x + threadIdx.x + 1));
}

__global__ void spin(volatile int* flag, float* out) {
  while (!*flag) __nanosleep(10);
  out[threadIdx.x] = 1;
}

// The last block adds up what all wrote: fence, ticket, fence.
__global__ void last_block_sums(const float* in, float* partial, unsigned* counter, float* out, Bug bug) {
  if (threadIdx.x != 0) return;
  partial[blockIdx.x] = in[blockIdx.x];
  if (bug != kNoFence) __threadfence();
  if (atomicAdd(counter, 1u) != gridDim.x - 1) return;
  __threadfence();
  float sum = 0;
  for (unsigned block = 0; block < gridDim.x; ++block) sum += partial[block];
  *out = sum;
}

__global__ void overflow_index(const float* in, float* out, int rows) {
  const int index = rows * rows;
  out[0] = in[index == 0 ? 1 : 0];
}

}  // namespace kullback

#endif  // KULLBACK_EMULATOR_BUG_KERNELS_CUH
