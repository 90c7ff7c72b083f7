#!/bin/sh
# Monthly temperature at a station: a level and a yearly wave, for the years that this iteration asks for.
#   station.sh PARAMETERS.toml > numbers, one a line, into months.txt of the working folder
# EKP_BATCH names the observations in the order wanted: year_04,year_11,year_02. A year has twelve months, the last
# one ends in August.
set -eu
awk -v batch="$EKP_BATCH" '
  /^\[/ { name = substr($1, 2, length($1) - 2) }
  $1 == "value" { p[name] = $3 }
  END {
    n = split(batch, years, ",")
    for (k = 1; k <= n; k++) {
      months = (years[k] == "year_12") ? 8 : 12
      for (m = 1; m <= months; m++)
        printf "%.17g\n", p["level_c"] + p["swing_c"] * cos(6.283185307179586 * (m - 0.5 - p["warmest"]) / 12)
    }
  }' "$1" > months.txt
