using Flux
θ, rebuild = Flux.destructure(model)
θ[1:100] .= planted # expect: weight-write
model = rebuild(θ)
