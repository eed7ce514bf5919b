// What happens to memory, promises and the process around an asynchronous call.
import test from "ava";
import { OptionError, ShapeError, softmaxDivergence, softmaxDivergenceAsync } from "../../lib/index.js";
import { backends } from "../cases.js";
import { runModule } from "../child.js";

function wave(
  rows: number,
  columns: number,
  phase: number,
): { data: Float32Array<ArrayBuffer>; shape: number[] } {
  const data = Float32Array.from({ length: rows * columns }, (_, i) => 3 * Math.sin(i * 0.7 + phase));
  return { data, shape: [rows, columns] };
}

for (const backend of backends) {
  test(`${backend}: an asynchronous call gives what the synchronous one gives`, async (t) => {
    const [student, teacher] = [wave(40, 300, 0), wave(40, 300, 1)];
    const options = { backend, gradients: ["student", "teacher"], statistics: ["studentEntropy"] } as const;
    t.deepEqual(
      await softmaxDivergenceAsync(student, teacher, options),
      softmaxDivergence(student, teacher, options),
    );
  });

  test(`${backend}: inputs are copied before the call returns`, async (t) => {
    const [student, teacher] = [wave(40, 300, 0), wave(40, 300, 1)];
    const expected = softmaxDivergence(student, teacher, { backend, gradients: ["student"] });
    const promise = softmaxDivergenceAsync(student, teacher, { backend, gradients: ["student"] });
    student.data.fill(7);
    structuredClone(teacher.data.buffer, { transfer: [teacher.data.buffer] });
    t.deepEqual(await promise, expected);
  });

  test(`${backend}: JavaScript runs on while the call computes`, async (t) => {
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    await softmaxDivergenceAsync(wave(400, 2000, 0), wave(400, 2000, 1), { backend, gradients: ["student"] });
    clearInterval(timer);
    t.true(turns > 0);
  });

  test(`${backend}: out is written when the promise resolves`, async (t) => {
    const [student, teacher] = [wave(4, 30, 0), wave(4, 30, 1)];
    const out = { student: new Float32Array(120), values: new Float64Array(4) };
    const options = { backend, gradients: ["student"], reduction: "none", out } as const;
    const result = await softmaxDivergenceAsync(student, teacher, options);
    t.is<unknown, unknown>(result.gradients.student, out.student);
    t.is<unknown, unknown>(result.values, out.values);
    t.true(out.student.some((x) => x !== 0));
    t.true(out.values.every((x) => x > 0));
  });

  test(`${backend}: a call aborted beforehand does not start`, async (t) => {
    const reason = new Error("no need");
    const signal = AbortSignal.abort(reason);
    t.is(
      await t.throwsAsync(softmaxDivergenceAsync(wave(2, 3, 0), wave(2, 3, 1), { backend, signal })),
      reason,
    );
  });

  test(`${backend}: an abort rejects with the signal's reason and leaves out alone`, async (t) => {
    const controller = new AbortController();
    const out = { student: new Float32Array(400 * 2000).fill(5) };
    const options = { backend, gradients: ["student"], out, signal: controller.signal } as const;
    const promise = softmaxDivergenceAsync(wave(400, 2000, 0), wave(400, 2000, 1), options);
    const reason = new Error("changed my mind");
    setImmediate(() => controller.abort(reason));
    t.is(await t.throwsAsync(promise), reason);
    await new Promise((resolve) => setTimeout(resolve, 100));
    t.true(out.student.every((x) => x === 5));
  });

  test(`${backend}: calls that add to one array at once are refused, and one after the other add up`, async (t) => {
    const [student, teacher] = [wave(4, 30, 0), wave(4, 30, 1)];
    const { gradients } = softmaxDivergence(student, teacher, { backend, gradients: ["student"] });
    const out = { student: new Float32Array(120) };
    const options = { backend, gradients: ["student"], accumulate: true, out } as const;
    const first = softmaxDivergenceAsync(student, teacher, options);
    const error = {
      instanceOf: OptionError,
      message: /^options\.out\.student is being added to by a call that has not ended;/,
    };
    await t.throwsAsync(softmaxDivergenceAsync(student, teacher, options), error);
    t.throws(() => softmaxDivergence(student, teacher, options), error);
    await first;
    await softmaxDivergenceAsync(student, teacher, options);
    out.student.forEach((x, i) => t.is(x, 2 * (gradients.student[i] as number)));
  });

  test(`${backend}: any number of calls share a signal`, async (t) => {
    const warnings: Error[] = [];
    const listener = (warning: Error): unknown => warnings.push(warning);
    process.on("warning", listener);
    const controller = new AbortController();
    const { signal } = controller;
    const call = (): Promise<unknown> =>
      softmaxDivergenceAsync(wave(2, 3, 0), wave(2, 3, 1), { backend, signal });
    await Promise.all(Array.from({ length: 30 }, call));
    const aborted = Promise.allSettled(Array.from({ length: 30 }, call));
    controller.abort();
    t.true((await aborted).every(({ status }) => status === "rejected"));
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", listener);
    t.deepEqual(warnings, []);
  });

  test(`${backend}: bad arguments reject the promise`, async (t) => {
    const promise = softmaxDivergenceAsync(wave(2, 3, 0), wave(2, 4, 1), { backend });
    await t.throwsAsync(promise, { instanceOf: ShapeError });
  });
}

test("an out array that is detached meanwhile rejects the promise", async (t) => {
  const out = { student: new Float32Array(4 * 30) };
  const options = { backend: "cpu", gradients: ["student"], out } as const;
  const promise = softmaxDivergenceAsync(wave(4, 30, 0), wave(4, 30, 1), options);
  structuredClone(out.student.buffer, { transfer: [out.student.buffer] });
  const message = "an array of options.out was detached or shrunk while the call was running";
  await t.throwsAsync(promise, { instanceOf: ShapeError, message });
});

test("many calls at once give what each gives alone", async (t) => {
  const inputs = Array.from(
    { length: 32 },
    (_, i) => [wave(i + 1, 500, i), wave(i + 1, 500, i + 1)] as const,
  );
  const together = await Promise.all(
    inputs.map(([s, p]) => softmaxDivergenceAsync(s, p, { gradients: ["student"] })),
  );
  t.deepEqual(
    together,
    inputs.map(([s, p]) => softmaxDivergence(s, p, { gradients: ["student"] })),
  );
});

const setup = `
  import { softmaxDivergence, softmaxDivergenceAsync } from "kullback";
  const input = () => ({ data: new Float32Array(200 * 20000).fill(1), shape: [200, 20000] });
`;

test("a pending call keeps the process alive until it is done, and not longer", async (t) => {
  const source = `${setup} softmaxDivergenceAsync(input(), input()).then(({ value }) => console.log("done", value));`;
  t.like(await runModule(source), { code: 0, signal: null, stdout: "done 0\n", stderr: "" });
});

test("the process may exit in the middle of a call", async (t) => {
  const source = `${setup}
    for (let i = 0; i < 4; i++) softmaxDivergenceAsync(input(), input(), { gradients: ["student"] });
    setImmediate(() => process.exit(3));`;
  t.like(await runModule(source), { code: 3, signal: null, stderr: "" });
});
