// matrix_product: C = begin + A B for operands in any order, on all threads: what linear_softmax_divergence makes its
// logits and its gradients with.
//
// Blocks of A and of B are packed into panels, lines of a tile's height or width side by side, which every thread then
// reads; tiles of C are summed in registers (matrix_product.inl.h).
//
// Each element of C is summed in one order, whatever the blocks, the tiles and the threads. In parts, sums over
// kPartDepth of the depth are added up, whose roundings are few. In a chain, `begin` and what follows are added one by
// one: then a product is the same, bit by bit, as two over parts of its depth of which one begins with the other, and
// linear_softmax_divergence may cut its rows into chunks of any size.
#ifndef KULLBACK_CPU_MATRIX_PRODUCT_H
#define KULLBACK_CPU_MATRIX_PRODUCT_H

#include <cstdint>

#include "scratch.h"
#include "stop.h"

namespace kullback {

template <class T>
struct Kernels;

// A panel of B of so much depth is 16 KiB of float32: half of a first-level cache.
constexpr int64_t kPartDepth = 256;
enum class SumOrder { kInParts, kInAChain };

// Of an instruction set: what of C its registers hold.
struct ProductTile {
  int64_t rows, columns;
};

// One panel: to[k][line] = from[line * line_step + k * depth_step], zero from `lines` to `width`. One step is 1.
template <class T>
struct PackTask {
  const T* from;
  int64_t line_step, depth_step;
  int64_t lines, depth, width;
  T* to;
};

// One block of C, out of packed panels.
template <class T>
struct ProductTask {
  int64_t rows, columns, depth;
  const T* a;                // panels [depth][tile's rows]
  const T* b;                // panels [depth][tile's columns]
  int64_t a_panel, b_panel;  // elements from one panel to the next
  const T* begin;            // what the sums begin with; NULL: zeros
  int64_t begin_stride;      // 0: one row for all
  bool begun;                // C holds what the depth before this gave
  bool chained;
  T* c;
  int64_t c_stride;
};

template <class T>
class MatrixProduct {
 public:
  // A[row][k] is data[row * line_step + k * depth_step], B[k][column] data[column * line_step + k * depth_step].
  struct Operand {
    const T* data;
    int64_t line_step, depth_step;
  };
  // What the sums begin with: data[row * stride + column], or zeros where data is NULL.
  struct Begin {
    const T* data;
    int64_t stride;
  };

  MatrixProduct(const Kernels<T>& kernels, Stop& stop);

  // c[row * c_stride + column]; it may be `begin` itself. Throws std::bad_alloc. Ends early where a stop is asked for.
  void multiply(int64_t rows, int64_t columns, int64_t depth, Operand a, Operand b, Begin begin, SumOrder order, T* c,
                int64_t c_stride);

  // Adds such a product, or smaller ones, to those that bytes() is about.
  void expect(int64_t rows, int64_t columns, int64_t depth);
  // What the panels take that are kept from product to product.
  int64_t bytes() const { return expected_a_ + expected_b_; }

 private:
  // A block of A or of B in panels, and where it was taken from.
  struct Packed {
    Scratch memory;
    T* panels = nullptr;
    int64_t line = -1, depth = -1;
  };
  void pack(Packed& packed, const Operand& operand, int64_t width, int64_t line, int64_t lines, int64_t begin,
            int64_t depth);

  const Kernels<T>& kernels_;
  Stop& stop_;
  ProductTile tile_;
  Packed a_, b_;
  int64_t expected_a_ = 0, expected_b_ = 0;
};

extern template class MatrixProduct<float>;
extern template class MatrixProduct<double>;

}  // namespace kullback

#endif  // KULLBACK_CPU_MATRIX_PRODUCT_H
