// The dispatcher of token_log_probs on the GPU: rows to the device and back where they are not there already, and
// whether a warp or a block takes one.
#include "token_log_probs.cuh"

#include "backend.h"
#include "context.h"
#include "staging.h"

namespace kullback {
namespace {

using Request = kullback_token_log_probs_request;

// Rows up to here are a warp's, longer ones a block's.
constexpr int64_t kWarpColumns = 1024;
constexpr unsigned kWarpThreads = 128, kBlockThreads = 256;
// Of the host's rows, what is on its way at a time: twice that is on the device.
constexpr size_t kSlotBytes = size_t{32} << 20;
// Of rows that are on the device already, what one launch takes.
constexpr int64_t kLaunchElements = int64_t{1} << 31;
constexpr int64_t kMostBlocks = (int64_t{1} << 31) - 1;

template <class T, class Team>
void launch_rows(const TokenLogProbsArguments<T>& arguments, cudaStream_t stream) {
  SharedSize size;
  TokenLogProbsShared<Team> shared(size);
  const int64_t blocks = (arguments.rows + Team::kTeamsPerBlock - 1) / Team::kTeamsPerBlock;
  const LaunchShape shape = {dim3(static_cast<unsigned>(std::min(blocks, kMostBlocks))), dim3(Team::kThreads),
                             size.bytes()};
  check(launch(token_log_probs<T, Team>, shape, stream, arguments), "launching token_log_probs");
}

template <class T>
class TokenLogProbs {
 public:
  explicit TokenLogProbs(const Request& request) : request_(request), on_host_(request.on_device == 0) {
    const size_t row_bytes = static_cast<size_t>(request.stride) * sizeof(T);
    logits_ = staging_.input(on_host_ ? request.logits : nullptr, row_bytes);
    reference_log_probs_ = staging_.input(request.reference_log_probs, sizeof(double));
    grad_outputs_ = staging_.input(request.grad_outputs, sizeof(double));
    entropy_grad_outputs_ = staging_.input(request.entropy_grad_outputs, sizeof(double));
    estimate_grad_outputs_ = staging_.input(request.estimate_grad_outputs, sizeof(double));
    tokens_ = staging_.input(request.tokens, sizeof(int32_t));
    row_mask_ = staging_.input(request.row_mask, 1);
    gradient_ = staging_.output(on_host_ ? request.gradient : nullptr, row_bytes);
    log_probs_ = staging_.output(request.log_probs, sizeof(double));
    entropy_ = staging_.output(request.entropy, sizeof(double));
    log_sum_exp_ = staging_.output(request.log_sum_exp, sizeof(double));
    estimates_ = staging_.output(request.estimates, sizeof(double));
  }

  kullback_status run(Device& device, const kullback_control* control) {
    const int64_t rows_of_launch = std::max<int64_t>(1, kLaunchElements / request_.columns);
    return run_in_slots(device, staging_, request_.rows, rows_of_launch, kSlotBytes, control,
                        "computing token_log_probs", [&](const Slot& slot, int64_t first, int64_t rows) {
                          const TokenLogProbsArguments<T> arguments = arguments_of(slot, first, rows);
                          if (request_.columns <= kWarpColumns) {
                            return launch_rows<T, WarpTeam<kWarpThreads>>(arguments, slot.stream);
                          }
                          return launch_rows<T, BlockTeam<kBlockThreads>>(arguments, slot.stream);
                        });
  }

 private:
  TokenLogProbsArguments<T> arguments_of(const Slot& slot, int64_t first, int64_t rows) const {
    TokenLogProbsArguments<T> arguments = {};
    arguments.rows = rows;
    arguments.columns = request_.columns;
    arguments.stride = request_.stride;
    arguments.logits = staging_.at<const T>(slot, logits_);
    arguments.gradient = staging_.at<T>(slot, gradient_);
    if (!on_host_) {
      arguments.logits = static_cast<const T*>(request_.logits) + first * request_.stride;
      arguments.gradient =
          request_.gradient == nullptr ? nullptr : static_cast<T*>(request_.gradient) + first * request_.stride;
    }
    arguments.tokens = staging_.at<const int32_t>(slot, tokens_);
    arguments.row_mask = staging_.at<const uint8_t>(slot, row_mask_);
    arguments.scale = softmax_scale<T>(request_.temperature);
    arguments.estimator = request_.estimator;
    arguments.reference_log_probs = staging_.at<const double>(slot, reference_log_probs_);
    arguments.grad_outputs = staging_.at<const double>(slot, grad_outputs_);
    arguments.entropy_grad_outputs = staging_.at<const double>(slot, entropy_grad_outputs_);
    arguments.estimate_grad_outputs = staging_.at<const double>(slot, estimate_grad_outputs_);
    arguments.grad_output = request_.grad_output;
    arguments.entropy_grad_output = request_.entropy_grad_output;
    arguments.estimate_grad_output = request_.estimate_grad_output;
    arguments.log_probs = staging_.at<double>(slot, log_probs_);
    arguments.entropy = staging_.at<double>(slot, entropy_);
    arguments.log_sum_exp = staging_.at<double>(slot, log_sum_exp_);
    arguments.estimates = staging_.at<double>(slot, estimates_);
    return arguments;
  }

  const Request& request_;
  const bool on_host_;
  RowStaging staging_;
  size_t logits_, reference_log_probs_, grad_outputs_, entropy_grad_outputs_, estimate_grad_outputs_, tokens_,
      row_mask_, gradient_, log_probs_, entropy_, log_sum_exp_, estimates_;
};

}  // namespace

kullback_status token_log_probs_cuda(const Request* request, const kullback_control* control) {
  return run_on(request->device, [&](Device& device) {
    switch (request->dtype) {
      case KULLBACK_FLOAT32:
        return TokenLogProbs<float>(*request).run(device, control);
      case KULLBACK_FLOAT64:
        return TokenLogProbs<double>(*request).run(device, control);
      case KULLBACK_FLOAT16:
      case KULLBACK_BFLOAT16:
        break;
    }
    return KULLBACK_UNSUPPORTED;
  });
}

}  // namespace kullback
