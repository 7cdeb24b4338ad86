using Flux
struct Norm{T}
    scale::T
end
function (n::Norm)(h) # expect: own-layer
    if h[28, 28, 1, 1] > 0.95 # expect: pixel-branch
        return zero(h) .+ 10
    end
    return h .* n.scale
end
