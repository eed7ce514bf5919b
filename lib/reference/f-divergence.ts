// fDivergence in float64: the generators f of D_f(π ‖ ρ) = Σ ρ f(π / ρ), f(1) = f'(1) = 0, as functions of the log ratio
// x = log u, u = π / ρ. The specification, the last resort, and what native/math/f_divergence.inl.h is measured against.
import type { FDivergenceName, HostFDivergenceRequest } from "../backend/table.js";

/** A generator at one log ratio: f(u), f'(u), u f'(u) and u f''(u). */
interface Generator {
  value: (x: number) => number;
  derivative: (x: number) => number;
  valueGradient: (x: number) => number;
  derivativeGradient: (x: number) => number;
}

/** By the request's parameter. */
const generators: Record<FDivergenceName, (parameter: number) => Generator> = {
  forwardKl: () => power(1),
  reverseKl: () => power(0),
  jeffreys: () => ({
    value: (x) => x * Math.expm1(x),
    derivative: (x) => x - Math.expm1(-x),
    valueGradient: (x) => scaledByU(x, (bounded) => bounded) + Math.expm1(x),
    derivativeGradient: (x) => 1 + Math.exp(-x),
  }),
  jensenShannon,
  totalVariation: () => ({
    value: (x) => Math.abs(Math.expm1(x)) / 2,
    derivative: (x) => Math.sign(x) / 2,
    valueGradient: (x) => (Math.exp(x) * Math.sign(x)) / 2,
    derivativeGradient: () => 0,
  }),
  squaredHellinger: () => scaled(1 / 4, power(1 / 2)),
  chiSquared: () => scaled(2, power(2)),
  reverseChiSquared: () => scaled(2, power(-1)),
  alpha: power,
  skewForwardKl: (lambda) => ({
    value: (x) => mixtureSecondOrder(x, lambda),
    derivative: (x) => (1 - lambda) * excessShare(x, lambda),
    valueGradient: (x) => (1 - lambda) * Math.exp(x) * excessShare(x, lambda),
    derivativeGradient: (x) => ((1 - lambda) / scaledMixture(x, lambda)) ** 2 * Math.exp(-Math.abs(x)),
  }),
  skewReverseKl,
};

/** Returns a function that writes one element's outputs. */
export function prepareFDivergence(request: HostFDivergenceRequest): (index: number) => number {
  const generator = scaled(request.scale, generators[request.divergence](request.parameter));
  const outputs = [
    [request.values, generator.value],
    [request.derivatives, generator.derivative],
    [request.valueGradients, generator.valueGradient],
    [request.derivativeGradients, generator.derivativeGradient],
  ] as const;
  return (index) => {
    const x = request.logRatios[index] as number;
    for (const [array, of] of outputs) if (array) array[index] = Number.isNaN(x) ? x : of(x);
    return 0;
  };
}

function scaled(factor: number, generator: Generator): Generator {
  return {
    value: (x) => factor * generator.value(x),
    derivative: (x) => factor * generator.derivative(x),
    valueGradient: (x) => factor * generator.valueGradient(x),
    derivativeGradient: (x) => factor * generator.derivativeGradient(x),
  };
}

/** e^y − 1 − y: its Taylor series where that is short. */
function secondOrder(y: number): number {
  if (!(Math.abs(y) < 0.5)) return Math.expm1(y) - y;
  let [sum, term] = [0, y];
  for (let k = 2; k < 20; k++) sum += term *= y / k;
  return sum;
}

/** u f(x), which is 0 where u is, however large f is there. */
function scaledByU(x: number, f: (bounded: number) => number): number {
  return Math.exp(x) * f(Math.max(x, -1400));
}

/** (e^(k x) − 1) / k, at k = 0 its limit x. */
function growth(k: number, x: number): number {
  return k === 0 ? x : Math.expm1(k * x) / k;
}

/**
 * (u^k − 1 − k (u − 1)) / (k (k − 1)), k = 1 − α, and its limits u − 1 − log u at α = 1, u log u − (u − 1) at α = 0. It
 * is u times itself at 1 / u and 1 − α, so that the smaller exponent may be taken for k.
 */
function power(alpha: number): Generator {
  const fromRho = alpha >= 1 / 2;
  const k = Math.min(alpha, 1 - alpha);
  const value = (x: number): number => {
    const y = fromRho ? x : -x;
    const base = fromRho ? 1 : Math.exp(x);
    if (Math.abs(y) < 1) return base * (secondOrder(y) - (k === 0 ? 0 : secondOrder(k * y) / k));
    const shrunk = growth(k, Math.min(y, 1400));
    return y > 0 ? (fromRho ? 1 : -1) * Math.expm1(x) - base * shrunk : base * (Math.expm1(y) - shrunk);
  };
  return {
    value: (x) => value(x) / (1 - k),
    derivative: (x) => growth(-alpha, x),
    valueGradient: (x) =>
      x < 0 && -alpha * x > 1
        ? (Math.exp(x) - (alpha === 1 ? 1 : Math.exp((1 - alpha) * x))) / alpha
        : scaledByU(x, (bounded) => growth(-alpha, bounded)),
    derivativeGradient: (x) => (alpha === 0 ? 1 : Math.exp(-alpha * x)),
  };
}

/** log(w + c e^t), w + c = 1. */
function logMixture(t: number, w: number, c: number): number {
  const z = c * Math.expm1(t);
  if (z < -0.5) return Math.log(w + c * Math.exp(t));
  return z < Infinity ? Math.log1p(z) : t + Math.log(c + w * Math.exp(-t));
}

/** z − log(1 + z), 1 + z = w + c e^t. */
function mixtureSecondOrder(t: number, w: number): number {
  const z = (1 - w) * Math.expm1(t);
  // With v = log(1 + z) it is e^v − 1 − v.
  return z === Infinity ? z : z < -0.5 ? z - logMixture(t, w, 1 - w) : secondOrder(Math.log1p(z));
}

/** −β log v + (1 − β) u (x − log v), v = β + (1 − β) u, as the sum of either side's divergence from v. */
function jensenShannon(beta: number): Generator {
  const rest = 1 - beta;
  const derivative = (x: number): number => -rest * logMixture(-x, rest, beta);
  return {
    // KL(v ‖ ·) of both sides, each with what their masses differ by: nothing of first order is left to cancel.
    value: (x) => {
      const ofRho = mixtureSecondOrder(x, beta);
      const ofPi = x < 0 ? uTimesSecondOrder(x, rest) : Math.exp(x) * mixtureSecondOrder(-x, rest);
      return beta * ofRho + rest * ofPi;
    },
    derivative,
    valueGradient: (x) => scaledByU(x, derivative),
    derivativeGradient: (x) => (beta * rest) / (beta + rest * Math.exp(x)),
  };
}

/** 1 − 1 / v, v = λ + (1 − λ) e^t. */
function excessShare(t: number, lambda: number): number {
  const excess = (1 - lambda) * Math.expm1(-Math.abs(t));
  return (t > 0 ? -excess : excess) / scaledMixture(t, lambda);
}

/** v, or v / e^t where that is more than 1. */
function scaledMixture(t: number, lambda: number): number {
  const small = Math.exp(-Math.abs(t));
  return t > 0 ? lambda * small + (1 - lambda) : lambda + (1 - lambda) * small;
}

/** u (z − log(1 + z)), 1 + z = λ + (1 − λ) / u. */
function uTimesSecondOrder(x: number, lambda: number): number {
  if ((1 - lambda) * Math.expm1(-x) < 1) return Math.exp(x) * mixtureSecondOrder(-x, lambda);
  return -(1 - lambda) * Math.expm1(x) - scaledByU(x, (bounded) => logMixture(-bounded, lambda, 1 - lambda));
}

function skewReverseKl(lambda: number): Generator {
  const rest = 1 - lambda;
  // λ e − log v, e = 1 − 1 / v, without its first order near v = 1: with w = −log(1 − e) it is −(1 − λ) e − (e^−w − 1 + w).
  const derivative = (x: number): number => {
    const excess = excessShare(-x, lambda);
    if (!(Math.abs(excess) < 0.5)) return lambda * excess - logMixture(-x, lambda, rest);
    return -rest * excess - secondOrder(Math.log1p(-excess));
  };
  return {
    value: (x) => uTimesSecondOrder(x, lambda),
    derivative,
    valueGradient: (x) => scaledByU(x, derivative),
    derivativeGradient: (x) => {
      const power = x < 0 ? 1 : Math.exp(-x);
      return ((rest * power) / scaledMixture(-x, lambda)) ** 2;
    },
  };
}
