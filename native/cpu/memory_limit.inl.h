// memory_limit: what the benches hold the operations against. Two arrays are read, and a third is written where there
// is one, with next to no arithmetic: no operation with that traffic can be faster on this machine.

template <class V>
static void memory_limit(const Element<V>* first, const Element<V>* second, Element<V>* sum, int64_t count) {
  const int64_t whole = count / V::lanes * V::lanes;
  if (sum != nullptr) {
    for (int64_t i = 0; i < whole; i += V::lanes) (V::load(first + i) + V::load(second + i)).store(sum + i);
    return;
  }
  V even = constant<V>(0), odd = constant<V>(0);
  int64_t i = 0;
  for (; i + 2 * V::lanes <= whole; i += 2 * V::lanes) {
    even = maximum(even, maximum(V::load(first + i), V::load(second + i)));
    odd = maximum(odd, maximum(V::load(first + i + V::lanes), V::load(second + i + V::lanes)));
  }
  // Keeps the compiler from leaving the reads out.
  volatile Element<V> used = largest_of(maximum(even, odd));
  static_cast<void>(used);
}
