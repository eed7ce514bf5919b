// Where each divergence is Infinity and where it is not, and what it is between point masses as sharp as numbers allow.
import test from "ava";
import { softmaxDivergence } from "../lib/index.js";
import {
  agreementOf,
  choices,
  everything,
  implementations,
  infiniteAt,
  logitPair,
  named,
  rowsOf,
  sides,
  type Choice,
} from "./cases.js";
import { close, identical } from "./close.js";
import { exactDivergence } from "./oracle.js";

/** Where the hole may lie: in the first vector, in a tail, in a block of its own. */
const columnCounts = [3, 40, 2500];
const row = (columns: number, phase: number): number[] =>
  Array.from({ length: columns }, (_, i) => 2 * Math.sin(i + phase));

/** The 40-digit results of short rows with a hole in one of the sides, for all backends. */
const exactHoles = columnCounts.slice(0, 2).flatMap((columns) =>
  sides.map((side) => {
    const logits = { student: row(columns, 0), teacher: row(columns, 0.7) };
    // e^-3000 is 0 to 1300 digits, but has a logarithm; and no power here leaves 300 of them.
    logits[side][columns - 2] = -3000;
    const exact = choices
      .filter((choice) => !infiniteAt(choice).includes(side))
      .map((choice) => [choice, exactDivergence(choice, logits.student, logits.teacher)] as const);
    logits[side][columns - 2] = -Infinity;
    return { columns, side, logits, exact };
  }),
);

for (const { backend, dtype, title } of implementations) {
  const run = (student: number[], teacher: number[], choice: Choice) => {
    const pair = [rowsOf(dtype, student.length, student), rowsOf(dtype, teacher.length, teacher)] as const;
    const { values, gradients } = softmaxDivergence(...pair, { ...everything, ...choice, backend });
    const alone = softmaxDivergence(...pair, { ...choice, backend }).value;
    return { value: values[0]!, alone, gradients };
  };

  for (const side of sides) {
    test(`${title}: a ${side} with a probability of 0 makes some divergences Infinity, and no other`, (t) => {
      for (const columns of columnCounts) {
        for (const hole of [0, columns - 2]) {
          const logits = { student: row(columns, 0), teacher: row(columns, 0.7) };
          logits[side][hole] = -Infinity;
          for (const choice of choices) {
            const { value, alone, gradients } = run(logits.student, logits.teacher, choice);
            const what = `${named(choice)}, ${columns} columns: ${value}, alone ${alone}`;
            if (infiniteAt(choice).includes(side)) {
              identical(t, [value, alone], [Infinity, Infinity], what);
              continue;
            }
            t.true(value > 0 && Number.isFinite(value), what);
            close(t, alone, value, { relative: agreementOf(choice, dtype), what });
            for (const of of sides) t.true(gradients[of].every(Number.isFinite), `${what}, ${of}`);
            t.is(Math.abs(gradients[side][hole]!), 0, what);
          }
        }
      }
    });
  }

  test(`${title}: beside a probability of 0 values and gradients that are finite are right`, (t) => {
    for (const { columns, side, logits, exact } of exactHoles) {
      for (const [choice, expected] of exact) {
        const { value, gradients } = run(logits.student, logits.teacher, choice);
        const relative = agreementOf(choice, dtype);
        const what = `${named(choice)}, ${columns} columns, 0 in ${side}`;
        close(t, value, expected.value, { relative, what });
        for (const of of sides)
          close(t, gradients[of], expected[`${of}Gradient`], {
            relative,
            what: `${what}, gradient of ${of}`,
          });
      }
    }
  });

  test(`${title}: point masses at logits of 1e30 are a largest distance apart, finite where that is`, (t) => {
    const [student, teacher] = [
      [1e30, -1e30, 0],
      [0, 1e30, 0],
    ];
    const expected: [Choice, number][] = [
      [{ divergence: "jeffreys" }, 3e30],
      [{ divergence: "jensenShannon" }, Math.log(2)],
      [{ divergence: "totalVariation" }, 1],
      [{ divergence: "squaredHellinger" }, 1],
      [{ divergence: "alpha", alpha: 0.3 }, 1 / 0.21],
      [{ divergence: "renyi", alpha: 0.5 }, 1e30],
      [{ divergence: "renyi", alpha: 2 }, 2e30],
      [{ divergence: "skewForwardKl" }, Math.log(10)],
      [{ divergence: "skewReverseKl" }, Math.log(10)],
    ];
    for (const [choice, distance] of expected) {
      const { value, alone, gradients } = run(student, teacher, choice);
      const tolerance = { relative: agreementOf(choice, dtype), what: named(choice) };
      close(t, value, distance, tolerance);
      close(t, alone, distance, tolerance);
      for (const side of sides) t.false(gradients[side].some(Number.isNaN), named(choice));
    }
    for (const choice of [{ divergence: "chiSquared" }, { divergence: "alpha", alpha: 1.5 }] as const) {
      const { value, alone } = run(student, teacher, choice);
      identical(t, [value, alone], [Infinity, Infinity], named(choice));
    }
  });

  test(`${title}: the total variation does not change with a column in which both sides are equal`, (t) => {
    const { alone, gradients } = run([0, -Infinity, 0], [-Infinity, 0, 0], { divergence: "totalVariation" });
    close(t, alone, 0.5, { relative: 1e-6 });
    close(t, gradients.student, [0.125, 0, -0.125], { relative: 1e-6 });
    close(t, gradients.teacher, [0, 0.125, -0.125], { relative: 1e-6 });
  });

  test(`${title}: point masses that are one and the same are 0 apart`, (t) => {
    for (const choice of choices) {
      for (const logits of [
        [1e4, -1e4, 3],
        [-Infinity, 0, -Infinity],
        [-1e30, 0, 1e30],
      ]) {
        const { value, alone, gradients } = run(logits, logits, choice);
        const what = `${named(choice)}, ${logits.join()}`;
        identical(t, [Math.abs(value), Math.abs(alone)], [0, 0], what);
        for (const side of sides)
          t.true(
            gradients[side].every((x) => x === 0),
            what,
          );
      }
    }
  });
}

// What the others are measured by must know the ends of each parameter's range.
test("reference: parameters near the ends of their ranges cost no digits", (t) => {
  const extreme: Choice[] = [
    ...[1e-9, 1 - 1e-9].flatMap((end): Choice[] => [
      { divergence: "jensenShannon", beta: end },
      { divergence: "jensenShannon", beta: end, normalized: true },
      { divergence: "skewForwardKl", lambda: end },
      { divergence: "skewReverseKl", lambda: end },
      { divergence: "alpha", alpha: end },
      { divergence: "renyi", alpha: end },
    ]),
    { divergence: "alpha", alpha: -1e-9 },
    { divergence: "alpha", alpha: 12 },
    { divergence: "alpha", alpha: -12 },
    { divergence: "renyi", alpha: 1 + 1e-9 },
    { divergence: "renyi", alpha: 1000 },
  ];
  const pairs = [
    logitPair({ rows: 1, columns: 9, dtype: "float64" }),
    logitPair({ rows: 1, columns: 9, dtype: "float64", distance: 1e-2 }),
    { student: rowsOf("float64", 3, [12, -11, 3]), teacher: rowsOf("float64", 3, [-10, 13, 4]) },
  ];
  for (const choice of extreme) {
    for (const { student, teacher } of pairs) {
      const exact = exactDivergence(choice, student.data, teacher.data);
      const options = { ...everything, ...choice, backend: "reference" } as const;
      const { values, gradients } = softmaxDivergence(student, teacher, options);
      const what = `${named(choice)}: ${exact.value}`;
      close(t, values, [exact.value], { relative: 1e-12, what });
      for (const side of sides) {
        const expected = exact[`${side}Gradient`];
        close(t, gradients[side], expected, { relative: 1e-12, what: `${what}, gradient of ${side}` });
      }
    }
  }
});
