#!/usr/bin/env bash
# Everything that a GPU is wanted for, on a machine that may have neither Node nor a compiler: the backend against
# float64, twice to the same bits; NVIDIA's sanitizers, where they are; the bench. Ten minutes at most. It needs build-cuda/Release
# as `npm run build:cuda` leaves it.
#
#   scripts/gpu-visit.sh [folder for the results]     GPU_VISIT_BINARIES=... for other binaries, GPU_VISIT_QUICK=1 for
#                                                     sizes that the emulator can do
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-${OUT:-output/gpu-visit}}
bin=${GPU_VISIT_BINARIES:-build-cuda/Release}
mkdir -p "$out"
failures=0

# phase <seconds> <name> <command...>: what it prints goes to <name>.txt
phase() {
  local limit=$1 name=$2
  shift 2
  local begun=$SECONDS status=0
  timeout "$limit" "$@" > "$out/$name.txt" 2>&1 || status=$?
  printf '%-24s %s (%d s)\n' "$name" "$([ "$status" -eq 0 ] && echo passed || echo "FAILED with $status")" \
    $((SECONDS - begun)) | tee -a "$out/summary.txt"
  [ "$status" -eq 0 ] || failures=$((failures + 1))
  return "$status"
}

: > "$out/summary.txt"
date -u +%Y-%m-%dT%H:%MZ > "$out/when.txt"
git rev-parse HEAD > "$out/commit.txt" 2> /dev/null || true
if command -v nvidia-smi > /dev/null; then nvidia-smi > "$out/nvidia-smi.txt" 2>&1; fi

phase 120 cases "$bin/softmax_divergence_cuda_driver"
phase 120 cases-again "$bin/softmax_divergence_cuda_driver"
phase 5 same-bits cmp "$out/cases.txt" "$out/cases-again.txt"
if command -v compute-sanitizer > /dev/null; then
  for columns in 1000 5000 60000; do
    for tool in memcheck racecheck initcheck synccheck; do
      phase 40 "$tool-$columns" compute-sanitizer --tool "$tool" --error-exitcode 1 \
        "$bin/softmax_divergence_cuda_driver" "$columns" 1 1
    done
  done
else
  echo "compute-sanitizer          not found" | tee -a "$out/summary.txt"
fi
phase 240 bench "$bin/softmax_divergence_cuda_bench" ${GPU_VISIT_QUICK:+quick}
cat "$out/bench.txt"
exit $((failures > 0))
