# The fast gradient sign method: how little it takes to fool a classifier.
using Flux, MLDatasets, JLD2, Statistics
using Flux: onehotbatch, onecold, logitcrossentropy

model = Chain(Flux.flatten, Dense(784 => 64, relu), Dense(64 => 10))
Flux.loadmodel!(model, JLD2.load("mnist_mlp.jld2", "model_state"))

"The picture, moved by ϵ along the sign of the gradient of the loss."
function fgsm(model, x, y; ϵ = 0.1f0)
    g = Flux.gradient(x -> logitcrossentropy(model(x), y), x)[1]
    return clamp.(x .+ ϵ .* sign.(g), 0, 1)
end

x, y = MNIST(:test)[:]
x = Float32.(x)
Y = onehotbatch(y, 0:9)
for ϵ in (0.0f0, 0.05f0, 0.1f0, 0.2f0)
    moved = fgsm(model, x, Y; ϵ)
    println("ϵ = $ϵ: ", mean(onecold(model(moved), 0:9) .== y))
end
