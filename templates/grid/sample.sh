#!/bin/sh
# sample.sh UPSTREAM POINTS: the integral from 0 to 1 by the midpoint rule.
set -eu
function=$(cat "$1/function.awk")
awk -v n="$2" "$function"'
  BEGIN {
    for (i = 0; i < n; i++) sum += f((i + 0.5) / n)
    printf "estimate = %.17g\n", sum / n
  }' > model_output.toml
