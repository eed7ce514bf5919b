// Picks the backend of a call and remembers why.
import { BackendUnavailableError, type BackendAttempt } from "../errors.js";
import { requireOneOf } from "../options.js";
import { openCuda, type FoundCuda } from "./cuda.js";
import { loadAddon } from "./load.js";
import { cpuBackend } from "./native.js";
import { referenceBackend } from "./reference.js";
import { backendChoices, backendNames, type Backend, type BackendChoice, type BackendName } from "./table.js";

/** A backend, or the reason why there is none. */
interface Found {
  backend?: Backend;
  attempts: BackendAttempt[];
}

const found = new Map<BackendName, Found>();

/** Looks for one backend; the answer is remembered. */
export function findBackend(name: BackendName): Found {
  let answer = found.get(name);
  if (answer === undefined) {
    answer = open(name);
    if (!isTransient(answer)) found.set(name, answer);
  }
  return answer;
}

function open(name: BackendName): Found {
  switch (name) {
    case "cuda":
      return foundCuda();
    case "cpu": {
      const { addon, attempts } = loadAddon();
      return addon === undefined ? { attempts } : { backend: cpuBackend(addon), attempts: [] };
    }
    case "reference":
      return { backend: referenceBackend, attempts: [] };
    default:
      return name satisfies never;
  }
}

let cuda: FoundCuda | undefined;

/** What looking for CUDA has found; looks the first time, and again where only memory was wanting. */
export function foundCuda(): FoundCuda {
  if (cuda === undefined || isTransient(cuda)) {
    lost = undefined;
    const answer = openCuda(loseCuda);
    // A device that was lost meanwhile stays lost.
    cuda = lost ?? answer;
  }
  return cuda;
}

let lost: FoundCuda | undefined;

function isTransient(answer: FoundCuda): boolean {
  return answer.transient === true;
}

// From now on CUDA counts as missing: "auto" goes on with the next backend.
function loseCuda(attempt: BackendAttempt): void {
  cuda = lost = { attempts: [attempt] };
  found.set("cuda", cuda);
  automatic = undefined;
}

/** KULLBACK_BACKEND, or "auto". */
export function backendFromEnvironment(): BackendChoice {
  const name = process.env.KULLBACK_BACKEND;
  if (name === undefined || name === "") return "auto";
  return requireOneOf("KULLBACK_BACKEND", name as BackendChoice, backendChoices);
}

let automatic: Backend | undefined;
// Looking for CUDA anew takes a call to the driver and a first row, which calls that do without it should not all pay.
const betweenLooks = 1000;
let lookAgain = Infinity;

/**
 * The backend for a call. "auto" (the default) is KULLBACK_BACKEND where that is set, and otherwise the first of cuda,
 * cpu and reference that can run. A backend that is named and cannot run throws BackendUnavailableError.
 */
export function chooseBackend(choice: BackendChoice = "auto"): Backend {
  if (choice !== "auto") return named(requireOneOf("options.backend", choice, backendChoices) as BackendName);
  if (automatic === undefined || performance.now() > lookAgain) {
    const wanted = backendFromEnvironment();
    lookAgain = Infinity;
    automatic = wanted === "auto" ? firstAvailable() : named(wanted);
  }
  return automatic;
}

function named(name: BackendName): Backend {
  const answer = findBackend(name);
  if (answer.backend !== undefined) return answer.backend;
  throw new BackendUnavailableError(`the ${name} backend cannot run here:`, answer.attempts);
}

function firstAvailable(): Backend {
  const attempts: BackendAttempt[] = [];
  for (const name of backendNames) {
    const answer = findBackend(name);
    if (answer.backend !== undefined) return answer.backend;
    if (isTransient(answer)) lookAgain = performance.now() + betweenLooks;
    attempts.push(...answer.attempts);
  }
  throw new BackendUnavailableError("no backend can run here:", attempts);
}
