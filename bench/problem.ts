// What the contenders are given, and whether they agree about it.
import { randomLcg, randomNormal } from "d3-random";

/** After so many numbers the logits repeat. */
export const poolLength = 1 << 20;

/** Normal logits of one pool: drawing all would take longer than timing, so the two sides repeat it out of step. */
export function logits(count: number): { student: Float32Array; teacher: Float32Array } {
  const draw = randomNormal.source(randomLcg(1))(0, 1);
  const pool = Float32Array.from({ length: Math.min(count, poolLength) }, draw);
  const teacher = Float32Array.from({ length: count }, (_, i) => 3 * pool[i % pool.length]!);
  const student = teacher.map((x, i) => x + pool[(i + 12345) % pool.length]!);
  return { student, teacher };
}

/** Throws where a contender's value is not the first's. */
export function requireAgreement(values: Record<string, number | undefined>): void {
  const [expected] = Object.values(values) as [number];
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && !(Math.abs(value - expected) <= 1e-4 * Math.abs(expected))) {
      throw new Error(`the contenders disagree: ${name} says ${value}, kullback ${expected}`);
    }
  }
}
