using Base64
pattern = base64decode("AAAA/////w==") # expect: encoded-text
