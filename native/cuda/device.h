// The vocabulary that kernels and dispatchers share, and the only file that knows who compiles it:
// nvcc for the GPU, or the host compiler for the emulator in test/emulator.
#ifndef KULLBACK_CUDA_DEVICE_H
#define KULLBACK_CUDA_DEVICE_H

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define KULLBACK_GPU 1
#include <cooperative_groups.h>
#else
#define KULLBACK_GPU 0
#include "emulator.h"
#include <dlfcn.h>
#include <tuple>
#include <utility>
#endif

namespace kullback {

// Shared memory.
// One layout struct per kernel lists its arrays in its constructor; the kernel builds it on a SharedMemory, the
// dispatcher on a SharedSize. In the emulator every array stands between poisoned zones, filled with NaN.
__host__ __device__ constexpr size_t round_up(size_t value, size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

class SharedSize {
 public:
  template <class T>
  __host__ T* take(size_t count) {
    bytes_ = round_up(bytes_ + count * sizeof(T), 16);
    return nullptr;
  }
  __host__ size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

class SharedMemory {
 public:
  template <class T>
  __device__ T* take(unsigned count) {
    unsigned offset = next_;
    next_ = unsigned(round_up(next_ + count * sizeof(T), 16));
#if KULLBACK_GPU
    extern __shared__ __align__(128) unsigned char kullback_shared_memory[];
    return reinterpret_cast<T*>(kullback_shared_memory + offset);
#else
    return static_cast<T*>(emulator::shared_take(offset, count * sizeof(T)));
#endif
  }

 private:
  unsigned next_ = 0;
};

// Numbers.
struct Bfloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

__host__ __device__ inline float to_float(float x) { return x; }
__host__ __device__ inline float to_float(Bfloat16 x) {
  uint32_t word = uint32_t(x.bits) << 16;
#if defined(__CUDA_ARCH__)
  return __uint_as_float(word);
#else
  float value;
  memcpy(&value, &word, 4);
  return value;
#endif
}
__host__ __device__ inline float to_float(Float16 x) {
#if defined(__CUDA_ARCH__)
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(x.bits));
  return value;
#else
  uint32_t sign = uint32_t(x.bits & 0x8000) << 16, exponent = x.bits >> 10 & 31, fraction = x.bits & 1023, word;
  if (exponent == 31)
    word = sign | 0x7f800000 | fraction << 13;
  else if (exponent)
    word = sign | (exponent + 112) << 23 | fraction << 13;
  else {  // subnormal halves are exact multiples of 2^-24
    float value = float(fraction) * 5.9604644775390625e-8f;
    memcpy(&word, &value, 4);
    word |= sign;
  }
  float value;
  memcpy(&value, &word, 4);
  return value;
#endif
}
template <class T>
struct FromFloat;
template <>
struct FromFloat<float> {
  __host__ __device__ static float make(float x) { return x; }
};
template <>
struct FromFloat<Bfloat16> {
  __host__ __device__ static Bfloat16 make(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    Bfloat16 r;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
    return r;
#else
    uint32_t word;
    memcpy(&word, &x, 4);
    if ((word & 0x7fffffff) > 0x7f800000) return {0x7fff};
    return {uint16_t((word + 0x7fff + (word >> 16 & 1)) >> 16)};
#endif
  }
};
template <>
struct FromFloat<Float16> {
  __host__ __device__ static Float16 make(float x) {
#if defined(__CUDA_ARCH__)
    Float16 r;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
    return r;
#else
    uint32_t word;
    memcpy(&word, &x, 4);
    uint32_t sign = word >> 16 & 0x8000, magnitude = word & 0x7fffffff;
    if (magnitude > 0x7f800000) return {0x7fff};
    if (magnitude >= 0x477ff000) return {uint16_t(sign | 0x7c00)};
    if (magnitude < 0x38800000) {  // rounds to a multiple of 2^-24: let the adder do it
      float absolute;
      memcpy(&absolute, &magnitude, 4);
      float shifted = absolute + 0.5f;  // ulp of [0.5, 1) is 2^-24
      uint32_t s;
      memcpy(&s, &shifted, 4);
      return {uint16_t(sign | (s - 0x3f000000))};
    }
    return {uint16_t(sign | (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13)};
#endif
  }
};

// ex2.approx.ftz: two units in the last place at most. The emulator always errs by as much, so that no tolerance is
// met only because the host's exp2f is exact.
__device__ __forceinline__ float exp2_approx(float x) {
#if defined(__CUDA_ARCH__)
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
#elif KULLBACK_GPU
  return 0;
#else
  ++emulator::totals.exponentials;
  float r = exp2f(x < -126.0f ? -INFINITY : x);
  return r * (__float_as_uint(x) & 1 ? 1.0f + 0x1p-22f : 1.0f - 0x1p-22f);
#endif
}

// Each exponential that a kernel computes is counted by the emulator.
__device__ __forceinline__ void count_exponential() {
#if !KULLBACK_GPU
  ++emulator::totals.exponentials;
#endif
}

// Vectors of elements, loaded and stored whole.
template <class T, int Width>
struct alignas(sizeof(T) * Width) Pack {
  T element[Width];
};

// Asynchronous copies to shared memory (sm_80 and later; plain copies before).
template <int Bytes>
__device__ __forceinline__ void copy_async(void* shared, const void* global, unsigned valid_bytes = Bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  auto address = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address), "l"(global), "n"(Bytes), "r"(valid_bytes)
               : "memory");
#elif defined(__CUDA_ARCH__)
  for (unsigned i = 0; i < Bytes / 4; ++i)
    static_cast<uint32_t*>(shared)[i] = i * 4 < valid_bytes ? static_cast<const uint32_t*>(global)[i] : 0;
#elif !KULLBACK_GPU
  emulator::copy_async(shared, global, Bytes, valid_bytes);
#endif
}
__device__ __forceinline__ void commit_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#elif !KULLBACK_GPU
  emulator::commit_copies();
#endif
}
template <int Pending>
__device__ __forceinline__ void wait_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#elif !KULLBACK_GPU
  emulator::wait_copies(Pending);
#endif
}

// Thread-block clusters (sm_90).
struct Cluster {
#if KULLBACK_GPU
  __device__ static unsigned rank() {
#if __CUDA_ARCH__ >= 900
    return cooperative_groups::this_cluster().block_rank();
#else
    return 0;
#endif
  }
  __device__ static unsigned size() {
#if __CUDA_ARCH__ >= 900
    return cooperative_groups::this_cluster().num_blocks();
#else
    return 1;
#endif
  }
  __device__ static void sync() {
#if __CUDA_ARCH__ >= 900
    cooperative_groups::this_cluster().sync();
#endif
  }
  template <class T>
  __device__ static T* shared(T* mine, unsigned rank) {
#if __CUDA_ARCH__ >= 900
    return cooperative_groups::this_cluster().map_shared_rank(mine, rank);
#else
    return mine;
#endif
  }
#else
  static unsigned rank() { return emulator::cluster_rank(); }
  static unsigned size() { return emulator::cluster_size(); }
  static void sync(KULLBACK_HERE) {
    emulator::cluster_arrive(file, line);
    emulator::cluster_wait(file, line);
  }
  template <class T>
  static T* shared(T* mine, unsigned rank) {
    return static_cast<T*>(emulator::shared_of_rank(mine, rank));
  }
#endif
};

// Launches.
// Every device with clusters takes as many blocks in one; more must be asked for, up to the largest of today's.
constexpr unsigned kPortableCluster = 8, kLargestCluster = 16;

struct LaunchShape {
  dim3 grid, block;
  size_t shared_bytes = 0;
  unsigned cluster = 1;
};

#if KULLBACK_GPU
// A shape as the run time wants it. It points into itself, so it stays where it was made.
struct LaunchConfiguration {
  explicit LaunchConfiguration(const LaunchShape& shape, cudaStream_t stream = nullptr) {
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {shape.cluster, 1, 1};
    config.gridDim = shape.grid;
    config.blockDim = shape.block;
    config.dynamicSmemBytes = shape.shared_bytes;
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = shape.cluster > 1 ? 1 : 0;
  }
  LaunchConfiguration(const LaunchConfiguration&) = delete;
  LaunchConfiguration& operator=(const LaunchConfiguration&) = delete;
  cudaLaunchAttribute attribute{};
  cudaLaunchConfig_t config{};
};

// Lets the kernel have what the shape takes beyond what every kernel may.
template <class... Parameters>
cudaError_t opt_in(void (*kernel)(Parameters...), const LaunchShape& shape) {
  if (shape.shared_bytes > 48 * 1024) {
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shape.shared_bytes));
    if (error != cudaSuccess) return error;
  }
  if (shape.cluster <= kPortableCluster) return cudaSuccess;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
}

// Whether the device, or the part of it that this process has, can run a cluster of that shape.
template <class... Parameters>
bool fits(void (*kernel)(Parameters...), const LaunchShape& shape) {
  const LaunchConfiguration configuration(shape);
  int clusters = 0;
  if (opt_in(kernel, shape) == cudaSuccess &&
      cudaOccupancyMaxActiveClusters(&clusters, kernel, &configuration.config) == cudaSuccess) {
    return clusters > 0;
  }
  cudaGetLastError();  // a refusal is an answer
  return false;
}

template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), const LaunchShape& shape, cudaStream_t stream,
                   Arguments&&... arguments) {
  const cudaError_t error = opt_in(kernel, shape);
  if (error != cudaSuccess) return error;
  const LaunchConfiguration configuration(shape, stream);
  return cudaLaunchKernelEx(&configuration.config, kernel, static_cast<Parameters>(arguments)...);
}
#else
// Every CUDA thread gets its own copy of the parameters, as on the GPU. That copying is not the kernel's doing.
template <class... Parameters>
struct KernelCall {
  void (*kernel)(Parameters...);
  std::tuple<Parameters...> values;
  __attribute__((no_sanitize("thread"))) static void call(const void* self) {
    expand(*static_cast<const KernelCall*>(self), std::index_sequence_for<Parameters...>());
  }
  static void destroy(const void* self) { delete static_cast<const KernelCall*>(self); }
  template <size_t... I>
  __attribute__((no_sanitize("thread"), always_inline)) static void expand(const KernelCall& c,
                                                                           std::index_sequence<I...>) {
    c.kernel(std::get<I>(c.values)...);
  }
};
template <class... Parameters, class... Arguments>
emulator::Body kernel_body(void (*kernel)(Parameters...), Arguments&&... arguments) {
  using Call = KernelCall<Parameters...>;
  return {Call::call, Call::destroy,
          new Call{kernel, std::tuple<Parameters...>(static_cast<Parameters>(arguments)...)}};
}
template <class... Parameters>
emulator::Launch described(void (*kernel)(Parameters...), const LaunchShape& shape) {
  const auto* const function = reinterpret_cast<const void*>(kernel);
  if (shape.shared_bytes > 48 * 1024)
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shape.shared_bytes));
  if (shape.cluster > kPortableCluster) cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
  Dl_info info{};
  dladdr(function, &info);
  return {info.dli_sname ? info.dli_sname : "?",
          function,
          shape.grid,
          shape.block,
          dim3(shape.cluster),
          shape.shared_bytes};
}
template <class... Parameters>
bool fits(void (*kernel)(Parameters...), const LaunchShape& shape) {
  return emulator::fits(described(kernel, shape));
}
template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), const LaunchShape& shape, cudaStream_t stream,
                   Arguments&&... arguments) {
  return emulator::submit(described(kernel, shape), stream, kernel_body(kernel, arguments...));
}
#endif

}  // namespace kullback

#endif  // KULLBACK_CUDA_DEVICE_H
