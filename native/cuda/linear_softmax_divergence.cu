// The driver of linear_softmax_divergence on the GPU: weights go to the device whole, rows in chunks that the memory
// budget allows. Of each chunk matrix_product makes logits, softmax_divergence (or token_log_probs, where there are
// labels) writes the gradient over them, and two more products make the gradients of hidden states and weights out of
// that. What a chunk adds to the weights' gradient goes on with the chain of additions where the chunk before has
// ended.
//
// Each step holds the device's lock for itself, and has ended when it lets go: those of other operations do so too.
#include "linear_softmax_divergence.cuh"

#include "matrix_product.cuh"

#include "backend.h"
#include "context.h"
// After what includes kullback_backend.h.
#include "../math/linear_rows.h"
#include "../math/sum.h"

namespace kullback {
namespace {

using Request = kullback_linear_softmax_divergence_request;

constexpr int64_t kMostBlocks = (int64_t{1} << 31) - 1;
constexpr unsigned kSumThreads = 128;

// Memory of the device as long as it is wanted.
class DeviceMemory {
 public:
  explicit DeviceMemory(Device& device) : device_(device) {}
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  ~DeviceMemory() {
    if (memory_ == nullptr) return;
    try {
      device_.free(memory_);
    } catch (const CudaFailure&) {
      // Of a device that is lost, as whoever used the memory has heard.
    }
  }
  template <class T>
  T* reserve(int64_t count) {
    memory_ = device_.allocate(static_cast<size_t>(std::max<int64_t>(1, count)) * sizeof(T));
    return static_cast<T*>(memory_);
  }

 private:
  Device& device_;
  void* memory_ = nullptr;
};

template <class T>
class LinearSoftmaxDivergence {
 public:
  LinearSoftmaxDivergence(const Request& request, const kullback_control* control, Device& device)
      : request_(request),
        control_(control),
        device_(device),
        columns_(request.columns),
        width_(request.student.width),
        rows_(request) {}

  kullback_status run() {
    const int64_t least = fixed_bytes() + bytes_of_row();
    const int64_t budget =
        request_.memory_budget > 0 ? request_.memory_budget : std::max<int64_t>(KULLBACK_MEMORY_BUDGET, least);
    if (budget < least) {
      *request_.value = static_cast<double>(least);
      return KULLBACK_SMALL_BUDGET;
    }
    const int64_t rows_of_chunk = rows_.rows_of_chunk(budget - fixed_bytes(), bytes_of_row());
    reserve(rows_of_chunk);
    for (int64_t first = 0; first < rows_.count(); first += rows_of_chunk) {
      const kullback_status status = run_chunk(first, std::min(rows_of_chunk, rows_.count() - first));
      if (status != KULLBACK_OK) return status;
    }
    fetch_sums();
    if (request_.values != nullptr) std::copy(rows_.values().begin(), rows_.values().end(), request_.values);
    *request_.value = sum_pairwise(rows_.values().data(), request_.rows);
    return KULLBACK_OK;
  }

 private:
  // An output layer on the device.
  struct Layer {
    explicit Layer(Device& device) : weights_memory(device), bias_memory(device), hidden_memory(device) {}
    DeviceMemory weights_memory, bias_memory, hidden_memory;
    T *weights = nullptr, *bias = nullptr, *hidden = nullptr;  // hidden: of a chunk
  };

  bool has_linear_teacher() const { return request_.teacher.hidden != nullptr; }
  bool has_teacher() const { return request_.labels == nullptr; }
  // Whether the host needs rows of its own between its arrays and the device.
  bool copies_rows() const { return rows_.any_left_out() || rows_.any_still(); }
  int64_t widest_copy() const {
    if (!copies_rows()) return 0;
    return std::max({width_, request_.teacher.width, request_.teacher_logits == nullptr ? 0 : columns_});
  }

  // What is held beside the layers and the weights' gradient, whatever the chunk.
  int64_t fixed_bytes() const {
    return rows_.bytes() + (request_.bias_gradient == nullptr ? 0 : 2 * columns_ * int64_t{sizeof(double)});
  }
  int64_t bytes_of_row() const {
    int64_t elements = columns_ + width_ + request_.teacher.width + widest_copy();
    if (has_teacher()) elements += columns_;
    // What softmax_divergence and token_log_probs hold for a row on both sides: no more than these.
    return elements * int64_t{sizeof(T)} + 4 * LinearRows::kBytesOfRow;
  }

  void reserve(int64_t rows) {
    send_layer(request_.student, student_, rows);
    if (has_linear_teacher()) send_layer(request_.teacher, teacher_, rows);
    logits_ = logits_memory_.template reserve<T>(rows * columns_);
    if (has_teacher()) teacher_logits_ = teacher_memory_.template reserve<T>(rows * columns_);
    if (request_.weights_gradient != nullptr) {
      weights_gradient_ = weights_gradient_memory_.template reserve<T>(columns_ * width_);
    }
    if (request_.bias_gradient != nullptr) {
      sums_ = sums_memory_.template reserve<double>(columns_);
      check(cudaMemset(sums_, 0, static_cast<size_t>(columns_) * sizeof(double)), "clearing device memory");
      check(cudaStreamSynchronize(nullptr), "clearing device memory");
    }
    copied_.resize(static_cast<size_t>(rows * widest_copy()));
    if (request_.hidden_gradient != nullptr && rows_.any_left_out()) {
      std::memset(request_.hidden_gradient, 0, static_cast<size_t>(request_.rows * width_) * sizeof(T));
    }
  }

  template <class Number>
  void send(Number* to, const void* from, int64_t count) const {
    check(cudaMemcpy(to, from, static_cast<size_t>(count) * sizeof(Number), cudaMemcpyHostToDevice),
          "copying to the device");
    // It returns once pageable memory has been read, which is before all of it has arrived.
    check(cudaStreamSynchronize(nullptr), "copying to the device");
  }
  template <class Number>
  void fetch(void* to, const Number* from, int64_t count) const {
    check(cudaMemcpy(to, from, static_cast<size_t>(count) * sizeof(Number), cudaMemcpyDeviceToHost),
          "copying from the device");
  }

  void send_layer(const kullback_linear_logits& side, Layer& layer, int64_t rows) {
    layer.weights = layer.weights_memory.template reserve<T>(columns_ * side.width);
    send(layer.weights, side.weights, columns_ * side.width);
    layer.hidden = layer.hidden_memory.template reserve<T>(rows * side.width);
    if (side.bias == nullptr) return;
    layer.bias = layer.bias_memory.template reserve<T>(columns_);
    send(layer.bias, side.bias, columns_);
  }

  // The chunk's rows of an array of the host.
  void send_rows(T* to, const void* from, int64_t width, int64_t first, int64_t rows) {
    if (!rows_.any_left_out()) return send(to, static_cast<const T*>(from) + first * width, rows * width);
    rows_.gather(from, width, copied_.data());
    send(to, copied_.data(), rows * width);
  }

  // launch(stream), to its end. False where the caller has asked for an end of all.
  template <class Launch>
  bool step(const char* what, const Launch& launch) const {
    const std::unique_lock<std::mutex> lock = device_.lock();
    const Slot& slot = device_.slot(0, 0);
    launch(slot.stream);
    record(slot, what);
    return !wait(slot, control_, what);
  }

  bool multiply(const MatrixProductArguments<T>& arguments) const {
    SharedSize size;
    MatrixProductShared<T> shared(size);
    const auto tiles = [](int64_t lines) { return (lines + kProductTile - 1) / kProductTile; };
    const int64_t blocks = std::min(tiles(arguments.rows) * tiles(arguments.columns), kMostBlocks);
    const LaunchShape shape = {dim3(static_cast<unsigned>(blocks)), dim3(kProductThreads), size.bytes()};
    return step("computing matrix_product", [&](cudaStream_t stream) {
      check(launch(matrix_product<T, kProductThreads>, shape, stream, arguments), "launching matrix_product");
    });
  }

  bool make_logits(const Layer& layer, int64_t width, int64_t rows, T* logits) const {
    return multiply({rows,
                     columns_,
                     width,
                     {layer.hidden, width, 1},
                     {layer.weights, width, 1},
                     layer.bias,
                     0,
                     false,
                     logits,
                     columns_});
  }

  kullback_status run_chunk(int64_t first, int64_t rows) {
    if (control_ != nullptr && control_->cancelled(control_->context) != 0) return KULLBACK_CANCELLED;
    rows_.begin_chunk(first, rows);
    send_rows(student_.hidden, request_.student.hidden, width_, first, rows);
    if (!make_logits(student_, width_, rows, logits_)) return KULLBACK_CANCELLED;
    if (has_linear_teacher()) {
      send_rows(teacher_.hidden, request_.teacher.hidden, request_.teacher.width, first, rows);
      if (!make_logits(teacher_, request_.teacher.width, rows, teacher_logits_)) return KULLBACK_CANCELLED;
    } else if (has_teacher()) {
      send_rows(teacher_logits_, request_.teacher_logits, columns_, first, rows);
    }
    const kullback_status status = compare();
    if (status != KULLBACK_OK) return status;
    rows_.end_chunk();
    return rows_.differentiates() && !differentiate(first, rows) ? KULLBACK_CANCELLED : KULLBACK_OK;
  }

  kullback_status compare() {
    if (has_teacher()) {
      kullback_softmax_divergence_request request = rows_.divergence(logits_, teacher_logits_);
      request.on_device = 1;
      return softmax_divergence_cuda(&request, control_);
    }
    kullback_token_log_probs_request request = rows_.log_probs(logits_);
    request.on_device = 1;
    return token_log_probs_cuda(&request, control_);
  }

  // Out of the logits' gradient, which has taken their place. False where the caller has asked for an end of all.
  bool differentiate(int64_t first, int64_t rows) {
    if (request_.bias_gradient != nullptr) {
      const int64_t blocks = std::min((columns_ + kSumThreads - 1) / kSumThreads, kMostBlocks);
      const bool summed = step("computing column_sums", [&](cudaStream_t stream) {
        const LaunchShape shape = {dim3(static_cast<unsigned>(blocks)), dim3(kSumThreads)};
        check(launch(column_sums<T, kSumThreads>, shape, stream, logits_, rows, columns_, sums_),
              "launching column_sums");
      });
      if (!summed) return false;
    }
    if (request_.weights_gradient != nullptr) {
      if (rows_.any_still()) {
        rows_.gather(request_.student.hidden, width_, copied_.data());
        rows_.clear_still(copied_.data(), width_);
        send(student_.hidden, copied_.data(), rows * width_);
      }
      const T* const begin = first == 0 ? nullptr : weights_gradient_;
      if (!multiply({columns_,
                     width_,
                     rows,
                     {logits_, 1, columns_},
                     {student_.hidden, 1, width_},
                     begin,
                     width_,
                     true,
                     weights_gradient_,
                     width_})) {
        return false;
      }
    }
    if (request_.hidden_gradient == nullptr) return true;
    // Over the hidden states, which have done their work.
    if (!multiply({rows,
                   width_,
                   columns_,
                   {logits_, columns_, 1},
                   {student_.weights, 1, width_},
                   nullptr,
                   0,
                   false,
                   student_.hidden,
                   width_})) {
      return false;
    }
    T* const gradient =
        rows_.any_left_out() ? copied_.data() : static_cast<T*>(request_.hidden_gradient) + first * width_;
    fetch(gradient, student_.hidden, rows * width_);
    rows_.clear_still(gradient, width_);
    if (rows_.any_left_out()) rows_.scatter(gradient, width_, request_.hidden_gradient);
    return true;
  }

  // What all chunks have added to.
  void fetch_sums() {
    if (request_.weights_gradient != nullptr) {
      if (rows_.count() == 0) {
        std::memset(request_.weights_gradient, 0, static_cast<size_t>(columns_ * width_) * sizeof(T));
      } else {
        fetch(request_.weights_gradient, weights_gradient_, columns_ * width_);
      }
    }
    if (request_.bias_gradient == nullptr) return;
    std::vector<double> sums(static_cast<size_t>(columns_));
    fetch(sums.data(), sums_, columns_);
    std::transform(sums.begin(), sums.end(), static_cast<T*>(request_.bias_gradient),
                   [](double sum) { return static_cast<T>(sum); });
  }

  const Request& request_;
  const kullback_control* control_;
  Device& device_;
  const int64_t columns_, width_;
  LinearRows rows_;
  Layer student_{device_}, teacher_{device_};
  DeviceMemory logits_memory_{device_}, teacher_memory_{device_}, weights_gradient_memory_{device_},
      sums_memory_{device_};
  T *logits_ = nullptr, *teacher_logits_ = nullptr, *weights_gradient_ = nullptr;
  double* sums_ = nullptr;
  std::vector<T> copied_;  // rows of the host
};

}  // namespace

kullback_status linear_softmax_divergence_cuda(const Request* request, const kullback_control* control) {
  return beside_work(request->device, [&](Device& device) {
    switch (request->dtype) {
      case KULLBACK_FLOAT32:
        return LinearSoftmaxDivergence<float>(*request, control, device).run();
      case KULLBACK_FLOAT64:
        return LinearSoftmaxDivergence<double>(*request, control, device).run();
      case KULLBACK_FLOAT16:
      case KULLBACK_BFLOAT16:
        break;
    }
    return KULLBACK_UNSUPPORTED;
  });
}

}  // namespace kullback
