// softmaxDivergence given anything at all: it answers, or throws an error of Kullback's; it never crashes.
import test from "ava";
import fc from "fast-check";
import { DtypeError, OptionError, ShapeError, softmaxDivergence } from "../lib/index.js";
import { backends, choices, dtypes } from "./cases.js";
import { call, callAsync, detached, type Arguments } from "./error-cases.js";

/** The same cases on every run; a failure prints its own. */
const parameters = { seed: 20240229, numRuns: 4000 };

const garbage = fc.oneof(
  fc.anything({ withBigInt: true, withTypedArray: true, withSparseArray: true, withNullPrototype: true }),
  fc.anything({ withDate: true, withMap: true, withSet: true, withObjectString: true }),
  fc.constantFrom<unknown>(
    detached(4),
    detached(0),
    Symbol("symbol"),
    () => 1,
    Map,
    new Proxy({}, {}),
    new SharedArrayBuffer(8),
    Object.create(null),
    { toString: 1, valueOf: 1 },
    { length: 4 },
    { length: -1 },
    [undefined, null],
    new DataView(new ArrayBuffer(8)),
    -0,
    2 ** 53,
    Number.MAX_VALUE,
    Number.MIN_VALUE,
  ),
);

/** Numbers of any kind, often such that something overflows. */
const double = fc.oneof(fc.double(), fc.constantFrom(NaN, Infinity, -Infinity, 1e30, -1e30, 0));

/** A divergence with whatever its parameter may be. */
const choice = fc.oneof(
  fc.constantFrom(...choices),
  fc.record({
    divergence: fc.constant("alpha" as const),
    alpha: fc.double({ noNaN: true, noDefaultInfinity: true }),
  }),
  fc.record({
    divergence: fc.constant("renyi" as const),
    alpha: fc.double({ min: 0, minExcluded: true, noNaN: true, noDefaultInfinity: true }),
  }),
  fc.record({
    divergence: fc.constant("jensenShannon" as const),
    beta: fc.double({ min: 0, max: 1, noNaN: true }),
    normalized: fc.boolean(),
  }),
  fc.record({
    divergence: fc.constantFrom("skewForwardKl" as const, "skewReverseKl" as const),
    lambda: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  }),
);

const sizes = fc.record({ rows: fc.integer({ min: 0, max: 3 }), columns: fc.integer({ min: 1, max: 20 }) });

/** A call that is right, but for its numbers. */
const validCall = sizes.chain(({ rows, columns }) => {
  const perRow = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), {
    minLength: rows,
    maxLength: rows,
  });
  return fc
    .record({
      dtype: fc.constantFrom(...dtypes),
      student: fc.array(double, { minLength: rows * columns, maxLength: rows * columns }),
      teacher: fc.array(double, { minLength: rows * columns, maxLength: rows * columns }),
      options: fc.record(
        {
          temperature: fc.oneof(
            fc.double({ min: 1e-30, max: 1e30, noNaN: true }),
            fc.constant({ student: 2, teacher: 0.5 }),
          ),
          temperatureScaling: fc.constantFrom("none", "squared"),
          reduction: fc.constantFrom("none", "sum", "mean"),
          // Multiplied by the scale they must be numbers still.
          rowWeights: fc.array(fc.double({ min: -1, max: 1, noNaN: true }), {
            minLength: rows,
            maxLength: rows,
          }),
          rowMask: fc.array(fc.boolean(), { minLength: rows, maxLength: rows }),
          vocabSize: fc.integer({ min: 1, max: columns }),
          gradients: fc.uniqueArray(fc.constantFrom("student", "teacher")),
          gradOutput: fc.oneof(double, perRow),
          statistics: fc.uniqueArray(
            fc.constantFrom("studentLogSumExp", "teacherEntropy", "argmaxAgreement"),
          ),
          backend: fc.constantFrom(...backends),
        },
        { requiredKeys: [] },
      ),
      choice: fc.option(choice, { nil: {} }),
    })
    .map(({ dtype, student, teacher, options, choice }) => {
      const array = (values: number[]) =>
        dtype === "float32" ? Float32Array.from(values) : Float64Array.from(values);
      return {
        student: { data: array(student), shape: [rows, columns] },
        teacher: { data: array(teacher), shape: [rows, columns] },
        options: { ...options, ...choice },
      };
    });
});

test("numbers of all kinds: right calls succeed and fill what was asked for", (t) => {
  fc.assert(
    fc.property(validCall, ({ student, teacher, options }) => {
      const result = softmaxDivergence<Float32Array | Float64Array>(student, teacher, options) as {
        value?: number;
        values?: Float64Array;
        gradients: Record<string, Float32Array | Float64Array>;
      };
      const reduced =
        options.reduction === "none" ? result.values?.length === student.shape[0] : "value" in result;
      const named = [...(options.gradients ?? [])].sort().join();
      const gradients = Object.entries(result.gradients);
      return (
        reduced &&
        gradients
          .map(([side]) => side)
          .sort()
          .join() === named &&
        gradients.every(([, gradient]) => gradient.length === student.data.length)
      );
    }),
    parameters,
  );
  t.pass();
});

/** Puts garbage in the place of one thing that a right call has, or that it might have. */
const spoiltCall: fc.Arbitrary<Arguments> = fc
  .record({
    valid: validCall,
    where: fc.constantFrom(
      ...["student", "teacher", "options"],
      ...["data", "shape", "dtype"].flatMap((field) => [`student.${field}`, `teacher.${field}`]),
      ...[
        "divergence",
        "alpha",
        "beta",
        "lambda",
        "normalized",
        "temperature",
        "temperatureScaling",
        "reduction",
        "divisor",
        "rowWeights",
        "rowMask",
      ].map((name) => `options.${name}`),
      ...["vocabSize", "gradients", "gradOutput", "statistics", "out", "backend"].map(
        (name) => `options.${name}`,
      ),
      ...["temperature.student", "out.student", "out.teacher", "out.values", "unknown"].map(
        (name) => `options.${name}`,
      ),
    ),
    what: garbage,
    inShape: fc.boolean(),
  })
  .map(({ valid, where, what, inShape }) => {
    const [argument, field, inner] = where.split(".") as [keyof typeof valid, string?, string?];
    const all: Record<keyof typeof valid, unknown> = { ...valid };
    if (field === undefined) all[argument] = what;
    else if (inner !== undefined)
      all[argument] = { ...valid[argument], gradients: ["student"], [field]: { [inner]: what } };
    else if (field === "shape" && inShape) all[argument] = { ...valid[argument], shape: [what, 1] };
    else all[argument] = { ...valid[argument], [field]: what };
    return [all.student, all.teacher, all.options];
  });

/** One of the three that say what is wrong with the call; not KullbackError itself, which says that we are. */
const isOurs = (error: unknown): boolean =>
  [ShapeError, DtypeError, OptionError].some((type) => error instanceof type) &&
  (error as Error).message.length > 10;

test("garbage in any place: only errors of Kullback's", (t) => {
  let failures = 0;
  fc.assert(
    fc.property(spoiltCall, (args) => {
      try {
        call(args);
        return true;
      } catch (error) {
        failures++;
        if (isOurs(error)) return true;
        throw error;
      }
    }),
    parameters,
  );
  t.true(failures > parameters.numRuns / 2, `only ${failures} were errors`);
});

test("garbage in any place: the asynchronous form rejects with the same message that the other throws", async (t) => {
  await fc.assert(
    fc.asyncProperty(spoiltCall, async (args) => {
      const message = async (run: () => unknown): Promise<string | undefined> => {
        try {
          await run();
          return undefined;
        } catch (error) {
          if (isOurs(error)) return (error as Error).message.replace(/, signal$/, "");
          throw error;
        }
      };
      return (await message(() => callAsync(args))) === (await message(() => call(args)));
    }),
    { ...parameters, numRuns: 1000 },
  );
  t.pass();
});
