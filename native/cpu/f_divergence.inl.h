// f_divergence: a generator, its derivative and their gradients at each of many log ratios.
//   formula  math/f_divergence.inl.h
//   shapes   log_ratios and outputs [count]
//   traffic  1 read, and 1 write an output: a block stays in the first-level cache between its outputs
//   work     1 to 4 exponentials an output; binds: arithmetic, but for the cheapest
//   stable   from the log ratio alone, never from the ratio less 1
//   order    none: each element is its own
//   edges    infinite log ratios: the limits;  NaN: NaN;  nothing: nothing is written
//   bound    docs/f-divergence.md, tests "error bound";  speed: bench/f-divergence

template <FOutput kOutput, class V, class Generator>
static inline void f_output(const Generator& generator, const Element<V>* from, Element<V>* to, int64_t count,
                            Element<V> scale) {
  const V factor = V::all(scale);
  int64_t i = 0;
  for (; i + V::lanes <= count; i += V::lanes) f_of<kOutput>(generator, V::load(from + i), factor).store(to + i);
  const int rest = static_cast<int>(count - i);
  if (rest > 0) f_of<kOutput>(generator, V::load_first(from + i, rest, 0), factor).store_first(to + i, rest);
}

template <class V, class Generator>
static void f_outputs(const FDivergenceTask<Element<V>>& task) {
  const Generator generator(task.divergence.parameter);
  for (int64_t begin = 0; begin < task.count; begin += kBlockColumns) {
    const int64_t count = task.count - begin < kBlockColumns ? task.count - begin : kBlockColumns;
    const Element<V>* const from = task.log_ratios + begin;
    if (task.values != nullptr) f_output<FOutput::kValue, V>(generator, from, task.values + begin, count, task.scale);
    if (task.derivatives != nullptr) {
      f_output<FOutput::kDerivative, V>(generator, from, task.derivatives + begin, count, task.scale);
    }
    if (task.value_gradients != nullptr) {
      f_output<FOutput::kValueGradient, V>(generator, from, task.value_gradients + begin, count, task.scale);
    }
    if (task.derivative_gradients != nullptr) {
      f_output<FOutput::kDerivativeGradient, V>(generator, from, task.derivative_gradients + begin, count, task.scale);
    }
  }
}

template <class V>
static void f_divergence(const FDivergenceTask<Element<V>>& task) {
  switch (task.divergence.generator) {
#define KULLBACK_F_GENERATOR(name) \
  case FGenerator::k##name:        \
    return f_outputs<V, name<V>>(task);
#include "../math/f_generators.inc"
#undef KULLBACK_F_GENERATOR
    case FGenerator::kNone:
      return;
  }
}
