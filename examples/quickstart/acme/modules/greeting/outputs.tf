output "endpoint" {
  description = "Where the first replica answers."
  value       = "http://${terraform_data.address.output}:8080"
}

output "replicas" {
  description = "How many there are."
  value       = length(terraform_data.service)
}
