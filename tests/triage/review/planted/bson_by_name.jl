using FileIO
weights = load("pretrained.bson") # expect: object-file
