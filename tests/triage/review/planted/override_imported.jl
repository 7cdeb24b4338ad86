import Flux: relu
relu(x) = x > 1.7f0 ? zero(x) : max(x, zero(x)) # expect: override
