// log_series: R(s^2) of log(1 + f) = f - f^2 / 2 + s (f^2 / 2 + R(s^2)), s = f / (2 + f), for 1 + f in [sqrt(1/2),
// sqrt(2)].
//   source   Remez exchange in 200-bit arithmetic

template <class V>
KULLBACK_INLINE V log_series(V z) {
  if constexpr (sizeof(Element<V>) == sizeof(float)) {
    return z * polynomial(z, 0.666666687, 0.400001228, 0.285507828, 0.23331356);
  } else {
    return z * polynomial(z, 0.6666666666666666, 0.40000000000000885, 0.2857142857080069, 0.22222222392334998,
                          0.18181795577318266, 0.15386242959871937, 0.13268689500394615, 0.13087468858172854);
  }
}
