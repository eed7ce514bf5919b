// softmax_divergence between JavaScript and the backend table: arguments in, a number out. No mathematics.
#include <algorithm>

#include "addon.h"
#include "operation.h"

namespace kullback {
namespace {

constexpr int64_t kMost = int64_t{1} << 53;

kullback_tail read_tail(Arguments& arguments) {
  const int64_t tail = arguments.count("tail");
  if (tail > KULLBACK_TAIL_ZERO) throw argument_error(arguments.env(), "tail is unknown");
  return static_cast<kullback_tail>(tail);
}

// A column that is none would be memory of someone else's; one that is named twice, only a wrong result.
const int32_t* read_ids(Arguments& arguments, const kullback_softmax_divergence_request& request) {
  if (request.tail == KULLBACK_NO_TAIL) {
    arguments.skip();
    return nullptr;
  }
  const int64_t count = (request.one_teacher != 0 ? 1 : request.rows) * request.teacher_stride;
  const auto* ids = static_cast<const int32_t*>(arguments.required_input("teacherIds", napi_int32_array, count));
  for (int64_t i = 0; i < count; ++i) {
    if (ids[i] < -1 || ids[i] >= request.columns) throw argument_error(arguments.env(), "teacherIds must be columns");
  }
  return ids;
}

// The order of arguments is that of lib/backend/addon.ts.
kullback_softmax_divergence_request read_request(Arguments& arguments, int64_t device) {
  kullback_softmax_divergence_request request = {};
  request.device = static_cast<int32_t>(std::max<int64_t>(0, device));
  request.dtype = arguments.dtype();
  request.divergence = read_divergence(arguments);
  request.parameter = arguments.number("parameter");
  request.rows = arguments.count("rows");
  request.columns = arguments.count("columns");
  request.student_stride = arguments.count("studentStride");
  request.teacher_stride = arguments.count("teacherStride");
  request.student_temperature = arguments.number("studentTemperature");
  request.teacher_temperature = arguments.number("teacherTemperature");
  request.scale = arguments.number("scale");
  request.grad_output = arguments.number("gradOutput");
  request.one_teacher = arguments.flag("oneTeacher");
  request.teacher_in_probabilities = arguments.flag("teacherInProbabilities");
  request.tail = read_tail(arguments);
  request.accumulate = arguments.flag("accumulate");

  const int64_t rows = request.rows;
  const bool has_tail = request.tail != KULLBACK_NO_TAIL;
  const int64_t least_stride =
      has_tail ? request.student_stride : std::min(request.student_stride, request.teacher_stride);
  const int64_t largest_stride = std::max(request.student_stride, request.teacher_stride);
  if (request.teacher_stride < 1 || request.columns < 1 || request.columns > least_stride ||
      rows > kMost / largest_stride) {
    throw argument_error(arguments.env(), "columns must be from 1 to either stride, and rows times strides a number");
  }
  const int64_t student_length = rows * request.student_stride;
  const int64_t teacher_length = (request.one_teacher != 0 ? 1 : rows) * request.teacher_stride;
  const napi_typedarray_type type = array_type(request.dtype);
  const bool on_device = arguments.on_device();
  if (on_device && device == kCpu) throw argument_error(arguments.env(), "device arrays are for a device");
  request.on_device = on_device ? 1 : 0;
  request.student = arguments.tensor_input("student", type, student_length, on_device);
  request.teacher = arguments.tensor_input("teacher", type, teacher_length, on_device);
  request.teacher_ids = read_ids(arguments, request);
  const bool added_to = request.accumulate != 0;
  request.student_gradient =
      arguments.tensor_output("studentGradient", type, student_length, on_device, {"student", added_to});
  request.teacher_gradient =
      arguments.tensor_output("teacherGradient", type, teacher_length, on_device, {"teacher", added_to});
  if (request.teacher_gradient != nullptr &&
      (request.one_teacher != 0 || request.teacher_in_probabilities != 0 || has_tail)) {
    throw argument_error(arguments.env(), "this teacher has no gradient");
  }

  const auto per_column = [&](const char* name) {
    return static_cast<const double*>(arguments.input(name, napi_float64_array, request.columns));
  };
  request.student_log_prior = per_column("studentLogPrior");
  request.teacher_log_prior = per_column("teacherLogPrior");
  if (has_tail && request.teacher_log_prior != nullptr) {
    throw argument_error(arguments.env(), "this teacher has no log-prior");
  }
  const auto per_row = [&](const char* name) {
    return static_cast<double*>(arguments.output(name, napi_float64_array, rows));
  };
  request.row_weights = static_cast<const double*>(arguments.input("rowWeights", napi_float64_array, rows));
  request.row_mask = static_cast<const uint8_t*>(arguments.input("rowMask", napi_uint8_array, rows));
  request.grad_outputs = static_cast<const double*>(arguments.input("gradOutputs", napi_float64_array, rows));
  request.values = per_row("values");
  request.divergences = per_row("divergences");
  request.student_log_sum_exp = per_row("studentLogSumExp");
  request.teacher_log_sum_exp = per_row("teacherLogSumExp");
  request.student_entropy = per_row("studentEntropy");
  request.teacher_entropy = per_row("teacherEntropy");
  request.argmax_agreement = static_cast<uint8_t*>(arguments.output("argmaxAgreement", napi_uint8_array, rows));
  return request;
}

}  // namespace

KULLBACK_DEFINE_OPERATION(softmax_divergence)

}  // namespace kullback
