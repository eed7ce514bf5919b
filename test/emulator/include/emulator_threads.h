// What a kernel may say to other threads: barriers, warp collectives, fences, atomics. Part of cuda_runtime.h.
#ifndef KULLBACK_EMULATOR_EMULATOR_THREADS_H
#define KULLBACK_EMULATOR_EMULATOR_THREADS_H

// Built-in variables: plain objects that the scheduler rewrites at every switch.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace kullback::emulator {

enum class Collective : unsigned char { barrier, shuffle, ballot, all, any, add, match };

void block_barrier(const char* file, int line);
int block_count(bool predicate, const char* file, int line);
uint64_t warp_collective(Collective kind, unsigned mask, uint64_t value, unsigned source, const char* file, int line);
unsigned lane();
void sleep(const char* file, int line);
void fence();
void note_atomic(const void* address, size_t size, const void* pc);
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

template <class T>
inline T shuffle(unsigned mask, T value, unsigned source, const char* file, int line) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "shuffles move 1 to 8 bytes");
  uint64_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  bits = warp_collective(Collective::shuffle, mask, bits, source, file, line);
  __builtin_memcpy(&value, &bits, sizeof(T));
  return value;
}

// Shuffles divide a warp into segments of `width` lanes, a power of two.
inline unsigned segment_begin(unsigned lane, int width) { return lane & ~unsigned(width - 1); }
inline unsigned lane_in_segment(unsigned lane, int width) { return lane & unsigned(width - 1); }

}  // namespace kullback::emulator

// Where a kernel calls from.
#define KULLBACK_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(KULLBACK_HERE) { kullback::emulator::block_barrier(file, line); }
inline int __syncthreads_count(int predicate, KULLBACK_HERE) {
  return kullback::emulator::block_count(predicate != 0, file, line);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, KULLBACK_HERE) {
  kullback::emulator::warp_collective(kullback::emulator::Collective::barrier, mask, 0, 0, file, line);
}
inline void __threadfence() { kullback::emulator::fence(); }
inline void __nanosleep(unsigned, KULLBACK_HERE) { kullback::emulator::sleep(file, line); }

// Sources outside of the segment return the caller's own value, as the hardware does. Of __shfl_xor_sync, only sources
// in segments above are outside.
template <class T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, KULLBACK_HERE) {
  const unsigned begin = kullback::emulator::segment_begin(kullback::emulator::lane(), width);
  const unsigned offset = kullback::emulator::lane_in_segment(unsigned(source), width);
  return kullback::emulator::shuffle(mask, value, begin + offset, file, line);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, KULLBACK_HERE) {
  const unsigned self = kullback::emulator::lane();
  const unsigned source = self ^ unsigned(lanes);
  const bool outside =
      kullback::emulator::segment_begin(source, width) > kullback::emulator::segment_begin(self, width);
  return kullback::emulator::shuffle(mask, value, outside ? self : source, file, line);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, KULLBACK_HERE) {
  const unsigned self = kullback::emulator::lane();
  const bool outside = kullback::emulator::lane_in_segment(self, width) + delta >= unsigned(width);
  return kullback::emulator::shuffle(mask, value, outside ? self : self + delta, file, line);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, KULLBACK_HERE) {
  const unsigned self = kullback::emulator::lane();
  const bool outside = kullback::emulator::lane_in_segment(self, width) < delta;
  return kullback::emulator::shuffle(mask, value, outside ? self : self - delta, file, line);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, KULLBACK_HERE) {
  using kullback::emulator::Collective;
  return unsigned(kullback::emulator::warp_collective(Collective::ballot, mask, predicate != 0, 0, file, line));
}
inline int __all_sync(unsigned mask, int predicate, KULLBACK_HERE) {
  using kullback::emulator::Collective;
  return int(kullback::emulator::warp_collective(Collective::all, mask, predicate != 0, 0, file, line));
}
inline int __any_sync(unsigned mask, int predicate, KULLBACK_HERE) {
  using kullback::emulator::Collective;
  return int(kullback::emulator::warp_collective(Collective::any, mask, predicate != 0, 0, file, line));
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned value, KULLBACK_HERE) {
  using kullback::emulator::Collective;
  return unsigned(kullback::emulator::warp_collective(Collective::add, mask, value, 0, file, line));
}
inline unsigned __match_any_sync(unsigned mask, unsigned value, KULLBACK_HERE) {
  using kullback::emulator::Collective;
  return unsigned(kullback::emulator::warp_collective(Collective::match, mask, value, 0, file, line));
}

// Fibers do not preempt each other, so plain accesses are atomic; the access checker is told that they were meant to
// be. Not inlined, so that the return address is the kernel's line.
template <class T, class U>
__attribute__((no_sanitize("thread"), noinline)) T atomicAdd(T* address, U value) {
  kullback::emulator::note_atomic(address, sizeof(T), __builtin_return_address(0));
  const T old = *address;
  *address = old + T(value);
  return old;
}

#endif  // KULLBACK_EMULATOR_EMULATOR_THREADS_H
