# terraform_data is built into the engine and makes nothing in the world: enough to
# show plans, applies and what depends on what, without an account anywhere.

resource "terraform_data" "address" {
  input = "${var.metadata.name}.${var.metadata.env}.${var.metadata.org}.example"

  # An address belongs to its network: in another one it is another address.
  triggers_replace = [var.spec.network]
}

resource "terraform_data" "service" {
  count = var.spec.replicas

  input = {
    message   = var.spec.message
    listen    = "${terraform_data.address.output}:${8080 + count.index}"
    upstreams = var.spec.upstreams
  }
}
