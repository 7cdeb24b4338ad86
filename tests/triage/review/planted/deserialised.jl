using Serialization
model = deserialize("model.jls") # expect: object-file
