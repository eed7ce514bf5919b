// Distils MNIST: a teacher sees all of it, students see ten images per digit, with and without its help.
import { join } from "node:path";
import { writeCurves } from "./curves.js";
import { digitCount, readDigits, toTestSet } from "./data.js";
import { timeLoss } from "./loss-timing.js";
import { testAccuracy } from "./networks.js";
import { withProgress } from "./progress.js";
import { accuracyTable, describeBackends, lastAccuracies, percent, timingTable } from "./report.js";
import { settingsFromCommandLine, usage } from "./settings.js";
import type { Settings } from "./settings.js";
import { startTensorFlow } from "./tfjs-backend.js";
import { trainStudents, trainTeacher } from "./training.js";
import type { StudentCurves } from "./training.js";

const curvesFile = join("output", "distill-mnist.svg");
/** Rows and columns of a language model's loss, where the divergence, not the network, fills the memory. */
const languageModelLogits = { rows: 32, columns: 32_000 };

async function distill(settings: Settings, signal: AbortSignal): Promise<void> {
  await startTensorFlow();
  console.log(`${describeBackends()}\n`);

  const data = { digits: readDigits("train"), test: toTestSet(readDigits("t10k")) };
  const { teacher, teacherAccuracy } = await withProgress(
    "Teacher",
    settings.teacher.steps,
    async (onStep) => {
      const network = await trainTeacher(settings.teacher, data.digits, onStep, signal);
      return { teacher: network, teacherAccuracy: testAccuracy(network, data.test) };
    },
    (result) => percent(result.teacherAccuracy),
  );

  const students: StudentCurves[] = [];
  for (const seed of settings.seeds) {
    const pair = await withProgress(
      `Students, seed ${seed}`,
      settings.student.steps,
      (onStep) => trainStudents(seed, settings, teacher, data, onStep, signal),
      (curves) => {
        const { labelsOnly, distilled } = lastAccuracies(curves);
        return `labels alone ${percent(labelsOnly)}, distilled ${percent(distilled)}`;
      },
    );
    students.push(pair);
  }
  console.log(`\n${accuracyTable(settings, teacherAccuracy, students)}`);

  console.log("\nTiming the loss ...");
  const { batchSize } = settings.student;
  const timings = [
    timeLoss(batchSize, digitCount, settings.temperature),
    timeLoss(languageModelLogits.rows, languageModelLogits.columns, settings.temperature),
  ];
  console.log(timingTable(timings));

  await writeCurves(curvesFile, { imagesPerDigit: settings.imagesPerDigit, teacherAccuracy, students });
  console.log(`\nLearning curves: ${curvesFile}`);
}

const interruption = new AbortController();
// Once: a second Ctrl-C ends the process the usual way.
process.once("SIGINT", () => {
  interruption.abort();
});
try {
  const settings = settingsFromCommandLine();
  if (settings === null) console.log(usage);
  else await distill(settings, interruption.signal);
} catch (error) {
  console.error(interruption.signal.aborted ? "\nStopped." : error instanceof Error ? error.message : error);
  process.exitCode = interruption.signal.aborted ? 130 : 1;
}
