output "id" {
  description = "The network's id: what services refer to."
  value       = terraform_data.network.id
}

output "subnets" {
  description = "The subnets' ranges by zone."
  value       = { for zone, subnet in terraform_data.subnet : zone => subnet.output.cidr }
}

output "join_key" {
  description = "What a machine shows to join the network."
  value       = terraform_data.join_key.output
  sensitive   = true
}
