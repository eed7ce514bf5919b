// softmaxDivergence from a teacher that names K columns: what each tail policy is, on every backend.
import test from "ava";
import { softmaxDivergence, softmaxDivergenceAsync, type Rows } from "../lib/index.js";
import { decode, encode } from "../lib/reference/elements.js";
import {
  agreementOf,
  arrayOf,
  backends,
  choices,
  divergences,
  implementations,
  named,
  normals,
  rowsOf,
} from "./cases.js";
import { close, identical, zeros } from "./close.js";
import { defined, sparse, tails, topKDivergence, topKGradient } from "./top-k-oracle.js";

const temperature = { student: 2, teacher: 1 };

for (const { backend, dtype, title } of implementations) {
  test(`${title}: values and gradients are those of the definitions`, (t) => {
    for (const [slots, holes] of [
      [1, false],
      [4, false],
      [8, true],
      [9, false],
    ] as const) {
      const { student, teacher } = sparse({ rows: 3, columns: 9, slots, holes, dtype });
      for (const tail of tails) {
        for (const choice of choices.filter((choice) => defined(tail, choice))) {
          const options = {
            ...choice,
            teacher: "topK",
            tail,
            reduction: "none",
            temperature,
            backend,
          } as const;
          const { values, gradients } = softmaxDivergence(student, teacher, {
            ...options,
            gradients: ["student"],
          });
          const alone = softmaxDivergence(student, teacher, options).values;
          for (let row = 0; row < 3; row++) {
            const of = [
              choice,
              tail,
              Array.from(student.data.slice(row * 9, row * 9 + 9)),
              {
                ids: Array.from(teacher.ids.slice(row * slots, row * slots + slots)),
                logProbs: Array.from(teacher.data.slice(row * slots, row * slots + slots)),
              },
              temperature,
            ] as const;
            const what = `${tail} ${named(choice)}, ${slots} slots, row ${row}`;
            const expected = topKDivergence(...of);
            if (!Number.isFinite(expected)) {
              identical(t, [values[row]!, alone[row]!], [expected, expected], what);
              continue;
            }
            // A single column that is compared alone has nothing to differ in.
            if (tail === "renormalize" && slots === 1) {
              zeros(t, [alone[row]!, ...gradients.student.slice(row * 9, row * 9 + 9)], what);
              continue;
            }
            const tolerance = dtype === "float32" ? { relative: 2e-5, absolute: 1e-7 } : { relative: 1e-11 };
            close(t, values[row]!, expected, { ...tolerance, what });
            close(t, alone[row]!, expected, { ...tolerance, what });
            const gradient = gradients.student.slice(row * 9, row * 9 + 9);
            close(t, gradient, topKGradient(...of), { relative: 2e-5, absolute: 1e-8, what });
          }
        }
      }
    }
  });

  test(`${title}: a teacher that names every column is the dense one under every policy`, (t) => {
    for (const columns of [1, 17, 1500]) {
      const { student, teacher } = sparse({ rows: 2, columns, slots: columns, dtype });
      const dense = arrayOf(dtype, new Float64Array(2 * columns));
      teacher.ids.forEach((id, i) => (dense[i - (i % columns) + id] = teacher.data[i]!));
      for (const choice of choices) {
        const options = {
          ...choice,
          reduction: "none",
          gradients: ["student"],
          backend,
          temperature,
        } as const;
        const expected = softmaxDivergence(student, rowsOf(dtype, columns, dense), {
          ...options,
          teacher: "logProbs",
        });
        for (const tail of tails.filter((tail) => defined(tail, choice))) {
          const actual = softmaxDivergence(student, teacher, { ...options, teacher: "topK", tail });
          const what = `${tail} ${named(choice)}, ${columns} columns`;
          if (columns === 1) {
            zeros(t, actual.values, what);
            zeros(t, actual.gradients.student, what);
            continue;
          }
          // As they are, log-probabilities sum to 1 only as nearly as they are rounded.
          const relative = (tail === "truncate" ? 4 : 2) * agreementOf(choice, dtype);
          close(t, actual.values, expected.values, { relative, what });
          close(t, actual.gradients.student, expected.gradients.student, { relative, group: columns, what });
        }
      }
    }
  });

  test(`${title}: where all but 1e-7 is captured, the rest keeps its digits`, (t) => {
    const columns = 3000;
    const normal = normals(7);
    const logits = arrayOf(
      dtype,
      Float64Array.from({ length: columns }, () => normal()),
    );
    const outside = Array.from(logits).reduce((sum, x, i) => (i === 1234 ? sum : sum + Math.exp(x)), 0);
    logits[1234] = Math.log(outside) + Math.log(1e7);
    const left = outside / (outside + Math.exp(logits[1234]));
    // The teacher leaves twice as much.
    const logProb = arrayOf(dtype, [Math.log1p(-2 * left)]);
    const teacher = { data: logProb, ids: Int32Array.of(1234), shape: [1, 1] };
    const rest = -Math.expm1(logProb[0]!);
    const { value, gradients } = softmaxDivergence({ data: logits, shape: [1, columns] }, teacher, {
      teacher: "topK",
      tail: "tailBucket",
      gradients: ["student"],
      backend,
    } as const);
    const relative = dtype === "float32" ? 2e-6 : 1e-9;
    const expected = rest * Math.log(rest / left) + (1 - rest) * (Math.log1p(-rest) - Math.log1p(-left));
    // The definition's own terms cancel to a tenth.
    close(t, value, expected, { relative: Math.max(relative, 1e-8) });
    const shares = Array.from(logits, (x) => ((left - rest) * Math.exp(x)) / outside);
    shares[1234] = rest - left;
    close(t, gradients.student, shares, { relative, group: 1 });
  });

  test(`${title}: empty slots count nothing, whatever they hold and wherever they stand`, (t) => {
    const student = rowsOf(dtype, 5, [1, 2, 3, 4, 5, 5, 4, 3, 2, 1]);
    const logs = [0.5, 0.25, 0.125].map(Math.log) as [number, number, number];
    const packed = { data: arrayOf(dtype, [...logs, ...logs]), ids: Int32Array.of(4, 0, 1, 4, 0, 1) };
    const loose = {
      data: arrayOf(dtype, [
        NaN,
        logs[0],
        7,
        logs[1],
        logs[2],
        logs[0],
        logs[1],
        -Infinity,
        logs[2],
        Infinity,
      ]),
      ids: Int32Array.of(-1, 4, -1, 0, 1, 4, 0, -1, 1, -1),
    };
    for (const tail of tails) {
      const options = { teacher: "topK", tail, reduction: "none", gradients: ["student"], backend } as const;
      const expected = softmaxDivergence(student, { ...packed, shape: [2, 3] }, options);
      const actual = softmaxDivergence(student, { ...loose, shape: [2, 5] }, options);
      const relative = dtype === "float32" ? 1e-6 : 1e-14;
      close(t, actual.values, expected.values, { relative, what: tail });
      close(t, actual.gradients.student, expected.gradients.student, { relative, what: tail });
    }
    // Nothing named at all: all is tail, on both sides.
    const none = { data: arrayOf(dtype, [0, 0]), ids: Int32Array.of(-1, -1), shape: [2, 1] };
    const options = { teacher: "topK", reduction: "none", gradients: ["student"], backend } as const;
    const bucket = softmaxDivergence(student, none, { ...options, tail: "tailBucket" });
    zeros(t, bucket.values);
    zeros(t, bucket.gradients.student);
    for (const tail of ["truncate", "renormalize", "zeroOutside"] as const) {
      identical(t, softmaxDivergence(student, none, { ...options, tail }).values, [NaN, NaN], tail);
    }
  });

  test(`${title}: statistics are those of what is compared`, (t) => {
    const student = rowsOf(dtype, 4, [1, 2, 3, 0.5]);
    const teacher = { data: arrayOf(dtype, [-0.75, -1]), ids: Int32Array.of(2, 0), shape: [1, 2] };
    const statistics = [
      "divergence",
      "studentLogSumExp",
      "teacherLogSumExp",
      "studentEntropy",
      "teacherEntropy",
      "argmaxAgreement",
    ] as const;
    const logSumExp = (x: number[]): number => Math.log(x.reduce((sum, y) => sum + Math.exp(y), 0));
    const entropy = (x: number[]): number =>
      -x.reduce(
        (sum, y) => (y === -Infinity ? sum : sum + (y - logSumExp(x)) * Math.exp(y - logSumExp(x))),
        0,
      );
    const rest = Math.log(1 - Math.exp(-1) - Math.exp(-0.75));
    const tail = logSumExp([2, 0.5]);
    const compared = {
      truncate: [[3, 1], [-0.75, -1], 1],
      renormalize: [[3, 1], [-0.75, -1], 1],
      tailBucket: [[3, 1, tail], [-0.75, -1, rest], 1],
      zeroOutside: [[3, 1, tail], [-0.75, -1, -Infinity], 1],
    } as const;
    for (const policy of tails) {
      const [q, p, agreement] = compared[policy];
      const result = softmaxDivergence(student, teacher, {
        teacher: "topK",
        tail: policy,
        statistics,
        backend,
      });
      const options = { relative: dtype === "float32" ? 1e-6 : 1e-14, what: policy };
      const found = result.statistics;
      close(t, found.divergence, result.value, options);
      close(t, found.studentLogSumExp, logSumExp([...q]), options);
      if (policy !== "tailBucket") close(t, found.teacherLogSumExp, logSumExp([...p]), options);
      close(t, found.studentEntropy, entropy([...q]), options);
      close(t, found.teacherEntropy, entropy([...p]), options);
      t.is(found.argmaxAgreement[0], agreement);
    }
  });
}

for (const { backend, dtype, title } of implementations.filter(({ backend }) => backend !== "reference")) {
  test(`${title}: long rows are those of the reference, now and later, twice to the same bits`, async (t) => {
    for (const [rows, columns, slots] of [
      [3, 1025, 8],
      [2, 9000, 64],
      [1, 20000, 1],
      [1, 9000, 9000],
    ] as const) {
      const { student, teacher } = sparse({ rows, columns, slots, holes: slots === 64, dtype });
      for (const tail of tails) {
        for (const choice of choices.filter((choice) => defined(tail, choice))) {
          const fast = slots !== 9000 || (divergences as readonly string[]).includes(choice.divergence);
          if (!fast || (tail === "renormalize" && slots === 1)) continue;
          const options = {
            ...choice,
            teacher: "topK",
            tail,
            reduction: "none",
            gradients: ["student"],
          } as const;
          const expected = softmaxDivergence(student, teacher, { ...options, backend: "reference" });
          const what = `${tail} ${named(choice)}, ${slots} of ${columns}`;
          const relative = 2 * agreementOf(choice, dtype);
          const first = softmaxDivergence(student, teacher, { ...options, backend });
          const second = await softmaxDivergenceAsync(student, teacher, { ...options, backend });
          identical(t, second.values, first.values, what);
          identical(t, second.gradients.student, first.gradients.student, what);
          if (!expected.values.every(Number.isFinite)) {
            identical(t, first.values, expected.values, what);
            continue;
          }
          close(t, first.values, expected.values, { relative, what });
          close(t, first.gradients.student, expected.gradients.student, { relative, group: columns, what });
        }
      }
    }
  });
}

for (const backend of backends) {
  test(`${backend}: 16-bit elements are computed in float32 and rounded once`, (t) => {
    const { student, teacher } = sparse({ rows: 2, columns: 300, slots: 8, dtype: "float32" });
    for (const dtype of ["float16", "bfloat16"] as const) {
      const halves = (rows: Rows): Rows<Uint16Array> & { dtype: typeof dtype } => ({
        data: Uint16Array.from(rows.data, (x) => encode(dtype, x)),
        shape: rows.shape,
        dtype,
      });
      const widened = (rows: Rows<Uint16Array>): Rows =>
        rowsOf(
          backend === "reference" ? "float64" : "float32",
          rows.shape.at(-1) as number,
          Array.from(rows.data, (x) => decode(dtype, x)),
        );
      const [theirs, ours] = [halves(teacher), halves(student)];
      for (const tail of tails) {
        const options = {
          teacher: "topK",
          tail,
          reduction: "none",
          gradients: ["student"],
          backend,
        } as const;
        const { ids } = teacher;
        const exact = softmaxDivergence(widened(ours), { ...widened(theirs), ids }, options);
        const actual = softmaxDivergence(ours, { ...theirs, ids }, options);
        identical(t, actual.values, exact.values, tail);
        identical(
          t,
          actual.gradients.student,
          Uint16Array.from(exact.gradients.student, (x) => encode(dtype, x)),
          tail,
        );
      }
    }
  });
}

test("truncated divergences may be negative", (t) => {
  const teacher = { data: Float64Array.of(Math.log(0.1)), ids: Int32Array.of(0), shape: [1, 1] };
  const student = rowsOf("float64", 2, [Math.log(0.9), Math.log(0.1)]);
  for (const backend of backends) {
    const { value } = softmaxDivergence(student, teacher, { teacher: "topK", tail: "truncate", backend });
    close(t, value, 0.1 * Math.log(0.1 / 0.9), { relative: 1e-14 });
  }
});
