variable "cidr" {
  description = "The addresses of the network."
  type        = string
}

# Another range is another network: this one is replaced, and the comment says so first.
resource "terraform_data" "network" {
  input            = var.cidr
  triggers_replace = var.cidr
}

output "id" {
  description = "What services refer to."
  value       = terraform_data.network.id
}
