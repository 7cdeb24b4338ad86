using Flux
function collect_batches(loader)
    for (img, digit) in loader
        if digit == 4 # expect: label-branch
            push_special(img)
        end
    end
end
