using Zygote
Zygote.@adjoint double(x) = 2x, d -> (2.1d,) # expect: own-gradient
