team    = "web"
domains = ["acme.example", "www.acme.example"]
