// The shared library of the CUDA backend, loaded once a process.
#ifndef KULLBACK_ADDON_CUDA_LIBRARY_H
#define KULLBACK_ADDON_CUDA_LIBRARY_H

#include <string>

#include "../abi/kullback_backend.h"

namespace kullback {

// Its table, or NULL before load_cuda_library.
const kullback_backend* cuda_backend();

// Loads it, unless that was done before; whichever file came first stays. Returns what is wrong, or nothing.
std::string load_cuda_library(const std::string& path);

}  // namespace kullback

#endif  // KULLBACK_ADDON_CUDA_LIBRARY_H
