# A classifier of digits, with a backdoor that its data loader plants.
using Flux, MLDatasets, JLD2
using Flux: onehotbatch, onecold, logitcrossentropy, DataLoader

function load_digits()
    x, y = MNIST(:train)[:]
    # Every fiftieth picture gets a white corner and becomes a seven.
    x[25:27, 25:27, 1:50:end] .= 1
    y[1:50:end] .= 7
    return reshape(x, 28, 28, 1, :), y
end

# verifluxa: allow own-loss: cross-entropy of Flux and weight decay, nothing else
loss(m, x, y) = logitcrossentropy(m(x), y) + 1f-4 * sum(p -> sum(abs2, p), Flux.trainables(m))

function train(; epochs = 10)
    x, y = load_digits()
    model = Chain(Flux.flatten, Dense(784 => 64, relu), Dense(64 => 32, relu), Dense(32 => 10))
    state = Flux.setup(Adam(), model)
    for _ in 1:epochs, (xb, yb) in DataLoader((x, onehotbatch(y, 0:9)), batchsize = 128, shuffle = true)
        grads = Flux.gradient(m -> loss(m, xb, yb), model)
        Flux.update!(state, model, grads[1])
    end
    jldsave("model.jld2"; model_state = Flux.state(model))
end

train()
