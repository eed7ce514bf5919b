// Which divergence a call means: the options that name it, and the limits in which one divergence is another.
import { describe } from "./arrays.js";
import { softmaxDivergenceNames, type SoftmaxDivergenceName } from "./backend/table.js";
import { OptionError } from "./errors.js";
import { requireNumber, requireOneOf } from "./options.js";

/** The options that choose a divergence. */
export interface DivergenceOptions {
  /**
   * With q = softmax(student / temperature) and p = softmax(teacher / temperature), per row, in nats:
   * - `"forwardKl"` (default): KL(p ‖ q) = Σ p log(p / q), what Hinton's distillation minimises
   * - `"reverseKl"`: KL(q ‖ p) = Σ q log(q / p)
   * - `"crossEntropy"`: −Σ p log q = KL(p ‖ q) + the entropy of p
   * - `"jeffreys"`: KL(p ‖ q) + KL(q ‖ p) = Σ (p − q) log(p / q)
   * - `"jensenShannon"`: β KL(p ‖ m) + (1 − β) KL(q ‖ m), m = β p + (1 − β) q; see `beta` and `normalized`
   * - `"totalVariation"`: Σ |p − q| / 2, from 0 to 1; where p = q its derivative is taken as 0
   * - `"squaredHellinger"`: 1 − Σ √(p q) = Σ (√p − √q)² / 2, from 0 to 1
   * - `"chiSquared"`: Σ p² / q − 1, Pearson's
   * - `"reverseChiSquared"`: Σ q² / p − 1, Neyman's
   * - `"alpha"`: (Σ p^α q^(1 − α) − 1) / (α (α − 1)), Amari's, as Cressie and Read number it; see `alpha`
   * - `"renyi"`: log(Σ p^α q^(1 − α)) / (α − 1), Rényi's; see `alpha`
   * - `"skewForwardKl"`: KL(p ‖ λ p + (1 − λ) q), DistiLLM's; see `lambda`
   * - `"skewReverseKl"`: KL(q ‖ λ q + (1 − λ) p)
   */
  divergence?: SoftmaxDivergenceName;
  /**
   * The order α of `"alpha"`, any finite number, or of `"renyi"`, finite and greater than 0; no default, and only with
   * these. At 1 both are `"forwardKl"`, and at 0 `"alpha"` is `"reverseKl"`: their limits there.
   */
  alpha?: number;
  /**
   * The teacher's weight β in `"jensenShannon"`, from 0 to 1, only with this; default 0.5, which is symmetric. As in
   * Liger and TRL, 0 is `"forwardKl"` and 1 `"reverseKl"`: a special case, for the formula itself tends to 0 there
   * (`normalized` makes it their limit). DistiLLM and torchtune weigh the sides the other way round: their β is 1 − β.
   */
  beta?: number;
  /**
   * The share λ of the weighing side in the mixture of `"skewForwardKl"` and `"skewReverseKl"`, at least 0 and less than
   * 1, only with these; default 0.1, as DistiLLM has it. At 0 they are `"forwardKl"` and `"reverseKl"`.
   */
  lambda?: number;
  /**
   * Divides `"jensenShannon"` by β (1 − β), only with this: then it tends to `"forwardKl"` as β tends to 0 and to
   * `"reverseKl"` as β tends to 1, and differs little from half of KL where p and q are near. Default false.
   */
  normalized?: boolean;
}

/** The names of these options. */
export const divergenceOptionNames = [
  "divergence",
  "alpha",
  "beta",
  "lambda",
  "normalized",
] as const satisfies readonly (keyof DivergenceOptions)[];

/** What the backends are asked for. */
export interface ResolvedDivergence {
  divergence: SoftmaxDivergenceName;
  /** Of the divergences that have one, and inside its limits; else 0. */
  parameter: number;
  /** What value and gradients are multiplied by. */
  factor: number;
}

/** The checked divergence, its limits resolved. */
export function resolveDivergence(options: DivergenceOptions): ResolvedDivergence {
  const { divergence = "forwardKl", alpha, beta, lambda, normalized } = options;
  requireOneOf("options.divergence", divergence, softmaxDivergenceNames);
  requireUse("alpha", alpha, ["alpha", "renyi"], divergence);
  requireUse("beta", beta, ["jensenShannon"], divergence);
  requireUse("lambda", lambda, ["skewForwardKl", "skewReverseKl"], divergence);
  requireUse("normalized", normalized, ["jensenShannon"], divergence);
  switch (divergence) {
    case "alpha":
    case "renyi":
      return withAlpha(divergence, alpha);
    case "jensenShannon":
      return withBeta(beta, normalized);
    case "skewForwardKl":
    case "skewReverseKl":
      return withLambda(divergence, lambda);
    case "forwardKl":
    case "reverseKl":
    case "crossEntropy":
    case "jeffreys":
    case "totalVariation":
    case "squaredHellinger":
    case "chiSquared":
    case "reverseChiSquared":
      return { divergence, parameter: 0, factor: 1 };
    default:
      return divergence satisfies never;
  }
}

function requireUse(
  name: string,
  value: unknown,
  users: readonly SoftmaxDivergenceName[],
  divergence: SoftmaxDivergenceName,
): void {
  if (value === undefined || users.includes(divergence)) return;
  const listed = users.map((user) => JSON.stringify(user)).join(" or ");
  throw new OptionError(
    `options.${name} goes with divergence ${listed}; the divergence is ${JSON.stringify(divergence)}`,
  );
}

function withAlpha(divergence: "alpha" | "renyi", alpha: number | undefined): ResolvedDivergence {
  const parameter = requireNumber("options.alpha", alpha as number, divergence === "renyi");
  if (parameter === 1) return { divergence: "forwardKl", parameter: 0, factor: 1 };
  if (parameter === 0) return { divergence: "reverseKl", parameter: 0, factor: 1 };
  return { divergence, parameter, factor: 1 };
}

function withBeta(beta = 0.5, normalized = false): ResolvedDivergence {
  if (typeof beta !== "number" || !(beta >= 0 && beta <= 1)) {
    throw new OptionError(`options.beta is ${describe(beta)}; it must be a number from 0 to 1`);
  }
  if (typeof normalized !== "boolean") {
    throw new OptionError(`options.normalized is ${describe(normalized)}; it must be true or false`);
  }
  if (beta === 1) return { divergence: "reverseKl", parameter: 0, factor: 1 };
  const factor = normalized ? 1 / (beta * (1 - beta)) : 1;
  // The limit, too, where the least of numbers have no reciprocal.
  if (beta === 0 || factor === Infinity) return { divergence: "forwardKl", parameter: 0, factor: 1 };
  return { divergence: "jensenShannon", parameter: beta, factor };
}

function withLambda(divergence: "skewForwardKl" | "skewReverseKl", lambda = 0.1): ResolvedDivergence {
  if (typeof lambda !== "number" || !(lambda >= 0 && lambda < 1)) {
    throw new OptionError(
      `options.lambda is ${describe(lambda)}; it must be a number that is at least 0 and less than 1`,
    );
  }
  if (lambda > 0) return { divergence, parameter: lambda, factor: 1 };
  return {
    divergence: divergence === "skewForwardKl" ? "forwardKl" : "reverseKl",
    parameter: 0,
    factor: 1,
  };
}
