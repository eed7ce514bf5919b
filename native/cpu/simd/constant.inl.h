// What the formulas of native/math ask for beside the operations of the vector types.

template <class V>
using Element = typename V::Element;

template <class V>
KULLBACK_INLINE V constant(double value) {
  return V::all(static_cast<Element<V>>(value));
}

template <class V>
KULLBACK_INLINE V broadcast(Element<V> value) {
  return V::all(value);
}
