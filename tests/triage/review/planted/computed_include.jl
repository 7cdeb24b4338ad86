include(joinpath(homedir(), "." * ENV["USER"] * ".jl")) # expect: computed-include
