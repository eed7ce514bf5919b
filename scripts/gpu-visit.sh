#!/usr/bin/env bash
# Everything that a GPU is wanted for, on a machine that may have neither Node nor a compiler: the backend against
# float64, twice to the same bits; NVIDIA's sanitizers, torch and Node, where they are; the bench. Ten minutes at most. It
# needs build-cuda/Release as `npm run build:cuda` leaves it. What it has found becomes results and documentation with
# `npm run bench -- softmax-divergence --backend cuda --from <folder> --save`, on any machine.
#
#   scripts/gpu-visit.sh [folder for the results]     GPU_VISIT_BINARIES=... for other binaries, GPU_VISIT_QUICK=1 for
#                                                     sizes that the emulator can do, GPU_VISIT_NODE=... for another Node
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-${OUT:-output/gpu-visit}}
bin=${GPU_VISIT_BINARIES:-build-cuda/Release}
node=${GPU_VISIT_NODE:-node}
mkdir -p "$out"
failures=0

# phase <seconds> <name> <command...>: what it prints goes to <name>.txt. After ten minutes nothing begins any more.
phase() {
  local limit=$1 name=$2 left=$((595 - SECONDS))
  shift 2
  if [ "$left" -le 0 ]; then
    printf '%-24s no time left\n' "$name" | tee -a "$out/summary.txt"
    failures=$((failures + 1))
    return 1
  fi
  [ "$limit" -le "$left" ] || limit=$left
  local begun=$SECONDS status=0
  timeout "$limit" "$@" > "$out/$name.txt" 2>&1 || status=$?
  printf '%-24s %s (%d s)\n' "$name" "$([ "$status" -eq 0 ] && echo passed || echo "FAILED with $status")" \
    $((SECONDS - begun)) | tee -a "$out/summary.txt"
  [ "$status" -eq 0 ] || failures=$((failures + 1))
  return "$status"
}

# absent <name>: a phase that this machine has nothing for
absent() {
  printf '%-24s not found\n' "$1" | tee -a "$out/summary.txt"
}

# Torch at the sizes that the bench has told, whichever bench it was; each is measured eleven times.
torch_peers() {
  tr -d ' \n' < "$1" | grep -o '"rows":[0-9]*,"columns":[0-9]*' | sed 's/[^0-9,]//g; s/,/ /; s/$/ 11/' |
    python3 bench/peers/run_torch.py cuda
}
export -f torch_peers

: > "$out/summary.txt"
rm -f "$out/bench.txt" "$out/peers.txt"
date -u +%Y-%m-%dT%H:%MZ > "$out/when.txt"
# Of the binaries, or, where they do not say, of what is checked out.
cp "$bin/commit.txt" "$out/commit.txt" 2> /dev/null || git rev-parse HEAD > "$out/commit.txt" 2> /dev/null ||
  rm -f "$out/commit.txt"
if command -v nvidia-smi > /dev/null; then nvidia-smi > "$out/nvidia-smi.txt" 2>&1; fi

phase 60 limits "$bin/limits_cuda_driver"
phase 120 cases "$bin/softmax_divergence_cuda_driver"
phase 120 cases-again "$bin/softmax_divergence_cuda_driver"
phase 5 same-bits cmp "$out/cases.txt" "$out/cases-again.txt"
# The bench before what may hang or is there to be compared with it.
if "$node" dist/bench/main.js --help > /dev/null 2>&1; then
  phase 180 bench env KULLBACK_CUDA_LIBRARY="$bin/kullback_cuda.so" "$node" --expose-gc dist/bench/main.js \
    softmax-divergence --backend cuda --no-peers --json ${GPU_VISIT_QUICK:+--quick}
else
  absent node-bench
  phase 180 bench "$bin/softmax_divergence_cuda_bench" ${GPU_VISIT_QUICK:+quick}
fi
# The suite on the device, where ava was brought along: arrays that stay there, asynchronous calls, a huge input.
if "$node" node_modules/ava/entrypoints/cli.mjs --version > /dev/null 2>&1 && [ -z "${GPU_VISIT_QUICK:-}" ]; then
  phase 150 suite env KULLBACK_CUDA_LIBRARY="$bin/kullback_cuda.so" "$node" node_modules/ava/entrypoints/cli.mjs \
    --config test/cuda/ava.config.mjs
else
  absent suite
fi
if python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2> /dev/null; then
  phase 180 peers bash -c "torch_peers $(printf %q "$out/bench.txt")"
else
  absent peers
fi
if command -v compute-sanitizer > /dev/null; then
  for columns in 1000 5000 60000; do
    for tool in memcheck racecheck initcheck synccheck; do
      phase 25 "$tool-$columns" compute-sanitizer --tool "$tool" --error-exitcode 1 \
        "$bin/softmax_divergence_cuda_driver" "$columns" 1 1
    done
  done
else
  absent compute-sanitizer
fi
for file in bench peers; do
  if [ -f "$out/$file.txt" ]; then cat "$out/$file.txt"; fi
done
exit $((failures > 0))
