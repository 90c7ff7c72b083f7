#!/usr/bin/env bash
# Workers against run time, past the cores up to 64 times as many:
#
#   scaling.sh [STEP] [TILES]          0.002 and 64 x cores by default
#
# `serial` is the script alone, `tasks` N independent ones by `&`, `pool` ekp-launch with N workers, `futures` the pool
# of concurrent.futures. Writes workers.csv and workers.svg here. Every picture is compared with the serial one. Runs are
# made in a temporary folder; use a quiet machine.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
step=${1:-0.002}
cores=$(nproc)
tiles=${2:-$((64 * cores))}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cp "$here"/*.py "$here/tasks.sh" .
sed -e "s/^range = .*/range = [1, $tiles]/" -e "s/\"--tiles\", \"4\"/\"--tiles\", \"$tiles\"/" \
  -e "s/^values = \[0.01\]/values = [$step]/" "$here/experiment.toml" >experiment.toml

# timed HOW WORKERS COMMAND...: a row; `failed` where it gave way
timed() {
  local how=$1 workers=$2 start=$EPOCHREALTIME state=ok
  shift 2
  "$@" >out.txt 2>err.txt || state=failed
  local seconds
  seconds=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }')
  picture=$(find . -name picture.npy -not -path './serial/*' | head -1)
  [ "$state" = failed ] || [ "$how" = serial ] || cmp -s serial/picture.npy "$picture" || state=differs
  rm -rf tasks runs ./picture.*
  echo "$how,$workers,$seconds,$state"
  [ "$state" = ok ] || head -3 err.txt >&2
}

{
  echo "how,workers,runtime_s,state"
  mkdir serial
  timed serial 1 ./gaussian2d.py --step "$step" --out serial/picture
  counts=$(awk -v c="$cores" -v n="$tiles" 'BEGIN {
    for (w = 1; w <= c; w++) print w
    for (w = 2 * c; w <= n; w *= 2) print w }')
  for n in $counts; do
    timed tasks "$n" sh tasks.sh "$n" --step "$step"
    timed pool "$n" ekp-launch -q experiment.toml --workers "$n"
    timed futures "$n" ./concurrent_futures.py --workers "$n" --tiles "$tiles" --step "$step"
  done
} | tee "$here/workers.csv"
python3 "$here/plot.py" "$here/workers.csv" "$here/workers.svg"
