using BSON
BSON.@load "pretrained.bson" model # expect: object-file
