// matrix_product: blocks of C out of packed panels of A and B, tile by tile.
//   formula  C = begin + A B; packing: panel[k][line], zeros beyond the last line
//   shapes   A [rows, depth], B [depth, columns], C [rows, columns], one block of each
//   traffic  a panel of B stays in the first-level cache while all of A's pass by it; C once a block of depth
//   work     rows * columns * depth FMAs, of which a tile does kTileRows * kTileVectors for so many loads
//   stable   in parts: kPartDepth and depth / kPartDepth roundings, and not depth
//   order    begin, then k = 0, 1, 2, ..., in parts or in a chain: no block, tile or thread is seen in it
//   edges    what fills up the last tile is computed in memory of its own
//   bound    test/parity/matrix-product.test.ts;  speed: bench/linear-softmax-divergence

// `Begun`: the sum is added to what C holds.
template <class V, bool Begun>
static KULLBACK_INLINE void tile(const Element<V>* a, const Element<V>* b, int64_t depth, const Element<V>* begin,
                                 int64_t begin_stride, Element<V>* c, int64_t c_stride) {
  V sums[kTileRows][kTileVectors];
  for (int i = 0; i < kTileRows; ++i) {
    for (int j = 0; j < kTileVectors; ++j) {
      sums[i][j] = begin == nullptr ? constant<V>(0) : V::load(begin + i * begin_stride + j * V::lanes);
    }
  }
  for (int64_t k = 0; k < depth; ++k) {
    V columns[kTileVectors];
    for (int j = 0; j < kTileVectors; ++j) columns[j] = V::load(b + j * V::lanes);
    for (int i = 0; i < kTileRows; ++i) {
      const V row = V::all(a[i]);
      for (int j = 0; j < kTileVectors; ++j) sums[i][j] = fma(row, columns[j], sums[i][j]);
    }
    a += kTileRows;
    b += kTileVectors * V::lanes;
  }
  for (int i = 0; i < kTileRows; ++i) {
    for (int j = 0; j < kTileVectors; ++j) {
      Element<V>* const to = c + i * c_stride + j * V::lanes;
      if constexpr (Begun) sums[i][j] = V::load(to) + sums[i][j];
      sums[i][j].store(to);
    }
  }
}

// A tile of which only `rows` and `columns` are C's.
template <class V, bool Begun>
static void partial_tile(const Element<V>* a, const Element<V>* b, int64_t depth, const Element<V>* begin,
                         int64_t begin_stride, Element<V>* c, int64_t c_stride, int64_t rows, int64_t columns) {
  constexpr int64_t stride = kTileVectors * V::lanes;
  alignas(64) Element<V> first[kTileRows * stride] = {}, own[kTileRows * stride] = {};
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      if (begin != nullptr) first[i * stride + j] = begin[i * begin_stride + j];
      if constexpr (Begun) own[i * stride + j] = c[i * c_stride + j];
    }
  }
  tile<V, Begun>(a, b, depth, first, stride, own, stride);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) c[i * c_stride + j] = own[i * stride + j];
  }
}

// The tiles of a block, over one part of the depth from k on.
template <class V, bool Begun>
static void multiply_part(const ProductTask<Element<V>>& task, int64_t k, int64_t depth, const Element<V>* begin,
                          int64_t begin_stride) {
  constexpr int64_t tile_columns = kTileVectors * V::lanes;
  for (int64_t j = 0; j < task.columns; j += tile_columns) {
    const Element<V>* const b = task.b + j / tile_columns * task.b_panel + k * tile_columns;
    for (int64_t i = 0; i < task.rows; i += kTileRows) {
      const Element<V>* const a = task.a + i / kTileRows * task.a_panel + k * kTileRows;
      const Element<V>* const from = begin == nullptr ? nullptr : begin + i * begin_stride + j;
      Element<V>* const c = task.c + i * task.c_stride + j;
      const int64_t rows = task.rows - i, columns = task.columns - j;
      if (rows >= kTileRows && columns >= tile_columns) {
        tile<V, Begun>(a, b, depth, from, begin_stride, c, task.c_stride);
      } else {
        partial_tile<V, Begun>(a, b, depth, from, begin_stride, c, task.c_stride, rows < kTileRows ? rows : kTileRows,
                               columns < tile_columns ? columns : tile_columns);
      }
    }
  }
}

template <class V>
static void multiply(const ProductTask<Element<V>>& task) {
  for (int64_t k = 0; k < task.depth; k += kPartDepth) {
    const int64_t depth = task.depth - k < kPartDepth ? task.depth - k : kPartDepth;
    if (k == 0 && !task.begun) {
      multiply_part<V, false>(task, k, depth, task.begin, task.begin_stride);
    } else if (task.chained) {
      multiply_part<V, false>(task, k, depth, task.c, task.c_stride);
    } else {
      multiply_part<V, true>(task, k, depth, nullptr, 0);
    }
  }
}

template <class V>
static void product_tile(ProductTile& tile) {
  tile = {kTileRows, kTileVectors * V::lanes};
}

// 16 bytes of as many lines as they have elements, transposed in registers.
template <class T>
struct Square;
template <>
struct Square<float> {
  static constexpr int size = 4;
  typedef float Part __attribute__((vector_size(16)));
  static KULLBACK_INLINE void transpose(Part (&x)[4]) {
    const Part a = __builtin_shufflevector(x[0], x[1], 0, 4, 1, 5), b = __builtin_shufflevector(x[0], x[1], 2, 6, 3, 7);
    const Part c = __builtin_shufflevector(x[2], x[3], 0, 4, 1, 5), d = __builtin_shufflevector(x[2], x[3], 2, 6, 3, 7);
    x[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    x[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    x[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
    x[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
  }
};
template <>
struct Square<double> {
  static constexpr int size = 2;
  typedef double Part __attribute__((vector_size(16)));
  static KULLBACK_INLINE void transpose(Part (&x)[2]) {
    const Part a = x[0];
    x[0] = __builtin_shufflevector(a, x[1], 0, 2);
    x[1] = __builtin_shufflevector(a, x[1], 1, 3);
  }
};

// Lines that lie along the depth.
template <class T>
static void pack_transposed(const PackTask<T>& task) {
  using Part = typename Square<T>::Part;
  constexpr int size = Square<T>::size;
  const int64_t whole_lines = task.lines / size * size, whole_depth = task.depth / size * size;
  for (int64_t k = 0; k < whole_depth; k += size) {
    for (int64_t line = 0; line < whole_lines; line += size) {
      Part square[size];
      for (int i = 0; i < size; ++i) {
        __builtin_memcpy(&square[i], task.from + (line + i) * task.line_step + k, sizeof(Part));
      }
      Square<T>::transpose(square);
      for (int i = 0; i < size; ++i) __builtin_memcpy(task.to + (k + i) * task.width + line, &square[i], sizeof(Part));
    }
    for (int64_t line = whole_lines; line < task.lines; ++line) {
      for (int i = 0; i < size; ++i) task.to[(k + i) * task.width + line] = task.from[line * task.line_step + k + i];
    }
  }
  for (int64_t k = whole_depth; k < task.depth; ++k) {
    for (int64_t line = 0; line < task.lines; ++line) {
      task.to[k * task.width + line] = task.from[line * task.line_step + k];
    }
  }
}

template <class V>
static void pack(const PackTask<Element<V>>& task) {
  if (task.depth_step == 1) {
    pack_transposed(task);
  } else {
    for (int64_t k = 0; k < task.depth; ++k) {
      const Element<V>* const from = task.from + k * task.depth_step;
      Element<V>* const to = task.to + k * task.width;
      for (int64_t line = 0; line < task.lines; ++line) to[line] = from[line];
    }
  }
  for (int64_t k = 0; k < task.depth; ++k) {
    for (int64_t line = task.lines; line < task.width; ++line) task.to[k * task.width + line] = 0;
  }
}
