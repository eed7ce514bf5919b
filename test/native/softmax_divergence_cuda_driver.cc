// Runs the CUDA backend without Node, against a plain float64 loop: every way of spreading a row, with whole vectors
// and without. Prints a hash of all results, which may depend on nothing but the device; exits with 1 where they are
// off.
#include <cstdlib>
#include <cstring>

#include "softmax_divergence_cases.h"

extern "C" const kullback_backend* kullback_backend_table();

namespace {

using namespace kullback::cases;

template <class T>
bool shape_agrees(int64_t rows, int64_t columns, int64_t padding, double tolerance, Hash& hash) {
  bool good = true;
  for (const Divergence& divergence : kDivergences) {
    if (columns > 5000 && !divergence.in_long_rows) continue;
    const Problem<T> problem = make_problem<T>(rows, columns, padding, divergence, columns % 2 == 1 && columns > 2);
    good = agrees(*kullback_backend_table(), problem, tolerance, hash) && good;
  }
  return good;
}

// All rows go in one launch, so only who looks while that runs hears of an abort that comes after the first look.
bool hears_of_an_abort_while_it_waits() {
  const Problem<float> problem = make_problem<float>(3, 100, 0, {KULLBACK_FORWARD_KL, 0}, false);
  double value = 0;
  kullback_softmax_divergence_request request = {};
  request.rows = problem.rows;
  request.columns = problem.columns;
  request.student_stride = request.teacher_stride = problem.stride;
  request.student = problem.student.data();
  request.teacher = problem.teacher.data();
  request.student_temperature = request.teacher_temperature = request.scale = 1;
  request.value = &value;
  int looks = 0;
  const kullback_control control = {&looks, [](void* context) { return ++*static_cast<int*>(context) > 1 ? 1 : 0; }};
  return kullback_backend_table()->softmax_divergence(&request, &control) == KULLBACK_CANCELLED;
}

}  // namespace

// One call of one row, for the emulator to tell what its launch costs.
int main_traffic(int64_t columns, bool student_gradient, bool teacher_gradient) {
  const Problem<float> problem = make_problem<float>(1, columns, 0, {KULLBACK_FORWARD_KL, 0}, false);
  const Outcome outcome = run(*kullback_backend_table(), problem, student_gradient, teacher_gradient);
  return std::isfinite(outcome.values[0]) ? 0 : 1;
}

// No arguments; or a number of columns, and 1 or 0 for the gradient of either side.
int main(int argc, char** argv) {
  if (argc == 4) return main_traffic(std::atoll(argv[1]), argv[2][0] == '1', argv[3][0] == '1');
  // A warp a row; a resident block; clusters of 2, 4 and 16 blocks, or the streaming block where there are none.
  struct Shape {
    int64_t rows, columns, padding;
  };
  const Shape shapes[] = {{1, 1, 0},    {9, 2, 0},    {5, 10, 0},   {3, 33, 0},    {2, 64, 4},    {2, 1024, 0},
                          {2, 1025, 3}, {3, 1032, 0}, {1, 3001, 0}, {1, 14500, 0}, {1, 29001, 0}, {1, 60000, 0}};
  kullback_device_info device = {};
  kullback_backend_table()->devices->describe(0, &device);
  // A GPU may be done before anybody looks.
  // With eager streams a launch has ended before anybody waits for it.
  const char* const setting = std::getenv("KULLBACK_EMULATOR");
  const bool eager = setting != nullptr && std::strstr(setting, "streams=eager") != nullptr;
  bool good = device.emulated == 0 || eager || hears_of_an_abort_while_it_waits();
  if (!good) std::printf("an abort while a launch ran was not heard of\n");
  Hash hash;
  for (const auto& [rows, columns, padding] : shapes) {
    good = shape_agrees<float>(rows, columns, padding, 4e-6, hash) && good;
    // Float64 takes twice the blocks, so the longest row would show nothing new.
    if (columns < 60000) good = shape_agrees<double>(rows, columns, padding, 1e-12, hash) && good;
  }
  std::printf("hash %016llx\n", static_cast<unsigned long long>(hash.value()));
  return good ? 0 : 1;
}
