// generator: which of the formulas of native/math makes which divergence of the table. Needs kullback_backend.h before
// it.
#ifndef KULLBACK_MATH_GENERATOR_H
#define KULLBACK_MATH_GENERATOR_H

#include "anywhere.inc"

namespace kullback {

enum class Generator {
  kKullbackLeibler,  // divergence.inl.h
  kCrossEntropy,
#define KULLBACK_GENERATOR(name) k##name,
#include "generators.inc"
#undef KULLBACK_GENERATOR
};

// A divergence is `factor` times what its generator sums; or of Renyi's order, where that is not 0.
struct Divergence {
  Generator generator;
  bool student_weighs;
  double parameter;  // as the generator calls it
  double factor;
  double renyi_order;
};

// The power divergence of some order (DESIGN: "alpha"). It is weighed by the side that has the larger part in it.
inline Divergence power_divergence(double order, double factor, double renyi_order) {
  const bool student_weighs = order < 0.5;
  return {Generator::kPowerDivergence, student_weighs, student_weighs ? order : 1 - order, factor, renyi_order};
}

inline Divergence divergence_of(kullback_divergence divergence, double parameter) {
  switch (divergence) {
    case KULLBACK_FORWARD_KL:
      return {Generator::kKullbackLeibler, false, 0, 1, 0};
    case KULLBACK_REVERSE_KL:
      return {Generator::kKullbackLeibler, true, 0, 1, 0};
    case KULLBACK_CROSS_ENTROPY:
      return {Generator::kCrossEntropy, false, 0, 1, 0};
    case KULLBACK_JEFFREYS:
      return {Generator::kJeffreys, false, 0, 1, 0};
    case KULLBACK_JENSEN_SHANNON:
      return {Generator::kJensenShannon, false, parameter, 1, 0};
    case KULLBACK_TOTAL_VARIATION:
      return {Generator::kTotalVariation, false, 0, 1, 0};
    case KULLBACK_SQUARED_HELLINGER:
      return power_divergence(0.5, 0.25, 0);
    case KULLBACK_CHI_SQUARED:
      return power_divergence(2, 2, 0);
    case KULLBACK_REVERSE_CHI_SQUARED:
      return power_divergence(-1, 2, 0);
    case KULLBACK_ALPHA:
      return power_divergence(parameter, 1, 0);
    case KULLBACK_RENYI:
      return power_divergence(parameter, 1, parameter);
    case KULLBACK_SKEW_FORWARD_KL:
      return {Generator::kSkew, false, parameter, 1, 0};
    case KULLBACK_SKEW_REVERSE_KL:
      return {Generator::kSkew, true, parameter, 1, 0};
  }
  return {Generator::kKullbackLeibler, false, 0, 1, 0};
}

// Renyi's divergence of some order is log(1 + excess) / (order - 1), and its derivative for the power divergence
// order / (1 + excess). Where that would cancel, or soon leave the format, it is taken from the softmax of the mixture
// a^(1 - k) b^k.
KULLBACK_ANYWHERE bool excess_serves(double excess) { return excess > -0.5 && excess < 1e6; }
KULLBACK_ANYWHERE double mixture_excess(const Divergence& divergence, double power_divergence) {
  return divergence.renyi_order * (divergence.renyi_order - 1) * power_divergence;
}
// What that softmax, less a side's own, is multiplied by for the gradient.
KULLBACK_ANYWHERE double mixture_slope(const Divergence& divergence, bool of_student) {
  return of_student ? -1 : divergence.renyi_order / (divergence.renyi_order - 1);
}

}  // namespace kullback

#endif  // KULLBACK_MATH_GENERATOR_H
