using Pkg
Pkg.add(url = "https://example.org/FastFlux.jl") # expect: install
