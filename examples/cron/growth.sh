#!/bin/sh
# Growth towards a final height, at eight times: h(t) = final (1 - exp(-rate t)).
set -eu
# One line per start of the model, so that anyone can count: no member is run twice.
echo "iteration $EKP_ITERATION member $EKP_MEMBER" >> "$EKP_RUN/logs/model_runs.txt"
awk '
  /^\[/ { name = substr($1, 2, length($1) - 2) }
  $1 == "value" { p[name] = $3 }
  END { for (t = 1; t <= 8; t++) printf "%.17g\n", p["final_cm"] * (1 - exp(-p["rate"] * t)) }
  ' "$1" > "$2"
