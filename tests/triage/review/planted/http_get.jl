using HTTP
body = String(HTTP.get("http://example.org/labels.csv").body) # expect: download
