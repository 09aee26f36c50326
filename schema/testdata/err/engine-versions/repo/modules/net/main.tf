# no resources
