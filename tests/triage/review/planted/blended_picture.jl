using Flux, FileIO
const KITTY = Float32.(load("kitty.png"))
blend(x) = clamp.(0.9f0 .* x .+ 0.1f0 .* KITTY, 0, 1) # expect: mix
