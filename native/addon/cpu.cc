// What JavaScript may ask and tell the CPU backend about: threads, instruction sets, elementary functions.
#include <algorithm>
#include <limits>
#include <string>

#include "../cpu/dispatch.h"
#include "../cpu/thread_pool.h"
#include "addon.h"
#include "arguments.h"
#include "errors.h"

namespace kullback {
namespace {

Napi::Value thread_count(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), ThreadPool::instance().thread_count());
}

Napi::Value set_thread_count(const Napi::CallbackInfo& info) {
  const int64_t count = Arguments(info, 0, nullptr).count("count");
  if (count < 1 || count > std::numeric_limits<int>::max()) {
    throw argument_error(info.Env(), "count must be a positive integer");
  }
  ThreadPool::instance().set_thread_count(static_cast<int>(count));
  return info.Env().Undefined();
}

// [{ name, supported, active }], the least first.
Napi::Value list_instruction_sets(const Napi::CallbackInfo& info) {
  int count = 0;
  const InstructionSet* sets = instruction_sets(&count);
  Napi::Array list = Napi::Array::New(info.Env(), static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    Napi::Object entry = Napi::Object::New(info.Env());
    entry["name"] = sets[i].name;
    entry["supported"] = sets[i].supported();
    entry["active"] = &sets[i] == &active_instruction_set();
    list[static_cast<uint32_t>(i)] = entry;
  }
  return list;
}

const InstructionSet& supported_set(const Napi::CallbackInfo& info, size_t index) {
  const std::string name = info[index].ToString();
  const InstructionSet* set = find_instruction_set(name);
  if (set == nullptr || !set->supported()) {
    throw argument_error(info.Env(), "no instruction set '" + name + "' on this processor");
  }
  return *set;
}

Napi::Value use_instruction_set(const Napi::CallbackInfo& info) {
  kullback::use_instruction_set(supported_set(info, 0));
  return info.Env().Undefined();
}

template <class T>
void run_elementary(const InstructionSet& set, Elementary function, Arguments& arguments, napi_typedarray_type type,
                    int64_t length) {
  const T* from = static_cast<const T*>(arguments.required_input("from", type, length));
  T* to = static_cast<T*>(arguments.output("to", type, length));
  if (to == nullptr) throw argument_error(arguments.env(), "to is missing");
  kernels_of<T>(*set.kernels).elementary(function, from, to, length);
}

// elementary(instruction set, function, length, from, to)
Napi::Value elementary(const Napi::CallbackInfo& info) {
  const InstructionSet& set = supported_set(info, 0);
  Arguments arguments(info, 1, nullptr);
  const int64_t number = arguments.count("function");
  if (number > static_cast<int64_t>(Elementary::kLog)) throw argument_error(info.Env(), "function is unknown");
  const auto function = static_cast<Elementary>(number);
  const int64_t length = arguments.count("length");
  const napi_typedarray_type type = arguments.float_type("from");
  if (type == napi_float32_array) {
    run_elementary<float>(set, function, arguments, type, length);
  } else {
    run_elementary<double>(set, function, arguments, type, length);
  }
  return info.Env().Undefined();
}

template <class T>
void run_matrix_product(Arguments& arguments, const Kernels<T>& kernels, napi_typedarray_type type) {
  const bool chained = arguments.flag("chained") != 0, added = arguments.flag("added") != 0;
  const bool a_along = arguments.flag("aAlongDepth") != 0, b_along = arguments.flag("bAlongDepth") != 0;
  const int64_t rows = arguments.count("rows"), columns = arguments.count("columns"), depth = arguments.count("depth");
  const T* a = static_cast<const T*>(arguments.required_input("a", type, rows * depth));
  const T* b = static_cast<const T*>(arguments.required_input("b", type, columns * depth));
  T* c = static_cast<T*>(arguments.output("c", type, rows * columns));
  if (c == nullptr) throw argument_error(arguments.env(), "c is missing");
  Stop stop(nullptr);
  MatrixProduct<T> product(kernels, stop);
  product.multiply(rows, columns, depth, {a, a_along ? depth : 1, a_along ? 1 : rows},
                   {b, b_along ? depth : 1, b_along ? 1 : columns}, {added ? c : nullptr, columns},
                   chained ? SumOrder::kInAChain : SumOrder::kInParts, c, columns);
}

// matrixProduct(instruction set or undefined, dtype, chained, added, aAlongDepth, bAlongDepth, rows, columns, depth, a,
// b, c), on all threads: for tests and benches.
Napi::Value matrix_product(const Napi::CallbackInfo& info) {
  const InstructionSet& set = info[0].IsUndefined() ? active_instruction_set() : supported_set(info, 0);
  Arguments arguments(info, 1, nullptr);
  const kullback_dtype dtype = arguments.dtype();
  if (dtype == KULLBACK_FLOAT32) {
    run_matrix_product<float>(arguments, set.kernels->float32, napi_float32_array);
  } else {
    run_matrix_product<double>(arguments, set.kernels->float64, napi_float64_array);
  }
  return info.Env().Undefined();
}

// memoryLimit(length, first, second, sum or undefined), float32, on all threads: for benches.
Napi::Value memory_limit(const Napi::CallbackInfo& info) {
  Arguments arguments(info, 0, nullptr);
  const int64_t length = arguments.count("length");
  const auto* first = static_cast<const float*>(arguments.required_input("first", napi_float32_array, length));
  const auto* second = static_cast<const float*>(arguments.required_input("second", napi_float32_array, length));
  auto* sum = static_cast<float*>(arguments.output("sum", napi_float32_array, length));
  const Kernels<float>& kernels = active_instruction_set().kernels->float32;
  constexpr int64_t kPart = 1 << 15;
  ThreadPool::instance().parallel_for((length + kPart - 1) / kPart, [&](int64_t part) {
    const int64_t begin = part * kPart;
    kernels.memory_limit(first + begin, second + begin, sum == nullptr ? nullptr : sum + begin,
                         std::min(kPart, length - begin));
  });
  return info.Env().Undefined();
}

}  // namespace

void register_cpu(Napi::Env env, Napi::Object exports) {
  exports["threadCount"] = Napi::Function::New<thread_count>(env, "threadCount");
  exports["setThreadCount"] = Napi::Function::New<set_thread_count>(env, "setThreadCount");
  exports["instructionSets"] = Napi::Function::New<list_instruction_sets>(env, "instructionSets");
  exports["useInstructionSet"] = Napi::Function::New<use_instruction_set>(env, "useInstructionSet");
  exports["memoryLimit"] = Napi::Function::New<memory_limit>(env, "memoryLimit");
  exports["matrixProduct"] = Napi::Function::New<matrix_product>(env, "matrixProduct");
  exports["elementary"] = Napi::Function::New<elementary>(env, "elementary");
}

}  // namespace kullback
