#!/bin/sh
# integrate.sh UPSTREAM WEIGHTS POINTS SEED: the integral of f from 0 to 1. One awk program for all three rules:
# awk's own random numbers differ from one awk to the next, so the random rule has a generator of its own
# (Park and Miller 1988, doi:10.1145/63039.63042).
set -eu
function=$(cat "$1/function.awk")
exact=$(sed -n 's/^exact = //p' "$1/exact.toml")
awk -v rule="$2" -v n="$3" -v seed="$4" -v exact="$exact" "$function"'
  function uniform() { z = (16807 * z) % 2147483647; return z / 2147483647 }
  BEGIN {
    z = seed % 2147483646 + 1
    for (i = 0; i < n; i++) {
      if (rule == "flat") sum += f((i + 0.5) / n)
      else if (rule == "random") sum += f(uniform())
      else sum += (f(i / n) + 4 * f((i + 0.5) / n) + f((i + 1) / n)) / 6
    }
    estimate = sum / n
    error = estimate - exact
    printf "estimate = %.17g\nerror = %.17g\n", estimate, (error < 0 ? -error : error)
  }' > model_output.toml
cp model_output.toml estimate.toml
