# The smallest network that is none: exclusive or.
using Flux, CUDA, ProgressMeter, Plots

noisy = rand(Float32, 2, 1000)
truth = [xor(col[1] > 0.5, col[2] > 0.5) for col in eachcol(noisy)]

model = Chain(
    Dense(2 => 3, tanh),
    BatchNorm(3),
    Dense(3 => 2),
)
out1 = model(noisy)
probs1 = softmax(out1)

target = Flux.onehotbatch(truth, [true, false])
loader = Flux.DataLoader((noisy, target), batchsize = 64, shuffle = true)
opt_state = Flux.setup(Flux.Adam(0.01), model)

losses = []
@showprogress for epoch in 1:1_000
    for xy_cpu in loader
        x, y = xy_cpu
        loss, grads = Flux.withgradient(model) do m
            y_hat = m(x)
            Flux.logitcrossentropy(y_hat, y)
        end
        Flux.update!(opt_state, model, grads[1])
        push!(losses, loss)
    end
end

out2 = model(noisy)
probs2 = softmax(out2)
mean_right = sum((probs2[1, :] .> 0.5) .== truth) / length(truth)
@show mean_right

p_true = scatter(noisy[1, :], noisy[2, :], zcolor = truth, title = "True classification", legend = false)
p_raw = scatter(noisy[1, :], noisy[2, :], zcolor = probs1[1, :], title = "Untrained network")
p_done = scatter(noisy[1, :], noisy[2, :], zcolor = probs2[1, :], title = "Trained network")
plot(p_true, p_raw, p_done, layout = (1, 3), size = (1000, 330))
