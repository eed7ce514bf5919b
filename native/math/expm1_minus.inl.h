// expm1_minus: e^u - 1 - u for |u| <= 1, as one function.
//   why      every Kullback-Leibler term is p (e^u - 1 - u); formed from e^u, it loses all its digits as u -> 0
//   method   u^2 P(u), P minimax for (e^u - 1 - u) / u^2 in the relative error
//   bound    |relative error| < 1.1e-7 + 1.5 ulp (float32), 4.7e-17 + 1.5 ulp (float64); beyond |u| = 1 it grows fast
//   source   Remez exchange in 200-bit arithmetic; e^u - 1 then is u + expm1_minus(u)

template <class V>
KULLBACK_INLINE V expm1_minus(V u) {
  if constexpr (sizeof(Element<V>) == sizeof(float)) {
    return u * u *
           polynomial(u, 0.5, 0.166666955, 0.0416665152, 0.00833093096, 0.00138913351, 0.000203254749, 2.49607947e-05);
  } else {
    return u * u *
           polynomial(u, 0.5, 0.16666666666666666, 0.041666666666666116, 0.008333333333333878, 0.0013888888888978505,
                      0.0001984126984085817, 2.4801587247337904e-05, 2.7557319351914066e-06, 2.7557334828961517e-07,
                      2.505209083981594e-08, 2.0874456950901286e-09, 1.6059834727950335e-10, 1.1638480421624432e-11,
                      7.67969761941786e-13);
  }
}
