// The CPU backend's table.
#ifndef KULLBACK_CPU_BACKEND_H
#define KULLBACK_CPU_BACKEND_H

#include "../abi/kullback_backend.h"

namespace kullback {

#define KULLBACK_OPERATION(stem) \
  kullback_status stem##_cpu(const kullback_##stem##_request* request, const kullback_control* control);
#include "../abi/operations.inc"
#undef KULLBACK_OPERATION

extern const kullback_backend cpu_backend;

}  // namespace kullback

#endif  // KULLBACK_CPU_BACKEND_H
