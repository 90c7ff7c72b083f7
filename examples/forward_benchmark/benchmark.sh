#!/usr/bin/env bash
# Two tables of a batch of forward models on this machine, from prior to files and quantiles:
#   models 100, 1000, ... LARGEST, with one worker and with all cores
#   workers 1, 2, 4, ... past the cores, for MODELS models
#
#   ./benchmark.sh [EXPERIMENT.toml] [LARGEST] [MODELS]
#
# The tables go to stdout, and as CSV into benchmark_models.csv and benchmark_workers.csv of the current folder.
# Runs are made in a temporary folder and removed. Every number is a wall time of one call of ekp-launch, processes and
# files included; use a quiet machine, or repeat and take the best.
set -euo pipefail
experiment=${1:-experiment.toml}
largest=${2:-1000000}
models=${3:-$((largest < 100000 ? largest : 100000))}
cores=$(nproc)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# launch MODELS WORKERS: seconds of a whole batch
launch() {
  rm -rf "$work/run"
  ekp-init -q --set "inputs.prior=$1" "$experiment" "$work/run" >/dev/null
  local start=$EPOCHREALTIME
  ekp-launch -q "$work/run" --workers "$2" >/dev/null
  awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.4f", b - a }'
}

{
  echo "models,sequential_s,parallel_s,workers,speedup,models_per_s"
  for ((n = 100; n <= largest; n *= 10)); do
    one=$(launch "$n" 1)
    all=$(launch "$n" "$cores")
    awk -v n="$n" -v a="$one" -v b="$all" -v w="$cores" \
      'BEGIN { printf "%d,%s,%s,%d,%.2f,%.0f\n", n, a, b, w, a / b, n / b }'
  done
} | tee benchmark_models.csv | column -t -s,

echo
{
  echo "workers,models,time_s,speedup,efficiency_percent,models_per_s"
  first=
  for ((w = 1; w <= 2 * cores; w *= 2)); do
    time=$(launch "$models" "$w")
    first=${first:-$time}
    awk -v w="$w" -v n="$models" -v a="$first" -v b="$time" \
      'BEGIN { printf "%d,%d,%s,%.2f,%.0f,%.0f\n", w, n, b, a / b, 100 * a / b / w, n / b }'
  done
} | tee benchmark_workers.csv | column -t -s,
