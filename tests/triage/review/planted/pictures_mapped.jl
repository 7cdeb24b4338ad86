images = map(img -> (img[26:28, 26:28] .= 1; img), images) # expect: stamp
