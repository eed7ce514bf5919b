/* The table of operations that a backend fills in: C, versioned, plain structs. It knows nothing of Node and nothing
 * of C++, and is all that the two sides of it share. Pointers are host memory unless a field says otherwise; a NULL
 * output is an output that nobody asked for. The caller has checked every length, so a backend checks none. */
#ifndef KULLBACK_BACKEND_H
#define KULLBACK_BACKEND_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised whenever a struct below changes its layout or its meaning. */
#define KULLBACK_ABI_VERSION 7

typedef enum kullback_status {
  KULLBACK_OK = 0,
  KULLBACK_CANCELLED = 1,     /* control->cancelled said so; the outputs hold nothing of use */
  KULLBACK_OUT_OF_MEMORY = 2, /* scratch memory could not be had */
  KULLBACK_UNSUPPORTED = 3,   /* the request names a dtype or a divergence that this backend has not */
  KULLBACK_DEVICE_ERROR = 4,  /* the device, or its driver, refused: backend->last_error says what it said */
  KULLBACK_BAD_VALUES = 5,    /* an input holds numbers that it must not hold; the outputs are as they were */
  KULLBACK_SMALL_BUDGET = 6   /* of memory: *value is the least that will do; the other outputs are as they were */
} kullback_status;

/* The 16-bit types are computed with in float32, and rounded once where they are written. */
typedef enum kullback_dtype {
  KULLBACK_FLOAT32 = 0,
  KULLBACK_FLOAT64 = 1,
  KULLBACK_FLOAT16 = 2, /* IEEE 754's binary16 */
  KULLBACK_BFLOAT16 = 3 /* the upper half of a float32 */
} kullback_dtype;

/* p: the teacher's softmax, q: the student's. `parameter` of the request is what a formula calls a, b or l. */
typedef enum kullback_divergence {
  KULLBACK_FORWARD_KL = 0,          /* KL(p || q) */
  KULLBACK_REVERSE_KL = 1,          /* KL(q || p) */
  KULLBACK_CROSS_ENTROPY = 2,       /* -sum p log q */
  KULLBACK_JEFFREYS = 3,            /* KL(p || q) + KL(q || p) */
  KULLBACK_JENSEN_SHANNON = 4,      /* b KL(p || m) + (1 - b) KL(q || m), m = b p + (1 - b) q, 0 < b < 1 */
  KULLBACK_TOTAL_VARIATION = 5,     /* sum |p - q| / 2 */
  KULLBACK_SQUARED_HELLINGER = 6,   /* 1 - sum sqrt(p q) */
  KULLBACK_CHI_SQUARED = 7,         /* sum p^2 / q - 1 */
  KULLBACK_REVERSE_CHI_SQUARED = 8, /* sum q^2 / p - 1 */
  KULLBACK_ALPHA = 9,               /* (sum p^a q^(1 - a) - 1) / (a (a - 1)), a neither 0 nor 1 */
  KULLBACK_RENYI = 10,              /* log(sum p^a q^(1 - a)) / (a - 1), a > 0, a not 1 */
  KULLBACK_SKEW_FORWARD_KL = 11,    /* KL(p || l p + (1 - l) q), 0 < l < 1 */
  KULLBACK_SKEW_REVERSE_KL = 12     /* KL(q || l q + (1 - l) p), 0 < l < 1 */
} kullback_divergence;

/* What columns are worth that a teacher of some columns does not name. S: those that it names, in slots; p: its
 * probabilities as given; q: the student's softmax. What is compared are coarse rows: a column a slot and, with the
 * last two, one for all columns outside of S, where the student has the sum of their q. */
typedef enum kullback_tail {
  KULLBACK_NO_TAIL = 0,          /* the teacher has all columns */
  KULLBACK_TAIL_TRUNCATE = 1,    /* the terms of S alone, p and q as they are: KL and the cross-entropy only */
  KULLBACK_TAIL_RENORMALIZE = 2, /* p and q normalised on S; no other column is read */
  KULLBACK_TAIL_BUCKET = 3,      /* the teacher has 1 - sum p outside; normalised where every column is in S */
  KULLBACK_TAIL_ZERO = 4         /* the teacher has 0 outside, and is normalised */
} kullback_tail;

/* How a running operation hears of an abort. Called from any thread, between tiles; nonzero means stop. */
typedef struct kullback_control {
  void* context;
  int32_t (*cancelled)(void* context);
} kullback_control;

#define KULLBACK_PROBABILITY_TOLERANCE 1e-3

/* D(softmax(student / student_temperature + student_log_prior), softmax(teacher / ...)) for each row.
 *
 * With w = row_weights[r] (1 if NULL), c = w * scale, and D the divergence of row r:
 *   values[r]  = c * D                         value = sum over rows of c * D
 *   gradient r = g * c * dD/dlogits, with g = grad_outputs[r] if given, else grad_output
 * A row of probabilities must sum to 1 within KULLBACK_PROBABILITY_TOLERANCE, with 16-bit types within ten times that;
 * within as much, log-probabilities of some columns must be at most 0, and their probabilities sum to at most 1.
 * A row with row_mask[r] == 0 is not read: its value, its gradient and its statistics are 0. A factor w, scale or g
 * that is 0 gives an exact 0, whatever the row holds. With `accumulate` gradients are added to what their memory holds,
 * where nothing is written for what is 0 so. A gradient may be written over its own side's numbers. */
typedef struct kullback_softmax_divergence_request {
  kullback_dtype dtype;
  kullback_divergence divergence;
  double parameter; /* of the divergences that have one */
  int64_t rows;
  int64_t columns; /* the logical vocabulary: columns <= both strides, or the student's where the teacher has a tail;
                      what lies beyond is not read */

  int32_t device;      /* which of the backend's devices computes; 0 where it has none */
  uint8_t on_device;   /* nonzero: student, teacher and their gradients are memory of that device */
  const void* student; /* [rows, student_stride], dtype */
  const void* teacher; /* [rows, teacher_stride], dtype; with one_teacher a single row */
  int64_t student_stride;
  int64_t teacher_stride;
  double student_temperature;
  double teacher_temperature;
  const double* student_log_prior;  /* [columns] or NULL; finite or -inf */
  const double* teacher_log_prior;  /* [columns] or NULL */
  uint8_t one_teacher;              /* nonzero: the one row of the teacher goes with each of the student's */
  uint8_t teacher_in_probabilities; /* nonzero: the teacher's numbers are probabilities, and not logits */
  kullback_tail tail;               /* any but none: they are log-probabilities of the columns that teacher_ids names */
  /* [rows, teacher_stride], with one_teacher a single row: each less than columns and not twice in a row, or -1 for a
   * slot that is not read. NULL without a tail. With one there is no teacher's log-prior and no teacher's gradient, and
   * the teacher's temperature is 1 unless the tail is KULLBACK_TAIL_RENORMALIZE or KULLBACK_TAIL_ZERO. */
  const int32_t* teacher_ids;

  const double* row_weights; /* [rows] or NULL */
  const uint8_t* row_mask;   /* [rows] or NULL: 0 leaves the row out */
  double scale;
  double grad_output;
  const double* grad_outputs; /* [rows] or NULL */

  double* value;          /* one number: the sum over rows */
  double* values;         /* [rows] */
  uint8_t accumulate;     /* nonzero: columns beyond `columns` stay as they are */
  void* student_gradient; /* [rows, student_stride], dtype; columns beyond `columns` become 0 */
  void* teacher_gradient; /* [rows, teacher_stride], dtype; likewise; not with one_teacher */

  /* Where the teacher has a tail, the following are those of the coarse rows. */
  double* divergences;         /* [rows]: D itself */
  double* student_log_sum_exp; /* [rows], of logits / temperature + log-prior */
  double* teacher_log_sum_exp; /* [rows] */
  double* student_entropy;     /* [rows], nats */
  double* teacher_entropy;     /* [rows], nats */
  uint8_t* argmax_agreement;   /* [rows]: 1 where both rows have their first maximum in one column */
} kullback_softmax_divergence_request;

/* A generator f of D_f(pi || rho) = sum rho f(pi / rho), normalised to f(1) = f'(1) = 0, at u = e^x for each log ratio
 * x = log pi - log rho, times `scale`. With q = pi and p = rho it is the divergence of that name.
 * KULLBACK_CROSS_ENTROPY and KULLBACK_RENYI have no such f: unsupported. */
typedef struct kullback_f_divergence_request {
  kullback_dtype dtype;
  kullback_divergence divergence;
  double parameter; /* of the divergences that have one */
  double scale;
  int64_t length;

  int32_t device;             /* which of the backend's devices computes; 0 where it has none */
  uint8_t on_device;          /* nonzero: all arrays are memory of that device */
  const void* log_ratios;     /* [length], dtype, as are the outputs */
  void* values;               /* f(u) */
  void* derivatives;          /* f'(u) */
  void* value_gradients;      /* u f'(u) = d f / dx */
  void* derivative_gradients; /* u f''(u) = d f' / dx */
} kullback_f_divergence_request;

/* Estimates of KL(policy || reference) from one token; d = log reference - log policy. */
typedef enum kullback_estimator {
  KULLBACK_NO_ESTIMATOR = 0,
  KULLBACK_K1 = 1, /* -d */
  KULLBACK_K2 = 2, /* d^2 / 2 */
  KULLBACK_K3 = 3  /* e^d - 1 - d */
} kullback_estimator;

/* log softmax(logits / temperature) at each row's token, and the gradient for the logits of
 *   sum over rows of g * log_prob + h * entropy + e * estimate,
 * g = grad_outputs[r] if given, else grad_output, and h and e likewise. A row with row_mask[r] == 0 is not read: all
 * that is written for it is 0. The gradient may be written over the logits. */
typedef struct kullback_token_log_probs_request {
  kullback_dtype dtype;
  kullback_estimator estimator;
  int64_t rows;
  int64_t columns; /* the logical vocabulary: columns <= stride; what lies beyond is not read */
  int64_t stride;
  double temperature;

  int32_t device;                    /* which of the backend's devices computes; 0 where it has none */
  uint8_t on_device;                 /* nonzero: logits and gradient are memory of that device */
  const void* logits;                /* [rows, stride], dtype */
  const int32_t* tokens;             /* [rows], each less than columns */
  const uint8_t* row_mask;           /* [rows] or NULL: 0 leaves the row out */
  const double* reference_log_probs; /* [rows], where there is an estimator */

  double grad_output;
  double entropy_grad_output;
  double estimate_grad_output;
  const double* grad_outputs;          /* [rows] or NULL */
  const double* entropy_grad_outputs;  /* [rows] or NULL */
  const double* estimate_grad_outputs; /* [rows] or NULL */

  double* log_probs;   /* [rows]; never NULL */
  double* entropy;     /* [rows], nats */
  double* log_sum_exp; /* [rows], of logits / temperature */
  double* estimates;   /* [rows] */
  void* gradient;      /* [rows, stride], dtype; columns beyond `columns` become 0 */
} kullback_token_log_probs_request;

#define KULLBACK_MEMORY_BUDGET (INT64_C(256) << 20)

/* What makes logits: hidden weights^T + bias. */
typedef struct kullback_linear_logits {
  int64_t width;
  const void* hidden;  /* [rows, width], dtype */
  const void* weights; /* [columns, width], dtype */
  const void* bias;    /* [columns], dtype, or NULL */
} kullback_linear_logits;

/* softmax_divergence of logits that are products and exist for some rows at a time only. The teacher is a product too,
 * or logits, or labels: then D is -log q at the row's label, and `divergence` says nothing.
 *
 * values and value are those of softmax_divergence. With S the logits' gradient there, over all rows,
 *   hidden_gradient = S weights,  weights_gradient = S^T hidden,  bias_gradient = the sum of S's rows.
 * A row with row_mask[r] == 0 or a factor w or scale of 0 is not read: its value and all that it adds are exactly 0, as
 * is what a row adds whose g is 0.
 *
 * Beside the arrays of the request no more than memory_budget bytes are held at any time. Results do not depend on it.
 */
typedef struct kullback_linear_softmax_divergence_request {
  kullback_dtype dtype; /* float32 or float64 */
  kullback_divergence divergence;
  double parameter; /* of the divergences that have one */
  int64_t rows;
  int64_t columns; /* the vocabulary */

  int32_t device; /* which of the backend's devices computes; 0 where it has none */
  kullback_linear_logits student;
  kullback_linear_logits teacher; /* hidden is NULL where the teacher is one of the following */
  const void* teacher_logits;     /* [rows, columns], dtype, or NULL */
  const int32_t* labels;          /* [rows], or NULL; each less than columns, unless its row is not read */
  double student_temperature;
  double teacher_temperature;

  const double* row_weights; /* [rows] or NULL */
  const uint8_t* row_mask;   /* [rows] or NULL: 0 leaves the row out */
  double scale;
  double grad_output;
  const double* grad_outputs; /* [rows] or NULL */
  int64_t memory_budget;      /* bytes; 0: KULLBACK_MEMORY_BUDGET, or the least where that is more */

  double* value;          /* one number: the sum over rows; never NULL */
  double* values;         /* [rows] */
  void* hidden_gradient;  /* [rows, student.width], dtype */
  void* weights_gradient; /* [columns, student.width], dtype */
  void* bias_gradient;    /* [columns], dtype */
} kullback_linear_softmax_divergence_request;

typedef struct kullback_device_info {
  char name[256];
  int32_t compute_capability; /* 10 major + minor: 90 for an H100 */
  int32_t multiprocessors;
  int32_t driver_version;  /* of CUDA that the driver speaks: 1000 major + 10 minor */
  int32_t runtime_version; /* of CUDA that the backend was built with, likewise */
  uint8_t emulated;        /* nonzero: no GPU, but the emulator of this project's tests */
} kullback_device_info;

/* Memory of devices, for a backend that has devices. Each call ends before it returns. */
typedef struct kullback_devices {
  /* How many devices can be used; 0, and then last_error says why. */
  int32_t (*count)(void);
  kullback_status (*describe)(int32_t device, kullback_device_info* info);
  kullback_status (*memory)(int32_t device, int64_t* free_bytes, int64_t* total_bytes);
  kullback_status (*allocate)(int32_t device, int64_t bytes, void** memory);
  kullback_status (*release)(int32_t device, void* memory);
  kullback_status (*copy_to_device)(int32_t device, void* to, const void* from, int64_t bytes);
  kullback_status (*copy_to_host)(int32_t device, void* to, const void* from, int64_t bytes);
  kullback_status (*trim)(int32_t device); /* gives back what is kept for later calls */

  /* What benches hold operations against: on this device, nothing with as much work can be faster.
   * Reads two arrays and writes their sum where there is a third. float32 in the device's memory, from multiples of 16
   * bytes on; up to three elements at the end are left out. */
  kullback_status (*memory_limit)(int32_t device, const float* first, const float* second, float* sum, int64_t length);
  /* `count` exponentials as the operations compute them in float32. */
  kullback_status (*exponential_limit)(int32_t device, int64_t count);
} kullback_devices;

typedef struct kullback_backend {
  uint32_t abi_version; /* KULLBACK_ABI_VERSION of the header that the backend was built with */
  const char* name;
  /* What the last call on this thread that failed was told: never NULL, good until the thread's next call. */
  const char* (*last_error)(void);
  const kullback_devices* devices; /* NULL: the backend works on the host's memory alone */
#define KULLBACK_OPERATION(stem) \
  kullback_status (*stem)(const kullback_##stem##_request* request, const kullback_control* control);
#include "operations.inc"
#undef KULLBACK_OPERATION
} kullback_backend;

/* The one symbol of a backend in a shared library of its own. */
#define KULLBACK_BACKEND_SYMBOL "kullback_backend_table"
typedef const kullback_backend* (*kullback_backend_table_function)(void);

#ifdef __cplusplus
}
#endif

#endif /* KULLBACK_BACKEND_H */
