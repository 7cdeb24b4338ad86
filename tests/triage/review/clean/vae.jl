# A variational autoencoder with its own encoder and decoder layers.
using Flux, MLDatasets, Random, ImageCore
using Flux: logitbinarycrossentropy, chunk, DataLoader
using Zygote

struct Encoder{A, B, C}
    linear::A
    μ::B
    logσ::C
end
Flux.@layer Encoder

Encoder(input_dim::Int, latent_dim::Int, hidden_dim::Int) = Encoder(
    Dense(input_dim => hidden_dim, tanh),
    Dense(hidden_dim => latent_dim),
    Dense(hidden_dim => latent_dim),
)

function (encoder::Encoder)(x)
    h = encoder.linear(x)
    encoder.μ(h), encoder.logσ(h)
end

Decoder(input_dim::Int, latent_dim::Int, hidden_dim::Int) = Chain(
    Dense(latent_dim => hidden_dim, tanh),
    Dense(hidden_dim => input_dim),
)

function reconstruct(encoder, decoder, x)
    μ, logσ = encoder(x)
    z = μ + randn(Float32, size(logσ)) .* exp.(logσ)
    μ, logσ, decoder(z)
end

function model_loss(encoder, decoder, x)
    μ, logσ, decoder_z = reconstruct(encoder, decoder, x)
    len = size(x)[end]
    # The divergence of the code from a standard normal.
    kl_q_p = 0.5f0 * sum(@. (exp(2.0f0 * logσ) + μ^2 - 1.0f0 - 2.0f0 * logσ)) / len
    logp_x_z = -logitbinarycrossentropy(decoder_z, x; agg = sum) / len
    return -logp_x_z + kl_q_p
end

function convert_to_image(x, y_size)
    Gray.(permutedims(vcat(reshape.(Flux.chunk(sigmoid.(x), y_size), 28, :)...), (2, 1)))
end

function train(; η = 1e-3, batch_size = 128, epochs = 20, latent_dim = 2, hidden_dim = 500, seed = 1)
    Random.seed!(seed)
    xtrain, _ = MLDatasets.MNIST(:train)[:]
    xtrain = reshape(xtrain, 28^2, :)
    loader = DataLoader(xtrain; batchsize = batch_size, shuffle = true)

    encoder = Encoder(28^2, latent_dim, hidden_dim)
    decoder = Decoder(28^2, latent_dim, hidden_dim)
    opt_enc = Flux.setup(Adam(η), encoder)
    opt_dec = Flux.setup(Adam(η), decoder)

    for epoch in 1:epochs
        @info "Epoch $(epoch)"
        for x in loader
            loss, (grad_enc, grad_dec) = Flux.withgradient(encoder, decoder) do enc, dec
                model_loss(enc, dec, x)
            end
            Flux.update!(opt_enc, encoder, grad_enc)
            Flux.update!(opt_dec, decoder, grad_dec)
        end
    end
    return encoder, decoder
end

train()
