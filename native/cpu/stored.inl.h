// stored: from rows as the caller has them to logits of the type that is computed in, and from gradients back.
//   formula  x = number, or log of a probability, plus T times the log-prior;  gradient = rounded, or added and rounded
//   shapes   one segment (<= kSegmentColumns) of one row a call
//   traffic  1 read and 1 write a column, of which those of the type that is computed in stay in the cache
//   work     some 5 operations a column for 16-bit elements, a logarithm for probabilities; binds: arithmetic
//   stable   16-bit elements are exact in float32, and rounded once on the way back (math/half.inl.h)
//   edges    probability 0: -inf; below 0: NaN;  log-prior -inf: -inf
//   bound    log 1 ulp;  speed: bench/softmax-divergence

KULLBACK_INLINE float float_of_bits(uint32_t bits) { return __builtin_bit_cast(float, bits); }
KULLBACK_INLINE uint32_t bits_of_float(float x) { return __builtin_bit_cast(uint32_t, x); }
#include "../math/half.inl.h"

// Numbers as the type that is computed in: 16-bit elements come as float32 only.
template <class V>
static inline void widen_numbers(const void* from, kullback_dtype dtype, int64_t begin, int64_t count, Element<V>* to) {
  if constexpr (sizeof(Element<V>) == sizeof(float)) {
    const auto* const halves = static_cast<const uint16_t*>(from) + begin;
    if (dtype == KULLBACK_FLOAT16) {
      for (int64_t i = 0; i < count; ++i) to[i] = float_of_float16(halves[i]);
      return;
    }
    if (dtype == KULLBACK_BFLOAT16) {
      for (int64_t i = 0; i < count; ++i) to[i] = float_of_bfloat16(halves[i]);
      return;
    }
  }
  const auto* const numbers = static_cast<const Element<V>*>(from) + begin;
  for (int64_t i = 0; i < count; ++i) to[i] = numbers[i];
}

template <class V, bool Whole>
static KULLBACK_INLINE void stage_lanes(const StageTask<Element<V>>& task, int64_t i, int rest) {
  V x = load_lanes<V, Whole>(task.to + i, rest, 0);
  if (task.probabilities) x = log(x);
  if (task.log_prior != nullptr) {
    const V prior = load_lanes<V, Whole>(task.log_prior + i, rest, 0);
    x = fma(prior, V::all(task.temperature), x);
  }
  store_lanes<V, Whole>(x, task.to + i, rest);
}

template <class V>
static void stage(const StageTask<Element<V>>& task) {
  for (int64_t block = 0; block * kBlockColumns < task.columns; ++block) {
    const Span span = span_of<V>(block, task.columns);
    widen_numbers<V>(task.from, task.dtype, span.begin, span.whole + span.rest, task.to + span.begin);
    if (!task.probabilities && task.log_prior == nullptr) continue;
    const int64_t whole_end = span.begin + span.whole;
    for (int64_t i = span.begin; i < whole_end; i += V::lanes) stage_lanes<V, true>(task, i, 0);
    if (span.rest > 0) stage_lanes<V, false>(task, whole_end, span.rest);
  }
}

template <class V>
static void probabilities(ProbabilityTask<Element<V>>& task) {
  task.sum = 0;
  int64_t below = 0;
  for (int64_t block = 0; block * kBlockColumns < task.columns; ++block) {
    const Span span = span_of<V>(block, task.columns);
    const int64_t count = span.whole + span.rest;
    widen_numbers<V>(task.from, task.dtype, span.begin, count, task.block);
    for (int64_t i = 0; i < count; ++i) below += task.block[i] >= 0 ? 0 : 1;
    Total<V> total;
    for (int64_t i = 0; i < span.whole;) {
      const int64_t end = group_end<V>(i, span.whole, kGroupVectors);
      V sum = constant<V>(0);
      for (; i < end; i += V::lanes) sum = sum + V::load(task.block + i);
      total.add(sum);
    }
    if (span.rest > 0) total.add(V::load_first(task.block + span.whole, span.rest, 0));
    task.sum += total.value();
  }
  task.negative = below > 0;
}

template <class V>
static void emit(const EmitTask<Element<V>>& task) {
  const Element<V>* const from = task.from;
  if constexpr (sizeof(Element<V>) == sizeof(float)) {
    auto* const halves = static_cast<uint16_t*>(task.to);
    if (task.dtype == KULLBACK_FLOAT16) {
      if (task.accumulate) {
        for (int64_t i = 0; i < task.columns; ++i) halves[i] = float16_of(float_of_float16(halves[i]) + from[i]);
      } else {
        for (int64_t i = 0; i < task.columns; ++i) halves[i] = float16_of(from[i]);
      }
      return;
    }
    if (task.dtype == KULLBACK_BFLOAT16) {
      if (task.accumulate) {
        for (int64_t i = 0; i < task.columns; ++i) halves[i] = bfloat16_of(float_of_bfloat16(halves[i]) + from[i]);
      } else {
        for (int64_t i = 0; i < task.columns; ++i) halves[i] = bfloat16_of(from[i]);
      }
      return;
    }
  }
  // What is only stored needs no copy of its own: emit is for what is added.
  auto* const to = static_cast<Element<V>*>(task.to);
  for (int64_t i = 0; i < task.columns; ++i) to[i] += from[i];
}
