// f_divergence between JavaScript and the backend table: arguments in. No mathematics.
#include <algorithm>

#include "addon.h"
#include "operation.h"

namespace kullback {
namespace {

// The order of arguments is that of lib/backend/addon.ts.
kullback_f_divergence_request read_request(Arguments& arguments, int64_t device) {
  kullback_f_divergence_request request = {};
  request.device = static_cast<int32_t>(std::max<int64_t>(0, device));
  request.divergence = read_divergence(arguments);
  request.parameter = arguments.number("parameter");
  request.scale = arguments.number("scale");
  const int64_t length = request.length = arguments.count("length");
  const TensorKind kind = read_kind(arguments, "logRatios", device);
  request.dtype = kind.dtype;
  request.on_device = kind.on_device ? 1 : 0;
  const auto output = [&](const char* name) {
    return arguments.tensor_output(name, kind.type, length, kind.on_device, {nullptr, false});
  };
  request.log_ratios = arguments.tensor_input("logRatios", kind.type, length, kind.on_device);
  request.values = output("values");
  request.derivatives = output("derivatives");
  request.value_gradients = output("valueGradients");
  request.derivative_gradients = output("derivativeGradients");
  return request;
}

}  // namespace

KULLBACK_DEFINE_OPERATION(f_divergence)

}  // namespace kullback
