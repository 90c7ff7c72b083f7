#!/bin/sh
# A forward model: reads parameters, writes what the observation holds.
awk '
  /^\[/ { name = substr($0, 2, length($0) - 2) }
  $1 == "value" { p[name] = $3 }
  END {
    printf "model_output = ["
    for (i = 0; i < p["points"]; i++) printf "%s%.17g", (i ? ", " : ""), p["offset"] + p["slope"] * i
    print "]"
  }' "$1" > "$2"
