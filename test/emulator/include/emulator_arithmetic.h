// Arithmetic of the device. Part of cuda_runtime.h.
#ifndef KULLBACK_EMULATOR_EMULATOR_ARITHMETIC_H
#define KULLBACK_EMULATOR_EMULATOR_ARITHMETIC_H

#include <bit>

inline int __float_as_int(float value) { return std::bit_cast<int>(value); }
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline float __int_as_float(int bits) { return std::bit_cast<float>(bits); }
inline long long __double_as_longlong(double value) { return std::bit_cast<long long>(value); }
inline double __longlong_as_double(long long bits) { return std::bit_cast<double>(bits); }

#endif  // KULLBACK_EMULATOR_EMULATOR_ARITHMETIC_H
