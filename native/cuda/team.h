// Team: the threads that work on one row together, and what they tell each other. Sums are added in an order that does
// not depend on timing: lanes by a tree, then warps, then blocks of the cluster, one after the other.
#ifndef KULLBACK_CUDA_TEAM_H
#define KULLBACK_CUDA_TEAM_H

#include "device.h"

namespace kullback {

constexpr unsigned kFullWarp = 0xffffffffu;
constexpr unsigned kWarpSize = 32;

struct Sum {
  __device__ static double of(double a, double b) { return a + b; }
};
struct Largest {
  __device__ static double of(double a, double b) { return a > b ? a : b; }
};

template <class Operation>
__device__ __forceinline__ double reduce_warp(double value) {
  for (unsigned lanes = kWarpSize / 2; lanes > 0; lanes /= 2) {
    value = Operation::of(value, __shfl_xor_sync(kFullWarp, value, lanes));
  }
  return value;
}

// One warp a row; kThreads / 32 rows a block.
template <unsigned kThreads_>
class WarpTeam {
 public:
  static constexpr unsigned kThreads = kThreads_;
  static constexpr unsigned kTeamsPerBlock = kThreads / kWarpSize;

  template <class Arena>
  __host__ __device__ explicit WarpTeam(Arena&) {}

  __device__ int64_t first_row() const {
    return static_cast<int64_t>(blockIdx.x) * kTeamsPerBlock + threadIdx.x / kWarpSize;
  }
  __device__ int64_t rows_at_once() const { return static_cast<int64_t>(gridDim.x) * kTeamsPerBlock; }
  __device__ unsigned rank() const { return threadIdx.x % kWarpSize; }
  __device__ unsigned size() const { return kWarpSize; }
  __device__ bool leads() const { return rank() == 0; }
  __device__ unsigned part() const { return 0; }
  __device__ unsigned parts() const { return 1; }

  template <class Operation, unsigned kCount>
  __device__ void reduce(double (&values)[kCount]) {
    for (unsigned i = 0; i < kCount; ++i) values[i] = reduce_warp<Operation>(values[i]);
    // Shuffles order no memory, and a gradient may be written over what another lane has read until now.
    __syncwarp();
  }

  // What `make` returns. A block computes it in one thread; in a warp, that would save nothing. Nobody goes on to write
  // what another still reads.
  template <class T, class Make>
  __device__ T from_leader(T*, const Make& make) {
    const T made = make();
    __syncwarp();
    return made;
  }
};

// One block, or one cluster of blocks, a row.
template <unsigned kThreads_>
class BlockTeam {
 public:
  static constexpr unsigned kThreads = kThreads_;
  static constexpr unsigned kTeamsPerBlock = 1;
  static constexpr unsigned kWarps = kThreads / kWarpSize;
  static constexpr unsigned kMostValues = 8;

#pragma nv_exec_check_disable
  template <class Arena>
  __host__ __device__ explicit BlockTeam(Arena& arena)
      : partials_(arena.template take<double>(kWarps * kMostValues)),
        results_(arena.template take<double>(kMostValues)) {}

  __device__ int64_t first_row() const { return blockIdx.x / parts(); }
  __device__ int64_t rows_at_once() const { return gridDim.x / parts(); }
  // Within the part of the row that this block has.
  __device__ unsigned rank() const { return threadIdx.x; }
  __device__ unsigned size() const { return kThreads; }
  __device__ bool leads() const { return threadIdx.x == 0 && part() == 0; }
  __device__ unsigned part() const { return Cluster::rank(); }
  __device__ unsigned parts() const { return Cluster::size(); }

  template <class Operation, unsigned kCount>
  __device__ void reduce(double (&values)[kCount]) {
    static_assert(kCount <= kMostValues, "the shared array of partial results is that large");
    const unsigned lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
    for (unsigned i = 0; i < kCount; ++i) {
      const double value = reduce_warp<Operation>(values[i]);
      if (lane == 0) partials_[warp * kMostValues + i] = value;
    }
    sync();
    if (threadIdx.x < kCount) {
      double total = 0;
      for (unsigned rank = 0; rank < parts(); ++rank) {
        const double* const partials = Cluster::shared(partials_, rank);
        for (unsigned i = 0; i < kWarps; ++i) {
          const double value = partials[i * kMostValues + threadIdx.x];
          total = rank == 0 && i == 0 ? value : Operation::of(total, value);
        }
      }
      results_[threadIdx.x] = total;
    }
    // No block may write its partial results anew, or end, while another reads them.
    sync();
    for (unsigned i = 0; i < kCount; ++i) values[i] = results_[i];
  }

  // What `make` returns in one thread of each block. `shared` must not be written again before the team's next reduce.
  template <class T, class Make>
  __device__ T from_leader(T* shared, const Make& make) {
    if (threadIdx.x == 0) *shared = make();
    __syncthreads();
    return *shared;
  }

 private:
  __device__ void sync() {
    if (parts() > 1) {
      Cluster::sync();
    } else {
      __syncthreads();
    }
  }

  double* partials_;  // [kWarps, kMostValues]
  double* results_;   // [kMostValues]
};

}  // namespace kullback

#endif  // KULLBACK_CUDA_TEAM_H
