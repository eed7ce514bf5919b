#include "cuda_library.h"

#include <atomic>
#include <mutex>

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace kullback {
namespace {

std::atomic<const kullback_backend*> loaded{nullptr};

#if defined(_WIN32)
void* open_library(const std::string& path, std::string& problem) {
  const int length = MultiByteToWideChar(CP_UTF8, 0, path.c_str(), -1, nullptr, 0);
  std::wstring wide(static_cast<size_t>(length), L'\0');
  MultiByteToWideChar(CP_UTF8, 0, path.c_str(), -1, wide.data(), length);
  const HMODULE library = LoadLibraryW(wide.c_str());
  if (library == nullptr) problem = "LoadLibrary failed with error " + std::to_string(GetLastError());
  return library;
}
void* symbol(void* library) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), KULLBACK_BACKEND_SYMBOL));
}
#else
void* open_library(const std::string& path, std::string& problem) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) problem = dlerror();
  return library;
}
void* symbol(void* library) { return dlsym(library, KULLBACK_BACKEND_SYMBOL); }
#endif

}  // namespace

const kullback_backend* cuda_backend() { return loaded.load(std::memory_order_acquire); }

std::string load_cuda_library(const std::string& path) {
  static std::mutex mutex;
  static std::string& loaded_path = *new std::string;
  const std::lock_guard<std::mutex> lock(mutex);
  if (cuda_backend() != nullptr) {
    return path == loaded_path ? std::string() : "this process has loaded " + loaded_path + " already";
  }
  std::string problem;
  void* const library = open_library(path, problem);
  if (library == nullptr) return problem;
  const auto table = reinterpret_cast<kullback_backend_table_function>(symbol(library));
  if (table == nullptr) return "it has no " KULLBACK_BACKEND_SYMBOL;
  // Nothing but the version may be read of a table that another version laid out.
  const kullback_backend* const backend = table();
  if (backend == nullptr) return "its " KULLBACK_BACKEND_SYMBOL " returns nothing";
  if (backend->abi_version != KULLBACK_ABI_VERSION) {
    return "it has ABI " + std::to_string(backend->abi_version) + ", the addon " +
           std::to_string(KULLBACK_ABI_VERSION) + ": a stale build";
  }
  loaded_path = path;
  loaded.store(backend, std::memory_order_release);
  return {};
}

}  // namespace kullback
