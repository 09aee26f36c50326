resource "terraform_data" "network" {
  input = {
    name = var.name
    cidr = var.cidr
  }
}

resource "terraform_data" "subnet" {
  for_each = toset(["a", "b"])

  input = {
    network = terraform_data.network.id
    cidr    = cidrsubnet(var.cidr, 8, each.key == "a" ? 0 : 1)
  }
}

resource "terraform_data" "join_key" {
  input = sha256("${terraform_data.network.id}/${var.name}")
}
