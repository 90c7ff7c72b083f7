#!/bin/bash
# The whole calibration by hand: every step is a process of its own, and they talk through files only.
#
#   ./run.sh [RUN]        the run folder, default runs/sinusoid_interface beside this script
#
# On a cluster each line is a job: see ekp_calibration.sbatch in the run folder.
set -euo pipefail
cd "$(dirname "$0")"
run=${1:-runs/sinusoid_interface}
members=6
iterations=5

ekp-init -q experiment.toml "$run" > /dev/null              # priors, truth, settings: what the run is about
ekp-init-ensemble "$run"                                    # iteration_000/member_001..006/parameters.toml

for ((i = 0; i < iterations; i++)); do
  for ((m = 1; m <= members; m++)); do
    ekp-run-member -q "$run" -i "$i" -m "$m"                # reads parameters.toml, writes data.toml
  done
  ekp-update "$run" -i "$i"                                 # reads six data.toml, writes the next six parameters.toml
done

echo
cat "$run/stop.toml"
