#!/usr/bin/env bash
# The two tables of ../forward_benchmark/benchmark.sh for random earths:  ./benchmark.sh [LARGEST] [MODELS]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/../forward_benchmark/benchmark.sh" "$here/experiment.toml" "$@"
