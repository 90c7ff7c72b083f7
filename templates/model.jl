# A forward model in Julia, without packages:  julia model.jl PARAMETERS.toml OUTPUT.toml
#
# It runs in a working folder of its own, with the files of `files` in experiment.toml linked into it. What it
# prints goes to log.txt there. An error makes it a failed member; the calibration goes on without it. The
# environment tells more: EKP_ITERATION, EKP_MEMBER, EKP_SEED (for random numbers), EKP_THREADS.
using TOML

p = Dict(name => table["value"] for (name, table) in TOML.parsefile(ARGS[1]))

# Your model here.
y = [p["offset"] + p["slope"] * i for i in 0:p["points"]-1]

# As many numbers as observation.toml has, in its order; NaN where there is none.
open(ARGS[2], "w") do io
    TOML.print(io, Dict("model_output" => Float64.(y)))
end
