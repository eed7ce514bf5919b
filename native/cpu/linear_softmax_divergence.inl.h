// linear_softmax_divergence: the gradient for the bias. Products are matrix_product.inl.h's, rows softmax_divergence's.
//   formula  sums[column] += sum over rows of the logits' gradient
//   shapes   some columns of [rows, stride]
//   traffic  the gradient once, beside products that read it twice; the sums stay in the first-level cache
//   work     1 addition an element
//   stable   float64
//   order    row by row, from where the rows before have left the sums
//   edges    none
//   bound    as many roundings of a float64 as there are rows;  speed: bench/linear-softmax-divergence

template <class V>
static void column_sums(const ColumnSumsTask<Element<V>>& task) {
  for (int64_t row = 0; row < task.rows; ++row) {
    const Element<V>* const from = task.from + row * task.stride;
    for (int64_t i = 0; i < task.columns; ++i) task.sums[i] += static_cast<double>(from[i]);
  }
}
