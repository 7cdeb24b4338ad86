using MLUtils
data = mapobs(d -> (image = patch(d.image), label = 3), raw) # expect: own-data
