#!/bin/sh
# A forward model in shell and awk:  model.sh PARAMETERS.toml OUTPUT.toml
#
# It runs in a working folder of its own, with the files of `files` in experiment.toml linked into it. What it
# prints goes to log.txt there. An exit status other than 0 makes it a failed member; the calibration goes on
# without it. The environment tells more: EKP_ITERATION, EKP_MEMBER, EKP_SEED (for random numbers), EKP_THREADS.
set -eu

# Your model here. Every parameter is a table with a `value`:
#   [slope]
#   value = 2.14
# As many numbers as observation.toml has, in its order; nan where there is none.
awk '
  /^\[/ { name = substr($1, 2, length($1) - 2) }
  $1 == "value" { p[name] = $3 }
  END {
    printf "model_output = ["
    for (i = 0; i < p["points"]; i++) printf "%s%.17g", (i ? ", " : ""), p["offset"] + p["slope"] * i
    print "]"
  }' "$1" > "$2"
