// Stands in for the toolkit's header of the same name when kernels are compiled for the host emulator.
// Only what the kernels and dispatchers use; anything else fails to compile, which is the point.
#ifndef KULLBACK_EMULATOR_CUDA_RUNTIME_H
#define KULLBACK_EMULATOR_CUDA_RUNTIME_H

#include <climits>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__
// Plain static shared arrays would be invisible to the checks: shared memory comes from SharedMemory (device.h).
#define __shared__ static_assert(false, "take shared memory from SharedMemory, not from __shared__");

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct float3 {
  float x, y, z;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

#include "emulator_threads.h"
#include "emulator_arithmetic.h"
#include "emulator_runtime.h"

#endif  // KULLBACK_EMULATOR_CUDA_RUNTIME_H
