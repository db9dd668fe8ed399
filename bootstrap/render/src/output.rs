//! Prints user data in the forms that tools take.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::user_data::UserData;

/// A form to print user data in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The bytes as EC2 hands them to the instance (gzip), for tools that encode by themselves
    Raw,
    /// One line of base64: what an Elastigroup's userData and a launch template take
    Base64,
    /// An Elastigroup request body with nothing but userData, to merge or to PUT
    Json,
    /// A Terraform file with local.pitcrew_user_data
    Terraform,
    /// A MIME document in plain text, for tools that merge and compress (Terraform's cloudinit_config)
    Mime,
}

impl Format {
    /// `user_data` in this form; all but raw are ASCII and end in a line feed.
    #[must_use]
    pub fn print(self, user_data: &UserData) -> Vec<u8> {
        let encoded = || STANDARD.encode(&user_data.bytes);
        match self {
            Self::Raw => user_data.bytes.clone(),
            Self::Base64 => (encoded() + "\n").into_bytes(),
            // Base64 needs no escape, in JSON nor in Terraform.
            Self::Json => format!(
                "{{\n  \"group\": {{\n    \"compute\": {{\n      \"launchSpecification\": {{\n        \"userData\": \"{}\"\n      }}\n    }}\n  }}\n}}\n",
                encoded()
            )
            .into_bytes(),
            Self::Terraform => format!(
                "# Rendered by `pitcrew user-data`; give it to user_data of spotinst_elastigroup_aws.\nlocals {{\n  pitcrew_user_data = \"{}\"\n}}\n",
                encoded()
            )
            .into_bytes(),
            Self::Mime => user_data.mime.clone().into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> UserData {
        UserData { bytes: vec![0x1f, 0x8b, 0xff], mime: "MIME-Version: 1.0\n".to_owned() }
    }

    #[test]
    fn every_form_but_raw_carries_the_same_base64() {
        assert_eq!(Format::Raw.print(&sample()), [0x1f, 0x8b, 0xff]);
        assert_eq!(Format::Base64.print(&sample()), b"H4v/\n");
        assert!(String::from_utf8(Format::Terraform.print(&sample())).unwrap().contains("= \"H4v/\"\n"));
        let json: serde_json::Value = serde_json::from_slice(&Format::Json.print(&sample())).unwrap();
        assert_eq!(json.pointer("/group/compute/launchSpecification/userData").unwrap(), "H4v/");
        assert_eq!(Format::Mime.print(&sample()), b"MIME-Version: 1.0\n");
    }
}
