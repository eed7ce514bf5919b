// The elementary functions by name, for the tests and the benches that call them one by one.
#ifndef KULLBACK_CPU_ELEMENTARY_H
#define KULLBACK_CPU_ELEMENTARY_H

#include <cstdint>

namespace kullback {

enum class Elementary : int32_t { kExp = 0, kExp2 = 1, kExpm1 = 2, kLog1p = 3, kLog = 4 };

}  // namespace kullback

#endif  // KULLBACK_CPU_ELEMENTARY_H
