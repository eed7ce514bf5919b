// polynomial: c0 + c1 x + c2 x^2 + ... by Horner's rule, one fused multiply-add per coefficient.
//
// The files of native/math hold each formula once, for every compiler that needs it: they have no include guard, no
// namespace and no standard header, and are included again inside each target region (CPU) or device namespace (GPU).
// The includer provides Element<V>, constant<V>(x), fma, fnma, absolute, less, equal, both, select and operators.

template <class V>
KULLBACK_INLINE V polynomial(V, double c0) {
  return constant<V>(c0);
}
template <class V, class... Coefficients>
KULLBACK_INLINE V polynomial(V x, double c0, Coefficients... rest) {
  return fma(x, polynomial(x, rest...), constant<V>(c0));
}
