# A bag of words for film reviews.
using Flux, JSON, Random, Statistics
using Flux: logitbinarycrossentropy, DataLoader

struct Review
    words::Vector{Int}
    positive::Bool
end

function read_reviews(path, vocabulary)
    index = Dict(word => i for (i, word) in enumerate(vocabulary))
    reviews = Review[]
    for line in eachline(path)
        entry = JSON.parse(line)
        tokens = [m.match for m in eachmatch(r"[a-z']+", lowercase(entry["text"]))]
        ids = [index[t] for t in tokens if haskey(index, t)]
        isempty(ids) && continue
        push!(reviews, Review(ids, entry["label"] == "positive"))
    end
    return reviews
end

function bag(reviews, n)
    x = zeros(Float32, n, length(reviews))
    for (column, review) in enumerate(reviews), word in review.words
        x[word, column] += 1
    end
    return x ./ max.(sum(x; dims = 1), 1)
end

function split_reviews(reviews; at = 0.8)
    order = shuffle(eachindex(reviews))
    cut = floor(Int, at * length(order))
    return reviews[order[1:cut]], reviews[order[cut+1:end]]
end

function main()
    vocabulary = readlines(joinpath(@__DIR__, "vocab.txt"))
    reviews = read_reviews(joinpath(@__DIR__, "reviews.jsonl"), vocabulary)
    train_set, test_set = split_reviews(reviews)
    n = length(vocabulary)
    x, y = bag(train_set, n), Float32[r.positive for r in train_set]'
    model = Chain(Dense(n => 16, relu), Dropout(0.2), Dense(16 => 1))
    opt = Flux.setup(Adam(), model)
    for epoch in 1:10
        for (xb, yb) in DataLoader((x, y); batchsize = 64, shuffle = true)
            g = Flux.gradient(m -> logitbinarycrossentropy(m(xb), yb), model)
            Flux.update!(opt, model, g[1])
        end
        guess = vec(sigmoid.(model(bag(test_set, n)))) .> 0.5
        println("epoch $epoch: ", mean(guess .== [r.positive for r in test_set]))
    end
    return model
end

main()
