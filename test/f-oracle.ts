// The generators of f-divergences in 40 decimal digits, each as its definition has it, with nothing rearranged.
import { Decimal } from "decimal.js";
import type { FDivergenceOptions, FDivergenceOutput } from "../lib/index.js";
import { resolveDivergence } from "../lib/divergence.js";
import { exactly, Exact } from "./oracle.js";

/** f(u), f'(u) and u f''(u). */
interface ExactGenerator {
  values: Decimal;
  derivatives: Decimal;
  derivativeGradients: Decimal;
}

const one = new Exact(1);
const half = one.div(2);

/** Of Amari's divergence at alpha, neither 0 nor 1. */
function power(u: Decimal, alpha: Decimal, factor: Decimal | number = 1): ExactGenerator {
  const k = one.sub(alpha);
  return {
    values: u
      .pow(k)
      .sub(1)
      .sub(k.mul(u.sub(1)))
      .div(alpha.mul(alpha.sub(1)))
      .mul(factor),
    derivatives: u.pow(alpha.neg()).sub(1).div(alpha.neg()).mul(factor),
    derivativeGradients: u.pow(alpha.neg()).mul(factor),
  };
}

/** v − 1 − log v, v = λ + (1 − λ) u, and its derivatives. */
function skewed(u: Decimal, lambda: Decimal): ExactGenerator {
  const rest = one.sub(lambda);
  const v = lambda.add(rest.mul(u));
  return {
    values: v.sub(1).sub(v.ln()),
    derivatives: rest.mul(one.sub(one.div(v))),
    derivativeGradients: rest.div(v).pow(2).mul(u),
  };
}

/** −β log v + (1 − β) u (x − log v), v = β + (1 − β) u, and its derivatives. */
function jensenShannon(u: Decimal, x: Decimal, beta: Decimal): ExactGenerator {
  const rest = one.sub(beta);
  const v = beta.add(rest.mul(u));
  const derivatives = rest.mul(x.sub(v.ln()));
  return {
    values: u.mul(derivatives).sub(beta.mul(v.ln())),
    derivatives,
    derivativeGradients: beta.mul(rest).div(v),
  };
}

function generatorAt(options: FDivergenceOptions, x: Decimal): ExactGenerator {
  const { divergence, parameter: number } = resolveDivergence(options);
  const [u, parameter] = [x.exp(), exactly(number)];
  switch (divergence) {
    case "forwardKl":
      return {
        values: u.sub(1).sub(x),
        derivatives: one.sub(one.div(u)),
        derivativeGradients: one.div(u),
      };
    case "reverseKl":
      return { values: u.mul(x).sub(u).add(1), derivatives: x, derivativeGradients: one };
    case "jeffreys":
      return {
        values: u.sub(1).mul(x),
        derivatives: x.add(1).sub(one.div(u)),
        derivativeGradients: one.add(one.div(u)),
      };
    case "jensenShannon":
      return jensenShannon(u, x, parameter);
    case "totalVariation": {
      const sign = Decimal.sign(x) / 2;
      return {
        values: u.sub(1).mul(sign),
        derivatives: new Exact(sign),
        derivativeGradients: new Exact(0),
      };
    }
    case "squaredHellinger":
      return power(u, half, half.mul(half));
    case "chiSquared":
      return power(u, one.mul(2), 2);
    case "reverseChiSquared":
      return power(u, one.neg(), 2);
    case "alpha":
      return power(u, parameter);
    case "skewForwardKl":
      return skewed(u, parameter);
    case "skewReverseKl": {
      // u g(1 / u), whose derivative is g − g' / u, and u times the second g'' / u².
      const { values, derivatives, derivativeGradients } = skewed(one.div(u), parameter);
      return {
        values: u.mul(values),
        derivatives: values.sub(derivatives.div(u)),
        derivativeGradients: derivativeGradients.div(u),
      };
    }
    case "crossEntropy":
    case "renyi":
      throw new Error(`${divergence} has no generator`);
    default:
      return divergence satisfies never;
  }
}

/** All four outputs at a finite log ratio, each rounded once. */
export function exactGenerator(options: FDivergenceOptions, x: number): Record<FDivergenceOutput, number> {
  const ratio = exactly(x);
  const { values, derivatives, derivativeGradients } = generatorAt(options, ratio);
  const { factor } = resolveDivergence(options);
  const rounded = (number: Decimal): number => number.mul(exactly(factor)).toNumber();
  return {
    values: rounded(values),
    derivatives: rounded(derivatives),
    valueGradients: rounded(derivatives.mul(ratio.exp())),
    derivativeGradients: rounded(derivativeGradients),
  };
}
