// softmax_divergence where only the value is wanted: one segment of one row, in one pass that stores nothing.
//   formula  math/divergence.inl.h, over a and b that are not normalised: softmax_row.h merges segments of any scale
//   shapes   weigher, other [columns], one segment (<= kSegmentColumns) of one row
//   traffic  2 elements a column from memory, which the search for the maxima has just brought into the cache
//   work     2 exponentials and about 25 further operations a column; binds: arithmetic
//   stable   u is taken between the logits where the sides lie close, and between powers of two where they lie apart
//   order    8 vectors of 16 (8) lanes, from there on in float64: over a block of 1024 columns, blocks, segments
//   edges    as in softmax_divergence.inl.h; the maxima are finite, or +inf or beside a NaN, which makes the sums NaN
//   bound    docs/softmax-divergence.md, tests "error bound";  speed: bench/softmax-divergence

// How the terms of a block are summed. Term by term keeps the digits of a small divergence. In sums, sum b - sum a -
// sum a u, is what a large one can do with. Careful looks at zero probabilities and infinite logits one by one.
enum class Summing { kInSums, kTermByTerm, kCareful };

template <class V_, class Formula_, Distance Distance_>
struct ValuePass {
  using V = V_;
  using Formula = Formula_;
  static constexpr Distance kDistance = Distance_;
};

// The scalars of a task as vectors.
template <class V>
struct ValueVectors {
  struct Side {
    ExponentialVectors<V> exponential;
    V maximum, scale, scale_low;

    explicit KULLBACK_INLINE Side(const typename ValueTask<Element<V>>::Side& side)
        : exponential(side),
          maximum(V::all(side.maximum)),
          scale(V::all(side.scale.inverse_temperature)),
          scale_low(V::all(side.scale.inverse_temperature_low)) {}
  };
  Side weigher, other;
  V other_factor, log_other_factor;
  LogRatio<V> ratio;

  explicit KULLBACK_INLINE ValueVectors(const ValueTask<Element<V>>& task)
      : weigher(task.weigher),
        other(task.other),
        other_factor(V::all(task.other_factor)),
        log_other_factor(V::all(static_cast<Element<V>>(task.log_other_factor))),
        ratio(task.ratio) {}
};

template <class V>
struct ValueSums {
  V terms, moments, weighers, others;
  KULLBACK_INLINE ValueSums()
      : terms(constant<V>(0)), moments(constant<V>(0)), weighers(constant<V>(0)), others(constant<V>(0)) {}
};

template <class Pass, Summing kSumming, bool Whole, class V = typename Pass::V>
static KULLBACK_INLINE void value_lanes(const ValueVectors<V>& with, const ValueTask<Element<V>>& task, int64_t i,
                                        int rest, ValueSums<V>& sums) {
  constexpr double lowest = -FloatBits<Element<V>>::infinity;
  const V weigher_logits = load_lanes<V, Whole>(task.weigher.logits + i, rest, lowest);
  const V other_logits = load_lanes<V, Whole>(task.other.logits + i, rest, lowest);
  constexpr bool careful = kSumming == Summing::kCareful;
  const V weigher_below = weigher_logits - with.weigher.maximum;
  const V other_below = other_logits - with.other.maximum;
  Column<V> at;
  at.a = with.weigher.exponential.of_distance(weigher_below);
  at.b = with.other.exponential.of_distance(other_below) * with.other_factor;
  if constexpr (!Pass::Formula::kInSums) {
    at.u = constant<V>(0);  // the cross-entropy has no use for it
  } else if constexpr (kSumming == Summing::kInSums) {
    // Sums of a large block need no more digits of u than a and b have.
    at.u = fma(other_below - weigher_below, with.other.scale, with.log_other_factor);
  } else {
    at.u = with.ratio.template of<Pass::kDistance, careful>(weigher_logits, other_logits, with.weigher, with.other);
  }
  at.log_b = other_below * with.other.scale;
  if constexpr (kSumming == Summing::kCareful) {
    const auto weightless = equal(at.a, constant<V>(0));
    sums.terms = sums.terms + select(weightless, Pass::Formula::weightless_term(at), Pass::Formula::term(at));
    sums.moments = fma(at.a, zero_where(weightless, at.u), sums.moments);
  } else {
    if constexpr (kSumming == Summing::kTermByTerm) sums.terms = sums.terms + Pass::Formula::term(at);
    sums.moments = fma(at.a, at.u, sums.moments);
  }
  sums.weighers = sums.weighers + at.a;
  sums.others = sums.others + at.b;
}

struct BlockValue {
  double terms, moment, weigher_sum, other_sum;

  // Large enough for its terms to be summed in sums, and not NaN.
  bool large() const { return terms * 16 > weigher_sum + other_sum + (moment < 0 ? -moment : moment); }
};

template <class V>
struct ValueTotals {
  Total<V> terms, moments, weighers, others;
  KULLBACK_INLINE ValueTotals() {}

  template <Summing kSumming>
  KULLBACK_INLINE void add(const ValueSums<V>& sums) {
    if constexpr (kSumming != Summing::kInSums) terms.add(sums.terms);
    moments.add(sums.moments);
    weighers.add(sums.weighers);
    others.add(sums.others);
  }
};

template <class Pass, Summing kSumming, class V = typename Pass::V>
static inline BlockValue value_of_block(const ValueVectors<V>& with, const ValueTask<Element<V>>& task, int64_t block) {
  const Span span = span_of<V>(block, task.columns);
  const int64_t whole_end = span.begin + span.whole;
  ValueTotals<V> totals;
  for (int64_t i = span.begin; i < whole_end;) {
    const int64_t end = group_end<V>(i, whole_end, kGroupVectors);
    ValueSums<V> sums;
    for (; i < end; i += V::lanes) {
      prefetch_ahead(task.weigher.logits + i);
      prefetch_ahead(task.other.logits + i);
      value_lanes<Pass, kSumming, true>(with, task, i, 0, sums);
    }
    totals.template add<kSumming>(sums);
  }
  if (span.rest > 0) {
    // What fills up the last vector has probability 0 on both sides.
    ValueSums<V> sums;
    value_lanes<Pass, Summing::kCareful, false>(with, task, whole_end, span.rest, sums);
    totals.template add<kSumming>(sums);
  }
  BlockValue value = {0, totals.moments.value(), totals.weighers.value(), totals.others.value()};
  value.terms =
      kSumming == Summing::kInSums ? value.other_sum - value.weigher_sum - value.moment : totals.terms.value();
  return value;
}

template <class V, class Formula, Distance kDistance>
static void value_of_segment(ValueTask<Element<V>>& task) {
  using Pass = ValuePass<V, Formula, kDistance>;
  const ValueVectors<V> with(task);
  task.sum = task.moment = task.weigher_sum = task.other_sum = 0;
  bool large = false;
  for (int64_t block = 0; block * kBlockColumns < task.columns; ++block) {
    // A block is taken to be like the one before it; whether that was right, it says itself.
    BlockValue value;
    if (large) value = value_of_block<Pass, Summing::kInSums>(with, task, block);
    if (!large || !value.large()) value = value_of_block<Pass, Summing::kTermByTerm>(with, task, block);
    // inf - inf or 0 * inf: some logit is -inf (or NaN, and then the second look says NaN again).
    if (value.terms != value.terms) value = value_of_block<Pass, Summing::kCareful>(with, task, block);
    // Under two temperatures u would lose digits in sums.
    large = Formula::kInSums && kDistance != Distance::kApart && value.large();
    task.sum += value.terms;
    task.moment += value.moment;
    task.weigher_sum += value.weigher_sum;
    task.other_sum += value.other_sum;
  }
}

template <class V>
static void divergence_value(ValueTask<Element<V>>& task) {
  // The cross-entropy has no use for u.
  if (task.cross_entropy) return value_of_segment<V, CrossEntropy, Distance::kApart>(task);
  switch (task.ratio.distance) {
    case Distance::kClose:
      return value_of_segment<V, KullbackLeibler, Distance::kClose>(task);
    case Distance::kShifted:
      return value_of_segment<V, KullbackLeibler, Distance::kShifted>(task);
    case Distance::kApart:
      return value_of_segment<V, KullbackLeibler, Distance::kApart>(task);
  }
}
