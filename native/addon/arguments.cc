#include "arguments.h"

#include <cmath>
#include <cstring>
#include <string>

#include "backends.h"
#include "device_memory.h"
#include "errors.h"
#include "pages.h"

namespace kullback {

double Arguments::number(const char* name) {
  double result = 0;
  if (napi_get_value_double(info_.Env(), info_[next_++], &result) != napi_ok) {
    throw argument_error(info_.Env(), std::string(name) + " must be a number");
  }
  return result;
}

int64_t Arguments::count(const char* name) {
  const double value = number(name);
  if (!(value >= 0 && value <= 9007199254740991.0) || value != std::floor(value)) {
    throw argument_error(info_.Env(), std::string(name) + " must be a non-negative integer");
  }
  return static_cast<int64_t>(value);
}

uint8_t Arguments::flag(const char* name) {
  const double value = number(name);
  if (value != 0 && value != 1) throw argument_error(info_.Env(), std::string(name) + " must be 0 or 1");
  return value == 1 ? 1 : 0;
}

int64_t Arguments::device() {
  const double value = number("device");
  if (!(value >= kCpu && value < kMostDevices) || value != std::floor(value)) {
    throw argument_error(info_.Env(), "device must be -1 or a device's index");
  }
  device_ = static_cast<int64_t>(value);
  return device_;
}

int64_t Arguments::cuda_device() {
  const int64_t device = this->device();
  if (device == kCpu) throw argument_error(info_.Env(), "device must be a device's index");
  return device;
}

bool Arguments::on_device() const { return device_range_of(info_.Env(), info_[next_]) != nullptr; }

kullback_dtype Arguments::dtype() {
  const int64_t number = count("dtype");
  if (number > KULLBACK_BFLOAT16) throw argument_error(info_.Env(), "dtype is unknown");
  return static_cast<kullback_dtype>(number);
}

napi_typedarray_type Arguments::float_type(const char* name) const {
  const DeviceRange* const range = device_range_of(info_.Env(), info_[next_]);
  napi_typedarray_type type = range == nullptr ? napi_int8_array : range->type;
  if (range == nullptr) {
    napi_get_typedarray_info(info_.Env(), info_[next_], &type, nullptr, nullptr, nullptr, nullptr);
  }
  if (type != napi_float32_array && type != napi_float64_array) {
    throw argument_error(info_.Env(), std::string(name) + " must hold float32 or float64");
  }
  return type;
}

Arguments::Array Arguments::array(const char* name, napi_typedarray_type type, int64_t length) {
  const Napi::Value value = info_[next_++];
  if (value.IsUndefined()) return {};
  napi_typedarray_type actual;
  size_t actual_length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(info_.Env(), value, &actual, &actual_length, &data, nullptr, nullptr) != napi_ok ||
      actual != type) {
    throw argument_error(info_.Env(), std::string(name) + " has the wrong element type");
  }
  if (actual_length < static_cast<size_t>(length)) {
    throw argument_error(info_.Env(), std::string(name) + " is too short");
  }
  const Napi::TypedArray handle(info_.Env(), value);
  return {handle, data, static_cast<size_t>(length * element_bytes(type))};
}

// Without a job, what is written is the caller's memory while inputs are still read. Two SharedArrayBuffer objects may
// be one memory, which only its addresses tell.
void Arguments::require_own_memory(const char* name, const void* data, size_t bytes, const Written* written) {
  if (bytes == 0) return;
  const char* const begin = static_cast<const char*>(data);
  const char* const end = begin + bytes;
  for (const Range& other : seen_) {
    const bool over = written != nullptr && written->over != nullptr && std::strcmp(written->over, other.name) == 0;
    if (over && begin == other.begin && end == other.end) continue;
    if ((written != nullptr || other.written) && begin < other.end && other.begin < end) {
      throw coded_error(info_.Env(), "ERR_KULLBACK_OPTION",
                        std::string(written ? name : other.name) + " shares memory with " +
                            (written ? other.name : name) + "; it must have memory of its own");
    }
  }
  seen_.push_back({name, begin, end, written != nullptr});
}

const void* Arguments::required_input(const char* name, napi_typedarray_type type, int64_t length) {
  if (info_[next_].IsUndefined()) throw argument_error(info_.Env(), std::string(name) + " is missing");
  return input(name, type, length);
}

const void* Arguments::input(const char* name, napi_typedarray_type type, int64_t length) {
  const Array from = array(name, type, length);
  if (job_ == nullptr) require_own_memory(name, from.data, from.bytes, nullptr);
  if (from.handle.IsEmpty() || job_ == nullptr) return from.data;
  void* copy = job_->allocate(from.bytes);
  if (from.bytes > 0) std::memcpy(copy, from.data, from.bytes);
  return copy;
}

// A job shares the memory, so that it outlives the array.
void* Arguments::device_array(const char* name, napi_typedarray_type type, int64_t length, const Written* written) {
  const Napi::Value value = info_[next_++];
  if (value.IsUndefined()) return nullptr;
  const DeviceRange* const range = device_range_of(info_.Env(), value);
  if (range == nullptr || range->memory == nullptr) {
    throw argument_error(info_.Env(), std::string(name) + " must be a live device array");
  }
  if (range->type != type) throw argument_error(info_.Env(), std::string(name) + " has the wrong element type");
  if (range->length < length) throw argument_error(info_.Env(), std::string(name) + " is too short");
  if (range->memory->device() != device_)
    throw argument_error(info_.Env(), std::string(name) + " is on another device");
  require_own_memory(name, range->data(), static_cast<size_t>(length * element_bytes(type)), written);
  if (job_ != nullptr) job_->keep(range->memory);
  return range->data();
}

const void* Arguments::tensor_input(const char* name, napi_typedarray_type type, int64_t length, bool on_device) {
  if (!on_device) return required_input(name, type, length);
  const void* const data = device_array(name, type, length, nullptr);
  if (data == nullptr) throw argument_error(info_.Env(), std::string(name) + " is missing");
  return data;
}

void* Arguments::tensor_output(const char* name, napi_typedarray_type type, int64_t length, bool on_device,
                               Written written) {
  return on_device ? device_array(name, type, length, &written) : written_array(name, type, length, written);
}

void* Arguments::output(const char* name, napi_typedarray_type type, int64_t length) {
  return written_array(name, type, length, {nullptr, false});
}

void* Arguments::written_array(const char* name, napi_typedarray_type type, int64_t length, const Written& written) {
  const Array to = array(name, type, length);
  expect_writes(to.data, to.bytes);
  if (job_ == nullptr) require_own_memory(name, to.data, to.bytes, &written);
  if (to.handle.IsEmpty() || job_ == nullptr) return to.data;
  void* buffer = job_->allocate(to.bytes);
  if (written.added_to && to.bytes > 0) std::memcpy(buffer, to.data, to.bytes);
  job_->copy_out(to.handle, buffer, to.bytes);
  return buffer;
}

}  // namespace kullback
