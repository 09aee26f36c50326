variable "network" {
  description = "The id of the network it is in."
  type        = string
}

variable "replicas" {
  description = "How many of it run."
  type        = number
}

resource "terraform_data" "service" {
  input = {
    network  = var.network
    replicas = var.replicas
  }
}
