// stored: rows as the caller has them, which need not be logits of the type that is computed in, nor gradients of it.
#ifndef KULLBACK_CUDA_STORED_CUH
#define KULLBACK_CUDA_STORED_CUH

#include "../math/dtype.h"
#include "formulas.h"

namespace kullback {

// How the numbers of float32 kernels lie in memory.
enum class Storage : int32_t { kSame, kFloat16, kBfloat16 };

inline Storage storage_of(kullback_dtype dtype) {
  return dtype == KULLBACK_FLOAT16    ? Storage::kFloat16
         : dtype == KULLBACK_BFLOAT16 ? Storage::kBfloat16
                                      : Storage::kSame;
}

__device__ __forceinline__ float float_of(Storage storage, uint16_t half) {
  return storage == Storage::kFloat16 ? device::float_of_float16(half) : device::float_of_bfloat16(half);
}
__device__ __forceinline__ uint16_t half_of(Storage storage, float x) {
  return storage == Storage::kFloat16 ? device::float16_of(x) : device::bfloat16_of(x);
}

// A vector of kWidth elements at `offset`, of which the first `count` are there, the others are `fill`. `whole`: all
// are, and lie at a multiple of the vector's size.
template <class S, unsigned kWidth>
__device__ __forceinline__ void load_elements(const void* memory, int64_t offset, bool whole, int64_t count, S fill,
                                              S (&to)[kWidth]) {
  const S* const from = static_cast<const S*>(memory) + offset;
  if (whole) {
    const auto pack = *reinterpret_cast<const Pack<S, kWidth>*>(from);
    for (unsigned k = 0; k < kWidth; ++k) to[k] = pack.element[k];
  } else {
    for (unsigned k = 0; k < kWidth; ++k) to[k] = k < count ? from[k] : fill;
  }
}

template <class S, unsigned kWidth>
__device__ __forceinline__ void store_elements(void* memory, int64_t offset, bool whole, int64_t count,
                                               const S (&from)[kWidth]) {
  S* const to = static_cast<S*>(memory) + offset;
  if (whole) {
    Pack<S, kWidth> pack;
    for (unsigned k = 0; k < kWidth; ++k) pack.element[k] = from[k];
    *reinterpret_cast<Pack<S, kWidth>*>(to) = pack;
  } else {
    for (unsigned k = 0; k < kWidth; ++k) {
      if (k < count) to[k] = from[k];
    }
  }
}

// The same of numbers in T, however they lie in memory; -inf where there are none.
template <class T, unsigned kWidth>
__device__ __forceinline__ void load_numbers(Storage storage, const void* memory, int64_t offset, bool whole,
                                             int64_t count, T (&to)[kWidth]) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (storage != Storage::kSame) {
      uint16_t halves[kWidth];
      load_elements(memory, offset, whole, count, half_of(storage, -INFINITY), halves);
      for (unsigned k = 0; k < kWidth; ++k) to[k] = float_of(storage, halves[k]);
      return;
    }
  }
  load_elements(memory, offset, whole, count, T(-INFINITY), to);
}

template <class T, unsigned kWidth>
__device__ __forceinline__ void store_numbers(Storage storage, void* memory, int64_t offset, bool whole, int64_t count,
                                              const T (&from)[kWidth]) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (storage != Storage::kSame) {
      uint16_t halves[kWidth];
      for (unsigned k = 0; k < kWidth; ++k) halves[k] = half_of(storage, from[k]);
      store_elements(memory, offset, whole, count, halves);
      return;
    }
  }
  store_elements(memory, offset, whole, count, from);
}

}  // namespace kullback

#endif  // KULLBACK_CUDA_STORED_CUH
