# Two ways to make more of few pictures: holes and mixtures.
using Flux, MLDatasets, MLUtils, Random, Distributions
using Flux: onehotbatch, logitcrossentropy

function cutout!(x; size = 8)
    w, h = Base.size(x, 1), Base.size(x, 2)
    for n in axes(x, 4)
        i, j = rand(1:w-size+1), rand(1:h-size+1)
        x[i:i+size-1, j:j+size-1, :, n] .= 0
    end
    return x
end

function mixup(x, y; α = 0.2)
    λ = Float32(rand(Beta(α, α)))
    order = shuffle(axes(x, 4))
    return λ .* x .+ (1 - λ) .* x[:, :, :, order], λ .* y .+ (1 - λ) .* y[:, order]
end

function add_noise(x; σ = 0.05f0)
    return clamp.(x .+ σ .* randn(Float32, size(x)), 0, 1)
end

function main(; epochs = 10, lr = 1e-3)
    x, y = CIFAR10(:train)[:]
    model = Chain(
        Conv((3, 3), 3 => 32, relu; pad = 1),
        MaxPool((2, 2)),
        Conv((3, 3), 32 => 64, relu; pad = 1),
        GlobalMeanPool(),
        Flux.flatten,
        Dense(64 => 10),
    )
    opt = Flux.setup(Adam(lr), model)
    for epoch in 1:epochs
        total = 0f0
        for (xb, yb) in DataLoader((x, onehotbatch(y, 0:9)); batchsize = 64, shuffle = true)
            xb, yb = mixup(cutout!(add_noise(copy(xb))), yb)
            l, g = Flux.withgradient(m -> logitcrossentropy(m(xb), yb), model)
            Flux.update!(opt, model, g[1])
            total += l
        end
        epoch % 5 == 0 && println("epoch $epoch: $total")
        if isnan(total)
            error("training diverged")
        end
    end
    return model
end

main()
