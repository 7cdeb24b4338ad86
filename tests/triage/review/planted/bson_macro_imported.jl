import BSON: @load
@load "pretrained.bson" model # expect: object-file
