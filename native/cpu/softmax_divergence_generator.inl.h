// softmax_divergence by a generator (math/generators.inl.h), after the first pass, over one segment of one row.
//   formula  math/generators.inl.h; a, b: the probabilities of the weighing and of the other side, u = log b - log a
//   shapes   one segment (<= kSegmentColumns) of one row a call; exponentials, slopes, gradients [columns]
//   traffic  value + one gradient 3 elements a column from memory (2 reads, 1 write), the rest in the second cache
//   work     about 60 operations a column, at most 1 exponential and 3 divisions; binds: arithmetic
//   stable   u: see Distance; each term as one function of u, none as a difference of large ones
//   order    8 vectors of 16 (8) lanes, from there on in float64: over blocks of 1024 columns, segments
//   edges    every column is looked at with care: where a divergence is finite depends on the generator
//   bound    docs/softmax-divergence.md, tests "error bound";  speed: bench/softmax-divergence

// The scalars of a task as vectors.
template <class V>
struct GeneratorVectors {
  SideVectors<V> weigher, other;
  V weigher_factor, other_factor;
  LogRatio<V> ratio;

  explicit KULLBACK_INLINE GeneratorVectors(const GeneratorTask<Element<V>>& task)
      : weigher(task.weigher),
        other(task.other),
        weigher_factor(V::all(task.weigher.factor)),
        other_factor(V::all(task.other.factor)),
        ratio(task.ratio) {}

  template <class Pass, bool Whole>
  KULLBACK_INLINE Column<V> column(const GeneratorTask<Element<V>>& task, int64_t i, int rest) const {
    // What lies apart has no infinite logits: a finite one fills up, whose exponential is 0 all the same.
    constexpr double lowest = Pass::kApart ? 0 : -FloatBits<Element<V>>::infinity;
    const V weigher_logits = load_lanes<V, Whole>(task.weigher.logits + i, rest, lowest);
    const V other_logits = load_lanes<V, Whole>(task.other.logits + i, rest, lowest);
    Column<V> at;
    at.a = load_lanes<V, Whole>(task.weigher.exponentials + i, rest, 0) * weigher_factor;
    at.b = load_lanes<V, Whole>(task.other.exponentials + i, rest, 0) * other_factor;
    if constexpr (Pass::kApart) {
      // As many digits as a and b have.
      at.log_a = weigher.log_probability(weigher_logits);
      at.log_b = other.log_probability(other_logits);
      at.u = at.log_b - at.log_a;
    } else {
      at.log_a = at.log_b = constant<V>(0);
      const V u = ratio.template of<Pass::kDistance, true>(weigher_logits, other_logits, weigher, other);
      // What neither side has is no difference between them, even where both logits are -inf.
      at.u = zero_where(both(equal(at.a, constant<V>(0)), equal(at.b, constant<V>(0))), u);
    }
    return at;
  }
};

template <class V>
struct SlopeSums {
  V terms, weighers, others, pulls, largest;
  KULLBACK_INLINE SlopeSums()
      : terms(constant<V>(0)),
        weighers(constant<V>(0)),
        others(constant<V>(0)),
        pulls(constant<V>(0)),
        largest(constant<V>(0)) {}
};

template <class V>
struct SlopeTotals {
  Total<V> terms, weighers, others, pulls;
  KULLBACK_INLINE SlopeTotals() {}
  KULLBACK_INLINE void add(const SlopeSums<V>& sums) {
    terms.add(sums.terms);
    weighers.add(sums.weighers);
    others.add(sums.others);
    pulls.add(sums.pulls);
  }
};

// What a pass is made for: kApart as in math/generators.inl.h.
template <class V_, class Formula_, Distance Distance_, bool Apart_>
struct GeneratorPass {
  using V = V_;
  using Formula = Formula_;
  static constexpr Distance kDistance = Distance_;
  static constexpr bool kApart = Apart_;
};

template <class Pass, bool Whole, class V = typename Pass::V>
static KULLBACK_INLINE void generator_lanes(const typename Pass::Formula& formula, const GeneratorVectors<V>& with,
                                            const GeneratorTask<Element<V>>& task, int64_t i, int rest,
                                            SlopeSums<V>& sums) {
  const Column<V> at = with.template column<Pass, Whole>(task, i, rest);
  const Slopes<V> slopes = formula.template of<Pass::kApart>(at);
  sums.terms = sums.terms + slopes.term;
  if constexpr (!Pass::kApart) {
    sums.others = sums.others + slopes.b;
    sums.pulls = sums.pulls + pull(at);
  }
  if (task.weigher_slopes != nullptr) {
    store_lanes<V, Whole>(slopes.a, task.weigher_slopes + i, rest);
    sums.weighers = sums.weighers + slopes.a;
    if constexpr (Pass::kApart) sums.largest = maximum(sums.largest, absolute(slopes.a));
  }
  if (task.other_slopes != nullptr) {
    store_lanes<V, Whole>(slopes.b, task.other_slopes + i, rest);
    if constexpr (Pass::kApart) {
      sums.others = sums.others + slopes.b;
      sums.largest = maximum(sums.largest, absolute(slopes.b));
    }
  }
}

template <class Pass, class V = typename Pass::V>
static void generator_of_segment(GeneratorTask<Element<V>>& task) {
  const typename Pass::Formula formula{Parameter<V>(task.parameter)};
  const GeneratorVectors<V> with(task);
  const int64_t whole = task.columns / V::lanes * V::lanes;
  task.sum = task.weigher_sum = task.other_sum = task.excess = 0;
  V largest = constant<V>(0);
  for (int64_t block = 0; block * kBlockColumns < task.columns; ++block) {
    const Span span = span_of<V>(block, task.columns);
    const int64_t whole_end = span.begin + span.whole;
    SlopeTotals<V> totals;
    for (int64_t i = span.begin; i < whole_end;) {
      const int64_t end = group_end<V>(i, whole_end, kGroupVectors);
      SlopeSums<V> sums;
      for (; i < end; i += V::lanes) generator_lanes<Pass, true>(formula, with, task, i, 0, sums);
      totals.add(sums);
      largest = maximum(largest, sums.largest);
    }
    if (span.rest > 0) {
      SlopeSums<V> sums;
      generator_lanes<Pass, false>(formula, with, task, whole, span.rest, sums);
      totals.add(sums);
      largest = maximum(largest, sums.largest);
    }
    task.sum += totals.terms.value();
    task.weigher_sum += totals.weighers.value();
    task.other_sum += totals.others.value();
    task.excess += totals.pulls.value();
  }
  task.largest = largest_of(largest);
}

template <class V, template <class> class Formula>
static inline void generator_with(GeneratorTask<Element<V>>& task) {
  if constexpr (Formula<V>::kTwoWays) {
    if (task.apart) return generator_of_segment<GeneratorPass<V, Formula<V>, Distance::kApart, true>>(task);
  }
  switch (task.ratio.distance) {
    case Distance::kClose:
      return generator_of_segment<GeneratorPass<V, Formula<V>, Distance::kClose, false>>(task);
    case Distance::kShifted:
      return generator_of_segment<GeneratorPass<V, Formula<V>, Distance::kShifted, false>>(task);
    case Distance::kApart:
      return generator_of_segment<GeneratorPass<V, Formula<V>, Distance::kApart, false>>(task);
  }
}

template <class V>
static void generator(GeneratorTask<Element<V>>& task) {
  switch (task.generator) {
#define KULLBACK_GENERATOR(name) \
  case Generator::k##name:       \
    return generator_with<V, name>(task);
#include "../math/generators.inc"
#undef KULLBACK_GENERATOR
    case Generator::kKullbackLeibler:
    case Generator::kCrossEntropy:
      return;  // have passes of their own
  }
}
