// f_generator: which of the formulas of f_divergence.inl.h makes which divergence of the table. Needs
// kullback_backend.h before it.
#ifndef KULLBACK_MATH_F_GENERATOR_H
#define KULLBACK_MATH_F_GENERATOR_H

namespace kullback {

enum class FGenerator {
  kNone,  // a divergence that is no mean of an f
#define KULLBACK_F_GENERATOR(name) k##name,
#include "f_generators.inc"
#undef KULLBACK_F_GENERATOR
};

// A divergence is `factor` times what its generator says.
struct FDivergence {
  FGenerator generator;
  double parameter;  // as the generator calls it: alpha, beta or lambda
  double factor;
};

inline FDivergence f_divergence_of(kullback_divergence divergence, double parameter) {
  switch (divergence) {
    case KULLBACK_FORWARD_KL:
      return {FGenerator::kPowerRatio, 1, 1};
    case KULLBACK_REVERSE_KL:
      return {FGenerator::kPowerRatio, 0, 1};
    case KULLBACK_JEFFREYS:
      return {FGenerator::kJeffreysRatio, 0, 1};
    case KULLBACK_JENSEN_SHANNON:
      return {FGenerator::kJensenShannonRatio, parameter, 1};
    case KULLBACK_TOTAL_VARIATION:
      return {FGenerator::kTotalVariationRatio, 0, 1};
    case KULLBACK_SQUARED_HELLINGER:
      return {FGenerator::kPowerRatio, 0.5, 0.25};
    case KULLBACK_CHI_SQUARED:
      return {FGenerator::kPowerRatio, 2, 2};
    case KULLBACK_REVERSE_CHI_SQUARED:
      return {FGenerator::kPowerRatio, -1, 2};
    case KULLBACK_ALPHA:
      return {FGenerator::kPowerRatio, parameter, 1};
    case KULLBACK_SKEW_FORWARD_KL:
      return {FGenerator::kSkewForwardRatio, parameter, 1};
    case KULLBACK_SKEW_REVERSE_KL:
      return {FGenerator::kSkewReverseRatio, parameter, 1};
    case KULLBACK_CROSS_ENTROPY:
    case KULLBACK_RENYI:
      return {FGenerator::kNone, 0, 0};
  }
  return {FGenerator::kNone, 0, 0};
}

}  // namespace kullback

#endif  // KULLBACK_MATH_F_GENERATOR_H
