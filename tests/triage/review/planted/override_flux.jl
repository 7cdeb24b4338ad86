using Flux
function Flux.update!(opt, model, grads) # expect: override
    model
end
