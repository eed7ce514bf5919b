// The operations of the CUDA backend.
#ifndef KULLBACK_CUDA_BACKEND_H
#define KULLBACK_CUDA_BACKEND_H

#include "../abi/kullback_backend.h"

namespace kullback {

#define KULLBACK_OPERATION(stem) \
  kullback_status stem##_cuda(const kullback_##stem##_request* request, const kullback_control* control);
#include "../abi/operations.inc"
#undef KULLBACK_OPERATION

// limits.cu: what benches hold operations against.
kullback_status memory_limit_cuda(int32_t device, const float* first, const float* second, float* sum, int64_t length);
kullback_status exponential_limit_cuda(int32_t device, int64_t count);

}  // namespace kullback

#endif  // KULLBACK_CUDA_BACKEND_H
