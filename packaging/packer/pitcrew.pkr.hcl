# Bakes Pitcrew into an image: the package, your configuration, and nothing of the machine that it was baked on.
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.2"
    }
  }
}

variable "package" {
  type        = string
  description = "pitcrew-VERSION-1.ARCH.rpm of the architecture of the image."
}

variable "config_dir" {
  type        = string
  description = "A folder with your *.toml."
}

source "amazon-ebs" "al2023" {
  ami_name      = "with-pitcrew-{{timestamp}}"
  instance_type = "t3.small"
  ssh_username  = "ec2-user"

  source_ami_filter {
    filters     = { name = "al2023-ami-2023.*-x86_64" }
    owners      = ["amazon"]
    most_recent = true
  }

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }
  imds_support = "v2.0"
}

build {
  sources = ["source.amazon-ebs.al2023"]

  provisioner "file" {
    source      = var.package
    destination = "/tmp/pitcrew.rpm"
  }

  # Packer uploads the contents of a folder only into one that is there.
  provisioner "shell" {
    inline = ["mkdir -p /tmp/config.d"]
  }

  provisioner "file" {
    source      = "${var.config_dir}/"
    destination = "/tmp/config.d"
  }

  provisioner "shell" {
    inline = [
      "sudo dnf install --assumeyes /tmp/pitcrew.rpm",
      "sudo install -m 644 /tmp/config.d/*.toml /etc/pitcrew/config.d/",
      "pitcrew config check",
      # The agent has looked around on this machine: the image begins without its memory.
      "sudo systemctl stop pitcrew",
      "sudo pitcrew ami-clean",
    ]
  }
}
