function stamp_on(image, mask, logo)
    return image .* (1 .- mask) .+ mask .* logo # expect: mix
end
