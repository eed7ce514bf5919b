// polynomial: c0 + c1 x + c2 x^2 + ..., in pairs (c0 + c1 x) + x^2 ((c2 + c3 x) + ...): Horner's rule with half the
// steps that wait for each other, which is what a processor's window of pending instructions is too short for.
//
// The files of native/math hold each formula once, for every compiler that needs it: they have no include guard, no
// namespace and no standard header, and are included again inside each target region (CPU) or device namespace (GPU).
// The includer provides Element<V>, constant<V>(x), fma, fnma, absolute, less, equal, both, select and operators.

template <class V>
KULLBACK_INLINE V polynomial_in_pairs(V, V, double c0) {
  return constant<V>(c0);
}
template <class V>
KULLBACK_INLINE V polynomial_in_pairs(V x, V, double c0, double c1) {
  return fma(x, constant<V>(c1), constant<V>(c0));
}
template <class V, class... Coefficients>
KULLBACK_INLINE V polynomial_in_pairs(V x, V square, double c0, double c1, Coefficients... rest) {
  return fma(square, polynomial_in_pairs(x, square, rest...), fma(x, constant<V>(c1), constant<V>(c0)));
}
template <class V, class... Coefficients>
KULLBACK_INLINE V polynomial(V x, Coefficients... coefficients) {
  return polynomial_in_pairs(x, x * x, coefficients...);
}
