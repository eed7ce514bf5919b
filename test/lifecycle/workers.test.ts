// Node's worker threads: each loads the addon for itself and unloads it when it ends. A crash here takes the whole
// process down, so all of it runs in child processes.
import test from "ava";
import { runModule } from "../child.js";

const prelude = `
  import { Worker } from "node:worker_threads";
  import { once } from "node:events";
  const inWorker = (body) => new Worker(\`
    import { parentPort } from "node:worker_threads";
    import { setThreadCount, softmaxDivergence, softmaxDivergenceAsync, threadCount } from "kullback";
    const input = (phase) => ({
      data: new Float32Array(16 * 4000).fill(1).map((_, i) => Math.sin(i + phase)),
      shape: [16, 4000],
    });
    \${body}
  \`, { eval: true, type: "module", execArgv: ["--input-type=module"] });
`;

test("eight workers that come and go give the same answer, and the main thread works on", async (t) => {
  const source = `${prelude}
    const answers = new Set();
    for (let round = 0; round < 3; round++) {
      await Promise.all(Array.from({ length: 8 }, async () => {
        const worker = inWorker(\`
          const { value } = await softmaxDivergenceAsync(input(0), input(1));
          parentPort.postMessage([value, softmaxDivergence(input(0), input(1)).value]);
        \`);
        const exited = once(worker, "exit");
        const [values] = await once(worker, "message");
        values.forEach((value) => answers.add(value));
        await exited;
      }));
    }
    const { softmaxDivergence } = await import("kullback");
    const pair = { data: new Float32Array([1, 2]), shape: [1, 2] };
    console.log(answers.size, softmaxDivergence(pair, pair).value);`;
  t.like(await runModule(source), { code: 0, signal: null, stdout: "1 0\n", stderr: "" });
});

test("a worker may be terminated in the middle of a call", async (t) => {
  const source = `${prelude}
    for (let round = 0; round < 6; round++) {
      const worker = inWorker(\`
        const [student, teacher] = [input(0), input(1)];
        for (let i = 0; i < 50; i++) softmaxDivergenceAsync(student, teacher, { gradients: ["student", "teacher"] });
        parentPort.postMessage("started");
      \`);
      await once(worker, "message");
      await worker.terminate();
    }
    console.log("survived");`;
  t.like(await runModule(source), { code: 0, signal: null, stdout: "survived\n", stderr: "" });
});

test("a worker may be terminated at any moment of a call", async (t) => {
  const source = `${prelude}
    for (let delay = 0; delay < 25; delay++) {
      const worker = inWorker(\`
        const zeros = { data: new Float32Array(64 * 32000), shape: [64, 32000] };
        for (let i = 0; i < 5; i++) softmaxDivergenceAsync(zeros, zeros, { gradients: ["student"] });
        parentPort.postMessage("started");
      \`);
      await once(worker, "message");
      await new Promise((resolve) => setTimeout(resolve, 2 * delay));
      await worker.terminate();
    }
    console.log("survived");`;
  t.like(await runModule(source), { code: 0, signal: null, stdout: "survived\n", stderr: "" });
});

test("a worker that loads the addon leaves the thread count of the process as it was set", async (t) => {
  const source = `${prelude}
    const { setThreadCount, threadCount } = await import("kullback");
    setThreadCount(3);
    const worker = inWorker("parentPort.postMessage(threadCount());");
    const [seen] = await once(worker, "message");
    console.log(seen, threadCount());`;
  t.like(await runModule(source), { code: 0, signal: null, stdout: "3 3\n", stderr: "" });
});
