// The divergences as sums over columns: each column's term and what it changes by, from p, q and u = log q − log p.
//
// Every term is 0 where p = q and above 0 elsewhere (but for the cross-entropy's), so that nothing cancels in the sum;
// and where p and q are near, each is formed from u, as the difference of the probabilities would have lost its digits.
import type { SoftmaxDivergenceName } from "../backend/table.js";

/** One column: the probabilities, not both 0 unless their logarithms are finite, and those. */
export interface Column {
  p: number;
  q: number;
  logP: number;
  logQ: number;
  /** log q − log p */
  u: number;
}

export interface Term {
  value: number;
  /** The derivative for log q, up to a multiple of q, which has no part in the gradient for the logits. */
  forQ: number;
  /** The derivative for log p, up to a multiple of p. */
  forP: number;
}

export type Generator = (column: Column) => Term;

/** By the request's parameter. Rényi's divergence is a function of the alpha divergence, and no such sum. */
export const generators: Record<Exclude<SoftmaxDivergenceName, "renyi">, (parameter: number) => Generator> = {
  forwardKl: () => kullbackLeibler,
  reverseKl: () => exchanged(kullbackLeibler),
  crossEntropy:
    () =>
    ({ p, q, logQ, u }) => ({ value: times(p, -logQ), forQ: difference(p, q, u), forP: times(p, -logQ) }),
  jeffreys:
    () =>
    ({ p, q, u }) => {
      const gap = difference(p, q, u);
      return { value: gap * u, forQ: gap + times(q, u), forP: -gap - times(p, u) };
    },
  jensenShannon,
  totalVariation:
    () =>
    ({ p, q, u }) => {
      const sign = Math.sign(u);
      return {
        value: Math.abs(difference(p, q, u)) / 2,
        forQ: (q * sign) / 2,
        forP: (-p * sign) / 2,
      };
    },
  squaredHellinger: () => scaled(1 / 4, alphaDivergence(1 / 2)),
  chiSquared: () => scaled(2, alphaDivergence(2)),
  reverseChiSquared: () => scaled(2, alphaDivergence(-1)),
  alpha: alphaDivergence,
  skewForwardKl: skewed,
  skewReverseKl: (lambda) => exchanged(skewed(lambda)),
};

/** The same divergence with the sides exchanged. */
function exchanged(term: Generator): Generator {
  return ({ p, q, logP, logQ, u }) => {
    const { value, forQ, forP } = term({ p: q, q: p, logP: logQ, logQ: logP, u: -u });
    return { value, forQ: forP, forP: forQ };
  };
}

function scaled(factor: number, term: Generator): Generator {
  return (column) => {
    const { value, forQ, forP } = term(column);
    return { value: factor * value, forQ: factor * forQ, forP: factor * forP };
  };
}

function kullbackLeibler({ p, q, u }: Column): Term {
  return { value: divergenceTerm(p, q, u), forQ: difference(p, q, u), forP: times(p, -u) };
}

/** The term a (e^u − 1 − u) of KL(a ‖ b), u = log b − log a. Summed it is Σ −a u, since Σ a = Σ b. */
function divergenceTerm(a: number, b: number, u: number): number {
  if (Math.abs(u) < 1) return a * expm1Minus(u);
  return b - a - times(a, u);
}

/** b − a, u = log b − log a. */
function difference(a: number, b: number, u: number): number {
  return Math.abs(u) < 1 ? times(a, Math.expm1(u)) : b - a;
}

/** A probability of 0 counts nothing, whatever its factor is there. */
function times(probability: number, factor: number): number {
  return probability === 0 ? 0 : probability * factor;
}

/** e^u − 1 − u without cancellation: its Taylor series where that is short. */
function expm1Minus(u: number): number {
  if (!(Math.abs(u) < 0.5)) return Math.expm1(u) - u;
  let sum = 0;
  let term = u;
  for (let k = 2; k < 20; k++) {
    term *= u / k;
    sum += term;
  }
  return sum;
}

/**
 * (Σ p^α q^(1 − α) − 1) / (α (α − 1)), whose limits at α = 1 and α = 0 are forward and reverse KL. It is itself with the
 * sides exchanged at 1 − α, so that the side a that the larger exponent is of may be taken for the one that weighs.
 */
function alphaDivergence(alpha: number): Generator {
  return alpha >= 1 / 2 ? weighed(1 - alpha) : exchanged(weighed(alpha));
}

/**
 * Σ (b − a − (a^(1 − k) b^k − a) / k) / (1 − k), k <= 1/2, for a = p and b = q: as a [M(u) − M(k u) / k] / (1 − k) where
 * that is the sum of small numbers, M(u) = e^u − 1 − u.
 */
function weighed(k: number): Generator {
  return ({ p: a, q: b, logP: logA, u }) => {
    const mixed = logA === -Infinity ? 0 : Math.exp(logA + k * u);
    const gap = difference(a, b, u);
    const mixedGap = difference(a, mixed, k * u);
    const near = Math.abs(u) < 1 && Math.abs(k * u) < 1;
    return {
      value: (near ? a * (expm1Minus(u) - expm1Minus(k * u) / k) : gap - mixedGap / k) / (1 - k),
      forQ: (gap - mixedGap) / (1 - k),
      forP: -mixedGap / k,
    };
  };
}

/**
 * β KL(p ‖ m) + (1 − β) KL(q ‖ m), m = β p + (1 − β) q. Ratios to m are measured from the side with more weight, which
 * leaves them their digits however little the other has.
 */
function jensenShannon(beta: number): Generator {
  return beta >= 1 / 2 ? mixedWith(1 - beta) : exchanged(mixedWith(beta));
}

/** (1 − c) KL(a ‖ m) + c KL(b ‖ m), m = (1 − c) a + c b, c <= 1/2, for a = p and b = q. */
function mixedWith(c: number): Generator {
  return ({ p: a, q: b, u }) => {
    const m = (1 - c) * a + c * b;
    const overA = logMixture(1 - c, c, u);
    // Where both logarithms are large, so is the error of their difference.
    const overB = u > 1 ? Math.log(c + (1 - c) * Math.exp(-u)) : overA - u;
    return {
      value: (1 - c) * divergenceTerm(a, m, overA) + c * divergenceTerm(b, m, overB),
      forQ: c * times(b, -overB),
      forP: (1 - c) * times(a, -overA),
    };
  };
}

/** KL(p ‖ m), m = λ p + (1 − λ) q. */
function skewed(lambda: number): Generator {
  const rest = 1 - lambda;
  return ({ p, q, u }) => {
    const m = lambda * p + rest * q;
    // log(m / p), and 1 − p / m
    const over = logMixture(lambda, rest, u);
    const share = -Math.expm1(-over);
    return {
      value: divergenceTerm(p, m, over),
      forQ: rest * times(q, share),
      // λ share − over, of which nothing is left where λ is nearly 1 and both are small.
      forP: times(p, Math.abs(over) < 1 ? -rest * share - expm1Minus(-over) : lambda * share - over),
    };
  };
}

/** log(w + c e^u), w + c = 1: of the mixture w a + c b, divided by a. */
function logMixture(w: number, c: number, u: number): number {
  if (u > 700) return u + Math.log(c + w * Math.exp(-u));
  // Of two numbers of one sign no digits are lost; where little is left of 1, log1p would lose them.
  if (u < -1 && c > 1 / 2) return Math.log(w + c * Math.exp(u));
  return Math.log1p(c * Math.expm1(u));
}
