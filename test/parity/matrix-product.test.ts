// The matrix product of the CPU backend on every instruction set that runs here: against float64, around the edges of
// tiles and blocks, and the order of its sums.
import test from "ava";
import type { Addon } from "../../lib/backend/addon.js";
import { loadAddon } from "../../lib/backend/load.js";
import { setThreadCount, threadCount, type NumericArray } from "../../lib/index.js";
import { arrayOf, dtypes, normals, type Dtype } from "../cases.js";
import { close, identical } from "../close.js";

const addon = loadAddon().addon as Addon;
const sets = addon
  .instructionSets()
  .filter(({ supported }) => supported)
  .map(({ name }) => name);

interface Product {
  rows: number;
  columns: number;
  depth: number;
}
interface Layout {
  aAlong: boolean;
  bAlong: boolean;
}
const layouts: Layout[] = [
  { aAlong: true, bAlong: true },
  { aAlong: true, bAlong: false },
  { aAlong: false, bAlong: false },
];

function operands(dtype: Dtype, { rows, columns, depth }: Product): [a: NumericArray, b: NumericArray] {
  const normal = normals(rows + 1000 * columns + depth);
  return [
    arrayOf(dtype, Float64Array.from({ length: rows * depth }, normal)),
    arrayOf(dtype, Float64Array.from({ length: columns * depth }, normal)),
  ];
}

interface Run extends Product, Partial<Layout> {
  chained?: boolean;
  /** What c holds before. */
  onto?: NumericArray;
}

function multiply(
  set: string | undefined,
  dtype: Dtype,
  a: NumericArray,
  b: NumericArray,
  run: Run,
): NumericArray {
  const { rows, columns, depth, aAlong = true, bAlong = true, chained = false, onto } = run;
  const c = onto?.slice() ?? arrayOf(dtype, { length: rows * columns });
  const flags = [chained, onto !== undefined, aAlong, bAlong].map(Number) as [number, number, number, number];
  addon.matrixProduct(set, dtypes.indexOf(dtype), ...flags, rows, columns, depth, a, b, c);
  return c;
}

function inFloat64(
  a: NumericArray,
  b: NumericArray,
  { rows, columns, depth, aAlong, bAlong }: Product & Layout,
): Float64Array {
  const c = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (let k = 0; k < depth; k++) {
        sum +=
          a[aAlong ? row * depth + k : k * rows + row]! *
          b[bAlong ? column * depth + k : k * columns + column]!;
      }
      c[row * columns + column] = sum;
    }
  }
  return c;
}

const shapes: Product[] = [
  { rows: 1, columns: 1, depth: 1 },
  { rows: 5, columns: 15, depth: 3 },
  { rows: 6, columns: 16, depth: 4 },
  { rows: 13, columns: 33, depth: 257 },
  { rows: 25, columns: 70, depth: 30 },
  { rows: 97, columns: 129, depth: 31 },
  // Beyond a block in each direction.
  { rows: 1030, columns: 9, depth: 12 },
  { rows: 7, columns: 1045, depth: 10 },
  { rows: 3, columns: 17, depth: 1300 },
];

for (const set of sets) {
  for (const dtype of dtypes) {
    test(`${set} ${dtype}: products in every layout are right to a few roundings`, (t) => {
      const relative = { float32: 1e-6, float64: 1e-14 }[dtype];
      for (const shape of shapes) {
        const [a, b] = operands(dtype, shape);
        for (const layout of layouts) {
          const expected = inFloat64(a, b, { ...shape, ...layout });
          const what = JSON.stringify({ ...shape, ...layout });
          close(t, multiply(set, dtype, a, b, { ...shape, ...layout }), expected, { relative, what });
          const onto = arrayOf(
            dtype,
            expected.map((_, i) => i % 7),
          );
          const added = expected.map((x, i) => x + (i % 7));
          for (const chained of [false, true]) {
            close(t, multiply(set, dtype, a, b, { ...shape, ...layout, chained, onto }), added, {
              relative,
              what,
            });
          }
        }
      }
    });

    test(`${set} ${dtype}: a chain that is cut anywhere goes on to the same bits`, (t) => {
      const shape = { rows: 29, columns: 41, depth: 1100 };
      const [a, b] = operands(dtype, shape);
      const layout = { aAlong: false, bAlong: false };
      const whole = multiply(set, dtype, a, b, { ...shape, ...layout, chained: true });
      for (const cut of [1, 255, 256, 700, 1099]) {
        const head = { ...shape, ...layout, depth: cut, chained: true };
        const first = multiply(set, dtype, a.subarray(0, cut * 29), b.subarray(0, cut * 41), head);
        const tail = { ...head, depth: shape.depth - cut, onto: first };
        identical(t, multiply(set, dtype, a.subarray(cut * 29), b.subarray(cut * 41), tail), whole);
      }
    });
  }
}

for (const dtype of dtypes) {
  test(`${dtype}: on any number of threads, and with any fused instructions, the same bits`, (t) => {
    const shape = { rows: 150, columns: 300, depth: 260 };
    const [a, b] = operands(dtype, shape);
    const expected = multiply(undefined, dtype, a, b, shape);
    const threads = threadCount();
    for (const count of [1, 2, 5]) {
      setThreadCount(count);
      identical(t, multiply(undefined, dtype, a, b, shape), expected);
    }
    setThreadCount(Math.max(1, threads));
    for (const set of sets.filter((name) => name !== "baseline")) {
      identical(t, multiply(set, dtype, a, b, shape), multiply(sets.at(-1), dtype, a, b, shape), set);
    }
  });

  test(`${dtype}: in parts, a long sum has fewer roundings than in a chain`, (t) => {
    // All of one sign, so that each addition rounds.
    const shape = { rows: 6, columns: 16, depth: 1 << 15 };
    const positive = (array: NumericArray): NumericArray => array.map((x) => Math.abs(x) + 1);
    const [a, b] = operands(dtype, shape).map(positive) as [NumericArray, NumericArray];
    const exact = inFloat64(a, b, { ...shape, aAlong: true, bAlong: true });
    const error = (chained: boolean): number => {
      const product = multiply(undefined, dtype, a, b, { ...shape, chained });
      return exact.reduce((sum, x, i) => sum + Math.abs(product[i]! - x) / x, 0);
    };
    // Float64 has no more exact oracle here.
    if (dtype === "float32") t.true(4 * error(false) < error(true), `${error(false)} ${error(true)}`);
    else t.true(error(false) < 1e-11);
  });
}
