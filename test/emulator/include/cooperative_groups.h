// The cooperative groups that kernels use, over the emulator's barriers and collectives.
#ifndef KULLBACK_EMULATOR_COOPERATIVE_GROUPS_H
#define KULLBACK_EMULATOR_COOPERATIVE_GROUPS_H

#include <cuda_runtime.h>
namespace kullback::emulator {
unsigned cluster_rank();
unsigned cluster_size();
void cluster_arrive(const char*, int);
void cluster_wait(const char*, int);
void* shared_of_rank(const void*, unsigned);
}  // namespace kullback::emulator
namespace cooperative_groups {
struct thread_block {
  void sync(KULLBACK_HERE) const { kullback::emulator::block_barrier(file, line); }
  unsigned thread_rank() const { return (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x; }
  unsigned num_threads() const { return blockDim.x * blockDim.y * blockDim.z; }
  unsigned size() const { return num_threads(); }
};
inline thread_block this_thread_block() { return {}; }
template <unsigned Size>
struct thread_block_tile {
  static_assert(Size <= 32 && (Size & (Size - 1)) == 0, "tiles are powers of two up to a warp");
  static unsigned base() { return kullback::emulator::lane() & ~(Size - 1); }
  static unsigned mask() { return Size == 32 ? 0xffffffffu : ((1u << (Size % 32)) - 1) << base(); }
  unsigned thread_rank() const { return kullback::emulator::lane() % Size; }
  unsigned meta_group_rank() const { return this_thread_block().thread_rank() / Size; }
  static constexpr unsigned size() { return Size; }
  static constexpr unsigned num_threads() { return Size; }
  void sync(KULLBACK_HERE) const {
    kullback::emulator::warp_collective(kullback::emulator::Collective::barrier, mask(), 0, 0, file, line);
  }
  template <class T>
  T shfl(T v, int source, KULLBACK_HERE) const {
    return __shfl_sync(mask(), v, source, Size, file, line);
  }
  template <class T>
  T shfl_xor(T v, int lanes, KULLBACK_HERE) const {
    return __shfl_xor_sync(mask(), v, lanes, Size, file, line);
  }
  template <class T>
  T shfl_down(T v, unsigned d, KULLBACK_HERE) const {
    return __shfl_down_sync(mask(), v, d, Size, file, line);
  }
  unsigned ballot(int p, KULLBACK_HERE) const { return __ballot_sync(mask(), p, file, line) >> base(); }
  int any(int p, KULLBACK_HERE) const { return __any_sync(mask(), p, file, line); }
  int all(int p, KULLBACK_HERE) const { return __all_sync(mask(), p, file, line); }
};
template <unsigned Size>
inline thread_block_tile<Size> tiled_partition(const thread_block&) {
  return {};
}
struct cluster_group {
  unsigned block_rank() const { return kullback::emulator::cluster_rank(); }
  unsigned num_blocks() const { return kullback::emulator::cluster_size(); }
  void sync(KULLBACK_HERE) const {
    kullback::emulator::cluster_arrive(file, line);
    kullback::emulator::cluster_wait(file, line);
  }
  void barrier_arrive(KULLBACK_HERE) const { kullback::emulator::cluster_arrive(file, line); }
  void barrier_wait(KULLBACK_HERE) const { kullback::emulator::cluster_wait(file, line); }
  template <class T>
  T* map_shared_rank(T* p, unsigned rank) const {
    return static_cast<T*>(kullback::emulator::shared_of_rank(p, rank));
  }
};
inline cluster_group this_cluster() { return {}; }
}  // namespace cooperative_groups

#endif  // KULLBACK_EMULATOR_COOPERATIVE_GROUPS_H
