// linear_softmax_divergence between JavaScript and the backend table: arguments in, a number out. No mathematics.
#include <algorithm>
#include <string>

#include "addon.h"
#include "operation.h"

namespace kullback {
namespace {

constexpr int64_t kMost = int64_t{1} << 53;

enum class Teacher : int64_t { kLinear, kLogits, kLabels };

class Reader {
 public:
  Reader(Arguments& arguments, kullback_linear_softmax_divergence_request& request)
      : arguments_(arguments), request_(request), type_(array_type(request.dtype)) {}

  kullback_linear_logits side() {
    kullback_linear_logits side = {};
    side.width = arguments_.count("width");
    if (side.width < 1) throw argument_error(arguments_.env(), "width must be at least 1");
    side.hidden = matrix("hidden", request_.rows, side.width);
    side.weights = matrix("weights", request_.columns, side.width);
    side.bias = arguments_.input("bias", type_, request_.columns);
    return side;
  }

  void teacher() {
    switch (static_cast<Teacher>(arguments_.count("teacher"))) {
      case Teacher::kLinear:
        request_.teacher = side();
        return;
      case Teacher::kLogits:
        request_.teacher_logits = matrix("teacherLogits", request_.rows, request_.columns);
        return;
      case Teacher::kLabels:
        request_.labels =
            static_cast<const int32_t*>(arguments_.required_input("labels", napi_int32_array, request_.rows));
        return;
    }
    throw argument_error(arguments_.env(), "teacher is unknown");
  }

  void require_labels() const {
    if (request_.labels == nullptr) return;
    for (int64_t row = 0; row < request_.rows; ++row) {
      if (request_.row_mask != nullptr && request_.row_mask[row] == 0) continue;
      if (request_.labels[row] < 0 || request_.labels[row] >= request_.columns) {
        throw argument_error(arguments_.env(), "labels must be columns");
      }
    }
  }

 private:
  const void* matrix(const char* name, int64_t rows, int64_t columns) {
    if (rows > kMost / columns) throw argument_error(arguments_.env(), std::string(name) + " is too large");
    return arguments_.required_input(name, type_, rows * columns);
  }

  Arguments& arguments_;
  kullback_linear_softmax_divergence_request& request_;
  const napi_typedarray_type type_;
};

// The order of arguments is that of lib/backend/addon.ts.
kullback_linear_softmax_divergence_request read_request(Arguments& arguments, int64_t device) {
  kullback_linear_softmax_divergence_request request = {};
  request.device = static_cast<int32_t>(std::max<int64_t>(0, device));
  request.dtype = arguments.dtype();
  request.divergence = read_divergence(arguments);
  request.parameter = arguments.number("parameter");
  const int64_t rows = request.rows = arguments.count("rows");
  request.columns = arguments.count("columns");
  request.student_temperature = arguments.number("studentTemperature");
  request.teacher_temperature = arguments.number("teacherTemperature");
  request.scale = arguments.number("scale");
  request.grad_output = arguments.number("gradOutput");
  request.memory_budget = arguments.count("memoryBudget");
  const bool known = request.dtype == KULLBACK_FLOAT32 || request.dtype == KULLBACK_FLOAT64;
  if (!known || request.columns < 1) throw argument_error(arguments.env(), "a dtype or a size is wrong");

  Reader reader(arguments, request);
  request.student = reader.side();
  reader.teacher();
  const napi_typedarray_type type = array_type(request.dtype);
  const int64_t width = request.student.width;
  request.hidden_gradient = arguments.output("hiddenGradient", type, rows * width);
  request.weights_gradient = arguments.output("weightsGradient", type, request.columns * width);
  request.bias_gradient = arguments.output("biasGradient", type, request.columns);
  request.row_weights = static_cast<const double*>(arguments.input("rowWeights", napi_float64_array, rows));
  request.row_mask = static_cast<const uint8_t*>(arguments.input("rowMask", napi_uint8_array, rows));
  request.grad_outputs = static_cast<const double*>(arguments.input("gradOutputs", napi_float64_array, rows));
  request.values = static_cast<double*>(arguments.output("values", napi_float64_array, rows));
  reader.require_labels();
  return request;
}

}  // namespace

KULLBACK_DEFINE_OPERATION(linear_softmax_divergence)

}  // namespace kullback
