// elementary: one elementary function over an array, so that tests can measure the error of each instruction set.

template <class V, V (*Function)(V)>
static inline void apply(const Element<V>* from, Element<V>* to, int64_t count) {
  int64_t i = 0;
  for (; i + V::lanes <= count; i += V::lanes) Function(V::load(from + i)).store(to + i);
  const int rest = static_cast<int>(count - i);
  if (rest > 0) Function(V::load_first(from + i, rest, 0)).store_first(to + i, rest);
}

template <class V>
static void elementary(Elementary function, const Element<V>* from, Element<V>* to, int64_t count) {
  switch (function) {
    case Elementary::kExp:
      return apply<V, exp<V>>(from, to, count);
    case Elementary::kExp2:
      return apply<V, exp2<V>>(from, to, count);
    case Elementary::kExpm1:
      return apply<V, expm1<V>>(from, to, count);
    case Elementary::kLog1p:
      return apply<V, log1p<V>>(from, to, count);
    case Elementary::kLog:
      return apply<V, log<V>>(from, to, count);
  }
}
