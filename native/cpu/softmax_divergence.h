// softmax_divergence: what the baseline driver (softmax_divergence.cc) and the vector kernels
// (softmax_divergence.inl.h) tell each other about one segment of one row. Plain structs only.
#ifndef KULLBACK_CPU_SOFTMAX_DIVERGENCE_H
#define KULLBACK_CPU_SOFTMAX_DIVERGENCE_H

#include <cstdint>

#include "../abi/kullback_backend.h"
#include "../math/generator.h"
#include "../math/log_ratio.h"

namespace kullback {

// A segment is what one thread takes of a row; blocks are summed on their own, and looked at once more where they hold
// an infinite logit. Both fix the order of sums: changing them changes the last bits of results.
constexpr int64_t kBlockColumns = 1024;
constexpr int64_t kSegmentColumns = 8 * kBlockColumns;

// How many vectors are added in their own type before they go on in float64: a float32 lane that holds one large term
// rounds off a little of each small one that follows, always to the same side.
constexpr int64_t kGroupVectors = 8;

constexpr int64_t ceil_divide(int64_t count, int64_t size) { return (count + size - 1) / size; }

// First pass, one side: exponentials[i] = exp((logits[i] - maximum) / T).
template <class T>
struct ExponentialsTask {
  const T* logits;
  int64_t columns;
  SoftmaxScale<T> scale;
  T maximum;        // of these logits
  T* exponentials;  // [columns]
  // Result
  double sum;  // of the exponentials
};

// First pass where a gradient is wanted, both sides at once: the moments may make the second pass a short one. With
// x and y how far the weighing and the other side's logits lie below their maxima:
template <class T>
struct PairExponentialsTask {
  bool wants_other_moment;
  int64_t columns;
  ExponentialsTask<T> weigher, other;  // maxima finite
  T scale_ratio;                       // the other side's scale divided by the weighing side's
  // Results
  double moment;        // sum a (y scale_ratio - x)
  double other_moment;  // sum a y, if wanted
};

// First pass of a power divergence: beside both sides their mixture a^(1 - k) b^k, each from its segment's own maxima.
template <class T>
struct MixedExponentialsTask {
  int64_t columns;
  ExponentialsTask<T> weigher, other;  // maxima finite
  T weigher_scale, weigher_scale_low;  // (1 - k) / (T log 2)
  T other_scale, other_scale_low;      // k / (T log 2)
  T* mixture;                          // [columns], or NULL: only its sum is wanted
  // Result
  double sum;  // of the mixture; no number where that is beyond the format
};

// Second pass over a row whose sides lie far enough apart for the gradient to be the difference b - a as it stands.
template <class T>
struct DifferenceTask {
  int64_t columns;
  const T* weigher_exponentials;
  const T* other_exponentials;     // may be the gradient's memory
  T weigher_factor, other_factor;  // probability = exponential * factor
  T gradient_scale;
  T* gradient;
  // Result
  T largest;  // of |b - a|
};

// The value alone, of one segment, in one pass: a = exp((weigher - maximum) / T), b likewise times other_factor, and
// u = log b - log a.
template <class T>
struct ValueTask {
  struct Side {
    const T* logits;
    SoftmaxScale<T> scale;
    T maximum;  // of these logits; finite
  };
  bool cross_entropy;
  int64_t columns;
  Side weigher;
  Side other;
  T other_factor;
  double log_other_factor;
  RatioOffset<T> ratio;
  // Results
  double sum;          // of the terms; the cross-entropy's are -sum a log(b), b relative to its maximum
  double moment;       // sum a u
  double weigher_sum;  // sum a
  double other_sum;    // sum b
};

// One side of a segment after the first pass, with what the whole row taught.
template <class T>
struct SoftmaxSide {
  const T* logits;
  const T* exponentials;  // of the first pass; may be the memory of this side's gradient
  T factor;               // probability = exponential * factor
  SoftmaxScale<T> scale;
  T maximum;     // of the row
  T row_factor;  // probability = e^((logit - maximum) / T) * row_factor
  T log_sum;     // log sum exp((logits[i] - maximum) / T), kept apart from the maximum
};

template <class T>
struct EntropyTask {
  SoftmaxSide<T> side;
  int64_t columns;
  // Result
  double entropy;
};

// Second pass. The side that weighs is `weigher`, the other `other` (math/divergence.inl.h: a and b).
template <class T>
struct DivergenceTask {
  bool cross_entropy;
  int64_t columns;
  SoftmaxSide<T> weigher;
  SoftmaxSide<T> other;
  RatioOffset<T> ratio;
  T gradient_scale;
  T* gradient;  // [columns], for the logits of `other`; NULL: not wanted
  // kGroupVectors; 1 where the weighing side's gradient will show the rounding of these sums in each of its entries.
  int64_t group;
  // Results
  double sum;     // of the terms
  double moment;  // sum a u
  double weight;  // sum a, the segment's share but for rounding
  double excess;  // sum of the gradient before it is scaled: where there is one
};

// After the second pass: gradient = (gradient - exponentials * coefficient) * scale.
template <class T>
struct CorrectionTask {
  int64_t columns;
  const T* exponentials;
  T coefficient, scale;
  T* gradient;
};

// Third pass, for the logits of the side that weighs, whose gradient needs the divergence of the whole row.
template <class T>
struct CentredGradientTask {
  bool cross_entropy;
  int64_t columns;
  SoftmaxSide<T> weigher;
  SoftmaxSide<T> other;
  RatioOffset<T> ratio;
  // The mean of the score, in two parts, since a rounded one would show in the sum of the gradient.
  T mean_high;
  T mean_low;
  T gradient_scale;
  T* gradient;  // [columns]
};

// Second pass of a divergence that a generator makes.
template <class T>
struct GeneratorTask {
  Generator generator;
  double parameter;
  bool apart;  // as in math/generators.inl.h
  int64_t columns;
  SoftmaxSide<T> weigher;
  SoftmaxSide<T> other;
  RatioOffset<T> ratio;
  T* weigher_slopes;  // [columns] or NULL
  T* other_slopes;    // [columns] or NULL
  // Results
  double sum;          // of the terms
  double weigher_sum;  // of its slopes where they are wanted
  double other_sum;    // of the other side's
  double excess;       // sum b - sum a by the log ratios, if not apart
  T largest;           // of the absolute values of the slopes that are wanted, if apart
};

// logits[i] = log(a^(1 - k) b^k)
template <class T>
struct MixtureTask {
  int64_t columns;
  T k;
  SoftmaxSide<T> weigher;
  SoftmaxSide<T> other;
  T* logits;  // [columns]
};

}  // namespace kullback

#endif  // KULLBACK_CPU_SOFTMAX_DIVERGENCE_H
