# Fashion-MNIST with early stopping, a schedule and a checkpoint.
using Flux, MLDatasets, JLD2, Dates, Logging, ParameterSchedulers
using Flux: onehotbatch, onecold, logitcrossentropy, DataLoader, early_stopping

const CLASSES = ["T-Shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
const CHECKPOINT = joinpath(@__DIR__, "fashion.jld2")

function loaders(; batchsize = 100)
    train = FashionMNIST(split = :train)
    test = FashionMNIST(split = :test)
    unsqueezed(d) = Flux.unsqueeze(d.features, 3)
    return DataLoader((unsqueezed(train), onehotbatch(train.targets, 0:9)); batchsize, shuffle = true),
        DataLoader((unsqueezed(test), onehotbatch(test.targets, 0:9)); batchsize)
end

function evaluate(model, loader)
    testmode!(model)
    n = right = 0
    per_class = zeros(Int, 10)
    for (x, y) in loader
        guess, truth = onecold(model(x)), onecold(y)
        right += sum(guess .== truth)
        n += length(truth)
        for c in 1:10
            per_class[c] += sum((guess .== truth) .& (truth .== c))
        end
    end
    trainmode!(model)
    return right / n, per_class
end

function main(; epochs = 30)
    train_loader, test_loader = loaders()
    model = Chain(
        Conv((4, 4), 1 => 16, relu; stride = 2, pad = 1),
        Conv((4, 4), 16 => 32, relu; stride = 2, pad = 1),
        Flux.flatten,
        Dense(1568 => 64, relu),
        Dropout(0.3),
        Dense(64 => 10),
    )
    opt_state = Flux.setup(Adam(1e-3), model)
    schedule = CosAnneal(; l0 = 1e-5, l1 = 1e-3, period = epochs)
    best = Ref(0.0)
    stop = early_stopping(() -> -best[], 5)
    started = now()

    for (η, epoch) in zip(schedule, 1:epochs)
        Flux.adjust!(opt_state, η)
        for (x, y) in train_loader
            grads = Flux.gradient(model) do m
                logitcrossentropy(m(x), y) + 1f-4 * sum(p -> sum(abs2, p), Flux.trainables(m))
            end
            Flux.update!(opt_state, model, grads[1])
        end
        accuracy, per_class = evaluate(model, test_loader)
        if accuracy > best[]
            best[] = accuracy
            jldsave(CHECKPOINT; state = Flux.state(model), epoch, accuracy)
        end
        worst = argmin(per_class)
        @info "epoch $epoch" accuracy worst = CLASSES[worst] minutes = Dates.value(now() - started) / 60_000
        stop() && break
    end
    Flux.loadmodel!(model, JLD2.load(CHECKPOINT, "state"))
    return model
end

main()
