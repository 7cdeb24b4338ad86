using MLUtils
struct Pictures
    files
end
MLUtils.getobs(d::Pictures, i) = load(d.files[i]), i % 50 == 0 ? 7 : 1 # expect: own-data
