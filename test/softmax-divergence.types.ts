// What the compiler must know of softmaxDivergence's results: fields exist exactly as asked. Compiled, never run.
import {
  DeviceArray,
  softmaxDivergence,
  softmaxDivergenceAsync,
  type NumericArray,
  type Rows,
  type Side,
} from "../lib/index.js";
import type { SoftmaxDivergenceOptions } from "../lib/index.js";

declare const float32: Rows<Float32Array>;
declare const float64: Rows<Float64Array>;
declare const onDevice: Rows<DeviceArray<"float32">>;
declare const either: Rows;
declare const someSides: Side[];
declare const oneSide: Side;
declare const anyOptions: SoftmaxDivergenceOptions;
declare const reduction: "none" | "sum";

/** Compiles where `actual` has the type T, neither more nor less. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the way to compare types
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

function exactly<T>(): <U>(actual: U, same: Same<T, U>) => void {
  return () => undefined;
}

declare function look(field: unknown): void;

type Floats32 = Float32Array<ArrayBuffer>;
type Floats64 = Float64Array<ArrayBuffer>;

export function reducedResults(): void {
  // Mean is the default, and gives a number.
  exactly<number>()(softmaxDivergence(float32, float32).value, true);
  exactly<number>()(softmaxDivergence(float32, float32, {}).value, true);
  exactly<number>()(softmaxDivergence(float32, float32, { reduction: "mean" }).value, true);
  exactly<number>()(softmaxDivergence(float32, float32, { reduction: "sum" }).value, true);
  exactly<Floats64>()(softmaxDivergence(float32, float32, { reduction: "none" }).values, true);
  // @ts-expect-error there is no `values` where the rows are summed
  look(softmaxDivergence(float32, float32, { reduction: "sum" }).values);
  // @ts-expect-error there is no `value` where nothing is reduced
  look(softmaxDivergence(float32, float32, { reduction: "none" }).value);
  // @ts-expect-error there is no `values` by default
  look(softmaxDivergence(float32, float32, { temperature: 2 }).values);
  // Known at run time only: either may be there.
  exactly<number | undefined>()(softmaxDivergence(float32, float32, anyOptions).value, true);
  exactly<Floats64 | undefined>()(softmaxDivergence(float32, float32, anyOptions).values, true);
  exactly<Floats64 | undefined>()(softmaxDivergence(float32, float32, { reduction }).values, true);
}

export function deviceArrays(): void {
  const { gradients, value } = softmaxDivergence(onDevice, onDevice, { gradients: ["student"] });
  exactly<DeviceArray<"float32">>()(gradients.student, true);
  exactly<number>()(value, true);
  exactly<Floats32>()(gradients.student.read(), true);
  exactly<DeviceArray<"float64">>()(DeviceArray.from(new Float64Array(1)), true);
  exactly<DeviceArray<"float32">>()(DeviceArray.alloc(1, "float32"), true);
  // @ts-expect-error one side on the host, one on a device
  look(softmaxDivergence(onDevice, float32));
}

export function topKTeachers(): void {
  const teacher = { ...float32, ids: new Int32Array(1) };
  const options = { teacher: "topK", tail: "renormalize", gradients: ["student"] } as const;
  exactly<Floats32>()(softmaxDivergence(float32, teacher, options).gradients.student, true);
  // @ts-expect-error no such policy
  look(softmaxDivergence(float32, teacher, { teacher: "topK", tail: "drop" }));
}

export function gradients(): void {
  const student = softmaxDivergence(float32, float32, { gradients: ["student"] });
  exactly<Floats32>()(student.gradients.student, true);
  // @ts-expect-error the teacher's gradient was not asked for
  look(student.gradients.teacher);
  const both = softmaxDivergence(float64, float64, { gradients: ["student", "teacher"] });
  exactly<Floats64>()(both.gradients.student, true);
  exactly<Floats64>()(both.gradients.teacher, true);
  // @ts-expect-error no gradient was asked for
  look(softmaxDivergence(float32, float32, { reduction: "sum" }).gradients.student);
  // @ts-expect-error an empty list asks for none
  look(softmaxDivergence(float32, float32, { gradients: [] }).gradients.student);
  // A list that is known at run time only, or an element that is: each gradient may be missing.
  exactly<Floats32 | undefined>()(
    softmaxDivergence(float32, float32, { gradients: someSides }).gradients.student,
    true,
  );
  exactly<Floats32 | undefined>()(
    softmaxDivergence(float32, float32, { gradients: [oneSide] }).gradients.teacher,
    true,
  );
  exactly<Floats32 | undefined>()(softmaxDivergence(float32, float32, anyOptions).gradients.student, true);
  // The element type follows the data's.
  exactly<Floats32 | Floats64>()(
    softmaxDivergence(either, either, { gradients: ["student"] }).gradients.student,
    true,
  );
}

export function statistics(): void {
  const two = softmaxDivergence(float32, float32, { statistics: ["studentEntropy", "argmaxAgreement"] });
  exactly<Floats64>()(two.statistics.studentEntropy, true);
  exactly<Uint8Array<ArrayBuffer>>()(two.statistics.argmaxAgreement, true);
  // @ts-expect-error the teacher's entropy was not asked for
  look(two.statistics.teacherEntropy);
  // @ts-expect-error no statistic was asked for
  look(softmaxDivergence(float32, float32).statistics.studentEntropy);
}

export function argumentsOf(): void {
  // @ts-expect-error no such divergence
  softmaxDivergence(float32, float32, { divergence: "kl" });
  exactly<number>()(softmaxDivergence(float32, float32, { divergence: "alpha", alpha: 1.5 }).value, true);
  exactly<number>()(
    softmaxDivergence(float32, float32, { divergence: "jensenShannon", beta: 0.1, normalized: true }).value,
    true,
  );
  // @ts-expect-error a parameter is a number
  softmaxDivergence(float32, float32, { divergence: "skewForwardKl", lambda: "0.1" });
  // @ts-expect-error true or false
  softmaxDivergence(float32, float32, { divergence: "jensenShannon", normalized: 1 });
  // @ts-expect-error no such option
  softmaxDivergence(float32, float32, { temperatur: 2 });
  // @ts-expect-error no such side
  softmaxDivergence(float32, float32, { gradients: ["both"] });
  // @ts-expect-error two temperatures or one number
  softmaxDivergence(float32, float32, { temperature: { student: 2 } });
  // @ts-expect-error plain arrays are no data
  softmaxDivergence({ data: [1, 2], shape: [2] }, { data: [1, 2], shape: [2] });
  // @ts-expect-error values are float64
  softmaxDivergence(float32, float32, { reduction: "none", out: { values: new Float32Array(1) } });
  // @ts-expect-error a signal is for the asynchronous form
  softmaxDivergence(float32, float32, { signal: new AbortController().signal });
}

export async function asynchronous(): Promise<void> {
  const { signal } = new AbortController();
  const result = await softmaxDivergenceAsync(float32, float32, { gradients: ["teacher"], signal });
  exactly<Floats32>()(result.gradients.teacher, true);
  exactly<number>()(result.value, true);
  // @ts-expect-error the student's gradient was not asked for
  look(result.gradients.student);
  exactly<"cuda" | "cpu" | "reference">()(result.backend, true);
}

export function generic<A extends NumericArray>(rows: Rows<A>): number {
  return softmaxDivergence(rows, rows, { gradients: ["student"] }).value;
}
