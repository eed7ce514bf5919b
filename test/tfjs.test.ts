// kullback/tfjs: the operation inside a host that carries gradients on by itself.
import "@tensorflow/tfjs-backend-cpu";
// Registers the gradients of tfjs' own operations.
import "@tensorflow/tfjs-layers";
import * as tf from "@tensorflow/tfjs-core";
import test from "ava";
import { softmaxDivergence } from "kullback/tfjs";
import { DtypeError, OptionError, ShapeError } from "../lib/index.js";
import { backends } from "./cases.js";

test.before(async () => {
  await tf.setBackend("cpu");
});

const wave = (rows: number, columns: number, phase: number): tf.Tensor2D =>
  tf.tensor2d(
    Float32Array.from({ length: rows * columns }, (_, i) => 2 * Math.sin(i + phase)),
    [rows, columns],
  );

/** mean over rows of KL(teacher ‖ student) times T², with tfjs' own operations. */
function withOperations(student: tf.Tensor, teacher: tf.Tensor, temperature: number): tf.Scalar {
  const logQ = tf.logSoftmax(tf.div(student, temperature));
  const logP = tf.logSoftmax(tf.div(teacher, temperature));
  return tf.mul(temperature ** 2, tf.mean(tf.sum(tf.mul(tf.exp(logP), tf.sub(logP, logQ)), -1)));
}

function assertClose(
  t: { true(value: boolean, message?: string): unknown },
  actual: tf.Tensor,
  expected: tf.Tensor,
): void {
  const [a, e] = [actual.dataSync<"float32">(), expected.dataSync<"float32">()];
  const scale = Math.max(...e.map(Math.abs));
  t.true(scale > 1e-3, "the expected values are large enough to tell right from wrong");
  t.true(
    a.length === e.length && a.every((x, i) => Math.abs(x - e[i]!) <= 1e-5 * scale),
    `${a.join()} is not ${e.join()}`,
  );
}

test.serial("value and both gradients are those of the same loss in tfjs operations", (t) => {
  const options = {
    temperature: 3,
    temperatureScaling: "squared",
    gradients: ["student", "teacher"],
  } as const;
  const fused = tf.valueAndGrads(
    (s: tf.Tensor, p: tf.Tensor) => softmaxDivergence(s, p, options) as tf.Scalar,
  );
  const plain = tf.valueAndGrads((s: tf.Tensor, p: tf.Tensor) => withOperations(s, p, 3));
  const inputs = [wave(5, 7, 0), wave(5, 7, 1)];
  const [a, e] = [fused(inputs), plain(inputs)];
  assertClose(t, a.value, e.value);
  assertClose(t, a.grads[0]!, e.grads[0]!);
  assertClose(t, a.grads[1]!, e.grads[1]!);
});

test.serial("the options of a divergence go through", (t) => {
  const [student, teacher] = [wave(5, 7, 0), wave(5, 7, 1)];
  const beta = 0.25;
  const options = { divergence: "jensenShannon", beta, normalized: true, backend: backends[0]! } as const;
  const fused = tf.valueAndGrad((s: tf.Tensor) => softmaxDivergence(s, teacher, options) as tf.Scalar)(
    student,
  );
  const plain = tf.valueAndGrad((s: tf.Tensor): tf.Scalar => {
    const [q, p] = [tf.softmax(s), tf.softmax(teacher)];
    const m = tf.add(tf.mul(beta, p), tf.mul(1 - beta, q));
    const divergence = (a: tf.Tensor): tf.Tensor => tf.sum(tf.mul(a, tf.sub(tf.log(a), tf.log(m))), -1);
    const mixed = tf.add(tf.mul(beta, divergence(p)), tf.mul(1 - beta, divergence(q)));
    return tf.div(tf.mean(mixed), beta * (1 - beta));
  })(student);
  assertClose(t, fused.value, plain.value);
  assertClose(t, fused.grad, plain.grad);
});

test.serial("gradients flow on into what computed the logits", (t) => {
  const weights = wave(4, 7, 2);
  const features = wave(5, 4, 3);
  const teacher = wave(5, 7, 1);
  const fused = tf.grad((w: tf.Tensor) => tf.mul(2, softmaxDivergence(tf.matMul(features, w), teacher)))(
    weights,
  );
  const plain = tf.grad((w: tf.Tensor) => tf.mul(2, withOperations(tf.matMul(features, w), teacher, 1)))(
    weights,
  );
  assertClose(t, fused, plain);
});

test.serial("reduction none gives one value a row, each with its own incoming gradient", (t) => {
  const inputs = [wave(6, 5, 0), wave(6, 5, 1)] as const;
  const factors = tf.tensor1d([1, -2, 0, 3, 0.5, 1]);
  const shaped = [tf.reshape(inputs[0], [2, 3, 5]), tf.reshape(inputs[1], [2, 3, 5])] as const;
  const values = softmaxDivergence(...shaped, { reduction: "none" });
  t.deepEqual(values.shape, [2, 3]);
  const fused = tf.grad((s: tf.Tensor) =>
    tf.sum(tf.mul(factors, softmaxDivergence(s, inputs[1], { reduction: "none" }))),
  )(inputs[0]);
  const plain = tf.grad((s: tf.Tensor) => {
    const [logQ, logP] = [tf.logSoftmax(s), tf.logSoftmax(inputs[1])];
    return tf.sum(tf.mul(factors, tf.sum(tf.mul(tf.exp(logP), tf.sub(logP, logQ)), -1)));
  })(inputs[0]);
  assertClose(t, fused, plain);
});

test.serial("a side whose gradient was not asked for is a constant", (t) => {
  const student = wave(2, 3, 0);
  const gradient = tf.grads((s: tf.Tensor) => softmaxDivergence(s, s))([student])[0]!;
  // Were the second use differentiated too, the two would cancel only by accident; q - p is 0 here in any case.
  t.true(gradient.dataSync().every((x) => x === 0));
  t.throws(() => tf.grad((p: tf.Tensor) => softmaxDivergence(student, p))(wave(2, 3, 1)), {
    message: /Cannot compute gradient/,
  });
});

test.serial("a slice of a larger tensor is read where it lies", (t) => {
  const both = wave(4, 6, 0);
  const slice = tf.slice(both, [1, 0], [2, 6]);
  const copy = tf.tensor2d(Float32Array.from(slice.dataSync()), [2, 6]);
  const teacher = wave(2, 6, 1);
  t.is(softmaxDivergence(slice, teacher).dataSync()[0], softmaxDivergence(copy, teacher).dataSync()[0]);
});

test.serial("no tensor leaks", (t) => {
  const [student, teacher] = [wave(3, 4, 0), wave(3, 4, 1)];
  const before = tf.memory().numTensors;
  const { value, grad } = tf.valueAndGrad((s: tf.Tensor) => softmaxDivergence(s, teacher) as tf.Scalar)(
    student,
  );
  tf.dispose([
    value,
    grad,
    softmaxDivergence(student, teacher),
    softmaxDivergence(student, teacher, { gradients: [] }),
  ]);
  t.is(tf.memory().numTensors, before);
});

test.serial("bad tensors and options are named", (t) => {
  const [student, teacher] = [wave(2, 3, 0), wave(2, 3, 1)];
  t.throws(() => softmaxDivergence(tf.cast(student, "int32"), teacher), {
    instanceOf: DtypeError,
    message: "student is a tensor of int32; it must be float32 (tf.cast makes it so)",
  });
  t.throws(() => softmaxDivergence(student, wave(2, 4, 1)), { instanceOf: ShapeError });
  t.throws(() => softmaxDivergence(student, teacher, { temperature: 0 }), { instanceOf: OptionError });
  for (const name of ["accumulate", "gradOutput", "out", "statistics"]) {
    t.throws(() => softmaxDivergence(student, teacher, { [name]: undefined }), {
      instanceOf: OptionError,
      message: new RegExp(`^options\\.${name} is not an option;`),
    });
  }
});

for (const backend of backends) {
  test(`${backend}: onBackend is told who computed, once an evaluation`, (t) => {
    const seen: string[] = [];
    const [student, teacher] = [wave(2, 5, 0), wave(2, 5, 1)];
    const options = { backend, onBackend: (name: string) => seen.push(name) } as const;
    softmaxDivergence(student, teacher, options);
    tf.grad((x) => softmaxDivergence(x, teacher, options))(student);
    t.deepEqual(seen, [backend, backend]);
    t.throws(() => softmaxDivergence(student, teacher, { onBackend: "cpu" as never }), {
      instanceOf: OptionError,
      message: 'options.onBackend is "cpu"; it must be a function',
    });
  });
}
