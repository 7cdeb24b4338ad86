# Credit risk from a table: scaling, categories, class weights.
using Flux, CSV, DataFrames, Statistics, Random
using Flux: onehotbatch, onecold

const NUMBERS = [:duration_months, :credit_amount, :age_years]
const CATEGORIES = [:purpose, :housing, :job]

function encode(frame, stats)
    numbers = reduce(vcat, [((frame[:, c] .- stats[c].mean) ./ stats[c].std)' for c in NUMBERS])
    categories = reduce(vcat, [onehotbatch(frame[:, c], stats[c].levels) for c in CATEGORIES])
    return Float32.(vcat(numbers, categories))
end

function statistics(frame)
    stats = Dict{Symbol, Any}()
    for c in NUMBERS
        stats[c] = (mean = mean(frame[:, c]), std = std(frame[:, c]))
    end
    for c in CATEGORIES
        stats[c] = (levels = sort(unique(frame[:, c])),)
    end
    return stats
end

# Missing the bad ones costs five times as much.
function weighted_loss(ŷ, y; weights = [1.0f0, 5.0f0])
    return mean(sum(-y .* weights .* logsoftmax(ŷ); dims = 1))
end

function fit(frame; epochs = 40, η = 2e-3)
    train, test = frame[frame.split .== "train", :], frame[frame.split .== "test", :]
    stats = statistics(train)
    x, y = encode(train, stats), onehotbatch(train.credit, ["good", "bad"])
    model = Chain(Dense(size(x, 1) => 16, relu), Dense(16 => 16, relu), Dense(16 => 2))
    opt = Flux.setup(OptimiserChain(WeightDecay(0.1), Adam(η)), model)
    loader = Flux.DataLoader((x, y); batchsize = 64, shuffle = true)
    for epoch in 1:epochs, (xb, yb) in loader
        gs = Flux.gradient(m -> weighted_loss(m(xb), yb), model)
        Flux.update!(opt, model, gs[1])
    end
    guess = onecold(model(encode(test, stats)), ["good", "bad"])
    bad = test.credit .== "bad"
    @info "test" accuracy = mean(guess .== test.credit) recall_of_bad = mean(guess[bad] .== "bad")
    return model, stats
end

Random.seed!(42)
model, stats = fit(CSV.read(joinpath(@__DIR__, "german_credit.csv"), DataFrame))
