// softmaxDivergence where numbers end: infinities, NaN, underflow, extreme temperatures, and rows that count nothing.
import test from "ava";
import { softmaxDivergence } from "../lib/index.js";
import {
  agreement,
  agreementOf,
  choices,
  divergences,
  everything,
  implementations,
  infiniteAt,
  named,
  rowsOf,
  sides,
  type Choice,
} from "./cases.js";
import { close, identical, zeros } from "./close.js";
import { exactDivergence } from "./oracle.js";

const inf = Infinity;

/** The side whose probabilities weigh the terms, and the other. */
const roles = {
  forwardKl: ["teacher", "student"],
  reverseKl: ["student", "teacher"],
  crossEntropy: ["teacher", "student"],
} as const;

/** A row in which what is interesting lies in the first vector, or in a tail, or in a block of its own. */
const placements = [3, 40, 2500].flatMap((columns) => [
  (begin: readonly number[]): number[] =>
    Array.from({ length: columns }, (_, i) => begin[i] ?? Math.sin(i) - 2),
  (end: readonly number[]): number[] =>
    Array.from({ length: columns }, (_, i) => end[columns - 1 - i] ?? Math.sin(i) - 2),
]);

for (const { backend, dtype, title } of implementations) {
  const relative = agreement[dtype];
  const run = (student: number[], teacher: number[], choice: Choice, temperature = 1) =>
    softmaxDivergence(rowsOf(dtype, student.length, student), rowsOf(dtype, teacher.length, teacher), {
      ...everything,
      ...choice,
      temperature,
      backend,
    });

  test(`${title}: a vocabulary of one column has divergence 0, entropy 0 and gradient 0`, (t) => {
    for (const choice of choices) {
      const [student, teacher] = [rowsOf(dtype, 1, [5, -3]), rowsOf(dtype, 1, [700, 2])];
      const result = softmaxDivergence(student, teacher, { ...everything, ...choice, backend });
      zeros(t, result.values, named(choice));
      for (const side of sides) zeros(t, result.gradients[side], `${named(choice)} ${side}`);
      zeros(t, result.statistics.teacherEntropy);
      identical(t, result.statistics.teacherLogSumExp, [700, 2]);
      t.deepEqual([...result.statistics.argmaxAgreement], [1, 1]);
    }
  });

  test(`${title}: a column that is -Infinity on both sides is as good as not there`, (t) => {
    for (const choice of choices) {
      const relative = agreementOf(choice, dtype);
      for (const place of placements) {
        const [student, teacher] = [place([1, -inf, 2]), place([0.5, -inf, 2.5])];
        const hole = teacher.indexOf(-inf);
        const actual = run(student, teacher, choice);
        const expected = run(student.toSpliced(hole, 1), teacher.toSpliced(hole, 1), choice);
        const what = `${named(choice)}, ${student.length} columns`;
        close(t, actual.values, expected.values, { relative, what });
        for (const side of sides) {
          t.is(Math.abs(actual.gradients[side][hole] as number), 0, what);
          const gradient = [...actual.gradients[side]].toSpliced(hole, 1);
          close(t, gradient, expected.gradients[side], { relative, what });
          const entropy = `${side}Entropy` as const;
          close(t, actual.statistics[entropy], expected.statistics[entropy], { relative, what });
        }
      }
    }
  });

  test(`${title}: a probability of 0 where the other side weighs makes the divergence Infinity`, (t) => {
    for (const divergence of divergences) {
      for (const place of placements) {
        const [weigher, other] = roles[divergence];
        const logits = { [weigher]: place([1, 0.5, 2]), [other]: place([1, -inf, 2]) } as Record<
          typeof weigher,
          number[]
        >;
        const hole = logits[other].indexOf(-inf);
        const { values, gradients, statistics } = run(logits.student, logits.teacher, { divergence });
        const what = `${divergence}, ${logits.student.length} columns`;
        identical(t, values, [inf], what);
        // The other side's gradient is a difference of probabilities, and stays one.
        const probability = (side: "student" | "teacher", i: number): number =>
          Math.exp((logits[side][i] as number) - (statistics[`${side}LogSumExp`][0] as number));
        const expected = logits[other].map((_, i) => probability(other, i) - probability(weigher, i));
        close(t, gradients[other], expected, { relative, what });
        t.true((expected[hole] as number) < 0);
        t.false(gradients[weigher].some(Number.isFinite), what);
      }
    }
  });

  test(`${title}: a probability of 0 on the side that weighs adds nothing that is not finite`, (t) => {
    for (const divergence of divergences) {
      for (const place of placements.slice(0, 4)) {
        const [weigher, other] = roles[divergence];
        const logits = { [weigher]: place([1, -inf, 2]), [other]: place([1, 0.5, 2.5]) } as Record<
          typeof weigher,
          number[]
        >;
        const actual = run(logits.student, logits.teacher, { divergence });
        // e^-3000 is 0 to 1300 digits, but has a logarithm.
        const finite = (row: number[]): number[] => row.map((x) => Math.max(x, -3000));
        const exact = exactDivergence({ divergence }, finite(logits.student), finite(logits.teacher));
        const what = `${divergence}, ${logits.student.length} columns`;
        close(t, actual.values, [exact.value], { relative, what });
        close(t, actual.gradients.student, exact.studentGradient, { relative, absolute: relative, what });
        close(t, actual.gradients.teacher, exact.teacherGradient, { relative, absolute: relative, what });
      }
    }
  });

  test(`${title}: a row without a softmax is NaN, and leaves the other rows alone`, (t) => {
    const nothing = new Array<number>(2500).fill(-inf);
    const bad: Record<string, (row: number[]) => number[]> = {
      "NaN at the begin": (row) => row.with(0, NaN),
      "NaN at the end": (row) => row.with(-1, NaN),
      "NaN in a block of -Infinity": (row) =>
        row.map((x, i) => (i < 1024 ? -inf : x)).with(Math.min(500, row.length - 1), NaN),
      "NaN among -Infinity alone": (row) => nothing.slice(0, row.length).with(1, NaN),
      "-Infinity alone": (row) => nothing.slice(0, row.length),
      "+Infinity": (row) => row.with(-2, inf),
      "+Infinity and NaN": (row) => row.with(1, inf).with(2, NaN),
    };
    for (const [name, spoil] of Object.entries(bad)) {
      for (const columns of [3, 40, 2500]) {
        const rows = [0, 1, 2].map((row) => Array.from({ length: columns }, (_, i) => Math.sin(i * 7 + row)));
        const good = rowsOf(dtype, columns, rows.flat());
        const spoilt = rowsOf(dtype, columns, rows.with(1, spoil(rows[1] as number[])).flat());
        for (const choice of choices) {
          for (const side of sides) {
            const options = { ...everything, ...choice, backend };
            const expected = softmaxDivergence(good, good, options);
            const pair = side === "student" ? ([spoilt, good] as const) : ([good, spoilt] as const);
            const actual = softmaxDivergence(...pair, options);
            const what = `${name} in ${side}, ${named(choice)}, ${columns} columns`;
            identical(t, actual.values, expected.values.with(1, NaN), what);
            for (const of of sides) {
              const gradient = expected.gradients[of].map((x, i) =>
                Math.floor(i / columns) === 1 ? NaN : x,
              );
              identical(t, actual.gradients[of], gradient, `${what}, gradient of ${of}`);
              const entropy = expected.statistics[`${of}Entropy`];
              identical(
                t,
                actual.statistics[`${of}Entropy`],
                of === side ? entropy.with(1, NaN) : entropy,
                what,
              );
            }
            t.deepEqual([...actual.statistics.argmaxAgreement], [1, 0, 1], what);
          }
        }
      }
    }
  });

  test(`${title}: a masked row is not read, so it may hold NaN`, (t) => {
    const student = rowsOf(dtype, 2, [1, 2, NaN, NaN, 0, 3]);
    const teacher = rowsOf(dtype, 2, [2, 1, inf, NaN, 0, 1]);
    for (const choice of choices) {
      const masked = { ...everything, ...choice, rowMask: [1, 0, 1], backend } as const;
      const { values, gradients, statistics } = softmaxDivergence(student, teacher, masked);
      zeros(t, values[1] as number);
      for (const side of sides) {
        zeros(t, gradients[side].slice(2, 4));
        zeros(t, statistics[`${side}LogSumExp`][1] as number);
        zeros(t, statistics[`${side}Entropy`][1] as number);
      }
      t.true(Number.isFinite(softmaxDivergence(student, teacher, { ...masked, reduction: "mean" }).value));
    }
  });

  test(`${title}: a mean over no row is 0, with gradients of 0`, (t) => {
    const pair = rowsOf(dtype, 2, [1, 2, 3, 5]);
    const options = { rowMask: [0, 0], gradients: sides, backend } as const;
    const result = softmaxDivergence(pair, rowsOf(dtype, 2, [2, NaN, 0, -inf]), options);
    zeros(t, result.value);
    for (const side of sides) zeros(t, result.gradients[side]);
    zeros(t, softmaxDivergence(pair, pair, { ...options, divisor: 3 }).value);
  });

  test(`${title}: a weight of 0 or a gradOutput of 0 gives exactly 0, even times Infinity or NaN`, (t) => {
    // Rows: an infinite divergence, an ordinary one, a NaN, an infinite one that counts.
    const student = rowsOf(dtype, 2, [0, -inf, 1, 2, NaN, 1, 0, -inf]);
    const teacher = rowsOf(dtype, 2, [0, 1, 2, 1, 1, 1, 0, 1]);
    for (const choice of choices.filter((one) => infiniteAt(one).includes("student"))) {
      const divergence = named(choice);
      const options = { ...everything, ...choice, backend };
      const plain = softmaxDivergence(student, teacher, options);
      identical(t, plain.values, [inf, plain.values[1] as number, NaN, inf]);
      const weighted = softmaxDivergence(student, teacher, { ...options, rowWeights: [0, 0, 0, 1] });
      zeros(t, weighted.values.slice(0, 3), divergence);
      t.is(weighted.values[3], inf);
      const detached = softmaxDivergence(student, teacher, { ...options, gradOutput: [0, 0, 0, 1] });
      identical(t, detached.values, plain.values, divergence);
      for (const side of sides) {
        zeros(t, weighted.gradients[side].slice(0, 6), `${divergence} ${side}`);
        zeros(t, detached.gradients[side].slice(0, 6), `${divergence} ${side}`);
        identical(
          t,
          detached.gradients[side].slice(6),
          plain.gradients[side].slice(6),
          `${divergence} ${side}`,
        );
      }
    }
  });
}

// The reference computes its values in one way, whatever is asked for beside them.
for (const { backend, dtype, title } of implementations.filter((one) => one.backend !== "reference")) {
  test(`${title}: values alone end where values beside gradients do`, (t) => {
    // Rows of several segments, which meet -Infinity as a whole, in a part, or on one side.
    const columns = 20000;
    const plain = Array.from({ length: columns }, (_, i) => Math.sin(i));
    const hole = (begin: number, end: number, x = -inf): number[] =>
      plain.map((y, i) => (i >= begin && i < end ? x : y));
    const rows: Record<string, [student: number[], teacher: number[]]> = {
      "a column of the student": [hole(9000, 9001), plain],
      "a column of the teacher": [plain, hole(9000, 9001)],
      "a column of both": [hole(9000, 9001), hole(9000, 9001)],
      "a segment of the student": [hole(8192, 16384), plain],
      "a segment of the teacher": [plain, hole(8192, 16384)],
      "a segment of both": [hole(8192, 16384), hole(8192, 16384)],
      "all but one column": [hole(0, 19999), hole(0, 19999)],
      "all but one column of the teacher": [plain, hole(1, 20000)],
      "everything in the student": [hole(0, columns), plain],
      "a NaN in a segment of -Infinity": [hole(0, 9000).with(5, NaN), plain],
      "a NaN in the teacher's segment of -Infinity": [plain, hole(0, 9000).with(8999, NaN)],
      "a NaN": [plain.with(19000, NaN), hole(0, 9000)],
      "+Infinity": [plain, plain.with(12345, inf)],
    };
    for (const [name, [student, teacher]] of Object.entries(rows)) {
      const logits = [rowsOf(dtype, columns, student), rowsOf(dtype, columns, teacher)] as const;
      for (const choice of choices) {
        const relative = agreementOf(choice, dtype);
        const [expected] = softmaxDivergence(...logits, { ...everything, ...choice, backend }).values;
        const alone = softmaxDivergence(...logits, { ...choice, backend });
        const what = `${name}, ${named(choice)}`;
        if (Number.isFinite(expected) && expected !== 0)
          close(t, alone.value, expected as number, { relative, what });
        else identical(t, alone.value, expected as number, what);
      }
    }
  });
}

for (const { backend, dtype, title } of implementations) {
  test(`${title}: a row of NaN, or of NaN and -Infinity, is NaN however it is asked for`, (t) => {
    for (const columns of [1, 2, 10, 9000]) {
      const fine = Array.from({ length: columns }, (_, i) => Math.sin(i));
      for (const bad of [fine.map(() => NaN), fine.map((_, i) => (i === 0 ? NaN : -inf))]) {
        const [wrong, right] = [rowsOf(dtype, columns, bad), rowsOf(dtype, columns, fine)];
        for (const choice of choices) {
          for (const [student, teacher] of [
            [wrong, right],
            [right, wrong],
          ] as const) {
            const alone = softmaxDivergence(student, teacher, { ...choice, backend });
            identical(t, alone.value, NaN, `${named(choice)}, ${columns} columns`);
          }
        }
      }
    }
  });
}
