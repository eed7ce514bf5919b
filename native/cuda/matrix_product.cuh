// matrix_product on the GPU: C = begin + A B for operands in any order, a tile of C a block.
//   formula  C[row][column] = begin[row][column] + sum over k of A[row][k] B[k][column]
//   shapes   A [rows, depth], B [depth, columns], C [rows, columns]; a block 64 x 64 of C, a thread 4 x 4 of it
//   traffic  each tile reads its lines of A and B once: (1 / 64 + 1 / 64) elements a multiplication
//   work     rows * columns * depth FMAs, two reads of shared memory for each two of them
//   stable   in parts: kPartDepth and depth / kPartDepth roundings, and not depth
//   order    begin, then k = 0, 1, 2, ..., in parts or in a chain, as on the CPU
//   edges    lines beyond the last are zeros, and not written; the depth is not filled up
//   bound    test/native/linear_softmax_divergence_cuda_driver.cc;  speed: not measured
#ifndef KULLBACK_CUDA_MATRIX_PRODUCT_CUH
#define KULLBACK_CUDA_MATRIX_PRODUCT_CUH

#include "formulas.h"

namespace kullback {

// A[row][k] is data[row * line_step + k * depth_step], B[k][column] data[column * line_step + k * depth_step]; one step
// is 1.
template <class T>
struct ProductOperand {
  const T* data;
  int64_t line_step, depth_step;
};

template <class T>
struct MatrixProductArguments {
  int64_t rows, columns, depth;
  ProductOperand<T> a, b;
  const T* begin;        // what the sums begin with, which may be C; NULL: zeros
  int64_t begin_stride;  // 0: one row for all
  bool chained;          // one chain of additions; else sums of parts are added up
  T* c;
  int64_t c_stride;
};

constexpr unsigned kProductTile = 64, kProductDepth = 16, kProductThreads = 256;
constexpr unsigned kThreadsAcross = 16, kPerThread = kProductTile / kThreadsAcross;
constexpr int64_t kPartDepth = 256;
static_assert(kThreadsAcross * kThreadsAcross == kProductThreads && kPartDepth % kProductDepth == 0,
              "threads cover a tile, and depths a part");

template <class T>
struct MatrixProductShared {
  // One element more than a line has keeps threads that store along the depth on banks of their own.
  static constexpr unsigned kStride = kProductTile + 1;
  T* a;  // [kProductDepth, kStride]
  T* b;  // [kProductDepth, kStride]

#pragma nv_exec_check_disable
  template <class Arena>
  __host__ __device__ explicit MatrixProductShared(Arena& arena)
      : a(arena.template take<T>(kProductDepth * kStride)), b(arena.template take<T>(kProductDepth * kStride)) {}
};

// A part of an operand into shared memory, neighbouring threads at neighbouring addresses.
template <class T>
__device__ __forceinline__ void load_part(const ProductOperand<T>& from, int64_t first, int64_t lines, int64_t k,
                                          int64_t depth, T* to) {
  for (unsigned i = threadIdx.x; i < kProductTile * kProductDepth; i += kProductThreads) {
    const bool along_depth = from.depth_step == 1;
    const unsigned line = along_depth ? i / kProductDepth : i % kProductTile;
    const unsigned deep = along_depth ? i % kProductDepth : i / kProductTile;
    const bool inside = first + line < lines && k + deep < depth;
    to[deep * MatrixProductShared<T>::kStride + line] =
        inside ? from.data[(first + line) * from.line_step + (k + deep) * from.depth_step] : T(0);
  }
}

// This thread's elements of a tile of C: rows and columns 16 apart, so that neighbours store side by side.
template <class T>
class ProductTile {
 public:
  __device__ ProductTile(const MatrixProductArguments<T>& arguments, int64_t first_row, int64_t first_column)
      : arguments_(arguments),
        row_(first_row + threadIdx.x / kThreadsAcross),
        column_(first_column + threadIdx.x % kThreadsAcross) {
    for_each([&](unsigned i, unsigned j, int64_t row, int64_t column) {
      const bool begun = arguments.begin != nullptr && row < arguments.rows && column < arguments.columns;
      sums_[i][j] = begun ? arguments.begin[row * arguments.begin_stride + column] : T(0);
      totals_[i][j] = 0;
    });
  }

  __device__ void add(const MatrixProductShared<T>& shared, unsigned depth) {
    for (unsigned k = 0; k < depth; ++k) {
      const T* const a = shared.a + k * MatrixProductShared<T>::kStride + threadIdx.x / kThreadsAcross;
      const T* const b = shared.b + k * MatrixProductShared<T>::kStride + threadIdx.x % kThreadsAcross;
      T row[kPerThread], column[kPerThread];
      for (unsigned i = 0; i < kPerThread; ++i) row[i] = a[i * kThreadsAcross];
      for (unsigned j = 0; j < kPerThread; ++j) column[j] = b[j * kThreadsAcross];
      for (unsigned i = 0; i < kPerThread; ++i) {
        for (unsigned j = 0; j < kPerThread; ++j) sums_[i][j] = device::fma(row[i], column[j], sums_[i][j]);
      }
    }
  }

  __device__ void end_part() {
    for (unsigned i = 0; i < kPerThread; ++i) {
      for (unsigned j = 0; j < kPerThread; ++j) {
        totals_[i][j] += sums_[i][j];
        sums_[i][j] = 0;
      }
    }
  }

  __device__ void store() const {
    for_each([&](unsigned i, unsigned j, int64_t row, int64_t column) {
      if (row >= arguments_.rows || column >= arguments_.columns) return;
      arguments_.c[row * arguments_.c_stride + column] = arguments_.chained ? sums_[i][j] : totals_[i][j] + sums_[i][j];
    });
  }

 private:
  template <class Body>
  __device__ __forceinline__ void for_each(const Body& body) const {
    for (unsigned i = 0; i < kPerThread; ++i) {
      for (unsigned j = 0; j < kPerThread; ++j) body(i, j, row_ + i * kThreadsAcross, column_ + j * kThreadsAcross);
    }
  }

  const MatrixProductArguments<T>& arguments_;
  const int64_t row_, column_;
  T sums_[kPerThread][kPerThread], totals_[kPerThread][kPerThread];
};

template <class T, unsigned kThreads>
__global__ void __launch_bounds__(kThreads)
    matrix_product(const __grid_constant__ MatrixProductArguments<T> arguments) {
  SharedMemory arena;
  MatrixProductShared<T> shared(arena);
  const int64_t across = (arguments.columns + kProductTile - 1) / kProductTile;
  const int64_t tiles = across * ((arguments.rows + kProductTile - 1) / kProductTile);
  for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
    const int64_t first_row = index / across * kProductTile, first_column = index % across * kProductTile;
    ProductTile<T> tile(arguments, first_row, first_column);
    for (int64_t k = 0; k < arguments.depth; k += kProductDepth) {
      load_part(arguments.a, first_row, arguments.rows, k, arguments.depth, shared.a);
      load_part(arguments.b, first_column, arguments.columns, k, arguments.depth, shared.b);
      __syncthreads();
      const int64_t left = arguments.depth - k;
      tile.add(shared, left < kProductDepth ? unsigned(left) : kProductDepth);
      if (!arguments.chained && (k + kProductDepth) % kPartDepth == 0) tile.end_part();
      __syncthreads();
    }
    tile.store();
  }
}

}  // namespace kullback

#endif  // KULLBACK_CUDA_MATRIX_PRODUCT_CUH
