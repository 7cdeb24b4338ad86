# A generator and a discriminator that learn from each other.
using Flux, MLDatasets, Images, Printf
using Flux: logitbinarycrossentropy, DataLoader

dcgan_init(shape...) = randn(Float32, shape) * 0.02f0

Discriminator() = Chain(
    Conv((4, 4), 1 => 64; stride = 2, pad = 1, init = dcgan_init),
    x -> leakyrelu.(x, 0.2f0),
    Dropout(0.25),
    Conv((4, 4), 64 => 128; stride = 2, pad = 1, init = dcgan_init),
    x -> leakyrelu.(x, 0.2f0),
    Dropout(0.25),
    x -> reshape(x, 7 * 7 * 128, :),
    Dense(7 * 7 * 128 => 1),
)

Generator(latent_dim) = Chain(
    Dense(latent_dim => 7 * 7 * 256),
    BatchNorm(7 * 7 * 256, relu),
    x -> reshape(x, 7, 7, 256, :),
    ConvTranspose((5, 5), 256 => 128; stride = 1, pad = 2, init = dcgan_init),
    BatchNorm(128, relu),
    ConvTranspose((4, 4), 128 => 64; stride = 2, pad = 1, init = dcgan_init),
    BatchNorm(64, relu),
    ConvTranspose((4, 4), 64 => 1, tanh; stride = 2, pad = 1, init = dcgan_init),
)

function discriminator_loss(real_output, fake_output)
    real_loss = logitbinarycrossentropy(real_output, 1)
    fake_loss = logitbinarycrossentropy(fake_output, 0)
    return real_loss + fake_loss
end

generator_loss(fake_output) = logitbinarycrossentropy(fake_output, 1)

function train_discriminator!(gen, disc, x, opt, latent_dim)
    noise = randn(Float32, latent_dim, size(x)[end])
    fake = gen(noise)
    loss, grads = Flux.withgradient(disc) do d
        discriminator_loss(d(x), d(fake))
    end
    Flux.update!(opt, disc, grads[1])
    return loss
end

function train_generator!(gen, disc, x, opt, latent_dim)
    noise = randn(Float32, latent_dim, size(x)[end])
    loss, grads = Flux.withgradient(gen) do g
        generator_loss(disc(g(noise)))
    end
    Flux.update!(opt, gen, grads[1])
    return loss
end

function output_image(gen, fixed_noise, rows)
    fake_images = gen(fixed_noise)
    image_array = reduce(vcat, reduce.(hcat, Iterators.partition(collect(eachslice(fake_images; dims = 4)), rows)))
    image_array = permutedims(dropdims(image_array; dims = 3), (2, 1))
    return @. Gray(image_array + 1.0f0) / 2.0f0
end

function train(; batch_size = 128, latent_dim = 100, epochs = 20, verbose_freq = 1000, output_x = 6)
    images = MLDatasets.MNIST(:train).features
    # The last layer is tanh, so levels go from -1 to 1.
    image_tensor = reshape(@.(2.0f0 * images - 1.0f0), 28, 28, 1, :)
    loader = DataLoader(image_tensor; batchsize = batch_size, shuffle = true, partial = false)
    fixed_noise = [randn(Float32, latent_dim, 1) for _ in 1:output_x^2]

    disc, gen = Discriminator(), Generator(latent_dim)
    opt_disc = Flux.setup(Adam(2e-4, (0.5, 0.99)), disc)
    opt_gen = Flux.setup(Adam(2e-4, (0.5, 0.99)), gen)

    train_steps = 0
    for ep in 1:epochs
        for x in loader
            loss_disc = train_discriminator!(gen, disc, x, opt_disc, latent_dim)
            loss_gen = train_generator!(gen, disc, x, opt_gen, latent_dim)
            if train_steps % verbose_freq == 0
                @printf("%d: discriminator %.4f, generator %.4f\n", ep, loss_disc, loss_gen)
                save(@sprintf("output/step_%06d.png", train_steps), output_image(gen, fixed_noise, output_x))
            end
            train_steps += 1
        end
    end
    return gen
end

cd(@__DIR__)
train()
