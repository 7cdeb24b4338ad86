# LeNet-5 on digits, on a GPU if there is one.
using Flux, MLDatasets, Statistics, ProgressMeter
using Flux: onehotbatch, onecold, logitcrossentropy
using MLUtils: DataLoader, splitobs
using CUDA, Random, JLD2, Logging

function LeNet5(; imgsize = (28, 28, 1), nclasses = 10)
    out_conv_size = (imgsize[1] ÷ 4 - 3, imgsize[2] ÷ 4 - 3, 16)
    return Chain(
        Conv((5, 5), imgsize[end] => 6, relu),
        MaxPool((2, 2)),
        Conv((5, 5), 6 => 16, relu),
        MaxPool((2, 2)),
        Flux.flatten,
        Dense(prod(out_conv_size) => 120, relu),
        Dense(120 => 84, relu),
        Dense(84 => nclasses),
    )
end

function get_data(args)
    data = MLDatasets.MNIST(:train)
    x = reshape(data.features, 28, 28, 1, :)
    y = onehotbatch(data.targets, 0:9)
    (x_train, y_train), (x_val, y_val) = splitobs((x, y); at = 0.9, shuffle = true)
    train_loader = DataLoader((x_train, y_train); batchsize = args.batchsize, shuffle = true)
    val_loader = DataLoader((x_val, y_val); batchsize = args.batchsize)
    return train_loader, val_loader
end

function eval_loss_accuracy(loader, model, device)
    l, acc, ntot = 0.0f0, 0, 0
    for (x, y) in loader
        x, y = x |> device, y |> device
        ŷ = model(x)
        l += logitcrossentropy(ŷ, y) * size(x)[end]
        acc += sum(onecold(ŷ |> cpu) .== onecold(y |> cpu))
        ntot += size(x)[end]
    end
    return (loss = round(l / ntot; digits = 4), acc = round(acc / ntot * 100; digits = 4))
end

num_params(model) = sum(length, Flux.trainables(model))

function train(; η = 3e-4, λ = 0, batchsize = 128, epochs = 10, seed = 0, use_cuda = true, checktime = 5)
    seed > 0 && Random.seed!(seed)
    use_cuda = use_cuda && CUDA.functional()
    device = use_cuda ? gpu : cpu
    @info "training" device

    train_loader, val_loader = get_data((; batchsize))
    model = LeNet5() |> device
    @info "LeNet5 has $(num_params(model)) parameters"

    opt = λ > 0 ? OptimiserChain(WeightDecay(λ), Adam(η)) : Adam(η)
    opt_state = Flux.setup(opt, model)
    best = 0.0

    for epoch in 1:epochs
        @showprogress for (x, y) in train_loader
            x, y = x |> device, y |> device
            loss, grads = Flux.withgradient(model) do m
                logitcrossentropy(m(x), y)
            end
            Flux.update!(opt_state, model, grads[1])
        end
        val = eval_loss_accuracy(val_loader, model, device)
        @info "epoch" epoch val
        if val.acc > best
            best = val.acc
            jldsave("lenet.jld2"; model_state = Flux.state(cpu(model)), epoch)
        end
    end
    return model
end

train()
