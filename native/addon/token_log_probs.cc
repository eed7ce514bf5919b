// token_log_probs between JavaScript and the backend table: arguments in. No mathematics.
#include <algorithm>

#include "addon.h"
#include "operation.h"

namespace kullback {
namespace {

constexpr int64_t kMost = int64_t{1} << 53;

// The order of arguments is that of lib/backend/addon.ts.
kullback_token_log_probs_request read_request(Arguments& arguments, int64_t device) {
  kullback_token_log_probs_request request = {};
  request.device = static_cast<int32_t>(std::max<int64_t>(0, device));
  const int64_t estimator = arguments.count("estimator");
  if (estimator > KULLBACK_K3) throw argument_error(arguments.env(), "estimator is unknown");
  request.estimator = static_cast<kullback_estimator>(estimator);
  const int64_t rows = request.rows = arguments.count("rows");
  request.columns = arguments.count("columns");
  request.stride = arguments.count("stride");
  request.temperature = arguments.number("temperature");
  request.grad_output = arguments.number("gradOutput");
  request.entropy_grad_output = arguments.number("entropyGradOutput");
  request.estimate_grad_output = arguments.number("estimateGradOutput");
  if (request.columns < 1 || request.columns > request.stride || rows > kMost / request.stride) {
    throw argument_error(arguments.env(), "columns must be from 1 to the stride, and rows times the stride a number");
  }
  const TensorKind kind = read_kind(arguments, "logits", device);
  request.dtype = kind.dtype;
  request.on_device = kind.on_device ? 1 : 0;
  request.logits = arguments.tensor_input("logits", kind.type, rows * request.stride, kind.on_device);
  request.gradient =
      arguments.tensor_output("logitsGradient", kind.type, rows * request.stride, kind.on_device, {nullptr, false});
  request.tokens = static_cast<const int32_t*>(arguments.required_input("tokens", napi_int32_array, rows));
  for (int64_t row = 0; row < rows; ++row) {
    if (request.tokens[row] < 0 || request.tokens[row] >= request.columns) {
      throw argument_error(arguments.env(), "tokens must be columns");
    }
  }
  const auto per_row = [&](const char* name) {
    return static_cast<const double*>(arguments.input(name, napi_float64_array, rows));
  };
  request.row_mask = static_cast<const uint8_t*>(arguments.input("rowMask", napi_uint8_array, rows));
  request.grad_outputs = per_row("gradOutputs");
  request.entropy_grad_outputs = per_row("entropyGradOutputs");
  request.estimate_grad_outputs = per_row("estimateGradOutputs");
  request.reference_log_probs = per_row("referenceLogProbs");
  if (request.estimator != KULLBACK_NO_ESTIMATOR && request.reference_log_probs == nullptr && rows > 0) {
    throw argument_error(arguments.env(), "referenceLogProbs is missing");
  }
  const auto output = [&](const char* name) {
    return static_cast<double*>(arguments.output(name, napi_float64_array, rows));
  };
  request.log_probs = output("logProbs");
  if (request.log_probs == nullptr && rows > 0) throw argument_error(arguments.env(), "logProbs is missing");
  request.entropy = output("entropy");
  request.log_sum_exp = output("logSumExp");
  request.estimates = output("estimates");
  return request;
}

}  // namespace

KULLBACK_DEFINE_OPERATION(token_log_probs)

}  // namespace kullback
