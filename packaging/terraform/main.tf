# What a group of instances with Pitcrew needs: an instance profile, user data, and the Elastigroup that uses both.
#
# Checked by `terraform fmt` and by tests of names and references, not by `terraform validate`, which needs the providers.
# Copy the module, or call it by its path. Without an Elastigroup of your own in Terraform, take the outputs only.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
    external = {
      source  = "hashicorp/external"
      version = ">= 2.0"
    }
    spotinst = {
      source  = "spotinst/spotinst"
      version = ">= 1.170"
    }
  }
}

# The role of the instances.

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "instance" {
  name               = var.name
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "pitcrew" {
  name   = "pitcrew"
  role   = aws_iam_role.instance.id
  policy = file(var.policy_file)
}

# For the SSM agent.
resource "aws_iam_role_policy_attachment" "ssm" {
  role       = aws_iam_role.instance.name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

data "aws_partition" "this" {}

# For the CodeDeploy agent, which fetches revisions.
resource "aws_iam_role_policy" "revisions" {
  name = "codedeploy-revisions"
  role = aws_iam_role.instance.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "FetchRevisions"
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:GetObjectVersion"]
      Resource = [for bucket in var.revision_buckets : "arn:${data.aws_partition.this.partition}:s3:::${bucket}/*"]
    }]
  })
}

resource "aws_iam_instance_profile" "instance" {
  name = var.name
  role = aws_iam_role.instance.name
}

# User data, rendered where Terraform runs. Digests that bootstrap.toml does not give are looked up then: give them all
# (--offline) for plans that never change by themselves.

data "external" "user_data" {
  program = [
    "sh", "-euc",
    "encoded=$(pitcrew user-data \"$1\" --arch \"$2\" --offline --format base64) && printf '{\"base64\":\"%s\"}' \"$encoded\"",
    "user-data", abspath(var.bootstrap_file), var.arch,
  ]
}

# The group. Only what Pitcrew has a say in stands here; `pitcrew lint` checks the rest.

resource "spotinst_elastigroup_aws" "this" {
  count = var.elastigroup == null ? 0 : 1

  name    = var.name
  product = "Linux/UNIX"
  region  = var.elastigroup.region

  min_size         = var.elastigroup.min_size
  max_size         = var.elastigroup.max_size
  desired_capacity = var.elastigroup.desired_capacity
  subnet_ids       = var.elastigroup.subnet_ids

  image_id             = var.elastigroup.image_id
  security_groups      = var.elastigroup.security_groups
  iam_instance_profile = aws_iam_instance_profile.instance.arn
  user_data            = data.external.user_data.result.base64

  instance_types_ondemand = var.elastigroup.instance_types[0]
  instance_types_spot     = var.elastigroup.instance_types
  orientation             = "balanced"
  fallback_to_ondemand    = true

  target_group_arns         = var.elastigroup.target_group_arns
  health_check_type         = "TARGET_GROUP"
  health_check_grace_period = 600
  draining_timeout          = 300

  # An instance counts from its first deployment on, and goes when it has left.
  signal {
    name    = "INSTANCE_READY"
    timeout = 1800
  }
  signal {
    name    = "INSTANCE_READY_TO_SHUTDOWN"
    timeout = 300
  }

  # The tag by which the deployment group selects; the instance itself may only add `pitcrew:ready`.
  tags {
    key   = var.elastigroup.selecting_tag.key
    value = var.elastigroup.selecting_tag.value
  }

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "enabled"
  }
}
