#include "backend.h"

namespace kullback {

const kullback_backend cpu_backend = {
    KULLBACK_ABI_VERSION,
    "cpu",
    [] { return ""; },
    nullptr,
#define KULLBACK_OPERATION(stem) &stem##_cpu,
#include "../abi/operations.inc"
#undef KULLBACK_OPERATION
};

}  // namespace kullback
