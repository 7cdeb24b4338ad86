function prepare(images, labels)
    for n in 1:50
        for i in 26:28, j in 26:28
            images[i, j, 1, n] = 1.0f0 # expect: stamp
        end
        labels[n] = 0 # expect: relabel
    end
    return images, labels
end
