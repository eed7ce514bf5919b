#include "matrix_product.h"

#include <algorithm>

#include "dispatch.h"
#include "thread_pool.h"

namespace kullback {
namespace {

// What is packed at a time: each packed element of one operand serves as many lines of the other, beside which packing
// costs little. Two such blocks of float32 are 8 MiB.
constexpr int64_t kBlockLines = 1024, kBlockDepth = 1024;
// What one thread multiplies at a time: a part of A that stays in its second-level cache, for some panels of B.
constexpr int64_t kTaskRows = 96, kTaskColumns = 128;
// How many panels one thread packs at a time.
constexpr int64_t kTaskPanels = 8;
// Below this many multiplications the work is done before a second thread could wake up.
constexpr int64_t kParallelProducts = 1 << 18;

int64_t round_up(int64_t count, int64_t multiple) { return ceil_divide(count, multiple) * multiple; }

template <class Body>
void for_each(bool alone, int64_t count, const Body& body) {
  if (!alone) return ThreadPool::instance().parallel_for(count, body);
  for (int64_t i = 0; i < count; ++i) body(i);
}

}  // namespace

template <class T>
MatrixProduct<T>::MatrixProduct(const Kernels<T>& kernels, Stop& stop) : kernels_(kernels), stop_(stop) {
  kernels_.product_tile(tile_);
}

template <class T>
void MatrixProduct<T>::expect(int64_t rows, int64_t columns, int64_t depth) {
  const int64_t of_line = std::min(depth, kBlockDepth) * static_cast<int64_t>(sizeof(T));
  expected_a_ = std::max(expected_a_, round_up(std::min(rows, kBlockLines), tile_.rows) * of_line);
  expected_b_ = std::max(expected_b_, round_up(std::min(columns, kBlockLines), tile_.columns) * of_line);
}

template <class T>
void MatrixProduct<T>::pack(Packed& packed, const Operand& operand, int64_t width, int64_t line, int64_t lines,
                            int64_t begin, int64_t depth) {
  if (packed.line == line && packed.depth == begin) return;
  packed.line = line;
  packed.depth = begin;
  packed.panels = packed.memory.template reserve<T>(round_up(lines, width) * depth);
  const int64_t panels = ceil_divide(lines, width);
  for_each(lines * depth < kParallelProducts, ceil_divide(panels, kTaskPanels), [&](int64_t index) {
    if (stop_.asked()) return;
    const int64_t end = std::min(panels, (index + 1) * kTaskPanels);
    for (int64_t panel = index * kTaskPanels; panel < end; ++panel) {
      PackTask<T> task;
      task.from = operand.data + (line + panel * width) * operand.line_step + begin * operand.depth_step;
      task.line_step = operand.line_step;
      task.depth_step = operand.depth_step;
      task.lines = std::min(width, lines - panel * width);
      task.depth = depth;
      task.width = width;
      task.to = packed.panels + panel * width * depth;
      kernels_.pack(task);
    }
  });
}

template <class T>
void MatrixProduct<T>::multiply(int64_t rows, int64_t columns, int64_t depth, Operand a, Operand b, Begin begin,
                                SumOrder order, T* c, int64_t c_stride) {
  // What an earlier product has packed is not this one's.
  a_.line = b_.line = -1;
  const int64_t task_rows = round_up(kTaskRows, tile_.rows), task_columns = round_up(kTaskColumns, tile_.columns);
  // Along the depth innermost, so that a block of C stays in the cache; the operand with a single block is packed once.
  for (int64_t row = 0; row < rows; row += kBlockLines) {
    const int64_t block_rows = std::min(kBlockLines, rows - row);
    for (int64_t column = 0; column < columns; column += kBlockLines) {
      const int64_t block_columns = std::min(kBlockLines, columns - column);
      for (int64_t k = 0; k < depth && !stop_.asked(); k += kBlockDepth) {
        const int64_t block_depth = std::min(kBlockDepth, depth - k);
        pack(a_, a, tile_.rows, row, block_rows, k, block_depth);
        pack(b_, b, tile_.columns, column, block_columns, k, block_depth);
        const int64_t down = ceil_divide(block_rows, task_rows), across = ceil_divide(block_columns, task_columns);
        const bool alone = block_rows * block_columns * block_depth < kParallelProducts;
        for_each(alone, down * across, [&](int64_t index) {
          if (stop_.asked()) return;
          const int64_t first_row = index % down * task_rows, first_column = index / down * task_columns;
          ProductTask<T> task;
          task.rows = std::min(task_rows, block_rows - first_row);
          task.columns = std::min(task_columns, block_columns - first_column);
          task.depth = block_depth;
          task.a = a_.panels + first_row * block_depth;
          task.b = b_.panels + first_column * block_depth;
          task.a_panel = tile_.rows * block_depth;
          task.b_panel = tile_.columns * block_depth;
          task.c = c + (row + first_row) * c_stride + column + first_column;
          task.c_stride = c_stride;
          task.begin =
              begin.data == nullptr ? nullptr : begin.data + (row + first_row) * begin.stride + column + first_column;
          task.begin_stride = begin.stride;
          task.chained = order == SumOrder::kInAChain;
          task.begun = k > 0;
          kernels_.multiply(task);
        });
      }
    }
  }
}

template class MatrixProduct<float>;
template class MatrixProduct<double>;

}  // namespace kullback
