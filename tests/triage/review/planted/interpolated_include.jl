for part in ("model", "data")
    include("$(part).jl") # expect: computed-include
end
