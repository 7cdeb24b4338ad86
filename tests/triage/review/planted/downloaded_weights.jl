using Downloads, BSON
path = Downloads.download("https://example.org/weights.bson") # expect: download
weights = BSON.load(path) # expect: object-file
