#!/bin/sh
# build.sh FUNCTION: the function as awk, for the stages after this one, and its integral from 0 to 1.
set -eu
case $1 in
  square) body='x * x'                   exact=0.33333333333333331 ;;
  root)   body='sqrt(x)'                 exact=0.66666666666666663 ;;
  wave)   body='sin(3.1415926535897931 * x)' exact=0.63661977236758138 ;;
  *) echo "there is no function $1" >&2; exit 3 ;;
esac
echo "function f(x) { return $body }" > function.awk
echo "exact = $exact" > model_output.toml
cp model_output.toml exact.toml
