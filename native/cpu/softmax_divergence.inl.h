// softmax_divergence, second and third pass over one segment of one row: value and gradients, from log ratios where the
// sides are near each other, from differences of their softmaxes where they are not (softmax_divergence_row.h).
//   formula  math/divergence.inl.h; a, b: the probabilities of the weighing and of the other side, u = log b - log a
//   shapes   one segment (<= kSegmentColumns) of one row a call; student, teacher, gradients [rows, stride]
//   traffic  value + one gradient 3 elements a column from memory (2 reads, 1 write), while the row's exponentials
//            stay in the second-level cache; they are kept in the gradient's own memory where there is one
//   work     about 30 operations a column near, 5 apart; binds: arithmetic near, the second-level cache apart
//   stable   (x - maximum) * scale, never x * scale - maximum;  u: see Distance
//   order    8 vectors of 16 (8) lanes, from there on in float64: over a block of 1024 columns, blocks, segments
//   edges    both -inf: 0;  a > 0 on b = 0: +inf;  a row of -inf alone, or with +inf: NaN;  NaN stays in its row
//   bound    docs/softmax-divergence.md, tests "error bound";  speed: bench/softmax-divergence

// The scalars of a task as vectors, by value: a store to a gradient cannot alias them, so they stay in registers.
template <class V>
struct SideVectors {
  V scale, scale_low, maximum, log_sum;

  explicit KULLBACK_INLINE SideVectors(const SoftmaxSide<Element<V>>& side)
      : scale(V::all(side.scale.inverse_temperature)),
        scale_low(V::all(side.scale.inverse_temperature_low)),
        maximum(V::all(side.maximum)),
        log_sum(V::all(side.log_sum)) {}

  KULLBACK_INLINE V below_maximum(V logits) const { return (logits - maximum) * scale; }
  KULLBACK_INLINE V log_probability(V logits) const { return below_maximum(logits) - log_sum; }
};

template <class V>
struct PairVectors {
  SideVectors<V> weigher, other;
  LogRatio<V> ratio;
  V gradient_scale;

  template <class Task>
  explicit KULLBACK_INLINE PairVectors(const Task& task)
      : weigher(task.weigher), other(task.other), ratio(task.ratio), gradient_scale(V::all(task.gradient_scale)) {}

  template <Distance kDistance, bool Careful>
  KULLBACK_INLINE V log_ratio(V weigher_logits, V other_logits) const {
    return ratio.template of<kDistance, Careful>(weigher_logits, other_logits, weigher, other);
  }
};

template <class V, bool Whole>
static KULLBACK_INLINE V entropy_lanes(const SideVectors<V>& side, V factor, const Element<V>* logits,
                                       const Element<V>* exponentials, int rest) {
  const V p = load_lanes<V, Whole>(exponentials, rest, 0) * factor;
  const V term = fnma(p, side.log_probability(load_lanes<V, Whole>(logits, rest, 0)), constant<V>(0));
  // Probability 0 carries no entropy, even where its logarithm is -inf.
  return select(equal(p, constant<V>(0)), constant<V>(0), term);
}

template <class V>
static void entropy(EntropyTask<Element<V>>& task) {
  const SideVectors<V> side(task.side);
  task.entropy = 0;
  const V factor = V::all(task.side.factor);
  for (int64_t block = 0; block * kBlockColumns < task.columns; ++block) {
    const Span span = span_of<V>(block, task.columns);
    const Element<V>* logits = task.side.logits + span.begin;
    const Element<V>* exponentials = task.side.exponentials + span.begin;
    Total<V> total;
    for (int64_t i = 0; i < span.whole;) {
      const int64_t end = group_end<V>(i, span.whole, kGroupVectors);
      V sum = constant<V>(0);
      for (; i < end; i += V::lanes) {
        sum = sum + entropy_lanes<V, true>(side, factor, logits + i, exponentials + i, 0);
      }
      total.add(sum);
    }
    if (span.rest > 0) {
      total.add(entropy_lanes<V, false>(side, factor, logits + span.whole, exponentials + span.whole, span.rest));
    }
    task.entropy += total.value();
  }
}

// Compile-time choices of the second pass. Careful: zero probabilities and infinite logits are looked at one by one,
// and b is computed anew, since the gradient may have overwritten the exponentials.
template <class V_, class Formula_, Distance Distance_, bool Gradient_, bool Careful_>
struct SecondPass {
  using V = V_;
  using Formula = Formula_;
  static constexpr Distance kDistance = Distance_;
  static constexpr bool kGradient = Gradient_;
  static constexpr bool kCareful = Careful_;
  using Carefully = SecondPass<V_, Formula_, Distance_, Gradient_, true>;
};

// Sums over lanes: of the terms, of a u, of a, and of the gradient.
template <class V>
struct LaneSums {
  V terms, moments, weights, pulls;
  KULLBACK_INLINE LaneSums()
      : terms(constant<V>(0)), moments(constant<V>(0)), weights(constant<V>(0)), pulls(constant<V>(0)) {}
};

template <class Pass, bool Whole, class V = typename Pass::V>
static KULLBACK_INLINE void divergence_lanes(const PairVectors<V>& pair, const DivergenceTask<Element<V>>& task,
                                             V weigher_factor, V other_factor, int64_t i, int rest, LaneSums<V>& sums) {
  constexpr double fill = Pass::kCareful ? -FloatBits<Element<V>>::infinity : 0;
  const V weigher_logits = load_lanes<V, Whole>(task.weigher.logits + i, rest, fill);
  const V other_logits = load_lanes<V, Whole>(task.other.logits + i, rest, fill);
  Column<V> at;
  at.a = load_lanes<V, Whole>(task.weigher.exponentials + i, rest, 0) * weigher_factor;
  at.u = pair.template log_ratio<Pass::kDistance, Pass::kCareful>(weigher_logits, other_logits);
  at.log_b = pair.other.log_probability(other_logits);
  if constexpr (Pass::kCareful) {
    const ExponentialVectors<V> other(task.other);
    at.b = other.of_distance(other_logits - other.maximum) * V::all(task.other.row_factor);
  } else {
    at.b = load_lanes<V, Whole>(task.other.exponentials + i, rest, 0) * other_factor;
  }
  const auto weightless = equal(at.a, constant<V>(0));
  if constexpr (Pass::kGradient) {
    const V drawn = Pass::kCareful ? select(weightless, at.b, pull(at)) : pull(at);
    store_lanes<V, Whole>(drawn * pair.gradient_scale, task.gradient + i, rest);
    sums.pulls = sums.pulls + drawn;
  }
  const V term = Pass::Formula::term(at);
  sums.terms = sums.terms + (Pass::kCareful ? select(weightless, Pass::Formula::weightless_term(at), term) : term);
  sums.moments = fma(at.a, Pass::kCareful ? zero_where(weightless, at.u) : at.u, sums.moments);
  sums.weights = sums.weights + at.a;
}

struct BlockSums {
  double terms, moments, weights, pulls;
};

template <class V>
struct LaneTotals {
  Total<V> terms, moments, weights, pulls;
  KULLBACK_INLINE LaneTotals() {}

  template <bool Gradient>
  KULLBACK_INLINE void add(const LaneSums<V>& sums) {
    terms.add(sums.terms);
    moments.add(sums.moments);
    weights.add(sums.weights);
    if constexpr (Gradient) pulls.add(sums.pulls);
  }
};

template <class Pass, class V = typename Pass::V>
static inline BlockSums divergence_of_block(const PairVectors<V>& pair, const DivergenceTask<Element<V>>& task,
                                            int64_t block) {
  const Span span = span_of<V>(block, task.columns);
  const V weigher_factor = V::all(task.weigher.factor), other_factor = V::all(task.other.factor);
  const int64_t whole_end = span.begin + span.whole;
  LaneTotals<V> totals;
  for (int64_t i = span.begin; i < whole_end;) {
    const int64_t end = group_end<V>(i, whole_end, task.group);
    LaneSums<V> sums;
    for (; i < end; i += V::lanes) {
      divergence_lanes<Pass, true>(pair, task, weigher_factor, other_factor, i, 0, sums);
    }
    totals.template add<Pass::kGradient>(sums);
  }
  if (span.rest > 0) {
    LaneSums<V> sums;
    divergence_lanes<Pass, false>(pair, task, weigher_factor, other_factor, whole_end, span.rest, sums);
    totals.template add<Pass::kGradient>(sums);
  }
  return {totals.terms.value(), totals.moments.value(), totals.weights.value(),
          Pass::kGradient ? totals.pulls.value() : 0};
}

template <class Pass, class V = typename Pass::V>
static void divergence_of_segment(DivergenceTask<Element<V>>& task) {
  const PairVectors<V> pair(task);
  task.sum = task.moment = task.weight = task.excess = 0;
  for (int64_t block = 0; block * kBlockColumns < task.columns; ++block) {
    BlockSums sums = divergence_of_block<Pass>(pair, task, block);
    // inf - inf or 0 * inf: some logit is -inf (or NaN, and then the second look says NaN again).
    if (sums.terms != sums.terms) sums = divergence_of_block<typename Pass::Carefully>(pair, task, block);
    task.sum += sums.terms;
    task.moment += sums.moments;
    task.weight += sums.weights;
    task.excess += sums.pulls;
  }
}

template <class V, class Formula, Distance kDistance>
static inline void divergence_with(DivergenceTask<Element<V>>& task) {
  if (task.gradient != nullptr) return divergence_of_segment<SecondPass<V, Formula, kDistance, true, false>>(task);
  return divergence_of_segment<SecondPass<V, Formula, kDistance, false, false>>(task);
}

template <class V, class Formula>
static inline void divergence_with(DivergenceTask<Element<V>>& task) {
  switch (task.ratio.distance) {
    case Distance::kClose:
      return divergence_with<V, Formula, Distance::kClose>(task);
    case Distance::kShifted:
      return divergence_with<V, Formula, Distance::kShifted>(task);
    case Distance::kApart:
      return divergence_with<V, Formula, Distance::kApart>(task);
  }
}

template <class V>
static void divergence(DivergenceTask<Element<V>>& task) {
  if (task.cross_entropy) return divergence_with<V, CrossEntropy>(task);
  return divergence_with<V, KullbackLeibler>(task);
}

template <class V>
struct DifferenceVectors {
  V weigher_factor, other_factor, gradient_scale;
  explicit KULLBACK_INLINE DifferenceVectors(const DifferenceTask<Element<V>>& task)
      : weigher_factor(V::all(task.weigher_factor)),
        other_factor(V::all(task.other_factor)),
        gradient_scale(V::all(task.gradient_scale)) {}
};

template <class V, bool Whole>
static KULLBACK_INLINE V difference_lanes(const DifferenceTask<Element<V>>& task, const DifferenceVectors<V>& with,
                                          int64_t i, int rest) {
  const V a = load_lanes<V, Whole>(task.weigher_exponentials + i, rest, 0);
  const V b = load_lanes<V, Whole>(task.other_exponentials + i, rest, 0);
  const V difference = fnma(a, with.weigher_factor, b * with.other_factor);
  store_lanes<V, Whole>(difference * with.gradient_scale, task.gradient + i, rest);
  return absolute(difference);
}

template <class V>
static void difference_gradient(DifferenceTask<Element<V>>& task) {
  const DifferenceVectors<V> with(task);
  const int64_t whole = task.columns / V::lanes * V::lanes;
  V first = constant<V>(0), second = first;
  int64_t i = 0;
  for (; i + 2 * V::lanes <= whole; i += 2 * V::lanes) {
    first = maximum(first, difference_lanes<V, true>(task, with, i, 0));
    second = maximum(second, difference_lanes<V, true>(task, with, i + V::lanes, 0));
  }
  for (; i < whole; i += V::lanes) {
    first = maximum(first, difference_lanes<V, true>(task, with, i, 0));
  }
  const int rest = static_cast<int>(task.columns - whole);
  if (rest > 0) {
    second = maximum(second, difference_lanes<V, false>(task, with, whole, rest));
  }
  task.largest = largest_of(maximum(first, second));
}

template <class V>
static void correct_gradient(const CorrectionTask<Element<V>>& task) {
  const V coefficient = V::all(task.coefficient), scale = V::all(task.scale);
  int64_t i = 0;
  for (; i + V::lanes <= task.columns; i += V::lanes) {
    const V centred = fnma(V::load(task.exponentials + i), coefficient, V::load(task.gradient + i));
    (centred * scale).store(task.gradient + i);
  }
  const int rest = static_cast<int>(task.columns - i);
  if (rest > 0) {
    const V exponentials = V::load_first(task.exponentials + i, rest, 0);
    const V centred = fnma(exponentials, coefficient, V::load_first(task.gradient + i, rest, 0));
    (centred * scale).store_first(task.gradient + i, rest);
  }
}

template <class V, class Formula, Distance kDistance, bool Whole>
static KULLBACK_INLINE void centred_lanes(const PairVectors<V>& pair, const CentredGradientTask<Element<V>>& task,
                                          V factor, V high, V low, int64_t i, int rest) {
  const V other_logits = load_lanes<V, Whole>(task.other.logits + i, rest, 0);
  Column<V> at;
  at.a = load_lanes<V, Whole>(task.weigher.exponentials + i, rest, 0) * factor;
  const V weigher_logits = load_lanes<V, Whole>(task.weigher.logits + i, rest, 0);
  at.u = pair.template log_ratio<kDistance, true>(weigher_logits, other_logits);
  at.log_b = pair.other.log_probability(other_logits);
  const V gradient = at.a * (Formula::score(at) - high - low) * pair.gradient_scale;
  store_lanes<V, Whole>(select(equal(at.a, constant<V>(0)), constant<V>(0), gradient), task.gradient + i, rest);
}

template <class V, class Formula, Distance kDistance>
static inline void centred_gradient_with(const CentredGradientTask<Element<V>>& task) {
  const PairVectors<V> pair(task);
  const V high = V::all(task.mean_high), low = V::all(task.mean_low);
  const V factor = V::all(task.weigher.factor);
  const int64_t whole = task.columns / V::lanes * V::lanes;
  for (int64_t i = 0; i < whole; i += V::lanes) {
    centred_lanes<V, Formula, kDistance, true>(pair, task, factor, high, low, i, 0);
  }
  const int rest = static_cast<int>(task.columns - whole);
  if (rest > 0) centred_lanes<V, Formula, kDistance, false>(pair, task, factor, high, low, whole, rest);
}

template <class V, class Formula>
static inline void centred_gradient_with(const CentredGradientTask<Element<V>>& task) {
  switch (task.ratio.distance) {
    case Distance::kClose:
      return centred_gradient_with<V, Formula, Distance::kClose>(task);
    case Distance::kShifted:
      return centred_gradient_with<V, Formula, Distance::kShifted>(task);
    case Distance::kApart:
      return centred_gradient_with<V, Formula, Distance::kApart>(task);
  }
}

template <class V>
static void centred_gradient(CentredGradientTask<Element<V>>& task) {
  if (task.cross_entropy) return centred_gradient_with<V, CrossEntropy>(task);
  return centred_gradient_with<V, KullbackLeibler>(task);
}
