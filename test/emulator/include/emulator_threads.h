// What a kernel may say to other threads: barriers, warp collectives, fences, atomics. Part of cuda_runtime.h.
#ifndef KULLBACK_EMULATOR_EMULATOR_THREADS_H
#define KULLBACK_EMULATOR_EMULATOR_THREADS_H

// Built-in variables: plain objects that the scheduler rewrites at every switch.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace kullback::emulator {
enum class Collective : unsigned char { barrier, shuffle, ballot, all, any, add, match };
void block_barrier(const char* file, int line);
int block_reduce(int predicate, int kind, const char* file, int line);
uint64_t warp_collective(Collective kind, unsigned mask, uint64_t value, unsigned source, const char* file, int line);
unsigned lane();
void sleep(const char* file, int line);
void fence();
void note_atomic(const void* address, size_t size, const void* pc);
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
}  // namespace kullback::emulator

#define KULLBACK_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()
inline void __syncthreads(KULLBACK_HERE) { kullback::emulator::block_barrier(file, line); }
inline int __syncthreads_count(int p, KULLBACK_HERE) { return kullback::emulator::block_reduce(p, 0, file, line); }
inline int __syncthreads_or(int p, KULLBACK_HERE) { return kullback::emulator::block_reduce(p, 1, file, line); }
inline int __syncthreads_and(int p, KULLBACK_HERE) { return kullback::emulator::block_reduce(p, 2, file, line); }
inline void __syncwarp(unsigned mask = 0xffffffffu, KULLBACK_HERE) {
  kullback::emulator::warp_collective(kullback::emulator::Collective::barrier, mask, 0, 0, file, line);
}
inline void __threadfence() { kullback::emulator::fence(); }
inline void __threadfence_block() { kullback::emulator::fence(); }
inline void __nanosleep(unsigned, KULLBACK_HERE) { kullback::emulator::sleep(file, line); }

namespace kullback::emulator {
template <class T>
inline T shuffle(unsigned mask, T value, unsigned source, const char* file, int line) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "shuffles move 1 to 8 bytes");
  uint64_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  bits = warp_collective(Collective::shuffle, mask, bits, source, file, line);
  __builtin_memcpy(&value, &bits, sizeof(T));
  return value;
}
}  // namespace kullback::emulator
// Out-of-segment sources return the caller's own value, as the hardware does.
template <class T>
inline T __shfl_sync(unsigned mask, T v, int source, int width = 32, KULLBACK_HERE) {
  unsigned base = kullback::emulator::lane() & ~unsigned(width - 1);
  return kullback::emulator::shuffle(mask, v, base + (unsigned(source) & unsigned(width - 1)), file, line);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T v, int lanes, int width = 32, KULLBACK_HERE) {
  unsigned me = kullback::emulator::lane(), source = me ^ unsigned(lanes);
  if ((source & ~unsigned(width - 1)) > (me & ~unsigned(width - 1))) source = me;
  return kullback::emulator::shuffle(mask, v, source, file, line);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T v, unsigned delta, int width = 32, KULLBACK_HERE) {
  unsigned me = kullback::emulator::lane(), source = me + delta;
  if ((me & unsigned(width - 1)) + delta >= unsigned(width)) source = me;
  return kullback::emulator::shuffle(mask, v, source, file, line);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T v, unsigned delta, int width = 32, KULLBACK_HERE) {
  unsigned me = kullback::emulator::lane(), source = me - delta;
  if ((me & unsigned(width - 1)) < delta) source = me;
  return kullback::emulator::shuffle(mask, v, source, file, line);
}
inline unsigned __ballot_sync(unsigned mask, int p, KULLBACK_HERE) {
  return unsigned(
      kullback::emulator::warp_collective(kullback::emulator::Collective::ballot, mask, p != 0, 0, file, line));
}
inline int __all_sync(unsigned mask, int p, KULLBACK_HERE) {
  return int(kullback::emulator::warp_collective(kullback::emulator::Collective::all, mask, p != 0, 0, file, line));
}
inline int __any_sync(unsigned mask, int p, KULLBACK_HERE) {
  return int(kullback::emulator::warp_collective(kullback::emulator::Collective::any, mask, p != 0, 0, file, line));
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned v, KULLBACK_HERE) {
  return unsigned(kullback::emulator::warp_collective(kullback::emulator::Collective::add, mask, v, 0, file, line));
}
inline unsigned __match_any_sync(unsigned mask, unsigned v, KULLBACK_HERE) {
  return unsigned(kullback::emulator::warp_collective(kullback::emulator::Collective::match, mask, v, 0, file, line));
}

// Atomics: fibers do not preempt each other; the access checker is told.
#define KULLBACK_ATOMIC __attribute__((no_sanitize("thread"), noinline))
template <class T, class U>
KULLBACK_ATOMIC T atomicAdd(T* p, U v) {
  kullback::emulator::note_atomic(p, sizeof(T), __builtin_return_address(0));
  T old = *p;
  *p = old + T(v);
  return old;
}
template <class T, class U>
KULLBACK_ATOMIC T atomicMax(T* p, U v) {
  kullback::emulator::note_atomic(p, sizeof(T), __builtin_return_address(0));
  T old = *p;
  if (T(v) > old) *p = T(v);
  return old;
}
template <class T, class U>
KULLBACK_ATOMIC T atomicMin(T* p, U v) {
  kullback::emulator::note_atomic(p, sizeof(T), __builtin_return_address(0));
  T old = *p;
  if (T(v) < old) *p = T(v);
  return old;
}
template <class T, class U>
KULLBACK_ATOMIC T atomicExch(T* p, U v) {
  kullback::emulator::note_atomic(p, sizeof(T), __builtin_return_address(0));
  T old = *p;
  *p = T(v);
  return old;
}
template <class T>
KULLBACK_ATOMIC T atomicCAS(T* p, T expected, T v) {
  kullback::emulator::note_atomic(p, sizeof(T), __builtin_return_address(0));
  T old = *p;
  if (old == expected) *p = v;
  return old;
}
KULLBACK_ATOMIC inline unsigned atomicInc(unsigned* p, unsigned limit) {
  kullback::emulator::note_atomic(p, 4, __builtin_return_address(0));
  unsigned old = *p;
  *p = old >= limit ? 0 : old + 1;
  return old;
}

#endif  // KULLBACK_EMULATOR_EMULATOR_THREADS_H
