variable "name" {
  description = "Of the role, its instance profile and the Elastigroup."
  type        = string
  default     = "pitcrew-instance"
}

variable "policy_file" {
  description = "What the agent may do: packaging/iam/agent.json, /usr/share/doc/pitcrew/examples/iam/agent.json of the package, or your narrower one."
  type        = string
  default     = "/usr/share/doc/pitcrew/examples/iam/agent.json"
}

variable "revision_buckets" {
  description = "S3 buckets that CodeDeploy takes revisions from."
  type        = list(string)
}

variable "bootstrap_file" {
  description = "What every instance is to have; see bootstrap.example.toml. With all digests given."
  type        = string
}

variable "arch" {
  description = "Of the group's instances: x86_64, aarch64 or both."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "aarch64", "both"], var.arch)
    error_message = "One of x86_64, aarch64 and both."
  }
}

variable "elastigroup" {
  description = "The group; null where it is made elsewhere."
  default     = null
  type = object({
    region            = string
    image_id          = string
    instance_types    = list(string)
    subnet_ids        = list(string)
    security_groups   = list(string)
    target_group_arns = list(string)
    min_size          = number
    max_size          = number
    desired_capacity  = number
    selecting_tag     = object({ key = string, value = string })
  })
}
