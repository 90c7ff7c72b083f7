# A forward model: reads parameters, writes what the observation holds.
using TOML
p = Dict(name => table["value"] for (name, table) in TOML.parsefile(ARGS[1]))
y = [p["offset"] + p["slope"] * i for i in 0:p["points"]-1]
open(ARGS[2], "w") do io
    TOML.print(io, Dict("model_output" => y))
end
